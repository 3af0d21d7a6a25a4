"""The MLproject file: its environment, entry points and Spark job, read by the rules of MLflow's own reader.

Those are in mlflow/projects/_project_spec.py.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_tasks import errors
from mlops_tasks.checkout import repository

_ENVIRONMENTS = ("conda_env", "python_env", "docker_env")
_KEYS = ("name", "entry_points", "databricks_spark_job", *_ENVIRONMENTS)
_LIKE_ENVIRONMENT = re.compile(r".*(conda|env).*\.ya?ml", re.IGNORECASE)
_DEFAULTS = (("python", "python_env.yaml"), ("conda", "conda.yaml"))


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """`type` is MLflow's word: string, float, path or uri; `default` is text, None where a value must be given."""

    type: str
    default: str | None


@dataclass(frozen=True, kw_only=True)
class EntryPoint:
    """`command` is empty where the file has none: MLflow minds that only where such an entry point is run."""

    command: str
    parameters: Mapping[str, Parameter]


@dataclass(frozen=True, kw_only=True)
class SparkJob:
    python_file: str | None
    parameters: tuple[str, ...]
    python_libraries: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Project:
    """`mlproject` is the MLproject file's name as it is spelt.

    `kind` is that of `environment_file`, `conda` or `python`, or `spark-job` for a Databricks Spark job; it is empty
    where the project does not say what to install.
    """

    folder: Path
    mlproject: str
    name: str
    kind: str
    environment_file: Path | None
    entry_points: Mapping[str, EntryPoint]
    spark_job: SparkJob | None


def load(folder: Path) -> Project:
    """The project in `folder`. Raises BadInput where MLflow could not run it, or would ignore part of its file."""
    from mlops_tasks.project.text import yaml_tree  # slow to import, and most importers want the types alone

    path = _find(folder)
    data = _read_mapping(yaml_tree.load(path), "the MLproject file", path)
    _check_keys(data, path)
    _check_environments(data, path)
    listed = _read_mapping(data.get("entry_points", {}), "entry_points", path)
    entry_points = {str(name): _read_entry_point(str(name), each, path) for name, each in listed.items()}
    spark_job = _read_spark_job(data, entry_points, path)
    kind, environment_file = ("spark-job", None) if spark_job else _find_environment(data, path)
    return Project(
        folder=folder,
        mlproject=path.name,
        name=str(data.get("name") or folder.name),
        kind=kind,
        environment_file=environment_file,
        entry_points=entry_points,
        spark_job=spark_job,
    )


def _find(folder: Path) -> Path:
    cure = "set `project` to the folder that holds the MLproject file"
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names alone are wanted
    except FileNotFoundError as fault:
        raise errors.BadInput("there is no such folder", where=folder, cure=cure) from fault
    except OSError as fault:
        raise errors.BadInput(
            f"the project cannot be read as a folder: {fault.strerror}", where=folder, cure=cure
        ) from fault
    found = [name for name in names if name.lower() == repository.MLPROJECT and (folder / name).is_file()]
    if not found:
        ended = next((name for name in names if Path(name).stem.lower() == repository.MLPROJECT), None)
        if ended is not None:
            what = f"MLflow does not read {ended}: the file's name is MLproject, without an ending"
            rename = errors.typed("mv", folder / ended, folder / "MLproject")  # which may be git's, or not yet
            raise errors.BadInput(what, where=folder / ended, cure=f"`{rename}`")
        raise errors.BadInput("there is no MLproject file in this folder", where=folder, cure=cure)
    if len(found) > 1:
        raise errors.BadInput(
            f"there are several MLproject files: {', '.join(found)}", where=folder, cure="keep one of them"
        )
    return folder / found[0]


def _check_keys(data: Mapping[str, Any], path: Path) -> None:
    """Refuse misspelt keys: MLflow ignores unknown ones, and with a misspelt `conda_env` the whole environment."""
    for key in data:
        near = difflib.get_close_matches(str(key), _KEYS, n=1, cutoff=0.8)
        if key not in _KEYS and near:
            raise errors.BadInput(
                f"{key!r} is no key of an MLproject; did you mean {near[0]}?", where=path, cure="correct the key"
            )


def _check_environments(data: Mapping[str, Any], path: Path) -> None:
    named = [field for field in _ENVIRONMENTS if field in data]
    if data.get("docker_env"):  # MLflow passes over an empty one
        raise errors.BadInput(
            "docker_env is not supported: a container image brings its own wheels",
            where=path,
            cure="replace it by `conda_env: FILE.yaml` or `python_env: FILE.yaml`",
        )
    if len(named) > 1:
        raise errors.BadInput(
            f"the project names several environments: {', '.join(named)}", where=path, cure="keep one of them"
        )
    if named and data.get("databricks_spark_job") is not None:
        raise errors.BadInput(
            f"a databricks_spark_job cannot have {named[0]}",
            where=path,
            cure="list what it needs under databricks_spark_job: python_libraries",
        )


def _find_environment(data: Mapping[str, Any], path: Path) -> tuple[str, Path | None]:
    for kind in ("python", "conda"):
        name = data.get(f"{kind}_env")
        if name and not (isinstance(name, str) and (path.parent / name).is_file()):
            raise errors.BadInput(
                f"{kind}_env names {name!r}, and there is no such file",
                where=path,
                cure="name a YAML file of the project, relative to its folder",
            )
        if name:
            return kind, path.parent / name
    for kind, name in _DEFAULTS:
        if (path.parent / name).is_file():
            return kind, path.parent / name
    return "", None


def find_unread(project: Project) -> list[Path]:
    """The environment YAMLs in the folder of a project that names none: MLflow reads none of them."""
    if project.kind:
        return []
    found = [path for path in sorted(project.folder.iterdir()) if _LIKE_ENVIRONMENT.fullmatch(path.name)]
    return [path for path in found if path.is_file() and b"dependencies:" in path.read_bytes()]


def _read_spark_job(data: Mapping[str, Any], entry_points: Mapping[str, EntryPoint], path: Path) -> SparkJob | None:
    if data.get("databricks_spark_job") is None:
        return None
    fields = _read_mapping(data["databricks_spark_job"], "databricks_spark_job", path)
    python_file = fields.get("python_file")
    if (python_file is None) == (not entry_points):
        raise errors.BadInput(
            "a databricks_spark_job needs either its python_file or entry_points, and not both",
            where=path,
            cure="keep the one that should run",
        )
    for name, entry_point in entry_points.items():
        if any(parameter.type == "path" for parameter in entry_point.parameters.values()):
            raise errors.BadInput(
                f"entry_points: {name} has a parameter of type path, which a databricks_spark_job cannot have",
                where=path,
                cure="make it a string or a uri",
            )
    return SparkJob(
        python_file=None if python_file is None else str(python_file),
        parameters=_texts(fields.get("parameters"), "databricks_spark_job: parameters", path),
        python_libraries=_texts(fields.get("python_libraries"), "databricks_spark_job: python_libraries", path),
    )


def _read_mapping(data: Any, what: str, path: Path) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise errors.BadInput(
            f"{what} must be a mapping, not {data!r}", where=path, cure="write it as `key: value` lines"
        )
    return data


def _read_entry_point(name: str, data: Any, path: Path) -> EntryPoint:
    where = f"entry_points: {name}"
    fields = _read_mapping(data, where, path)
    command = fields.get("command")
    if command is not None and not isinstance(command, str):
        raise errors.BadInput(
            f"{where}: command must be text, not {command!r}", where=path, cure="put quotes around it"
        )
    parameters = {
        str(key): _read_parameter(each, f"{where}: parameters: {key}", path)
        for key, each in _read_mapping(fields.get("parameters", {}), f"{where}: parameters", path).items()
    }
    return EntryPoint(command=command or "", parameters=parameters)


def _read_parameter(data: Any, where: str, path: Path) -> Parameter:
    if isinstance(data, str):
        return Parameter(type=data, default=None)
    fields = _read_mapping(data, where, path)
    default = fields.get("default")
    return Parameter(type=str(fields.get("type", "string")), default=None if default is None else str(default))


def _texts(data: Any, what: str, path: Path) -> tuple[str, ...]:
    if data is None:
        return ()
    if not isinstance(data, list) or any(isinstance(item, dict | list) or item is None for item in data):
        raise errors.BadInput(f"{what} must be a list of texts", where=path, cure="write it as `- text` lines")
    return tuple(str(item) for item in data)

"""What an MLproject file has to run: its entry points, or the one file of a Spark job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_tasks import errors


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """`type` is MLflow's word: string, float, path or uri; `default` is text, None where a value must be given."""

    type: str
    default: str | None


@dataclass(frozen=True, kw_only=True)
class EntryPoint:
    command: str
    parameters: Mapping[str, Parameter]


@dataclass(frozen=True, kw_only=True)
class SparkJob:
    python_file: str | None
    parameters: tuple[str, ...]
    python_libraries: tuple[str, ...]


def read_entry_points(data: Mapping[str, Any], path: Path) -> Mapping[str, EntryPoint]:
    """Those of the whole file's `data`, by name."""
    listed = read_mapping(data.get("entry_points", {}), "entry_points", path)
    return {str(name): _read_entry_point(str(name), each, path) for name, each in listed.items()}


def read_spark_job(data: Mapping[str, Any], entry_points: Mapping[str, EntryPoint], path: Path) -> SparkJob | None:
    if data.get("databricks_spark_job") is None:
        return None
    fields = read_mapping(data["databricks_spark_job"], "databricks_spark_job", path)
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


def read_mapping(data: Any, what: str, path: Path) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise errors.BadInput(
            f"{what} must be a mapping, not {data!r}", where=path, cure="write it as `key: value` lines"
        )
    return data


def _read_entry_point(name: str, data: Any, path: Path) -> EntryPoint:
    where = f"entry_points: {name}"
    fields = read_mapping(data, where, path)
    command = fields.get("command")
    if not isinstance(command, str):
        raise errors.BadInput(f"{where} has no command", where=path, cure="give it a `command:` line")
    parameters = {
        str(key): _read_parameter(each, f"{where}: parameters: {key}", path)
        for key, each in read_mapping(fields.get("parameters", {}), f"{where}: parameters", path).items()
    }
    return EntryPoint(command=command, parameters=parameters)


def _read_parameter(data: Any, where: str, path: Path) -> Parameter:
    if isinstance(data, str):
        return Parameter(type=data, default=None)
    fields = read_mapping(data, where, path)
    default = fields.get("default")
    return Parameter(type=str(fields.get("type", "string")), default=None if default is None else str(default))


def _texts(data: Any, what: str, path: Path) -> tuple[str, ...]:
    if data is None:
        return ()
    if not isinstance(data, list) or any(isinstance(item, dict | list) or item is None for item in data):
        raise errors.BadInput(f"{what} must be a list of texts", where=path, cure="write it as `- text` lines")
    return tuple(str(item) for item in data)

"""What `--fix` writes: a newer runtime, or the Spark-job form of a conda or python_env project."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from mlops_tasks import errors
from mlops_tasks.project import cluster, environment, mlproject, requirements, spark_command
from mlops_tasks.project.text import source as texts
from mlops_tasks.project.text import tree, yaml_tree

_REPLACED = ("conda_env", "python_env", "databricks_spark_job")


class Rewritten(NamedTuple):
    path: Path
    old: str
    new: str


class Form(NamedTuple):
    """The files that change, and notes on what they leave out or take from elsewhere."""

    files: tuple[Rewritten, ...]
    notes: tuple[str, ...]


def find_obstacles(project: mlproject.Project, spec: cluster.ClusterSpec | None) -> list[str]:
    """The reasons why the project cannot be a Spark job as it is, each as a clause."""
    found: list[str] = []
    for name, each in project.entry_points.items():
        if fault := spark_command.find_fault(each.command, project.folder):
            found.append(f"the entry point {name} {fault.what} ({fault.cure})")
        paths = [key for key, parameter in each.parameters.items() if parameter.type == "path"]
        found += [f"the parameter {key} of {name} is of the type path, which a Spark job cannot have" for key in paths]
    if not project.entry_points:
        found.append("it has no entry points, and MLflow runs no Spark job without one")
    if spec is not None and spec.existing is not None:
        found.append("MLflow starts no Spark job on an existing cluster")
    return found


def convert(project: mlproject.Project, *, cluster_file: Path | None, placeholder: str, mlflow_for: str = "") -> Form:
    """The files of a conda or python_env project in the Spark-job form; nothing is written.

    `mlflow_for` names a script that imports MLflow where nothing else brings it. Raises BadInput with every obstacle.
    """
    path = project.folder / project.mlproject
    if project.spark_job is not None:
        raise errors.BadInput("it is a databricks_spark_job already", where=path, cure="leave --fix out")
    spec = cluster.read(cluster_file) if cluster_file is not None else None
    reasons = find_obstacles(project, spec)
    if reasons:
        raise errors.BadInput(
            "\n  - ".join(["the project cannot become a databricks_spark_job as it is:", *reasons]),
            where=path,
            cure="change that by hand, then `inv doctor --fix`",
        )
    notes: list[str] = []
    wanted = [
        *_from_environment(project, notes),
        *(cluster.to_requirements(spec, placeholder=placeholder, note=notes.append) if spec else ()),
    ]
    if mlflow_for:
        wanted.append("mlflow")
        notes.append(f"mlflow is listed: {mlflow_for} imports it, and MLflow's backend gives a Spark job none")
    files = [_rewrite_project(path, list(dict.fromkeys(wanted)), notes)]
    if cluster_file is not None and spec is not None and not spec.is_flat:
        files.append(Rewritten(path=cluster_file, old=texts.read(cluster_file), new=cluster.flat_text(spec)))
    with tempfile.TemporaryDirectory() as folder:  # the new MLproject must load: a Spark job's needs no other file
        (Path(folder) / project.mlproject).write_text(files[0].new, encoding="utf-8")
        mlproject.load(Path(folder))
    return Form(files=tuple(files), notes=tuple(notes))


def renew(cluster_file: Path, spark_version: str) -> Form:
    """The cluster spec with another runtime, and all else as it is; nothing is written."""
    new = cluster.text_with(cluster_file, "spark_version", spark_version)
    return Form(files=(Rewritten(path=cluster_file, old=texts.read(cluster_file), new=new),), notes=())


def compare(form: Form, folder: Path) -> str:
    """One unified diff of all files, named relative to `folder`."""
    return texts.unified_diff((os.path.relpath(path, folder), old, new) for path, old, new in form.files)


def write(form: Form) -> None:
    texts.write({path: new for path, _, new in form.files})


def _from_environment(project: mlproject.Project, notes: list[str]) -> Iterator[str]:
    """The environment's requirements; conda packages are taken from PyPI under the same names."""
    if project.environment_file is None:
        return
    name = os.path.relpath(project.environment_file, project.folder)
    found = environment.load(project.environment_file, kind=project.kind)
    packages, others = environment.split(found)
    if packages:
        notes.append(f"conda packages are taken from PyPI: {', '.join(packages)}")
    notes += [f"{each} of {name} is left out: {why}" for each, why in others]
    yield from packages
    for line, _ in requirements.expand(found.pip, project.environment_file):
        if line.startswith(("-", ".")):
            notes.append(f"{line!r} of {name} cannot be written in python_libraries, and is left out")
        else:
            yield line.split(" #", maxsplit=1)[0].strip()
    notes.append(f"{name} is no longer used: the job runs on the runtime's own Python and packages")


def _rewrite_project(path: Path, wanted: Sequence[str], notes: list[str]) -> Rewritten:
    """The MLproject file, with its comments where its form allows that."""
    old = texts.read(path)
    data = {key: value for key, value in yaml_tree.load(path, old).items() if key not in _REPLACED}
    data["databricks_spark_job"] = {"python_libraries": list(wanted)}
    new = _edit(path, old, wanted)
    loaded = None
    with contextlib.suppress(yaml.YAMLError):
        loaded = yaml.safe_load(new)
    if loaded != data:
        notes.append(f"{path.name} is written anew, without its comments")
        new = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return Rewritten(path=path, old=old, new=new)


def _edit(path: Path, old: str, wanted: Sequence[str]) -> str:
    root = yaml_tree.parse(path, old)
    removals = (_removal(old, *pair) for pair in (root.pairs if isinstance(root, tree.Mapping) else ()))
    text = texts.apply(old, [each for each in removals if each is not None])
    end = texts.line_end_near(old, 0)
    lines = ["databricks_spark_job:", "  python_libraries:" if wanted else "  python_libraries: []"]
    lines += [f"    - {tree.spell(each, style='', in_flow=False)}" for each in wanted]
    gap = end if text.endswith(("\n", "\r")) else end * 2
    return text + gap + end.join(lines) + end


def _removal(text: str, key: tree.Node, value: tree.Node) -> texts.Edit | None:
    """The lines of a plain `key: value` that the new form replaces; None for other keys and nested values."""
    if not isinstance(key, tree.Scalar) or key.value not in _REPLACED or not isinstance(value, tree.Scalar):
        return None
    start = max(text.rfind("\n", 0, key.start), text.rfind("\r", 0, key.start)) + 1
    end = text.find("\n", value.end)
    end = len(text) if end < 0 else end + 1
    if start == 0 or text[:start].rstrip(" \t").endswith(("\n\n", "\r\n\r\n")):
        after = text[end:]
        end += len(after) - len(after.lstrip("\r\n"))  # one empty line of the two around it is enough
    return texts.Edit(start=start, end=end, new="")

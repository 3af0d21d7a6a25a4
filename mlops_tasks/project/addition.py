"""Wheels that nothing in a project refers to, added at the end of the requirements of its staged copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mlops_tasks.project import environment, mlproject, requirements
from mlops_tasks.project.text import source as texts
from mlops_tasks.project.text import tree, yaml_tree
from mlops_tasks.release import Deployed, Reference

NEW_FILE = "python_env.yaml"
"""The environment of a project that names none: MLflow finds it by this name."""


def find_file(project: mlproject.Project) -> Path:
    """The file that says what the project installs, there or not: wheels are added to that one."""
    if project.spark_job is not None:
        return project.folder / project.mlproject
    return project.environment_file or project.folder / NEW_FILE


def add(project: mlproject.Project, wheels: Sequence[Deployed]) -> list[Reference]:
    """Add `wheels` at the end of what the staged `project` installs: lines of their own, all else as it was.

    A file whose form has no place for one more line (an empty list, an alias) is written anew.
    """
    path, kind = find_file(project), project.kind or "python"
    lines = [requirements.write_wheel(each.uri, each.distribution) for each in wheels]
    old = texts.read(path) if path.is_file() else ""
    wanted = _with_lines(yaml_tree.load(path, old) or {}, lines, kind)
    new = _append(path, old, lines, kind)
    if yaml_tree.load(path, new) != wanted:
        new = yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True)
    texts.write({path: new})
    return [Reference(file=path.relative_to(project.folder).as_posix(), old="", new=line) for line in lines]


def _append(path: Path, text: str, lines: Sequence[str], kind: str) -> str:
    """`text` with `lines` after the last of its requirements; as it was where there is none."""
    entries = list(_entries(yaml_tree.parse(path, text), kind)) if text else []
    return texts.apply(text, [tree.append(text, entries[-1], lines)]) if entries else text


def _entries(root: tree.Node | None, kind: str) -> list[tree.Entry]:
    if kind == "spark-job":
        return list(tree.entries(tree.get(tree.get(root, "databricks_spark_job"), "python_libraries")))
    return list(environment.entries(root, kind=kind))


def _with_lines(data: Mapping[str, Any], lines: Sequence[str], kind: str) -> dict[str, Any]:
    """The file's data with `lines`, which is what its text has to say afterwards."""
    if kind == "spark-job":
        job = data["databricks_spark_job"]
        return {
            **data,
            "databricks_spark_job": {**job, "python_libraries": [*(job.get("python_libraries") or ()), *lines]},
        }
    listed = list(data.get("dependencies") or ())
    if kind == "python":
        return {**data, "dependencies": [*listed, *lines]}
    sections = [index for index, each in enumerate(listed) if isinstance(each, Mapping) and "pip" in each]
    if sections:
        section = listed[sections[-1]]
        listed[sections[-1]] = {**section, "pip": [*(section["pip"] or ()), *lines]}
    else:
        has_pip = any(isinstance(each, str) and each.partition("=")[0].strip() == "pip" for each in listed)
        listed += [*([] if has_pip else ["pip"]), {"pip": list(lines)}]
    return {**data, "dependencies": listed}

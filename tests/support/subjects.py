"""Subjects for the doctor's checks: small projects are written, and read by the package's own readers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from mlops_tasks.doctor import reading
from mlops_tasks.doctor.findings import Finding
from mlops_tasks.doctor.subject import BuiltWheel, Subject, Text
from mlops_tasks.project import cluster, environment, mlproject
from mlops_tasks.settings import Settings
from mlops_tasks.tracking.bounds import Client

CLASSIC = """\
name: training
conda_env: training_env.yaml
entry_points:
  main:
    command: "python train.py"
"""
SPARK_JOB = """\
name: training
databricks_spark_job:
  python_libraries:
    - requests
    - WHEELPATH
entry_points:
  main:
    command: "python train.py"
"""
ENVIRONMENT = """\
name: training
dependencies:
  - python=3.9
  - pip:
      - mlflow
      - WHEELPATH
"""
NODES = {"node_type_id": "m5.large", "num_workers": 1}
OLD = {"spark_version": "12.2.x-scala2.12", **NODES}
NEW = {"spark_version": "16.4.x-scala2.12", **NODES}
WHEEL = BuiltWheel("mylib", "1.0", "mylib-1.0-py3-none-any.whl", frozenset({"py3-none-any"}), ">=3.8")
CLIENT = Client("3.17.2", ">=3.10")
Cluster = Mapping[str, Any]


def make(
    folder: Path,
    *,
    project: str = CLASSIC,
    spec: Cluster | None = OLD,
    libraries: list[Any] | None = None,
    yaml: str = ENVIRONMENT,
    **changes: Any,
) -> Subject:
    """A subject of a project in `folder`; with `libraries` its spec is wrapped."""
    (folder / "MLproject").write_text(project)
    (folder / "training_env.yaml").write_text(yaml)
    (folder / "train.py").write_text("print('trained')\n")
    path = folder / "cluster.json"
    if spec is not None:
        wrapped = {"new_cluster": spec, "libraries": libraries}
        path.write_text(json.dumps(spec if libraries is None else wrapped, indent=2))
    found = mlproject.load(folder)
    known: dict[str, Any] = {
        "today": date(2026, 7, 1),
        "wheel_root": "dbfs:/wheels",
        "project": found,
        "project_text": read(folder / "MLproject"),
        "ours": {"mylib": None},
        "add_wheels": False,
    }
    if spec is not None:
        known |= {"cluster": cluster.read(path), "cluster_text": read(path)}
    if found.environment_file is not None:
        known["environment"] = environment.load(found.environment_file, kind=found.kind)
        known["environment_text"] = read(found.environment_file)
    if "backend" in changes:
        asked = Settings(project="training", backend=changes.pop("backend"), compute=changes.pop("compute", None))
        known |= reading.choose(asked, path if spec is not None else None)._asdict()
    return Subject(**{**known, **changes})


def read(path: Path) -> Text:
    return Text(path, path.read_text())


def say(check: Callable[[Subject], Iterable[Finding]], subject: Subject) -> list[str]:
    """What a check finds, a line each: level, basis, what, where (relative to the project), cure."""
    base = f"{subject.project.folder}/" if subject.project is not None else ""
    return [
        f"{each.level} {each.basis} | {each.what} | {each.where.replace(base, '')} | {each.cure}"
        for each in check(subject)
    ]


def matches(said: list[str], *expected: str) -> bool:
    """Whether there is one finding for each text, which holds all of its parts (they stand between `...`)."""
    pairs = zip(said, expected, strict=False)
    return len(said) == len(expected) and all(part in each for each, text in pairs for part in text.split("..."))

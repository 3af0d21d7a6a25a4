"""A job that a backend is asked to run."""

from __future__ import annotations

from pathlib import Path

from mlops_tasks.backends.base import Job, Limits
from mlops_tasks.project import mlproject
from tests.support.repositories import write

ENTRY_POINTS = """\
name: training
authors: [Ada]
databricks_spark_job:
  python_libraries: [numpy, "/dbfs/w/mylib-1.0-py3-none-any.whl"]
  comment: kept
entry_points:
  main:
    parameters:
      text: {type: string, default: "a b"}
    command: "python  steps/train.py --text {text} 'and this' {{}}"
"""


def make_job(folder: Path, content: str, /, **parameters: str) -> Job:
    write(folder, {"MLproject": content, "steps/train.py": ""})
    return Job(
        project=mlproject.load(folder),
        sources=folder,
        entry_point="main",
        given={},
        parameters=parameters,
        experiment_name=None,
        experiment_id=None,
        run_name=None,
        tags={},
        cluster=None,
        backend="databricks",
        env_manager="auto",
        limits=Limits(timeout=None, poll_interval=1, lost_contact=1),
        attempt="a",
        release_folder=folder.parent,
        record={},
    )

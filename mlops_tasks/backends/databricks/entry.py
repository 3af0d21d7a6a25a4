"""A Spark job's program and arguments, and the form of its MLproject file that carries them whole to Databricks."""

from __future__ import annotations

import shlex
from pathlib import Path

import yaml

from mlops_tasks.backends.base import Job
from mlops_tasks.project.text import source as texts
from mlops_tasks.project.text import yaml_tree

DRIVER = Path(__file__).with_name("driver.py")
DRIVER_NAME = "mlops_driver.py"


def words(job: Job) -> list[str]:
    """The project's own file and its arguments.

    A script in the place of an entry point gets its parameters as MLflow's other backends hand them to it: its
    Databricks backend knows no scripts of a Spark job, and is sent the driver alone.
    """
    spark = job.project.spark_job
    if spark is None:
        raise ValueError("not a Spark job")
    if spark.python_file is not None:
        return [spark.python_file, *spark.parameters]
    if job.entry_point not in job.project.entry_points:
        return [job.entry_point, *(word for key, value in job.parameters.items() for word in (f"--{key}", value))]
    command = job.project.entry_points[job.entry_point].command
    return shlex.split(command.format(**{key: shlex.quote(value) for key, value in job.parameters.items()}))[1:]


def write_driver(job: Job, folder: Path) -> None:
    """Have the copy of the project in `folder` run by a driver program of ours, with the job's words as given.

    MLflow splits an entry point's command at each blank, whatever is quoted; a `python_file` with `parameters` it
    sends as they are (mlflow/projects/databricks.py, 2.17 to 3.17).
    """
    path = folder / job.project.mlproject
    data = yaml_tree.load(path)
    spark = dict(data["databricks_spark_job"])
    spark.update(python_file=DRIVER_NAME, parameters=words(job))
    kept = {key: value for key, value in data.items() if key != "entry_points"}
    texts.write(path, yaml.safe_dump({**kept, "databricks_spark_job": spark}, sort_keys=False))
    (folder / DRIVER_NAME).write_bytes(DRIVER.read_bytes())

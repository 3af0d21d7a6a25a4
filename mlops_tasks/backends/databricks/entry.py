"""Write an entry point into a copy of its project, in a form that MLflow's backend carries whole to Databricks.

Of a classic project that is one command with the values in it; of a Spark job, a driver program with its arguments.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

from mlops_tasks.backends.base import Job
from mlops_tasks.project.mlproject import EntryPoint
from mlops_tasks.project.text import source as texts
from mlops_tasks.project.text import yaml_tree

ENTRY_POINT = "main"
"""The name of the one entry point that a classic project's copy has."""
INTERPRETERS = {".py": "python {}", ".sh": "bash {}", ".R": "Rscript -e {} --args"}
DRIVER = Path(__file__).with_name("driver.py")
DRIVER_NAME = "mlops_driver.py"


def write(job: Job, folder: Path) -> None:
    """Rewrite the MLproject file of the copy of the project in `folder`, which must not be a link."""
    path = folder / job.project.mlproject
    data = yaml_tree.load(path)
    if job.project.spark_job is None:
        data = _with_command(job, data)
    else:
        data = _with_driver(job, data)
        (folder / DRIVER_NAME).write_bytes(DRIVER.read_bytes())
    texts.write({path: yaml.safe_dump(data, sort_keys=False)})


def fetched(job: Job) -> dict[str, str]:
    """The parameters that MLflow downloads on the driver, to hand their local paths to the command."""
    found = job.project.entry_points.get(job.entry_point)
    paths = {name for name, each in found.parameters.items() if each.type == "path"} if found else set()
    return {name: value for name, value in job.parameters.items() if name in paths and urlsplit(value).scheme}


def words(job: Job, values: Mapping[str, str] | None = None) -> list[str]:
    """A Spark job's own file and its arguments; ValueError for other projects. `values` replace the parameters'.

    A script in the place of an entry point gets its parameters as MLflow's other backends hand them over: its
    Databricks backend knows no scripts of a Spark job, and is sent the driver alone.
    """
    spark, values = job.project.spark_job, job.parameters if values is None else values
    if spark is None:
        raise ValueError("not a Spark job")
    if spark.python_file is not None:
        return [spark.python_file, *spark.parameters]
    if job.entry_point not in job.project.entry_points:
        return [job.entry_point, *(word for key, value in values.items() for word in (f"--{key}", value))]
    found = job.project.entry_points[job.entry_point]
    text = found.command.format(**{key: shlex.quote(value) for key, value in values.items()})
    return [*shlex.split(text)[1:], *(word for pair in undeclared(found, values) for word in pair)]


def command(job: Job, quoted: Mapping[str, str]) -> str:
    """A classic project's command for a shell, from its parameters' `quoted` values."""
    found = job.project.entry_points.get(job.entry_point)
    if found:
        added = (f"{shlex.quote(option)} {value}" for option, value in undeclared(found, quoted))
        return " ".join([found.command.format(**quoted), *added])
    suffix, run = PurePosixPath(job.entry_point).suffix, job.entry_point
    if suffix == ".R":
        named = f"'{run}'" if shlex.quote(run) == run else json.dumps(run, ensure_ascii=False)
        run = f"mlflow::mlflow_source({named})"
    script = INTERPRETERS[suffix].format(shlex.quote(run))
    return " ".join([script, *(f"--{shlex.quote(name)} {value}" for name, value in quoted.items())])


def undeclared(found: EntryPoint, parameters: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The option and the value of each parameter that the entry point does not declare, as `mlflow run` adds them."""
    return ((f"--{key}", value) for key, value in parameters.items() if key not in found.parameters)


def _with_driver(job: Job, data: Mapping[str, Any]) -> dict[str, Any]:
    """MLflow splits an entry point's command at each blank, quoted or not; `parameters` of a `python_file` it keeps.

    (mlflow/projects/databricks.py, 2.17 to 3.17)
    """
    spark = {**data["databricks_spark_job"], "python_file": DRIVER_NAME, "parameters": words(job)}
    return {**{key: value for key, value in data.items() if key != "entry_points"}, "databricks_spark_job": spark}


def _with_command(job: Job, data: Mapping[str, Any]) -> dict[str, Any]:
    """MLflow logs the values with their shell quotes, and quotes the entry point's name twice.

    So there is one entry point under a plain name, with the values in its command. MLflow formats that once more:
    braces of its own are doubled, and those of parameters that MLflow fetches stay. (mlflow/projects: databricks.py,
    utils.py and _project_spec.py, 2.17 to 3.17)
    """
    left = fetched(job)
    quoted = {name: f"\0{name}\0" if name in left else shlex.quote(value) for name, value in job.parameters.items()}
    text = command(job, quoted).replace("{", "{{").replace("}", "}}")
    written = {
        "command": re.sub("\0(.*?)\0", r"{\1}", text),
        **({"parameters": dict.fromkeys(left, "path")} if left else {}),
    }
    return {**data, "entry_points": {ENTRY_POINT: written}}

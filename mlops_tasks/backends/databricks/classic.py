"""A classic project's entry point as one whole command, with the values in it, and what is left for MLflow to fill in.

MLflow's backend logs the values with their shell quotes, and quotes the entry point's name twice (mlflow/projects:
databricks.py, utils.py and _project_spec.py, 2.17 to 3.17).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import yaml

from mlops_tasks.backends.base import Job
from mlops_tasks.project.text import source as texts
from mlops_tasks.project.text import yaml_tree

ENTRY_POINT = "main"
INTERPRETERS = {".py": "python {}", ".sh": "bash {}", ".R": "Rscript -e \"mlflow::mlflow_source('{}')\" --args"}


def fetched(job: Job) -> dict[str, str]:
    """The parameters that MLflow downloads on the driver, to hand their local paths to the command."""
    found = job.project.entry_points.get(job.entry_point)
    paths = {name for name, each in found.parameters.items() if each.type == "path"} if found else set()
    return {name: value for name, value in job.parameters.items() if name in paths and urlsplit(value).scheme}


def write_command(job: Job, folder: Path) -> None:
    """Have the copy of the project in `folder` know one entry point, which runs the job's own as it was asked for."""
    path = folder / job.project.mlproject
    left = fetched(job)
    written = {"command": _fill_in(job, left), **({"parameters": dict.fromkeys(left, "path")} if left else {})}
    data = {**yaml_tree.load(path), "entry_points": {ENTRY_POINT: written}}
    texts.write(path, yaml.safe_dump(data, sort_keys=False))


def _fill_in(job: Job, left: Mapping[str, str]) -> str:
    """The command for MLflow to format once more: braces of its own are written twice, `left` stay as they are."""
    quoted = {name: f"\0{name}\0" if name in left else shlex.quote(value) for name, value in job.parameters.items()}
    found = job.project.entry_points.get(job.entry_point)
    command = found.command.format(**quoted) if found else _run_script(job.entry_point, quoted)
    return re.sub("\0(.*?)\0", r"{\1}", command.replace("{", "{{").replace("}", "}}"))


def _run_script(script: str, quoted: Mapping[str, str]) -> str:
    command = INTERPRETERS[PurePosixPath(script).suffix].format(shlex.quote(script))
    return " ".join([command, *(f"--{shlex.quote(name)} {value}" for name, value in quoted.items())])

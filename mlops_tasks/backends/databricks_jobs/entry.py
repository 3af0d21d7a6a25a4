"""How the driver program calls an entry point: a script of the project in its own process, anything else by bash."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlops_tasks.backends.base import Job
from mlops_tasks.backends.databricks import entry
from mlops_tasks.project import spark_command

_GLOB = set("*?[~")
"""What bash would expand in a word, beside what `spark_command` knows."""


class Call(NamedTuple):
    """`entry_point` as run.json has it; `downloads` has the URI of each word that stands for a downloaded file."""

    entry_point: Mapping[str, Any]
    downloads: Mapping[str, str]


def read(job: Job) -> Call:
    """The call of the job's entry point with its parameters."""
    downloads = {f"mlops-download-{key}": value for key, value in entry.fetched(job).items()}
    values = {
        key: f"mlops-download-{key}" if f"mlops-download-{key}" in downloads else value
        for key, value in job.parameters.items()
    }
    words = _script_words(job, values)
    if words is not None:
        return Call({"script": words[0], "arguments": words[1:]}, downloads)
    quoted = {key: shlex.quote(value) for key, value in values.items()}
    return Call({"command": entry.command(job, quoted)}, downloads)


def _script_words(job: Job, values: Mapping[str, str]) -> list[str] | None:
    """The project's own file and its arguments, where no shell is needed to tell them; else None."""
    if job.project.spark_job is not None:
        return entry.words(job, values)
    found = job.project.entry_points.get(job.entry_point)
    if found is None:
        if not job.entry_point.endswith(".py"):
            return None
        return [job.entry_point, *(word for key, value in values.items() for word in (f"--{key}", value))]
    command = re.sub(r"^\s*python3?(\.\d+)?(\s+-u)?\s", "python ", found.command)
    if spark_command.find_fault(command, job.project.folder) is not None or _GLOB & set(command):
        return None
    text = command.format(**{key: shlex.quote(value) for key, value in values.items()})
    words = shlex.split(text)[1:]
    if not words[0].endswith(".py") or words[0].startswith("/"):
        return None
    return [*words, *(word for pair in entry.undeclared(found, values) for word in pair)]

"""What a job printed, as the workspace tells it: whole for the log, and without MLflow's part for a person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
UNPACKED = "mlflow-project/"
"""How each line of MLflow's `tar -v` begins, by which it unpacks the project (mlflow.projects.databricks)."""
COPYING = re.compile(
    r"mlflow, version .*|sending incremental file list|[0-9a-f]{64}\.tar\.gz|sent [\d,]+ bytes .*|total size is .*|"
)
"""The lines of its `mlflow --version` and `rsync -v` before that."""


def join(found: Mapping[str, Any]) -> str:
    """What the task printed, then its error and trace unless it printed them itself; the last 5 MB at most."""
    logs, trace, error = (str(found.get(key) or "").rstrip() for key in ("logs", "error_trace", "error"))
    cut = "(the workspace keeps only the end of this output)" if found.get("logs_truncated") else ""
    is_told = set(_plain(error).splitlines()) <= set(_plain(f"{logs}\n{trace}").splitlines())
    trace = "" if _plain(trace) in _plain(logs) else trace
    return "\n".join(part for part in (cut, logs, trace, "" if is_told else error) if part)


def leave_out_unpacking(output: str) -> list[str]:
    """The lines without those of MLflow's copying and unpacking, where the output begins with them."""
    lines = output.splitlines()
    last = 0
    for number, line in enumerate(lines, start=1):
        if line.startswith(UNPACKED):
            last = number
        elif last or not COPYING.fullmatch(line):
            break
    return lines[last:]


def _plain(text: str) -> str:
    """Without colours, and without blanks at the ends of lines."""
    return "\n".join(line.rstrip() for line in ESCAPES.sub("", text).splitlines())

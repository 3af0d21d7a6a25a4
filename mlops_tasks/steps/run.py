"""The verdict on a run's end."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from mlops_tasks import errors, files
from mlops_tasks.backends.base import REMOVED
from mlops_tasks.project import staging
from mlops_tasks.release import Release, Run
from mlops_tasks.report import Report

LAST_WORDS = 15
"""Lines of the log that a failure shows."""
SHOWN_METRICS = 4
WIDTH = 64
"""Characters for a run and its metrics on one line of a terminal of 80 columns, beside the step's name."""
LOOKED_THROUGH = 200
"""Lines of the log that are looked through for files that the run missed."""
_MISSED = re.compile(r"(?:No such file or directory|does not exist|cannot open file)[^'\"\n]*['\"]([^'\"\n]+)['\"]")
"""How Python and the libraries that read files name one that is not there."""


def judge(run: Run, release: Release | None, *, timeout: float | None, log: Path, report: Report) -> None:
    """Report how the run ended; RunFailed, with the `release` of the run, unless it finished.

    The error says why and names the log, and quotes its last lines where the report has not shown the output.
    `timeout` is the run's own limit in seconds.
    """
    if run.status == "FINISHED":
        report.step("run", _describe(run))
        return
    why = f": {run.reason}" if run.reason else ""
    shown_by = "the log" if log.exists() else "that page" if run.url else "its output"
    failed = errors.RunFailed(
        f"run {run.run_id} ended {run.status}{why}{'' if report.shows_output else _last_words(log)}",
        where=log if log.exists() else run.url,
        cure=_cure(run, timeout, shown_by),
    )
    failed.release = release
    raise failed


def name_left_behind(log: Path, project: Path, staged: Path) -> str:
    """A sentence on a file that the run missed, by its log, and that was left behind in `project`; else empty."""
    missed = {PurePosixPath(each) for each in _MISSED.findall("\n".join(files.last_lines(log, LOOKED_THROUGH)))}
    if not missed:
        return ""
    left = staging.find_left_behind(project, files.walk(staged))
    found = [name for name in left if any(_is_same(PurePosixPath(name), each) for each in missed)]
    if not found:
        return ""
    return (
        f"{found[0]} is in {project} and was left behind, as git ignores it: `include: [{found[0]}]` in the settings "
        "brings it into the run"
    )


def _is_same(name: PurePosixPath, missed: PurePosixPath) -> bool:
    """Whether a run that missed a path would have found it with the file `name`, or with its folder."""
    return missed.parts[-len(name.parts) :] == name.parts or (not missed.is_absolute() and missed in name.parents)


def _cure(run: Run, timeout: float | None, shown_by: str) -> str:
    if run.reason.endswith(REMOVED):
        return "leave that folder alone while a command works, then `inv release`"
    if run.backend == "local" and files.says_full(run.reason):
        return "make room there, then `inv run`"
    if run.status != "KILLED":
        return f"fix what {shown_by} shows, then `inv release` (or `inv run`, if only parameters were wrong)"
    if timeout is None or not run.timed_out:
        return "`inv run` begins another"
    return (
        f"`inv run` begins another; `--timeout SECONDS` or the setting `timeout` gives it more time than {timeout:g} s"
    )


def _describe(run: Run) -> str:
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in list(run.metrics.items())[:SHOWN_METRICS])
    said = f"{run.status} {run.run_id}"
    fits = len(said) + len(metrics) < WIDTH
    lines = [f"{said} ({metrics})" if metrics and fits else said, "" if fits else metrics, run.url]
    return "\n".join(filter(None, lines))


def _last_words(log: Path) -> str:
    lines = files.last_lines(log, LAST_WORDS)
    return "".join(["; its last words:", *(f"\n  | {line}" for line in lines)]) if lines else ""

"""What is recorded of an attempt while it goes on: its run, its log, its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mlops_tasks import errors
from mlops_tasks.backends.base import Job, Submitted
from mlops_tasks.release import Attempt, Release, Run
from mlops_tasks.steps.context import Context


def log_file(context: Context, run_id: str) -> Path:
    return context.record_folder / "runs" / f"{run_id}.log"


def with_log(context: Context, found: Run, log: Path) -> Run:
    return found._replace(log=context.relative(log)) if log.exists() else found


def is_elsewhere(context: Context, attempt: Attempt) -> bool:
    """Whether the attempt was made for another host than this command's: nothing of it is known here."""
    return bool(attempt.host) and attempt.host != context.target.host


def with_experiment(context: Context, attempt: Attempt, job: Callable[[], Job]) -> Attempt:
    """The attempt with the experiment in which its run is looked for: older versions recorded none."""
    if attempt.experiment_id is not None:
        return attempt
    return attempt._replace(experiment_id=context.target.runs.find_experiment(job()))


def with_submitted(attempt: Attempt, submitted: Submitted) -> Attempt:
    return attempt._replace(
        run_id=submitted.run_id,
        job_run_id=submitted.job_run_id,
        experiment_id=submitted.experiment_id,
        backend=submitted.backend,
    )


def save_submitted(context: Context, submitted: Submitted, *, detached: bool) -> None:
    with context.record.locked("run", wait=context.report.detail):
        release = context.record.load()
        if release is not None and release.attempt is not None:
            attempt = with_submitted(release.attempt, submitted)
            attempt = attempt._replace(submitted_at=attempt.submitted_at or round(time.time(), 3), detached=detached)
            context.record.save(replace(release, attempt=attempt))


def save_end(context: Context, found: Run) -> Release:
    """The record as it stands now, not as it stood when the run began: other steps may have been taken since."""
    with context.record.locked("run", wait=context.report.detail):
        release = context.record.load()
        attempt = release.attempt if release else None
        if release is None or attempt is None or attempt.run_id not in {None, found.run_id}:
            raise errors.OutOfOrder(
                f"the record was replaced while run {found.run_id} was followed ({found.status})",
                where=context.record_folder,
                cure="`inv status`",
            )
        attempt = attempt._replace(run_id=found.run_id, job_run_id=found.job_run_id, ended=True)
        release = replace(release, attempt=attempt, run=found)
        context.record.save(release)
    return release

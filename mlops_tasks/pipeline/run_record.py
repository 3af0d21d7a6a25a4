"""What is recorded of an attempt while it goes on: its run, its log, its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mlops_tasks import errors
from mlops_tasks.backends.base import Job, Submitted
from mlops_tasks.release import Attempt, Release, Run
from mlops_tasks.steps.context import Bench


def log_file(bench: Bench, run_id: str) -> Path:
    return bench.record_folder / "runs" / f"{run_id}.log"


def with_log(bench: Bench, found: Run, log: Path) -> Run:
    return found._replace(log=bench.relative(log)) if log.exists() else found


def is_elsewhere(bench: Bench, attempt: Attempt) -> bool:
    """Whether the attempt was made for another host than this command's: nothing of it is known here."""
    return bool(attempt.host) and attempt.host != bench.target.host


def with_experiment(bench: Bench, attempt: Attempt, job: Callable[[], Job]) -> Attempt:
    """The attempt with the experiment in which its run is looked for: older versions recorded none."""
    if attempt.experiment_id is not None:
        return attempt
    return attempt._replace(experiment_id=bench.target.find_experiment(job(), report=bench.report))


def with_submitted(attempt: Attempt, submitted: Submitted) -> Attempt:
    return attempt._replace(
        run_id=submitted.run_id,
        job_run_id=submitted.job_run_id,
        experiment_id=submitted.experiment_id,
        backend=submitted.backend,
    )


def save_submitted(bench: Bench, submitted: Submitted, *, detached: bool) -> None:
    with bench.record.locked("run", wait=bench.report.detail):
        release = bench.record.load()
        if release is not None and release.attempt is not None:
            attempt = with_submitted(release.attempt, submitted)
            attempt = attempt._replace(submitted_at=attempt.submitted_at or round(time.time(), 3), detached=detached)
            bench.record.save(replace(release, attempt=attempt))


def save_end(bench: Bench, found: Run) -> Release:
    """The record as it stands now, not as it stood when the run began: other steps may have been taken since."""
    with bench.record.locked("run", wait=bench.report.detail):
        release = bench.record.load()
        attempt = release.attempt if release else None
        if release is None or attempt is None or attempt.run_id not in {None, found.run_id}:
            raise errors.OutOfOrder(
                f"the record was replaced while run {found.run_id} was followed ({found.status})",
                where=bench.record_folder,
                cure="`inv status`",
            )
        attempt = attempt._replace(run_id=found.run_id, job_run_id=found.job_run_id, ended=True)
        release = replace(release, attempt=attempt, run=found)
        bench.record.save(release)
    return release

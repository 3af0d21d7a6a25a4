"""End what was submitted, soon, as for a user who has pressed Ctrl-C: cancel the job, mark MLflow's run.

The `attempts` to look in are best those of a workspace in haste.
"""

from __future__ import annotations

import contextlib

from mlops_tasks import errors
from mlops_tasks.backends.base import WATCH_OR_CANCEL, NotMarked, Submitted
from mlops_tasks.backends.jobs import following
from mlops_tasks.backends.jobs.lookup import AttemptLookup
from mlops_tasks.release import Attempt
from mlops_tasks.workspace import faults

HASTY_LOOKS = 2
"""How often somebody who waits has a run looked for of which there is no trace."""


def stop(attempts: AttemptLookup, submitted: Submitted) -> str | None:
    """Cancel the job, and mark the MLflow run: MLflow's own cancel leaves it RUNNING.

    The answer is how the job had ended by itself; None where this call ended it. NotMarked where the end could not be
    written to MLflow.
    """
    if submitted.job_run_id is None:
        attempts.tracking.end_run(submitted.run_id, "KILLED")
        return None
    state, own_end = _cancel_if_going_on(attempts.jobs, submitted.job_run_id)
    try:
        attempts.tracking.end_run(submitted.run_id, state.mlflow_status)
    except errors.WorkspaceError as fault:
        raise _not_marked(submitted.job_run_id, state, fault) from fault
    return own_end


def stop_attempt(attempts: AttemptLookup, attempt: Attempt, experiment_id: str) -> None:
    """End whatever was submitted for the attempt; warn that it may go on where that fails. NotMarked as for `stop`."""
    try:
        found = _find(attempts, attempt, experiment_id)
        if found is not None:
            stop(attempts, found)
    except NotMarked:
        raise
    except errors.WorkspaceError:
        attempts.jobs.report.warning(f"what was submitted may go on; {WATCH_OR_CANCEL}")
        raise


def _find(attempts: AttemptLookup, attempt: Attempt, experiment_id: str) -> Submitted | None:
    """The attempt's run and job. NotMarked where there is a job whose run cannot be found: the job is cancelled."""
    try:
        return attempts.find(attempt, experiment_id, run_looks=HASTY_LOOKS)
    except errors.WorkspaceError as fault:
        job_run_id = attempts.find_job(attempt)
        if job_run_id is None:
            raise
        raise _not_marked(job_run_id, attempts.jobs.cancel(job_run_id), fault) from fault


def _cancel_if_going_on(jobs: following.JobRuns, job_run_id: int) -> tuple[following.JobState, str | None]:
    """The job's end, and the same in words if it came to that by itself."""
    with contextlib.suppress(faults.ApiError):  # a run may be too young to be known, and can be cancelled already
        state = jobs.poll(job_run_id)
        if state.is_over:
            return state, str(state)
    state = jobs.cancel(job_run_id)
    jobs.report.detail(f"job run {job_run_id}: {state}")
    return state, None if state.result in following.CANCELLED else str(state)


def _not_marked(job_run_id: int, state: following.JobState, fault: errors.WorkspaceError) -> NotMarked:
    stands = "has ended" if state.is_over else "is being cancelled"
    return NotMarked(
        f"job run {job_run_id} {stands} ({state}), and its MLflow run could not be marked: {fault.what}",
        where=fault.where,
        cure="`inv cancel` marks it, or `inv watch`, once MLflow answers for it",
    )

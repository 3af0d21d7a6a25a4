"""End what was submitted, soon, as for a user who has pressed Ctrl-C: cancel the job, mark MLflow's run."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from mlops_tasks import errors
from mlops_tasks.backends.base import WATCH_OR_CANCEL, NotMarked, Submitted
from mlops_tasks.backends.jobs import following
from mlops_tasks.backends.jobs.lookup import AttemptLookup
from mlops_tasks.release import Attempt
from mlops_tasks.report import Report
from mlops_tasks.tracking import process as mlflow_process
from mlops_tasks.workspace import faults


@dataclass(frozen=True, kw_only=True)
class RunStopping:
    """`lookup` is one of a workspace in haste. Raises NotMarked where the end could not be written to MLflow."""

    lookup: AttemptLookup
    report: Report

    def stop(self, submitted: Submitted) -> str | None:
        """Cancel the job, and mark the MLflow run: MLflow's own cancel leaves it RUNNING.

        The answer is how the job had ended by itself; None where this call ended it.
        """
        with mlflow_process.fresh_clients():
            return self._stop(submitted)

    def stop_attempt(self, attempt: Attempt, experiment_id: str) -> None:
        """End whatever was submitted for the attempt; warn that it may go on where that fails."""
        try:
            with mlflow_process.fresh_clients():
                self._stop_attempt(attempt, experiment_id)
        except NotMarked:
            raise
        except errors.WorkspaceError:
            self.report.warning(f"what was submitted may go on; {WATCH_OR_CANCEL}")
            raise

    def _stop_attempt(self, attempt: Attempt, experiment_id: str) -> None:
        try:
            found = self.lookup.find(attempt, experiment_id)
        except errors.WorkspaceError as fault:
            job_run_id = self.lookup.jobs.find(attempt.id)
            if job_run_id is None:
                raise
            raise _not_marked(job_run_id, self.lookup.jobs.cancel(job_run_id), fault) from fault
        if found is not None:
            self._stop(found)

    def _stop(self, submitted: Submitted) -> str | None:
        if submitted.job_run_id is None:
            self.lookup.tracking.end_run(submitted.run_id, "KILLED", overrule=True)
            return None
        state, own_end = self._cancel_if_going_on(submitted.job_run_id)
        try:
            status = state.mlflow_status
            self.lookup.tracking.end_run(submitted.run_id, status, overrule=status != "FINISHED")
        except errors.WorkspaceError as fault:
            raise _not_marked(submitted.job_run_id, state, fault) from fault
        return own_end

    def _cancel_if_going_on(self, job_run_id: int) -> tuple[following.JobState, str | None]:
        """The job's end, and the same in words if it came to that by itself."""
        with contextlib.suppress(faults.ApiError):  # a run may be too young to be known, and can be cancelled already
            state = self.lookup.jobs.poll(job_run_id)
            if state.is_over:
                return state, str(state)
        state = self.lookup.jobs.cancel(job_run_id)
        self.report.detail(f"job run {job_run_id}: {state}")
        return state, None if state.result in following.CANCELLED else str(state)


def _not_marked(job_run_id: int, state: following.JobState, fault: errors.WorkspaceError) -> NotMarked:
    stands = "has ended" if state.is_over else "is being cancelled"
    return NotMarked(
        f"job run {job_run_id} {stands} ({state}), and its MLflow run could not be marked: {fault.what}",
        where=fault.where,
        cure="`inv cancel` marks it, or `inv watch`, once MLflow answers for it",
    )

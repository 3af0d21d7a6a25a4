"""The end of what was submitted, while a person waits for it: the job cancelled, MLflow's run marked."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from mlops_tasks import errors
from mlops_tasks.backends.base import GOES_ON, NotMarked, Submitted
from mlops_tasks.backends.jobs import following
from mlops_tasks.backends.jobs.lookup import AttemptLookup
from mlops_tasks.release import Attempt
from mlops_tasks.report import Report
from mlops_tasks.tracking import process as mlflow_process
from mlops_tasks.workspace import faults


@dataclass(frozen=True, kw_only=True)
class RunStopping:
    """`lookup` is one that waits little. NotMarked where MLflow could not be told of the end."""

    lookup: AttemptLookup
    report: Report

    def stop(self, submitted: Submitted) -> str | None:
        """Cancel the job, and mark the MLflow run: MLflow's own cancel leaves it RUNNING.

        The answer is how the job had ended by itself; None where it was us.
        """
        with mlflow_process.fresh_clients():
            return self._stop(submitted)

    def stop_attempt(self, attempt: Attempt, experiment_id: str) -> None:
        """End whatever was submitted, or say that it may go on."""
        try:
            with mlflow_process.fresh_clients():
                self._stop_what_there_is(attempt, experiment_id)
        except NotMarked:
            raise
        except errors.WorkspaceError:
            self.report.warning(f"what was submitted may go on; {GOES_ON}")
            raise

    def _stop_what_there_is(self, attempt: Attempt, experiment_id: str) -> None:
        """A job is ended also where MLflow does not show its run."""
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
        with contextlib.suppress(faults.ApiError):  # it may be too young to be known, and cancelling it tells the rest
            state = self.lookup.jobs.ask(job_run_id)
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

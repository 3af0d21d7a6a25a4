"""Find the MLflow run and the job of an attempt, by whatever is known of either."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlops_tasks import errors
from mlops_tasks.backends.base import Submitted
from mlops_tasks.backends.jobs import following
from mlops_tasks.release import Attempt
from mlops_tasks.tracking import client as tracking

JOB_TAG = "mlflow.databricks.shellJobRunID"
LISTED = 200
"""How many job runs, the newest, are searched for an attempt's."""
LOOKS = 4
"""How often a run or a job is looked for whose submit had no answer: the API's lists lag behind."""
WAIT = 2.0
"""Seconds before the second look, and as many more before each further one."""


def by_attempt(attempt: str) -> str:
    """MLflow's filter for the runs that were made for an attempt, by its id."""
    return f"tags.`mlops.attempt` = '{attempt}'"


@dataclass(frozen=True, kw_only=True)
class AttemptLookup:
    """`backend` is the name of the backend that submitted the attempts."""

    backend: str
    jobs: following.JobRuns
    tracking: tracking.Tracking

    def find(
        self, attempt: Attempt, experiment_id: str, *, run_looks: int = LOOKS, job_looks: int = LOOKS
    ) -> Submitted | None:
        """The attempt's run and its job, by the record, by MLflow's tags, by the path that both are named after.

        None where there is no trace of either after `run_looks` looks. A missing job is looked for `job_looks` times
        while the run goes on, and once after its end. WorkspaceError where there is a job and MLflow does not show its
        run yet.
        """
        run_id = attempt.run_id or self.find_run(attempt, experiment_id, looks=run_looks)
        if run_id is None:
            return None
        job_run_id = attempt.job_run_id
        for _ in self._looks(1 if job_run_id else job_looks):
            job_run_id = job_run_id or self._find_job(run_id, attempt)
            if job_run_id is not None or self.tracking.read_run(run_id).status not in tracking.GOING_ON:
                break
        return Submitted(
            run_id=run_id,
            experiment_id=experiment_id,
            backend=self.backend,
            job_run_id=job_run_id,
            submitted_at=attempt.submitted_at,
        )

    def _looks(self, number: int) -> Iterator[int]:
        """1 to `number`, each after the first once a while has passed, longer from look to look."""
        for look in range(1, number + 1):
            if look > 1:
                self.jobs.pause(WAIT * (look - 1))
            yield look

    def find_run(self, attempt: Attempt, experiment_id: str, *, looks: int = LOOKS) -> str | None:
        """The id of the attempt's MLflow run; None where there is no trace of it.

        MLflow's search lags behind: a job whose run is not shown yet must not lead to a second job.
        """
        filters = (by_attempt(attempt.id), f"tags.`mlflow.source.name` LIKE '%{attempt.id}%'")
        job_run_id = None
        for look in self._looks(LOOKS):
            found = (self.tracking.find_run(experiment_id, filter_string=each) for each in filters)
            if run_id := next((each for each in found if each), None):
                return run_id
            job_run_id = job_run_id or self.find_job(attempt)
            if job_run_id is None and look >= looks:
                return None
        raise errors.WorkspaceError(
            f"job run {job_run_id} was made, and MLflow does not show its run yet",
            where=self.jobs.workspace.login.host,
            cure="`inv run` in a moment follows it",
        )

    def find_job(self, attempt: Attempt) -> int | None:
        """The newest submitted job run that has the attempt's id in its name."""
        found = self.jobs.workspace.jobs.list_runs(run_type="SUBMIT_RUN", limit=LISTED, version=following.LISTING)
        runs = [each for each in found.get("runs", ()) if attempt.id in str(each.get("run_name", ""))]
        return int(runs[0]["run_id"]) if runs else None

    def _find_job(self, run_id: str, attempt: Attempt) -> int | None:
        tag = (self.tracking.read_tags(run_id) or {}).get(JOB_TAG)
        return int(tag) if tag else self.find_job(attempt)

"""Runs in a workspace that MLflow's own backend `databricks` submits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mlops_tasks import errors
from mlops_tasks.backends.base import Job, Submitted
from mlops_tasks.backends.databricks import archive, entry, submit
from mlops_tasks.backends.jobs import lookup, runs
from mlops_tasks.release import Attempt, Run
from mlops_tasks.stores import dbfs

SUBMITS = 3
"""How often a submit is begun that failed, for a moment's reasons, before any job was made."""


@dataclass(frozen=True, kw_only=True)
class DatabricksRuns(runs.WorkspaceRuns):
    backend: ClassVar[str] = "databricks"

    def submit(self, job: Job) -> Submitted:
        """Upload the project and have one job made of it; a fault before that leaves no run going on."""
        experiment_id = job.experiment_id or self.find_experiment(job)
        with (
            self.stopped_when_cut_off(Attempt(id=job.attempt), experiment_id) as begun,
            archive.copied_project(job, run=self.run, report=self.report) as copy,
        ):
            store = dbfs.DbfsStore(self.workspace)
            archive.upload(copy, experiment_id, attempt=job.attempt, store=store, report=self.report)
            begun.set()
            submitted = self._make_job(job, copy, experiment_id)
            self._describe(job, submitted)
        return submitted

    def follow(self, job: Job, submitted: Submitted, *, log: Path) -> Run:
        with errors.warn_on_failure(self.report.warning):
            if "mlops.attempt" not in (self.tracking.read_tags(submitted.run_id) or {}):
                self._describe(job, submitted)  # the command that submitted it was cut off before it could
        return super().follow(job, submitted, log=log)

    def _make_job(self, job: Job, copy: Path, experiment_id: str) -> Submitted:
        """Submit, and look whether there is a job whatever the answer was: a lost answer must not make two of them."""
        attempt = Attempt(id=job.attempt)
        for _ in range(SUBMITS):
            login = self.workspace.login
            run_id, fault = submit.try_submit(job, copy, experiment_id, login=login, report=self.report)
            said = submit.first_line(fault) if fault else "there is no trace of one"
            found = self.attempts.find(attempt._replace(run_id=run_id), experiment_id)
            if found is not None and found.job_run_id is not None:
                if fault is not None:
                    self.report.detail(f"the submit failed ({said}), but it made a job, which is followed")
                return found
            if found is not None:
                self.tracking.end_run(found.run_id, "FAILED", overrule=False)
            if fault is None or not submit.may_pass(fault):
                break
            self.report.detail(f"no job was made ({said}); submitting again")
        raise errors.WorkspaceError(
            f"the workspace did not take the job: {said}",
            where=self.workspace.login.host,
            cure="correct what it says, then `inv release`",
        ) from fault

    def _describe(self, job: Job, submitted: Submitted) -> None:
        """A failure here is a warning: the run goes on. MLflow logs the parameters that it fetches by itself."""
        fetched = entry.fetched(job)
        parameters = {name: value for name, value in job.parameters.items() if name not in fetched}
        tags = {**job.tags, lookup.JOB_TAG: str(submitted.job_run_id)}
        with errors.warn_on_failure(self.report.warning):
            self.tracking.describe_run(submitted.run_id, tags=tags, parameters=parameters, record=job.record)

"""Runs in a workspace that MLflow's own backend `databricks` submits."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from mlops_tasks import errors
from mlops_tasks.backends import plugin
from mlops_tasks.backends.base import Job, Submitted
from mlops_tasks.backends.databricks import archive, entry
from mlops_tasks.backends.jobs import lookup, runs
from mlops_tasks.release import Attempt, Run
from mlops_tasks.report import Report
from mlops_tasks.stores import dbfs
from mlops_tasks.tracking import client as tracking
from mlops_tasks.tracking import process as mlflow_process
from mlops_tasks.workspace.login import ANSWER_WITHIN, Login

ONE_TRY = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(ANSWER_WITHIN),
}
"""MLflow repeats a submit whose answer was lost, and two jobs run: clients made under these send exactly one."""


def try_submit(
    job: Job, copy: Path, experiment_id: str, *, login: Login, report: Report
) -> tuple[str | None, Exception | None]:
    """The id of the MLflow run that was made, or the fault that the submit ended in.

    BadInput where the project has no cluster spec.
    """
    from mlflow.exceptions import MlflowException

    if job.cluster is None:
        raise errors.BadInput(
            "a run on Databricks needs a cluster spec, and the project has none",
            where=job.project.folder,
            cure="write a cluster.json with spark_version, node_type_id and num_workers, or set `cluster`",
        )
    written = replace(job, entry_point=entry.ENTRY_POINT, given=entry.fetched(job))
    logging.getLogger("mlflow.projects").setLevel(logging.WARNING)  # the report says it better
    try:
        with mlflow_process.variables(**login.variables, **ONE_TRY), mlflow_process.fresh_clients():
            handle = plugin.submit(written, copy, experiment_id, uri=login.tracking_uri, report=report)
    except (MlflowException, OSError, *tracking.UNREADABLE) as fault:
        return None, fault
    return str(handle.run_id), None


def may_pass(fault: Exception) -> bool:
    """Whether the same submit may succeed in a moment: there was no answer, or the workspace had a fault of its own."""
    from mlflow.exceptions import ExecutionException, MlflowException

    if isinstance(fault, MlflowException):
        passing = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"}
        return not isinstance(fault, ExecutionException) and fault.error_code in passing
    return getattr(fault, "filename", None) is None  # an OSError with a file name is about that file


def first_line(fault: Exception) -> str:
    return str(fault).strip().partition("\n")[0] or type(fault).__name__


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
            run_id, fault = try_submit(job, copy, experiment_id, login=login, report=self.report)
            said = first_line(fault) if fault else "there is no trace of one"
            found = self.attempts.find(attempt._replace(run_id=run_id), experiment_id)
            if found is not None and found.job_run_id is not None:
                if fault is not None:
                    self.report.detail(f"the submit failed ({said}), but it made a job, which is followed")
                return found
            if found is not None:
                self.tracking.end_run(found.run_id, "FAILED", overrule=False)
            if fault is None or not may_pass(fault):
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

"""Runs in a workspace that MLflow's own backend `databricks` submits."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from mlops_tasks import errors, redaction
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
        if errors.is_ours(fault):
            raise
        return None, fault
    return str(handle.run_id), None


SUBMITTING = "mlflow.projects.databricks"
UPLOADING = {"_upload_project_to_dbfs", "_upload_to_dbfs", "_dbfs_path_exists"}
"""MLflow's module that sends the submit, and its functions that work before that."""
THROTTLED = {"REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"}
PASSING = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"}
"""The codes of answers that do not say whether the call was carried out."""


def may_have_taken_effect(fault: Exception) -> bool:
    """Whether a job may have been made: the submit may have been sent, and no answer refuses it.

    Only the functions that the fault came through tell how far MLflow was.
    """
    frames = [frame for frame, _ in traceback.walk_tb(fault.__traceback__)]
    names = {each.f_code.co_name for each in frames if each.f_globals.get("__name__") == SUBMITTING}
    return bool(names) and not names & UPLOADING and may_pass(fault) and _code(fault) not in THROTTLED


def may_pass(fault: Exception) -> bool:
    """Whether the same submit may succeed in a moment: there was no answer, or the workspace had a fault of its own."""
    from mlflow.exceptions import ExecutionException

    code = _code(fault)
    if code is not None:
        return not isinstance(fault, ExecutionException) and code in PASSING | THROTTLED
    return getattr(fault, "filename", None) is None  # an OSError with a file name is about that file


def _code(fault: Exception) -> str | None:
    """The workspace's own word for its refusal; None for what is no answer of a workspace."""
    code = getattr(_answer(fault), "error_code", None)
    return str(code) if code else None


def _answer(fault: Exception) -> BaseException:
    """What the workspace said: databricks-sdk raises a TimeoutError of its own with that as its cause."""
    return fault.__cause__ if type(fault) is TimeoutError and fault.__cause__ else fault


SUBMITS = 3
"""How often a submit is begun that failed, for a moment's reasons, before any job can have been made."""


@dataclass(frozen=True, kw_only=True)
class DatabricksRuns(runs.WorkspaceRuns):
    backend: ClassVar[str] = "databricks"

    def show(self, job: Job) -> None: ...

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
            job.begun()
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
            said = redaction.first_line(_answer(fault)) if fault else "there is no trace of one"
            is_open = fault is None or may_have_taken_effect(fault)
            found = self._look(attempt._replace(run_id=run_id), experiment_id, is_open=is_open)
            if found is not None and found.job_run_id is not None:
                if fault is not None:
                    self.report.detail(f"the submit failed ({said}), but it made a job, which is followed")
                return found
            if is_open:
                raise self._not_known(attempt, said) from fault
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

    def _look(self, attempt: Attempt, experiment_id: str, *, is_open: bool) -> Submitted | None:
        """Patiently where there may be a job; else it is MLflow's run that is looked for, to be closed."""
        if is_open:
            return self.attempts.find(attempt, experiment_id)
        return self.attempts.find(attempt, experiment_id, run_looks=2, job_looks=1)

    def _not_known(self, attempt: Attempt, said: str) -> errors.WorkspaceError:
        return errors.WorkspaceError(
            f"whether the workspace took the job is not known: {said}",
            where=self.workspace.login.host,
            cure=f"look there for a job run with {attempt.id} in its name; `inv run` looks again before it submits",
        )

    def _describe(self, job: Job, submitted: Submitted) -> None:
        """A failure here is a warning: the run goes on. MLflow logs the parameters that it fetches by itself."""
        fetched = entry.fetched(job)
        parameters = {name: value for name, value in job.parameters.items() if name not in fetched}
        tags = {**job.tags, lookup.JOB_TAG: str(submitted.job_run_id)}
        with errors.warn_on_failure(self.report.warning):
            self.tracking.describe_run(submitted.run_id, tags=tags, parameters=parameters, record=job.record)

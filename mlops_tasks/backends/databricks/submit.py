"""Submit a project by MLflow's own backend, each of its calls sent once."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from mlops_tasks import errors
from mlops_tasks.backends import plugin
from mlops_tasks.backends.base import Job
from mlops_tasks.backends.databricks import entry
from mlops_tasks.report import Report
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

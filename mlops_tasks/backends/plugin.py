"""Run projects on a backend that is an MLflow plugin: MLflow submits, and its SubmittedRun follows."""

from __future__ import annotations

import importlib.metadata
import queue
import threading
from typing import TYPE_CHECKING

from mlops_tasks import errors
from mlops_tasks.backends.base import Job, Submitted
from mlops_tasks.report import Report
from mlops_tasks.tracking import client as tracking
from mlops_tasks.tracking import process as mlflow_process

if TYPE_CHECKING:
    from mlflow.projects import SubmittedRun

ENTRY_POINTS = "mlflow.project_backend"
"""The entry point group of MLflow's project backend plugins (mlflow.projects.backend.loader)."""


def installed() -> list[str]:
    return sorted({each.name for each in importlib.metadata.entry_points(group=ENTRY_POINTS)} - {"local"})


class PluginRuns:
    """The runs of one command: only the process that submitted a run can follow it, through MLflow's handle."""

    def __init__(self, track: tracking.Tracking, report: Report) -> None:
        self._track = track
        self._report = report
        self._handles: dict[str, SubmittedRun] = {}

    def submit(self, job: Job, experiment_id: str) -> Submitted:
        """Hand the staged project to MLflow, whose backend makes the run and logs its parameters.

        StepFailed where the backend refuses the project.
        """
        import mlflow
        from mlflow.exceptions import MlflowException

        try:
            with (
                mlflow_process.variables(MLFLOW_TRACKING_URI=self._track.uri),  # MLflow 3 would leave it changed
                self._report.waiting(f"submitting to the backend {job.backend}"),
                mlflow_process.stdout_is_stderr(),
            ):
                mlflow.set_tracking_uri(self._track.uri)
                handle = mlflow.projects.run(
                    str(job.project.folder),
                    entry_point=job.entry_point,
                    parameters=dict(job.given),
                    experiment_id=experiment_id,
                    run_name=job.run_name,
                    backend=job.backend,
                    backend_config=job.read_cluster(job.project.folder) or {},
                    env_manager=None if job.env_manager == "auto" else job.env_manager,
                    synchronous=False,
                )
        except MlflowException as fault:
            raise errors.StepFailed(
                f"the backend {job.backend} refused the project: {fault}",
                where=job.project.folder,
                cure="correct what it says, then `inv release`",
            ) from fault
        run_id = str(handle.run_id)
        self._handles[run_id] = handle
        try:
            self._track.describe_run(run_id, tags=job.tags, parameters={}, record=job.record)
        except BaseException:
            self._cancel(run_id)
            raise
        return Submitted(run_id=run_id, experiment_id=experiment_id, backend=job.backend)

    def follow(self, job: Job, run_id: str) -> None:
        """Wait for the run's end and write it to MLflow; whatever cuts the wait short cancels the run."""
        handle = self._handles[run_id]
        try:
            what = f"following run {run_id[:8]} on {job.backend}"
            with self._report.waiting(what), mlflow_process.stdout_is_stderr():
                status = "FINISHED" if _wait(handle, job.limits.timeout) else "FAILED"
        except queue.Empty:
            self._report.warning(f"stopped after the timeout of {job.limits.timeout:g} s")
            handle.cancel()
            status = "KILLED"
        except BaseException:
            self._cancel(run_id)
            raise
        self._track.end_run(run_id, status, overrule=status != "FINISHED")

    def _cancel(self, run_id: str) -> None:
        with errors.warn_on_failure(self._report.warning):
            self._handles[run_id].cancel()
            self._track.end_run(run_id, "KILLED", overrule=True)


def _wait(handle: SubmittedRun, timeout: float | None) -> bool:
    """Whether the run ended well; queue.Empty when the time is up. MLflow's wait has no time limit: a thread waits."""
    ended: queue.Queue[bool | Exception] = queue.Queue()

    def wait() -> None:
        try:
            ended.put(bool(handle.wait()))
        except Exception as fault:  # noqa: BLE001 - a plugin's, raised again below in the main thread
            ended.put(fault)

    threading.Thread(target=wait, daemon=True).start()
    found = ended.get(timeout=timeout)
    if isinstance(found, Exception):
        raise found
    return found

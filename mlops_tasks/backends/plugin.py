"""Run projects through MLflow's own project backends: MLflow submits, and a plugin's SubmittedRun follows."""

from __future__ import annotations

import importlib.metadata
import os
import queue
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_tasks import errors, processes, redaction
from mlops_tasks.backends.base import Job, Submitted, TimedOut
from mlops_tasks.project import mlproject
from mlops_tasks.project.text import json_tree, source
from mlops_tasks.report import Report
from mlops_tasks.tracking import client as tracking
from mlops_tasks.tracking import process as mlflow_process

if TYPE_CHECKING:
    from mlflow.projects import SubmittedRun

ENTRY_POINTS = "mlflow.project_backend"
"""The entry point group of MLflow's project backend plugins (mlflow.projects.backend.loader)."""

IN_A_WORKSPACE = ("databricks", "databricks-jobs")


def check(name: str) -> None:
    """Raise BadInput, with the backends that the local target can use, unless the plugin `name` is installed."""
    reasons = {
        **dict.fromkeys(IN_A_WORKSPACE, "runs in a workspace, and the local target writes to none"),
        "kubernetes": "needs docker_env, and an image takes no wheels from a project's files",
    }
    found = {each.name for each in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    installed = sorted(found - {"local", *reasons})
    if name not in installed:
        raise errors.BadInput(
            f"the backend {name} {reasons.get(name, 'is not installed')}",
            where="backend",
            cure=f"use one of: {', '.join(['auto', 'local', *installed])}",
        )


def check_project(project: mlproject.Project, top: Path, *, env_manager: str) -> None:
    """Raise BadInput for a project that MLflow cannot run by any backend from the repository at `top`."""
    path = next((path for path in (top, project.folder) if "#" in str(path)), None)
    if path is not None:
        raise errors.BadInput(
            "this path has a '#', which MLflow reads as the end of the project's path",
            where=path,
            cure="move it to a path without '#'",
        )
    if env_manager == "conda" and project.kind not in {"conda", "spark-job"}:
        raise errors.BadInput(
            "env_manager is conda: MLflow builds the environment of a python_env project by virtualenv or uv alone",
            where="env_manager",
            cure="leave env_manager out",
        )


def submit(job: Job, folder: Path, experiment_id: str, *, uri: str, report: Report) -> SubmittedRun:
    """MLflow's handle of the run that the job's backend makes of the project in `folder`, tracked at `uri`.

    Whatever MLflow and the backend raise is raised.
    """
    import mlflow

    cluster = folder / job.cluster if job.cluster else None
    with (
        # MLflow 3 would leave the URI changed
        mlflow_process.variables(MLFLOW_TRACKING_URI=uri, **processes.beside_proxies(os.environ)),
        report.waiting(f"submitting to the backend {job.backend}"),
        mlflow_process.stdout_is_stderr(),
    ):
        mlflow.set_tracking_uri(uri)
        return mlflow.projects.run(
            str(folder),
            entry_point=job.entry_point,
            parameters=dict(job.given),
            experiment_id=experiment_id,
            run_name=job.run_name,
            backend=job.backend,
            backend_config=dict(json_tree.load(cluster, source.read(cluster))) if cluster else {},
            env_manager=None if job.env_manager == "auto" else job.env_manager,
            synchronous=False,
        )


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
        from mlflow.exceptions import MlflowException

        try:
            handle = submit(job, job.project.folder, experiment_id, uri=self._track.uri, report=self._report)
        except MlflowException as fault:
            raise errors.StepFailed(
                f"the backend {job.backend} refused the project: "
                f"{redaction.without_configuration(redaction.mask(str(fault)))}",
                where=job.project.folder,
                cure="correct what it says, then `inv release`",
            ) from fault
        run_id = str(handle.run_id)
        self._handles[run_id] = handle
        try:
            self._track.describe_run(run_id, tags=job.tags, parameters={}, record=job.record)
        except BaseException:
            with errors.warn_on_failure(self._report.warning):
                handle.cancel()
                self._track.end_run(run_id, "KILLED")
            raise
        return Submitted(run_id=run_id, experiment_id=experiment_id, backend=job.backend)

    def wait(self, job: Job, run_id: str) -> bool:
        """Whether the run ended well. Whatever cuts the wait short cancels the run: TimedOut, when its time is up."""
        handle = self._handles[run_id]
        try:
            what = f"following run {run_id[:8]} on {job.backend}"
            with self._report.waiting(what), mlflow_process.stdout_is_stderr():
                return _wait(handle, job.limits.timeout)
        except BaseException:
            with errors.warn_on_failure(self._report.warning):
                handle.cancel()
            raise


def _wait(handle: SubmittedRun, timeout: float | None) -> bool:
    """Whether the run ended well; TimedOut when its time is up. MLflow's wait has no time limit: a thread waits."""
    ended: queue.Queue[bool | Exception] = queue.Queue()

    def wait() -> None:
        try:
            ended.put(bool(handle.wait()))
        except Exception as fault:  # noqa: BLE001 - a plugin's, raised again below in the main thread
            ended.put(fault)

    threading.Thread(target=wait, daemon=True).start()
    try:
        found = ended.get(timeout=timeout)
    except queue.Empty as fault:
        raise TimedOut from fault
    if isinstance(found, Exception):
        raise found
    return found

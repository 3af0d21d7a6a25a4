"""Runs in a Databricks workspace: submitted by MLflow's own backend, once, and followed by us."""

from __future__ import annotations

import contextlib
import math
import posixpath
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mlops_tasks import errors, processes
from mlops_tasks.backends.base import Job, Limits, Submitted
from mlops_tasks.backends.databricks import archive, classic, submit
from mlops_tasks.backends.jobs import following, lookup, stopping
from mlops_tasks.backends.jobs import output as job_output
from mlops_tasks.release import Attempt, Run
from mlops_tasks.report import Report
from mlops_tasks.stores import dbfs
from mlops_tasks.tracking import client
from mlops_tasks.workspace import faults
from mlops_tasks.workspace.api import Workspace
from mlops_tasks.workspace.session import Patience

MOST_RETRIES = 3
"""By itself MLflow repeats a call for minutes, and one to an address that nobody answers at for 22."""
SUBMITS = 3
"""How often a submit is begun that failed, for a moment's reasons, before any job was made."""


@dataclass(frozen=True, kw_only=True)
class DatabricksRuns:
    workspace: Workspace
    run: processes.Runner
    report: Report
    pause: Callable[[float], None] = field(default=time.sleep)

    def find_experiment(self, job: Job) -> str:
        if job.experiment_id is not None:
            return self.tracking.check_experiment(job.experiment_id)
        if job.experiment_name is None:
            raise errors.OutOfOrder("there is no experiment to run under", cure="`inv name`")
        parent = posixpath.dirname(job.experiment_name)
        if parent != "/":
            self.workspace.folders.mkdirs(parent)  # MLflow makes no folders
        return self.tracking.ensure_experiment(job.experiment_name, folder_name="")

    def submit(self, job: Job) -> Submitted:
        """Have the project in the workspace and one job made of it; what fails before that leaves no run going on."""
        experiment_id = job.experiment_id or self.find_experiment(job)
        with (
            self._stopped_when_cut_off(Attempt(id=job.attempt), experiment_id) as begun,
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
                self._describe(job, submitted)  # whoever submitted it was cut off before
        return self.watch(submitted, limits=job.limits, entry_point=job.entry_point, log=log)

    def watch(self, submitted: Submitted, *, limits: Limits, entry_point: str, log: Path) -> Run:
        if submitted.job_run_id is None:
            raise ValueError("a run without a job")
        try:
            age = time.time() - submitted.submitted_at if submitted.submitted_at else 0
            state = self._jobs.follow(submitted.job_run_id, limits=limits, age=max(0, age))
        except following.TimedOut:
            self.report.warning(f"stopped after the timeout of {limits.timeout:g} s")
            state = self._jobs.cancel(submitted.job_run_id)
            found = self._finish(submitted, state, entry_point=entry_point, log=log)
            return found._replace(timed_out=found.status == "KILLED")
        return self._finish(submitted, state, entry_point=entry_point, log=log)

    def stop(self, submitted: Submitted) -> str | None:
        return self._stopping().stop(submitted)

    def pick_up(self, attempt: Attempt) -> Submitted | Run | None:
        """The attempt's run as it ended, or what is to be followed because it goes on."""
        found = self._lookup.find(attempt, attempt.experiment_id) if attempt.experiment_id else None
        if found is None:
            return None
        if found.job_run_id is None:
            self.tracking.end_run(found.run_id, "FAILED")
            return self._read(found, entry_point=attempt.entry_point, url="")
        state = self._state_or_none(found.job_run_id)
        if state is None or self.tracking.read_tags(found.run_id) is None:
            return None
        if not state.is_over:
            return found
        return self._finish(found, state, entry_point=attempt.entry_point, log=None)

    def _state_or_none(self, job_run_id: int) -> following.JobState | None:
        """None for a job run that this workspace does not know: it may have been purged, or be another workspace's."""
        try:
            return self._jobs.state(job_run_id)
        except faults.ApiError as fault:
            if fault.is_missing or fault.code == following.UNKNOWN:
                return None
            raise

    def find(self, run_id: str) -> tuple[Submitted, str]:
        """A run of anybody's by its MLflow id, and its entry point's name."""
        tags = self.tracking.read_tags(run_id)
        if tags is None or lookup.JOB_TAG not in tags:
            raise errors.BadInput(
                f"{self.workspace.login.host} knows no job of an MLflow run {run_id}",
                where="RUN_ID",
                cure="give the id of a run that was submitted there (`inv status` shows yours)",
            )
        experiment_id, _, _ = self.tracking.read_result(run_id)
        submitted = Submitted(
            run_id=run_id,
            experiment_id=experiment_id,
            backend=submit.BACKEND,
            job_run_id=int(tags[lookup.JOB_TAG]),
        )
        return submitted, tags.get("mlflow.project.entryPoint", "")

    def _make_job(self, job: Job, copy: Path, experiment_id: str) -> Submitted:
        attempt = Attempt(id=job.attempt)
        for _ in range(SUBMITS):
            login = self.workspace.login
            run_id, fault = submit.try_submit(job, copy, experiment_id, login=login, report=self.report)
            said = submit.first_line(fault) if fault else "none of it is to be found"
            found = self._lookup.find(attempt._replace(run_id=run_id), experiment_id)
            if found is not None and found.job_run_id is not None:
                if fault is not None:
                    self.report.detail(f"the submit failed ({said}), but there is a job of it: it is followed")
                return found
            if found is not None:
                self.tracking.end_run(found.run_id, "FAILED")
            if fault is None or not submit.may_pass(fault):
                break
            self.report.detail(f"no job was made ({said}); submitting again")
        raise errors.WorkspaceError(
            f"the workspace did not take the job: {said}",
            where=self.workspace.login.host,
            cure="mend what it says, then `inv release`",
        ) from fault

    @contextlib.contextmanager
    def _stopped_when_cut_off(self, attempt: Attempt, experiment_id: str) -> Iterator[threading.Event]:
        """The event is for the block to set once there may be something to stop: until then nothing is looked for."""
        begun = threading.Event()
        try:
            yield begun
        except KeyboardInterrupt:
            if begun.is_set():
                self.report.detail("looking for what was submitted")
                with errors.warn_on_failure(self.report.warning):
                    self._stopping().stop_attempt(attempt, experiment_id)
            raise

    def _describe(self, job: Job, submitted: Submitted) -> None:
        """That it cannot be said what is known of the run ends nothing. MLflow logs what it was given to fetch."""
        fetched = classic.fetched(job)
        parameters = {name: value for name, value in job.parameters.items() if name not in fetched}
        tags = {**job.tags, lookup.JOB_TAG: str(submitted.job_run_id)}
        with errors.warn_on_failure(self.report.warning):
            self.tracking.describe_run(submitted.run_id, tags=tags, parameters=parameters, record=job.record)

    def _finish(self, submitted: Submitted, state: following.JobState, *, entry_point: str, log: Path | None) -> Run:
        """The run as it ended: its output shown and kept, its status in MLflow made true."""
        if log is not None and submitted.job_run_id is not None:
            with errors.warn_on_failure(self.report.warning):
                _keep(self._jobs.output(submitted.job_run_id), log, self.report)
        elif state.mlflow_status != "FINISHED":  # whoever followed it was told
            self.report.warning(f"job run {submitted.job_run_id} ended {state}")
        self.tracking.end_run(submitted.run_id, state.mlflow_status, overrule=state.mlflow_status != "FINISHED")
        self.tracking.set_tag(
            submitted.run_id, "mlflow.project.backend", submit.BACKEND
        )  # the run on the cluster says local
        return self._read(submitted, entry_point=entry_point, url=state.url)

    def _read(self, submitted: Submitted, *, entry_point: str, url: str) -> Run:
        experiment_id, status, metrics = self.tracking.read_result(submitted.run_id)
        return Run(
            run_id=submitted.run_id,
            experiment_id=experiment_id,
            status=status,
            backend=submit.BACKEND,
            url=url,
            entry_point=entry_point,
            job_run_id=submitted.job_run_id,
            metrics=metrics,
        )

    def _stopping(self) -> stopping.RunStopping:
        return stopping.RunStopping(lookup=self._hasty_lookup, report=self.report)

    @property
    def _jobs(self) -> following.JobRuns:
        return self._lookup.jobs

    @property
    def tracking(self) -> client.Tracking:
        return self._lookup.tracking

    @cached_property
    def _lookup(self) -> lookup.AttemptLookup:
        return _look_in(self.workspace, self.pause)

    @cached_property
    def _hasty_lookup(self) -> lookup.AttemptLookup:
        return _look_in(self.workspace.in_haste(), self.pause)


def _look_in(workspace: Workspace, pause: Callable[[float], None]) -> lookup.AttemptLookup:
    """What is asked there with the workspace's own patience."""
    login = workspace.login
    variables = {**login.variables, **_mlflow_limits(workspace.patience)}
    return lookup.AttemptLookup(
        host=login.host,
        jobs=following.JobRuns(workspace=workspace, pause=pause),
        tracking=client.Tracking(login.tracking_uri, artifacts=None, variables=variables),
        pause=pause,
    )


def _mlflow_limits(patience: Patience) -> dict[str, str]:
    """What makes MLflow wait no longer than we do; with databricks-sdk below it, which gives a call 60 s."""
    within, retries = math.ceil(patience.answer_within), min(len(patience.waits), MOST_RETRIES)
    return {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(within),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
        "MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT": str(2 * within),
    }


def _keep(output: str, log: Path, report: Report) -> None:
    """The log has it all. Where the workspace tells nothing, as it may of a shell command, there is no log."""
    if not output:
        report.detail("the workspace hands out no output of this job: the run's page may show it")
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"{output}\n", encoding="utf-8", errors="replace")
    for line in job_output.leave_out_unpacking(output):
        report.output(line)

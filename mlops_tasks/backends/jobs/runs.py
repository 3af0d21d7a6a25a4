"""Runs that are jobs in a workspace: all of a backend but the submit, which each such backend brings itself."""

from __future__ import annotations

import contextlib
import math
import posixpath
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

from mlops_tasks import errors, processes
from mlops_tasks.backends.base import Job, Limits, Submitted, TimedOut, stopped_after
from mlops_tasks.backends.jobs import following, lookup, stopping
from mlops_tasks.release import Attempt, Run
from mlops_tasks.report import Report
from mlops_tasks.tracking import client
from mlops_tasks.tracking import process as mlflow_process
from mlops_tasks.workspace import faults
from mlops_tasks.workspace.api import Workspace

MOST_RETRIES = 3
"""By itself MLflow repeats a call for minutes, and for 22 minutes one to an address that nobody answers at."""


class End(NamedTuple):
    """How a run's task ended: the `error` in one line, and its `trace`, where they are known."""

    error: str = ""
    trace: str = ""


class RunOutput(Protocol):
    """What shows and keeps what a run prints."""

    def look(self) -> None:
        """Show what has been printed since the last look, where that can be known while the run goes on."""

    def end(self, job_run_id: int) -> End:
        """Show the rest, once the run is over; the answer is what it ended in."""


class OutputAtEnd:
    """The output that the workspace hands out once a run is over; it is kept in `log`."""

    def __init__(self, jobs: following.JobRuns, log: Path) -> None:
        self._jobs, self._log, self._report = jobs, log, jobs.report

    def look(self) -> None: ...

    def end(self, job_run_id: int) -> End:
        output = self._jobs.output(job_run_id)
        if not output.text:  # as it may be of a shell command
            self._report.detail("the workspace hands out no output of this job: the run's page may show it")
            return End()
        for line in following.leave_out_unpacking(output.text):
            self._report.output(line)
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            self._log.write_text(f"{output.text}\n", encoding="utf-8", errors="replace")
        except OSError as fault:
            self._report.warning(f"the output cannot be kept in {self._log}: {fault.strerror}")
        return End(output.error, output.trace)


@dataclass(frozen=True, kw_only=True)
class WorkspaceRuns(ABC):
    """The methods of `base.Runs`, with what is asked of an attempt that may have been cut off anywhere."""

    backend: ClassVar[str]
    """The name by which the setting `backend` and MLflow's tag know the backend."""
    api: ClassVar[str] = "2.0"
    """The version of the Jobs API that it submits by."""

    workspace: Workspace
    run: processes.Runner
    report: Report

    @abstractmethod
    def show(self, job: Job) -> None: ...

    @abstractmethod
    def submit(self, job: Job) -> Submitted: ...

    def find_experiment(self, job: Job) -> str:
        parent = posixpath.dirname(job.experiment_name or "/")
        if parent != "/":
            self.workspace.folders.mkdirs(parent)  # MLflow makes no folders
        return self.tracking.find_experiment(job.experiment_id, job.experiment_name)

    def follow(self, job: Job, submitted: Submitted, *, log: Path) -> Run:
        return self.watch(submitted, limits=job.limits, entry_point=job.entry_point, log=log)

    def watch(self, submitted: Submitted, *, limits: Limits, entry_point: str, log: Path) -> Run:
        if submitted.job_run_id is None:
            raise ValueError("a run without a job")
        age = time.time() - submitted.submitted_at if submitted.submitted_at else 0
        stopped, output = "", self.open_output(submitted, log)
        try:
            state = self.jobs.follow(submitted.job_run_id, limits=limits, age=max(0, age), beside=output.look)
        except TimedOut as late:
            stopped = stopped_after(limits)
            if late.waits_for:
                stopped = f"stopped after {limits.pending:g} s in which it did not begin: {late.waits_for}"
            self.report.detail(stopped)
            state = self.jobs.cancel(submitted.job_run_id)
        found = self._finish(submitted, state, entry_point=entry_point, output=output)
        if stopped and found.status == "KILLED":
            found = found._replace(timed_out=True, reason=stopped)
        return found

    def open_output(self, submitted: Submitted, log: Path) -> RunOutput:
        """What shows the run's output, and keeps it in `log`."""
        return OutputAtEnd(self.jobs, log)

    def stop(self, submitted: Submitted) -> str | None:
        with self._in_haste() as attempts:
            return stopping.stop(attempts, submitted)

    def pick_up(self, attempt: Attempt, *, again: bool = False) -> Submitted | Run | None:
        may_be_there = attempt.experiment_id is not None and (attempt.run_id is not None or attempt.sent)
        found = self.attempts.find(attempt, attempt.experiment_id or "") if may_be_there else None
        if found is None:
            return None
        if found.job_run_id is None:
            self.tracking.end_run(found.run_id, "FAILED", overrule=False)
            return self.tracking.read_run(found.run_id, backend=self.backend, entry_point=attempt.entry_point)
        try:
            state = self.jobs.state(found.job_run_id)
        except faults.ApiError as fault:
            if fault.is_missing or fault.code == following.UNKNOWN:
                return None  # it may have been purged, or be another workspace's
            raise
        if self.tracking.read_tags(found.run_id) is None:
            return None
        if not state.is_over:
            return found
        return self._finish(found, state, entry_point=attempt.entry_point, output=None)

    def find(self, run_id: str) -> tuple[Submitted, str]:
        """Anybody's run by its MLflow id, and its entry point's name."""
        tags = self.tracking.read_tags(run_id)
        if tags is None or lookup.JOB_TAG not in tags:
            raise errors.BadInput(
                f"{self.workspace.login.host} knows no job of an MLflow run {run_id}",
                where="RUN_ID",
                cure="give the id of a run that was submitted there (`inv status` shows yours)",
            )
        submitted = Submitted(
            run_id=run_id,
            experiment_id=self.tracking.read_run(run_id).experiment_id,
            backend=tags.get("mlflow.project.backend", self.backend),
            job_run_id=int(tags[lookup.JOB_TAG]),
        )
        return submitted, tags.get("mlflow.project.entryPoint", "")

    @contextlib.contextmanager
    def stopped_when_cut_off(self, attempt: Attempt, experiment_id: str) -> Iterator[threading.Event]:
        """Ctrl-C in the block ends what the block has submitted.

        The block sets the event once there may be something to end: until then nothing is looked for.
        """
        begun = threading.Event()
        try:
            yield begun
        except KeyboardInterrupt:
            if begun.is_set():
                self.report.detail("looking for what was submitted")
                with errors.warn_on_failure(self.report.warning), self._in_haste() as attempts:
                    stopping.stop_attempt(attempts, attempt, experiment_id)
            raise

    def _finish(
        self, submitted: Submitted, state: following.JobState, *, entry_point: str, output: RunOutput | None
    ) -> Run:
        """The run as it ended: the rest of its output shown, its status in MLflow made true."""
        reason, end = "" if state.mlflow_status == "FINISHED" else str(state), End()
        if output is not None and submitted.job_run_id is not None:
            with errors.warn_on_failure(self.report.warning):
                end = output.end(submitted.job_run_id)
                reason = end.error if reason and end.error else reason
        elif reason:  # who followed the run has seen that
            self.report.warning(f"job run {submitted.job_run_id} ended {state}")
        found = self._mark(submitted, state.mlflow_status, entry_point=entry_point)
        trace = end.trace if reason else ""
        return found._replace(url=state.url, job_run_id=submitted.job_run_id, reason=reason, trace=trace)

    def _mark(self, submitted: Submitted, status: str, *, entry_point: str) -> Run:
        """The run as MLflow has it, with the job's end written to it: after a good end a failure there is a warning."""
        track = self.tracking
        try:
            track.end_run(submitted.run_id, status)
            # MLflow on the cluster may have tagged its run as a local one
            track.set_tag(submitted.run_id, "mlflow.project.backend", self.backend)
            return track.read_run(submitted.run_id, backend=self.backend, entry_point=entry_point)
        except errors.WorkspaceError as fault:
            if status != "FINISHED":
                raise
            self.report.warning(f"the job ended well, and what MLflow has of its run is not known: {fault.what}")
        return Run(
            run_id=submitted.run_id,
            experiment_id=submitted.experiment_id,
            status=status,
            backend=self.backend,
            url="",
            entry_point=entry_point,
        )

    def page(self, submitted: Submitted) -> str:
        if submitted.job_run_id is None:
            return ""
        try:
            return self.jobs.poll(submitted.job_run_id).url
        except faults.ApiError:  # the run may be too young to be known
            return ""

    @property
    def jobs(self) -> following.JobRuns:
        return self.attempts.jobs

    @property
    def tracking(self) -> client.Tracking:
        return self.attempts.tracking

    @cached_property
    def attempts(self) -> lookup.AttemptLookup:
        return self._look_in(self.workspace)

    @contextlib.contextmanager
    def _in_haste(self) -> Iterator[lookup.AttemptLookup]:
        with mlflow_process.fresh_clients():
            yield self._look_in(self.workspace.in_haste())

    def _look_in(self, workspace: Workspace) -> lookup.AttemptLookup:
        """A lookup with that workspace's patience, also in MLflow and its databricks-sdk, which gives a call 60 s."""
        login, patience = workspace.login, workspace.patience
        within = math.ceil(patience.answer_within)
        variables = {
            **login.variables,
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(within),
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(min(len(patience.waits), MOST_RETRIES)),
            "MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT": str(2 * within),
        }
        return lookup.AttemptLookup(
            backend=self.backend,
            jobs=following.JobRuns(workspace=workspace, api=self.api),
            tracking=client.Tracking(login.tracking_uri, artifacts=None, variables=variables),
        )

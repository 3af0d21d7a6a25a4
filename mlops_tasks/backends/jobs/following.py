"""Job runs in a workspace: found, followed to their end, cancelled, and their output."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from mlops_tasks import errors
from mlops_tasks.backends.base import Limits
from mlops_tasks.backends.jobs import output
from mlops_tasks.report import Report
from mlops_tasks.workspace import faults
from mlops_tasks.workspace.api import Workspace

API = "2.0"
"""The version that MLflow's backend submits by: a run of a single task, with its output under its own id."""
OVER = {"TERMINATED", "SKIPPED", "INTERNAL_ERROR"}
CANCELLED = {"CANCELED", "TIMEDOUT"}
UNKNOWN = "INVALID_PARAMETER_VALUE"
"""What the workspace says of a run that it does not know."""
NOT_THERE_YET = 60
"""Seconds in which a run that was just submitted may be unknown: what the API tells lags behind."""
STOPPED_WITHIN = 60
"""Seconds for a cancelled run to end before we stop looking."""
STOPPING_INTERVAL = 0.5
LISTED = 200
"""How many runs, the newest, a run is looked for among."""


class JobState(NamedTuple):
    """Where a job run is. `result` is empty while it goes on uncancelled, and stays so for some ends."""

    life: str
    result: str
    message: str
    url: str
    age: float | None = None
    """Seconds since the run's start, by the workspace's own clock."""

    @property
    def is_over(self) -> bool:
        return self.life in OVER

    @property
    def mlflow_status(self) -> str:
        """What MLflow's run should say at this end."""
        if self.result == "SUCCESS":
            return "FINISHED"
        return "KILLED" if self.result in CANCELLED else "FAILED"

    def __str__(self) -> str:
        words = f"{self.life} {self.result}".strip()
        return f"{words}: {self.message}" if self.message else words


class TimedOut(Exception):
    """The run was still going on when its time was up."""


@dataclass(frozen=True, kw_only=True)
class JobRuns:
    """Calls that are safe to repeat are repeated by the workspace's session, all but the looks of `follow`."""

    workspace: Workspace
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep

    def follow(self, job_run_id: int, *, limits: Limits, age: float = 0) -> JobState:
        """The run's end, each change of state told. Raises TimedOut, and WorkspaceError where contact is lost.

        `age` is for how many seconds the run is known to be there; the workspace's own word counts more.
        """
        heard = self.clock()
        begun, shown = heard - age, ""
        while True:
            now, wait = self.clock(), limits.poll_interval
            try:
                state = self.ask(job_run_id)
            except faults.ApiError as fault:
                quiet = _Quiet(fault, job_run_id, since=now - heard, age=now - begun)
                wait = max(wait, quiet.bear(limits, self._report))
            else:
                heard = now
                if state.age is not None and not shown:
                    begun = now - state.age
                if state.url and not shown:
                    self._report.detail(state.url)
                if str(state) != shown:
                    shown = str(state)
                    self._report.detail(f"{_elapsed(now - begun)}  {state}")
                if state.is_over:
                    return state
            left = math.inf if limits.timeout is None else begun + limits.timeout - self.clock()
            if left <= 0:
                raise TimedOut
            self.pause(min(wait, left))

    @property
    def _report(self) -> Report:
        return self.workspace.report

    def state(self, job_run_id: int) -> JobState:
        return _read_state(self.workspace.jobs.get_run(job_run_id, version=API))

    def cancel(self, job_run_id: int) -> JobState:
        """Cancel the run and wait a moment for its end, which one that has ended already keeps.

        One that goes on after that is answered as cancelled, though not over.
        """
        self.workspace.jobs.cancel_run(job_run_id, version=API)
        self._report.detail(f"job run {job_run_id} is being cancelled")
        give_up = self.clock() + STOPPED_WITHIN
        while True:
            state = self.state(job_run_id)
            if state.is_over:
                return state
            if self.clock() > give_up:
                return state._replace(result="CANCELED")
            self.pause(STOPPING_INTERVAL)

    def output(self, job_run_id: int) -> str:
        return output.join(self.workspace.jobs.get_run_output(job_run_id, version=API))

    def find(self, word: str) -> int | None:
        """The newest submitted run that has `word` in its name."""
        found = self.workspace.jobs.list_runs(run_type="SUBMIT_RUN", limit=LISTED, version=API)
        runs = [each for each in found.get("runs", ()) if word in str(each.get("run_name", ""))]
        return int(runs[0]["run_id"]) if runs else None

    def ask(self, job_run_id: int) -> JobState:
        """The state by one request, whatever comes of it: following repeats it anyway."""
        url = f"{self.workspace.login.host}/api/{API}/jobs/runs/get"
        answer = self.workspace.session.send_once("GET", url, params={"run_id": job_run_id})
        try:
            found = answer.json()
            return _read_state(found)._replace(age=_age(found, answer.headers.get("Date", "")))
        except (ValueError, AttributeError) as fault:
            raise faults.ApiError("no run is in its answer", where=url, cure="repeat", is_transient=True) from fault


class _Quiet(NamedTuple):
    """A look at a run that told nothing: `since` is seconds since the last that did, `age` since the run's start."""

    fault: faults.ApiError
    job_run_id: int
    since: float
    age: float

    def bear(self, limits: Limits, report: Report) -> float:
        """For how many seconds the workspace wants to be left alone, if following goes on; else WorkspaceError."""
        is_young = self.fault.code == UNKNOWN and self.age < NOT_THERE_YET
        if not (self.fault.is_transient or is_young) or self.since >= limits.lost_contact:
            raise _lost(self.fault, self.job_run_id, self.since) from self.fault
        asked = min(self.fault.retry_after or 0, limits.lost_contact - self.since)
        if asked > limits.poll_interval:
            report.detail(f"{_elapsed(self.age)}  no news: {self.fault.what}; looking again in {asked:.0f} s")
        else:
            report.debug(f"{_elapsed(self.age)}  no news: {self.fault.what}")
        return asked


def _age(found: Mapping[str, Any], date: str) -> float | None:
    """Seconds between the run's start and the answer's own date; None where it tells only one of them."""
    try:
        answered = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    started = float(found.get("start_time") or 0) / 1000
    return max(0.0, answered - started) if started else None


def _read_state(found: Mapping[str, Any]) -> JobState:
    state = found.get("state") or {}
    return JobState(
        life=str(state.get("life_cycle_state") or ""),
        result=str(state.get("result_state") or ""),
        message=" ".join(str(state.get("state_message") or "").split()),
        url=str(found.get("run_page_url") or ""),
    )


def _lost(fault: faults.ApiError, job_run_id: int, seconds: float) -> errors.WorkspaceError:
    how = f"no contact for {seconds:.0f} s" if fault.is_transient else "following ended"
    return errors.WorkspaceError(
        f"{how}, and job run {job_run_id} may go on: {fault.what}",
        where=fault.where,
        cure="once it answers again, `inv watch` follows it and `inv cancel` ends it",
    )


def _elapsed(seconds: float) -> str:
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"

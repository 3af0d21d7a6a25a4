"""Find, follow and cancel the job runs of a workspace, and read what they printed."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from mlops_tasks import errors
from mlops_tasks.backends.base import Limits, TimedOut
from mlops_tasks.report import Report
from mlops_tasks.workspace import faults
from mlops_tasks.workspace.api import Workspace

LISTING = "2.0"
"""The version of the API that lists runs of every version, 200 and more at a time."""
OVER = {"TERMINATED", "SKIPPED", "INTERNAL_ERROR"}
WAITING = {"PENDING", "QUEUED", "BLOCKED", "WAITING_FOR_RETRY"}
"""The states before a run's task begins: its compute is made, and libraries are installed."""
CANCELLED = {"CANCELED", "TIMEDOUT"}
ENDS = {"SUCCESS": "SUCCESS", "USER_CANCELED": "CANCELED", "CANCELED": "CANCELED", "TIMED_OUT": "TIMEDOUT"}
"""What `result_state` says for a code of `status.termination_details`; every other one is a failure."""
UNKNOWN = "INVALID_PARAMETER_VALUE"
"""The error code for a run that the workspace does not know."""
NOT_THERE_YET = 60
"""Seconds in which a run that was just submitted may be unknown: the API's answers lag behind."""
STOPPED_WITHIN = 60
"""Seconds that a cancelled run is given to end."""
STOPPING_INTERVAL = 0.5

ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
UNPACKED = "mlflow-project/"
"""How each line of MLflow's `tar -v` begins, by which it unpacks the project (mlflow.projects.databricks)."""
COPYING = re.compile(
    r"mlflow, version .*|sending incremental file list|[0-9a-f]{64}\.tar\.gz|sent [\d,]+ bytes .*|total size is .*|"
)
"""The lines of its `mlflow --version` and `rsync -v` before that."""


class JobState(NamedTuple):
    """Where a job run is. `result` is empty while it goes on uncancelled, and stays so for some ends."""

    life: str
    result: str
    message: str
    url: str
    age: float | None = None
    """Seconds since the run's start, by the workspace's own clock; of a run that is over, those that it took."""

    @property
    def is_over(self) -> bool:
        return self.life in OVER

    @property
    def mlflow_status(self) -> str:
        """The status that MLflow's run gets at this end."""
        if self.result == "SUCCESS":
            return "FINISHED"
        return "KILLED" if self.result in CANCELLED else "FAILED"

    def __str__(self) -> str:
        words = f"{self.life} {self.result}".strip()
        return f"{words}: {self.message}" if self.message else words


class Output(NamedTuple):
    """What a run's task printed, with its error and trace; the error alone in one line, and the trace alone."""

    text: str
    error: str
    trace: str


@dataclass(frozen=True, kw_only=True)
class JobRuns:
    """The workspace's session repeats a call that is safe to repeat; `follow` repeats its polls itself.

    `api` is the version that the runs were submitted by: up to 2.0 a run's output stands under its own id, after that
    under its task's.
    """

    workspace: Workspace
    api: str
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep

    @property
    def report(self) -> Report:
        return self.workspace.report

    def follow(
        self, job_run_id: int, *, limits: Limits, age: float = 0, beside: Callable[[], None] = lambda: None
    ) -> JobState:
        """The run's end; each change of its state is reported, and `beside` is called after each look at it.

        Raises TimedOut at the time limit, and WorkspaceError once contact is lost. `age` is for how many seconds the
        run is known to exist; the workspace's own answer takes precedence.
        """
        answered = self.clock()
        begun, shown = answered - age, ""
        while True:
            now, wait = self.clock(), limits.poll_interval
            try:
                state = self.poll(job_run_id)
            except faults.ApiError as fault:
                wait = max(wait, self._miss(fault, job_run_id, limits, silence=now - answered, age=now - begun))
            else:
                answered = now
                if state.age is not None and not shown:
                    begun = now - state.age
                if state.url and not shown:
                    self.report.detail(state.url)
                if str(state) != shown:
                    shown = str(state)
                    self.report.detail(f"{_elapsed(now - begun)}  {state}")
                beside()
                if state.is_over:
                    return state
                if limits.pending is not None and state.life in WAITING and now - begun >= limits.pending:
                    raise TimedOut(str(state))
            left = math.inf if limits.timeout is None else begun + limits.timeout - self.clock()
            if left <= 0:
                raise TimedOut
            self.pause(min(wait, left))

    def _miss(self, fault: faults.ApiError, job_run_id: int, limits: Limits, *, silence: float, age: float) -> float:
        """Seconds to wait at least after a failed poll, as the workspace asks; WorkspaceError once contact is lost.

        `silence` is seconds since the last poll that did not fail, `age` seconds since the run's start.
        """
        is_young = fault.code == UNKNOWN and age < NOT_THERE_YET
        if not (fault.is_transient or is_young) or silence >= limits.lost_contact:
            how = f"no contact for {silence:.0f} s" if fault.is_transient else "following ended"
            raise errors.WorkspaceError(
                f"{how}, and job run {job_run_id} may go on: {fault.what}",
                where=fault.where,
                cure="once it answers again, `inv watch` follows it and `inv cancel` ends it",
            ) from fault
        asked = min(fault.retry_after or 0, limits.lost_contact - silence)
        said = f"{_elapsed(age)}  no news: {fault.what}"
        if asked > limits.poll_interval:
            self.report.detail(f"{said}; looking again in {asked:.0f} s")
        else:
            self.report.debug(said)
        return asked

    def state(self, job_run_id: int) -> JobState:
        return _read_state(self.workspace.jobs.get_run(job_run_id, version=self.api))

    def poll(self, job_run_id: int) -> JobState:
        """The state, and the run's age, by one request that is not repeated; ApiError where the answer has no run."""
        url = f"{self.workspace.login.host}/api/{self.api}/jobs/runs/get"
        answer = self.workspace.session.send_once("GET", url, params={"run_id": job_run_id})
        try:
            found = answer.json()
            return _read_state(found)._replace(age=_age(found, answer.headers.get("Date", "")))
        except (ValueError, AttributeError) as fault:
            raise faults.ApiError("no run is in its answer", where=url, cure="repeat", is_transient=True) from fault

    def cancel(self, job_run_id: int) -> JobState:
        """Cancel the run and wait a moment for its end; one that has ended already keeps its own end.

        The state of a run that goes on for longer is CANCELED, though not over.
        """
        self.workspace.jobs.cancel_run(job_run_id, version=self.api)
        self.report.detail(f"job run {job_run_id} is being cancelled")
        give_up = self.clock() + STOPPED_WITHIN
        while True:
            state = self.state(job_run_id)
            if state.is_over:
                return state
            if self.clock() > give_up:
                return state._replace(result="CANCELED")
            self.pause(STOPPING_INTERVAL)

    def output(self, job_run_id: int) -> Output:
        jobs, of = self.workspace.jobs, job_run_id
        if self.api != "2.0":
            of = jobs.get_run(job_run_id, version=self.api)["tasks"][0]["run_id"]
        found = jobs.get_run_output(of, version=self.api)
        error = _plain(str(found.get("error") or "")).strip()
        trace = _plain(str(found.get("error_trace") or "")).strip()
        return Output(text=join_output(found), error=error.partition("\n")[0], trace=trace)


def join_output(found: Mapping[str, Any]) -> str:
    """What the task printed, then its error and trace unless it printed them itself; the last 5 MB at most."""
    logs, trace, error = (str(found.get(key) or "").rstrip() for key in ("logs", "error_trace", "error"))
    cut = "(the workspace keeps only the end of this output)" if found.get("logs_truncated") else ""
    is_printed = set(_plain(error).splitlines()) <= set(_plain(f"{logs}\n{trace}").splitlines())
    trace = "" if _plain(trace) in _plain(logs) else trace
    return "\n".join(part for part in (cut, logs, trace, "" if is_printed else error) if part)


def leave_out_unpacking(output: str) -> list[str]:
    """The lines without those of MLflow's copying and unpacking, where the output begins with them."""
    lines = output.splitlines()
    last = 0
    for number, line in enumerate(lines, start=1):
        if line.startswith(UNPACKED):
            last = number
        elif last or not COPYING.fullmatch(line):
            break
    return lines[last:]


def _plain(text: str) -> str:
    """Without colours, and without blanks at the ends of lines."""
    return "\n".join(line.rstrip() for line in ESCAPES.sub("", text).splitlines())


def _age(found: Mapping[str, Any], date: str) -> float | None:
    """Seconds from the run's start to its end, or to the answer's own date; None where the answer lacks one of them."""
    started, ended = (float(found.get(key) or 0) / 1000 for key in ("start_time", "end_time"))
    try:
        last = ended or parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    return max(0.0, last - started) if started else None


def _read_state(found: Mapping[str, Any]) -> JobState:
    """By `state`, else by `status`, which takes its place. An unknown word for the life cycle means still going."""
    state, url = found.get("state") or {}, str(found.get("run_page_url") or "")
    life, result = str(state.get("life_cycle_state") or ""), str(state.get("result_state") or "")
    message = " ".join(str(state.get("state_message") or "").split())
    if not state:
        status = found.get("status") or {}
        ended = status.get("termination_details") or {}
        life, code = str(status.get("state") or ""), str(ended.get("code") or "")
        message = " ".join(
            str(ended.get("message") or (status.get("queue_details") or {}).get("message") or "").split()
        )
        result = ENDS.get(code, "FAILED" if code else "")
    if life not in OVER and found.get("end_time"):
        life = "TERMINATED"
    return JobState(life=life, result=result, message=message, url=url)


def _elapsed(seconds: float) -> str:
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"

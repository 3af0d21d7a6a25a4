"""Following one job run, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from mlops_tasks import errors
from mlops_tasks.backends.base import Limits, TimedOut
from mlops_tasks.backends.jobs import following, lookup
from mlops_tasks.backends.jobs.following import JobRuns
from mlops_tasks.release import Attempt
from mlops_tasks.report import Report
from mlops_tasks.tracking.client import Tracking
from mlops_tasks.workspace import api, login
from tests.fake_workspace import runs
from tests.fake_workspace.runs import Mode, State
from tests.fake_workspace.server import Workspace

GET = "/api/2.0/jobs/runs/get[?]"
BODY = {
    "run_name": "MLflow Run for /x/attempts/abc/training",
    "new_cluster": {"spark_version": "14.3.x-scala2.12", "node_type_id": "i3.xlarge", "num_workers": 0},
    "spark_python_task": {"python_file": "dbfs:/x.py"},
}
TRACE = 'Traceback (most recent call last):\n  File "train.py", line 2\nValueError: no'
LISTING = ["mlflow-project/", "mlflow-project/train.py"]
COPYING = ["sending incremental file list", f"{'0a' * 32}.tar.gz", "", "sent 1,234 bytes  received 35 bytes", ""]


class Clock:
    """Time passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


class Told(Report):
    def __init__(self) -> None:
        self.details: list[str] = []
        self.debugs: list[str] = []

    def detail(self, text: str) -> None:
        self.details.append(text)

    def debug(self, text: str) -> None:
        self.debugs.append(text)


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with Workspace() as started:
        yield started
    assert not started.crashes, started.crashes[0]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def jobs(workspace: Workspace, clock: Clock, told: Told) -> JobRuns:
    found = api.Workspace(login=login.resolve(None, workspace.environment), report=told)
    return JobRuns(workspace=found, api="2.0", clock=clock, pause=clock.pause)


def submit(jobs: JobRuns, workspace: Workspace, mode: Mode, **changed: Any) -> int:
    workspace.jobs.mode = mode
    return int(
        jobs.workspace.jobs.client.perform_query("POST", "/jobs/runs/submit", data={**BODY, **changed})["run_id"]
    )


def limits(*, timeout: float | None = None, lost_contact: float = 60) -> Limits:
    return Limits(timeout=timeout, poll_interval=5, lost_contact=lost_contact)


def test_each_change_of_state_is_told_once_with_its_time(jobs: JobRuns, workspace: Workspace, told: Told) -> None:
    run_id = submit(jobs, workspace, Mode(ending=runs.SKIPPED, queued=3))
    state = jobs.follow(run_id, limits=limits())

    assert (state.life, state.result, state.mlflow_status) == ("SKIPPED", "", "FAILED")
    assert told.details[:2] == [state.url, f"00:00  QUEUED: {runs.QUEUED.message}"]
    assert f"#job/{run_id}" in state.url
    assert told.details[-1].endswith(
        "SKIPPED: Skipping this run because the limit of 1 maximum concurrent runs is reached."
    )
    assert len(told.details) == len(set(told.details))


def test_a_run_that_is_not_known_at_first_is_waited_for(jobs: JobRuns, workspace: Workspace, clock: Clock) -> None:
    run_id = submit(jobs, workspace, Mode(ending=runs.SUCCESS, unseen=3))

    assert jobs.follow(run_id, limits=limits()).mlflow_status == "FINISHED"
    assert clock.waits[:3] == [5, 5, 5]


def test_a_run_that_never_becomes_known_is_not_waited_for_for_ever(jobs: JobRuns, clock: Clock) -> None:
    with pytest.raises(errors.WorkspaceError, match="Run 5 does not exist"):
        jobs.follow(5, limits=limits(lost_contact=600))
    assert clock.now == 60


def test_a_run_that_was_submitted_long_ago_is_not_waited_for_to_become_known(jobs: JobRuns, clock: Clock) -> None:
    with pytest.raises(errors.WorkspaceError, match="Run 5 does not exist"):
        jobs.follow(5, limits=limits(lost_contact=600), age=50)
    assert clock.now == 10


def test_time_is_up_to_the_second(jobs: JobRuns, workspace: Workspace, clock: Clock) -> None:
    workspace.faults.add("GET", GET, status=200, body={"state": {"life_cycle_state": "RUNNING"}})

    with pytest.raises(TimedOut):
        jobs.follow(5, limits=limits(timeout=12))
    assert clock.waits == [5, 5, 2]


def test_time_counts_from_the_start_that_the_workspace_tells(
    jobs: JobRuns, workspace: Workspace, clock: Clock, told: Told
) -> None:
    began = 1_700_000_000
    body = {"state": {"life_cycle_state": "RUNNING"}, "start_time": began * 1000}
    headers = {"Date": formatdate(began + 3000, usegmt=True)}
    workspace.faults.add("GET", GET, status=200, body=body, headers=headers)
    with pytest.raises(TimedOut):
        jobs.follow(5, limits=limits(timeout=2000))

    assert clock.waits == []
    assert told.details[0] == "50:00  RUNNING"


def test_a_run_that_is_over_is_shown_with_the_time_that_it_took(
    jobs: JobRuns, workspace: Workspace, told: Told
) -> None:
    began = 1_700_000_000
    state = {"life_cycle_state": "TERMINATED", "result_state": "CANCELED"}
    body = {"state": state, "start_time": began * 1000, "end_time": (began + 28) * 1000}
    headers = {"Date": formatdate(began + 3000, usegmt=True)}
    workspace.faults.add("GET", GET, status=200, body=body, headers=headers)

    jobs.follow(5, limits=limits())

    assert told.details[-1] == "00:28  TERMINATED CANCELED"


def test_a_workspace_that_asks_for_time_is_given_it_and_that_is_told(
    jobs: JobRuns, workspace: Workspace, clock: Clock, told: Told
) -> None:
    run_id = submit(jobs, workspace, Mode(ending=runs.SUCCESS))
    workspace.jobs.wait(run_id, 30)
    workspace.faults.add("GET", GET, call=1, status=429, headers={"Retry-After": "40"})
    assert jobs.follow(run_id, limits=limits()).result == "SUCCESS"

    assert clock.waits == [40]
    assert told.details[0].startswith("00:00  no news: too many requests")
    assert told.details[0].endswith("; looking again in 40 s")


def test_a_workspace_that_asks_for_more_than_may_pass_without_contact_is_asked_once_more_by_then(
    jobs: JobRuns, workspace: Workspace, clock: Clock
) -> None:
    run_id = submit(jobs, workspace, Mode(endless=True))
    workspace.faults.add("GET", GET, status=429, headers={"Retry-After": "3600"})

    with pytest.raises(errors.WorkspaceError, match="no contact for 60 s"):
        jobs.follow(run_id, limits=limits())
    assert clock.waits == [60]


def test_contact_is_lost_after_so_long_and_each_look_is_one_request(
    jobs: JobRuns, workspace: Workspace, clock: Clock, told: Told
) -> None:
    run_id = submit(jobs, workspace, Mode(endless=True))
    workspace.faults.add("GET", GET, status=503)
    with pytest.raises(errors.WorkspaceError) as caught:
        jobs.follow(run_id, limits=limits(lost_contact=20))

    assert "no contact for 20 s" in caught.value.what
    assert "`inv watch` follows it" in caught.value.cure
    assert clock.waits == [5, 5, 5, 5]
    assert len(workspace.requests.of("GET", "/api/2.0/jobs/runs/get")) == 5
    assert len(told.debugs) == 4


def test_an_answer_counts_from_the_last_one(jobs: JobRuns, workspace: Workspace, clock: Clock) -> None:
    run_id = submit(jobs, workspace, Mode(endless=True))
    for call in range(1, 40):
        if call % 4:
            workspace.faults.add("GET", GET, call=call, reset=True)

    with pytest.raises(TimedOut):
        jobs.follow(run_id, limits=limits(lost_contact=20, timeout=150))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_not_waited_out(jobs: JobRuns, workspace: Workspace, clock: Clock, status: int) -> None:
    run_id = submit(jobs, workspace, Mode(endless=True))
    workspace.faults.add("GET", GET, status=status)

    with pytest.raises(errors.WorkspaceError, match=f"job run {run_id} may go on"):
        jobs.follow(run_id, limits=limits())
    assert clock.waits == []


@pytest.mark.parametrize("body", [b"<html>", b'["no run"]', b'{"state": {"life_cy'])
def test_an_answer_that_holds_no_run_is_none(jobs: JobRuns, workspace: Workspace, clock: Clock, body: bytes) -> None:
    run_id = submit(jobs, workspace, Mode(ending=runs.SUCCESS))
    workspace.faults.add("GET", GET, call=1, status=200, body=body)

    assert jobs.follow(run_id, limits=limits()).result == "SUCCESS"


def test_a_cancelled_run_is_waited_for_and_one_that_has_ended_keeps_its_end(
    jobs: JobRuns, workspace: Workspace
) -> None:
    going, done = (submit(jobs, workspace, mode) for mode in (Mode(endless=True), Mode(ending=runs.SUCCESS)))
    workspace.jobs.wait(done, 30)

    assert jobs.cancel(going).result == "CANCELED"
    assert jobs.cancel(done).result == "SUCCESS"


def test_a_run_that_does_not_end_when_it_is_cancelled_is_left(
    jobs: JobRuns, workspace: Workspace, clock: Clock
) -> None:
    run_id = submit(jobs, workspace, Mode(endless=True))
    workspace.faults.add("POST", "/api/2.0/jobs/runs/cancel", status=200, body={})

    left = jobs.cancel(run_id)

    assert (left.is_over, left.mlflow_status) == (False, "KILLED")
    assert 60 < clock.now < 62


def test_a_job_is_found_by_a_word_in_its_name(jobs: JobRuns, workspace: Workspace) -> None:
    first = submit(jobs, workspace, Mode(ending=runs.SUCCESS))
    submit(jobs, workspace, Mode(ending=runs.SUCCESS), run_name="another")

    attempts = lookup.AttemptLookup(backend="databricks", jobs=jobs, tracking=Tracking("unused", artifacts=None))
    assert attempts.find_job(Attempt(id="/abc/")) == first
    assert attempts.find_job(Attempt(id="nothing")) is None


def test_the_output_is_what_was_printed_then_the_trace(jobs: JobRuns, workspace: Workspace) -> None:
    run_id = submit(jobs, workspace, Mode(ending=runs.SUCCESS))
    body = {"logs": "one\n", "error": "E: 1", "error_trace": "Traceback\nE: 1"}
    workspace.faults.add("GET", "/api/2.0/jobs/runs/get-output", status=200, body=body)

    assert jobs.output(run_id) == ("one\nTraceback\nE: 1", "E: 1", "Traceback\nE: 1")


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State("TERMINATED", "", "SUCCESS"), "FINISHED"),
        (State("TERMINATED", "", "CANCELED"), "KILLED"),
        (State("TERMINATED", "", "TIMEDOUT"), "KILLED"),
        (State("INTERNAL_ERROR", "", ""), "FAILED"),
        (State("TERMINATED", "", "MAXIMUM_CONCURRENT_RUNS_REACHED"), "FAILED"),
    ],
)
def test_an_end_has_mlflows_word(jobs: JobRuns, workspace: Workspace, state: State, status: str) -> None:
    run_id = submit(jobs, workspace, Mode(ending=state))
    workspace.jobs.wait(run_id, 30)

    assert jobs.state(run_id).mlflow_status == status


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param({"logs": "one\n"}, "one", id="output alone"),
        pytest.param({"logs": "one", "error": "ValueError: no", "error_trace": TRACE}, f"one\n{TRACE}", id="a trace"),
        pytest.param(
            {"logs": f"one\n{TRACE}\n", "error": "ValueError: no", "error_trace": TRACE}, f"one\n{TRACE}", id="twice"
        ),
        pytest.param(
            {"logs": f"{TRACE}  \ntwo", "error_trace": TRACE.replace("ValueError", "\x1b[0;31mValueError\x1b[0m")},
            f"{TRACE}  \ntwo",
            id="twice, once in colour",
        ),
        pytest.param({"error": "ValueError: no"}, "ValueError: no", id="an error alone"),
        pytest.param(
            {"logs": "two", "logs_truncated": True, "error": "E: 1", "error_trace": "Traceback\nE: 1"},
            "(the workspace keeps only the end of this output)\ntwo\nTraceback\nE: 1",
            id="only the end",
        ),
        pytest.param({"logs": "epoch 1", "error": "1"}, "epoch 1\n1", id="an error that is part of another line"),
        pytest.param({"logs": "E: 1", "error": "\x1b[31mE: 1\x1b[0m"}, "E: 1", id="an error twice, once in colour"),
        pytest.param({}, "", id="nothing"),
    ],
)
def test_what_was_printed_is_followed_by_whatever_else_is_known_once(found: dict[str, object], expected: str) -> None:
    assert following.join_output(found) == expected


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        pytest.param([*COPYING, *LISTING, "", "trained"], ["", "trained"], id="copied and unpacked"),
        pytest.param(["mlflow, version 3.17.2", *COPYING, *LISTING, "trained"], ["trained"], id="of a shell command"),
        pytest.param([*LISTING, "trained", *LISTING], ["trained", *LISTING], id="unpacked"),
        pytest.param([*COPYING, "trained"], [*COPYING, "trained"], id="not unpacked"),
        pytest.param(["trained", *LISTING], ["trained", *LISTING], id="later"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_mlflows_listing_is_left_out_where_the_output_begins_with_it(lines: list[str], shown: list[str]) -> None:
    assert following.leave_out_unpacking("\n".join(lines)) == shown

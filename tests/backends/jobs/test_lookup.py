"""Looking for an attempt's run and job in lists that lag behind, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlops_tasks import errors
from mlops_tasks.backends.jobs import following, lookup
from mlops_tasks.release import Attempt, Run
from mlops_tasks.report import Report
from mlops_tasks.tracking import client
from mlops_tasks.workspace import api, login
from tests.fake_workspace.server import Workspace

LIST = "/api/2.0/jobs/runs/list"
RUN = Run(run_id="r", experiment_id="1", status="RUNNING", backend="", url="", entry_point="")


class Store(client.Tracking):
    """A store that shows its one run from the look `shown_at` on, which is `status` then."""

    def __init__(self, *, shown_at: int | None = None, status: str = "RUNNING") -> None:
        super().__init__("unused", artifacts=None)
        self.looks, self.shown_at, self.status = 0, shown_at, status

    def find_run(self, experiment_id: str, *, filter_string: str) -> str | None:
        self.looks += "mlops.attempt" in filter_string
        return "r" if self.shown_at is not None and self.looks >= self.shown_at else None

    def read_run(self, run_id: str, *, backend: str = "", entry_point: str = "") -> Run:
        return RUN._replace(status=self.status)

    def read_tags(self, run_id: str) -> dict[str, str] | None:
        return {}


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with Workspace() as started:
        yield started


@pytest.fixture
def waits() -> list[float]:
    return []


def look_in(workspace: Workspace, waits: list[float], store: Store) -> lookup.AttemptLookup:
    found = api.Workspace(login=login.resolve(None, workspace.environment), report=Report())
    return lookup.AttemptLookup(
        backend="databricks", jobs=following.JobRuns(workspace=found, api="2.0", pause=waits.append), tracking=store
    )


def show_job(workspace: Workspace, *, at: int = 1) -> None:
    """Let the list of job runs have one that is named after the attempt, from its look `at` on."""
    for call in range(1, at):
        workspace.faults.add("GET", LIST, call=call, status=200, body={})
    workspace.faults.add("GET", LIST, status=200, body={"runs": [{"run_id": 7, "run_name": "MLflow Run for /x/a1/p"}]})


def test_an_attempt_without_a_trace_is_looked_for_after_2_4_and_6_seconds_and_no_longer(
    workspace: Workspace, waits: list[float]
) -> None:
    assert look_in(workspace, waits, Store()).find(Attempt(id="a1"), "1") is None
    assert waits == [2, 4, 6]


def test_somebody_who_waits_is_told_sooner_that_there_is_no_trace(workspace: Workspace, waits: list[float]) -> None:
    assert look_in(workspace, waits, Store()).find(Attempt(id="a1"), "1", run_looks=2) is None
    assert waits == [2]


def test_a_run_and_a_job_that_the_lists_show_late_are_found(workspace: Workspace, waits: list[float]) -> None:
    show_job(workspace, at=3)

    found = look_in(workspace, waits, Store(shown_at=2)).find(Attempt(id="a1"), "1")

    assert found is not None
    assert (found.run_id, found.job_run_id) == ("r", 7)
    assert waits == [2, 2]


def test_a_job_whose_run_is_never_shown_is_told_without_a_wait_after_the_last_look(
    workspace: Workspace, waits: list[float]
) -> None:
    show_job(workspace)

    with pytest.raises(errors.WorkspaceError, match="job run 7 was made, and MLflow does not show its run yet"):
        look_in(workspace, waits, Store()).find(Attempt(id="a1"), "1")
    assert waits == [2, 4, 6]


@pytest.mark.parametrize(("status", "waited"), [("RUNNING", [2, 4, 6]), ("FAILED", [])])
def test_a_missing_job_is_waited_for_only_while_its_run_goes_on(
    workspace: Workspace, waits: list[float], status: str, waited: list[float]
) -> None:
    found = look_in(workspace, waits, Store(shown_at=1, status=status)).find(Attempt(id="a1"), "1")

    assert found is not None
    assert found.job_run_id is None
    assert waits == waited

"""Every end that a job can come to: exit code, MLflow's status, and what a person is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fake_workspace import runs
from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.runs import Mode, State
from tests.support import sites
from tests.support.sites import Site

pytest_plugins = ["tests.fake_workspace.fixture"]

LIBRARY = State(
    "INTERNAL_ERROR",
    "Library installation failed for library due to user error",
    "FAILED",
    "LIBRARY_INSTALLATION_ERROR",
)
FAIL = "print('about to fail')\nraise ValueError('no such thing')\n"
CRASHED = State("TERMINATED", "Workload failed, see run output for details", "FAILED", "RUN_EXECUTION_ERROR")


@pytest.fixture(scope="module")
def staged(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sites.opened(tmp_path_factory.mktemp("ends") / "repository", mlflow_server, FAIL=FAIL) as site:
        yield sites.stage(site)


@pytest.fixture
def site(staged: Site) -> Iterator[Site]:
    staged.forget()
    with sites.entered(staged.workspace):
        yield staged


@pytest.mark.parametrize(
    ("ending", "code", "status", "told"),
    [
        pytest.param(runs.SUCCESS, 0, "FINISHED", "TERMINATED SUCCESS", id="success"),
        pytest.param(CRASHED, 5, "FAILED", "TERMINATED FAILED: Workload failed", id="failed"),
        pytest.param(
            CRASHED._replace(life_cycle="INTERNAL_ERROR"), 5, "FAILED", "INTERNAL_ERROR FAILED: W", id="failed inside"
        ),
        pytest.param(runs.TIMEDOUT, 5, "KILLED", "TERMINATED TIMEDOUT: Run timed out.", id="timed out"),
        pytest.param(runs.CANCELED, 5, "KILLED", "TERMINATED CANCELED: Run cancelled.", id="cancelled by somebody"),
        pytest.param(runs.SKIPPED, 5, "FAILED", "SKIPPED: Skipping this run", id="skipped, no result"),
        pytest.param(runs.LOST, 5, "FAILED", "INTERNAL_ERROR: Unexpected failure", id="internal error, no result"),
        pytest.param(LIBRARY, 5, "FAILED", "Library installation failed", id="library failure"),
        pytest.param(runs.NO_CLUSTER, 5, "FAILED", "no more nodes of this type", id="cluster failure"),
    ],
)
def test_a_run_ends_as_its_job_does(site: Site, ending: State, code: int, status: str, told: str) -> None:
    site.workspace.jobs.mode = Mode(ending=ending)

    said = site.inv("run", "--timeout", "600")

    assert said.code == code, said.err
    assert told in said.err
    assert "more time" not in said.err
    assert "Traceback" not in said.err
    run = site.record["run"]
    assert run["status"] == site.status(run["run_id"]) == status
    assert run["url"].startswith(site.workspace.url)
    assert site.record["attempt"]["ended"] is True
    assert (told in run["reason"]) == (code != 0)
    if code:
        assert f"run {run['run_id']} ended {status}: {run['reason']}" in said.err
        assert f"in: {run['url']}" in said.err
        assert ("fix what that page shows" in said.err) == (status == "FAILED")


def test_the_reason_of_a_failure_is_told_quietly_too_as_json_and_by_status(site: Site) -> None:
    site.workspace.jobs.mode = Mode(ending=LIBRARY)

    said = site.inv("run", "--quiet", "--json")

    assert said.code == 5
    assert LIBRARY.message in said.json["run"]["reason"]
    assert LIBRARY.message in said.json["error"]["what"]
    assert said.json["error"]["where"] == said.json["run"]["url"]
    assert LIBRARY.message in said.err
    assert LIBRARY.message in site.inv("status").out


def test_a_run_that_never_ends_is_cancelled_at_its_time_limit(site: Site) -> None:
    site.workspace.jobs.mode = Mode(endless=True)

    said = site.inv("run", "--timeout", "1")

    assert said.code == 5
    assert "stopped after the timeout of 1 s" in said.err
    assert (
        "`inv run` begins another; `--timeout SECONDS` or the setting `timeout` gives it more time than 1 s" in said.err
    )
    run = site.record["run"]
    assert run["status"] == site.status(run["run_id"]) == "KILLED"
    assert site.workspace.jobs.wait(run["job_run_id"], 0) == runs.CANCELED


def test_a_failing_scripts_traceback_is_shown_once_and_mlflows_listing_stands_in_the_log_alone(site: Site) -> None:
    said = site.inv("run", "--entry-point", "fail")

    assert said.code == 5, said.err
    log = (site.folder / site.record["run"]["log"]).read_text()
    assert "mlflow-project/" not in said.err
    assert "mlflow-project/fail.py" in log
    assert (said.err.count("about to fail"), said.err.count("ValueError: no"), log.count("ValueError: no")) == (1, 2, 1)
    assert f"ended FAILED: {site.record['run']['reason']}\n" in said.err
    assert site.record["run"]["reason"] == "ValueError: no such thing"


def test_a_run_that_is_not_known_at_first_and_waits_in_the_queue_is_followed(site: Site) -> None:
    site.workspace.jobs.mode = Mode(ending=runs.SUCCESS, unseen=1, queued=2)

    said = site.inv("run")

    assert said.code == 0, said.err
    assert "QUEUED: Queued due to reaching maximum concurrent runs" in said.err
    assert len(site.submits()) == 1
    assert site.runs("RUNNING") == []


def test_contact_that_comes_back_in_time_ends_nothing(site: Site) -> None:
    site.workspace.jobs.mode = Mode(queued=5, ending=runs.CANCELED)  # it ends at a look after all faults, however late
    faults: list[dict[str, Any]] = [{"status": 503}, {"reset": True}, {"status": 200, "body": b"<html>"}]
    for call, what in enumerate(faults, start=4):
        site.workspace.faults.add("GET", "/api/2.0/jobs/runs/get[?]", call=call, **what)

    said = site.inv("run", "--verbose")

    assert said.code == 5
    assert said.err.count("no news: ") == 3
    assert site.record["run"]["status"] == "KILLED"


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        pytest.param({"status": 503}, "no contact for", id="no answer"),
        pytest.param({"status": 403, "body": {"error_code": "PERMISSION_DENIED", "message": "no"}}, "no", id="refusal"),
    ],
)
def test_a_job_that_cannot_be_followed_any_more_is_left_alone(site: Site, fault: dict[str, Any], why: str) -> None:
    site.workspace.jobs.mode = Mode(endless=True)
    for call in range(3, 60):
        site.workspace.faults.add("GET", "/api/2.0/jobs/runs/get[?]", call=call, **fault)

    said = site.inv("run", "--lost-contact", "1")

    assert said.code == 4, said.err
    assert why in said.err
    assert "`inv watch` follows it" in said.err
    attempt = site.record["attempt"]
    assert attempt["ended"] is False
    assert site.status(attempt["run_id"]) == "RUNNING"
    assert site.workspace.jobs.history(attempt["job_run_id"])[-1] == "RUNNING"

    site.workspace.faults.clear()
    cancelled = site.inv("cancel")
    assert cancelled.code == 0, cancelled.err
    assert site.record["run"]["status"] == site.status(attempt["run_id"]) == "KILLED"

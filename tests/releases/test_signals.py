"""A job whose command is stopped: a signal ends both, and what a crash leaves going on is found."""

from __future__ import annotations

import functools
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks.backends.databricks import archive
from mlops_tasks.backends.databricks.backend import DatabricksRuns
from mlops_tasks.backends.jobs import following, lookup
from mlops_tasks.pipeline import attempt as attempts
from mlops_tasks.workspace import api
from tests.fake_workspace import runs
from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.runs import Mode
from tests.support import sites
from tests.support.inv import read_until
from tests.support.sites import Site

pytest_plugins = ["tests.fake_workspace.fixture"]

SUBMIT = "/api/2.0/jobs/runs/submit"
FULL = pytest.mark.full
SIGNALS = [pytest.param(signal.SIGINT, 130, id="Ctrl-C", marks=FULL), pytest.param(signal.SIGTERM, 143, id="SIGTERM")]
ONE_TASK = ["run", pytest.param("watch", marks=FULL), pytest.param("cancel", marks=FULL)]


@pytest.fixture(scope="module")
def staged(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sites.opened(tmp_path_factory.mktemp("signals") / "repository", mlflow_server) as site:
        yield sites.stage(site)


@pytest.fixture
def site(staged: Site) -> Iterator[Site]:
    staged.forget()
    staged.workspace.jobs.mode = Mode(endless=True)
    with sites.entered(staged.workspace):
        yield staged


@pytest.fixture
def running(site: Site) -> Iterator[subprocess.Popen[str]]:
    """`inv run`, which the test may end as it likes."""
    process = site.start("run", "-P", "text=first")
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def job_ends(site: Site) -> list[runs.State]:
    """Of the jobs that were submitted in this test."""
    made = list(site.workspace.jobs._runs)[len(site.workspace.jobs._runs) - len(site.workspace.jobs.submitted) :]
    return [site.workspace.jobs.wait(run_id) for run_id in made]


def cut_off(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, when: Callable[..., bool]) -> None:
    """Ctrl-C at the call of that function that suits."""
    real = getattr(owner, name)

    def interrupt(*arguments: Any, **named: Any) -> Any:
        if when(*arguments, **named):
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(owner, name, interrupt)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_during_the_run_cancels_the_job(
    site: Site, running: subprocess.Popen[str], number: int, code: int
) -> None:
    read_until(running, "RUNNING")
    running.send_signal(number)
    _, err = running.communicate()

    assert running.returncode == code, err
    assert "Traceback" not in err
    run = site.record["run"]
    assert run["status"] == site.status(run["run_id"]) == "KILLED"
    assert site.record["attempt"]["ended"] is True
    assert site.workspace.jobs.wait(run["job_run_id"], 0) == runs.CANCELED
    assert site.runs("RUNNING") == []


@pytest.mark.full
def test_who_pressed_ctrl_c_waits_for_two_tries_to_cancel_and_is_told_that_the_job_may_go_on(
    site: Site, running: subprocess.Popen[str]
) -> None:
    read_until(running, "RUNNING")
    cancels = "/api/2.0/jobs/runs/cancel"
    site.workspace.faults.add("POST", cancels, status=503)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate()

    assert running.returncode == 130, err
    assert len(site.workspace.requests.of("POST", cancels)) == 2
    run_id = site.record["attempt"]["run_id"]
    assert f"run {run_id} could not be ended and may go on; `inv watch` follows it, `inv cancel` ends it" in err
    assert site.record["attempt"]["ended"] is False
    site.workspace.faults.clear()
    assert site.inv("cancel").code == 0


def test_ctrl_c_during_the_run_gives_mlflow_little_time_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    import databricks.sdk
    from mlflow.utils import rest_utils

    made: list[Any] = []

    def note(real: Callable[..., Any], **named: Any) -> Any:
        client = real(**named)
        made.append(client.config.retry_timeout_seconds)
        return client

    monkeypatch.setattr(databricks.sdk, "WorkspaceClient", functools.partial(note, databricks.sdk.WorkspaceClient))
    cut_off(monkeypatch, DatabricksRuns, "follow", lambda *_, **__: True)

    said = site.inv("run")

    assert (said.code, site.record["run"]["status"]) == (130, "KILLED"), said.err
    assert 2 * api.HASTY.answer_within in made or not hasattr(rest_utils, "get_workspace_client")


def test_ctrl_c_while_mlflow_cannot_be_told_says_that_the_job_has_ended(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(monkeypatch, DatabricksRuns, "follow", lambda *_, **__: True)
    site.workspace.faults.add("POST", "/api/2.0/mlflow/runs/update", status=403)

    said = site.inv("run")

    assert said.code == 130, said.err
    assert job_ends(site) == [runs.CANCELED]
    assert "has ended (TERMINATED CANCELED: Run cancelled.), and its MLflow run could not be marked" in said.err
    assert "may go on" not in said.err
    site.workspace.faults.clear()
    assert site.inv("cancel").code == 0
    assert site.runs("RUNNING") == []


def test_ctrl_c_while_neither_the_job_ends_nor_mlflow_can_be_told_says_that_it_is_being_cancelled(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.workspace.jobs.mode = Mode(endless=True)
    cut_off(monkeypatch, DatabricksRuns, "follow", lambda *_, **__: True)
    monkeypatch.setattr(following, "STOPPED_WITHIN", 0)
    site.workspace.faults.add("POST", "/api/2.0/jobs/runs/cancel", status=200, body={})
    site.workspace.faults.add("POST", "/api/2.0/mlflow/runs/update", status=403)

    said = site.inv("run")

    assert said.code == 130, said.err
    assert "is being cancelled (" in said.err
    assert "and its MLflow run could not be marked" in said.err
    site.workspace.faults.clear()
    assert site.inv("cancel").code == 0
    assert job_ends(site) == [runs.CANCELED]
    assert site.runs("RUNNING") == []


@pytest.mark.parametrize("after", [False, pytest.param(True, marks=pytest.mark.full)])
@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_during_the_submit_leaves_nothing_going_on(
    site: Site, running: subprocess.Popen[str], number: int, code: int, after: bool
) -> None:
    gate = threading.Event()
    fault = site.workspace.faults.add("POST", SUBMIT, after=after, gate=gate)
    assert fault.met.wait()
    running.send_signal(number)
    read_until(running, "looking for what was submitted")
    gate.set()
    _, err = running.communicate()

    assert (running.returncode, "Traceback" in err) == (code, False), err
    assert set(job_ends(site)) <= {runs.CANCELED}, err
    assert site.runs("RUNNING") == []
    site.workspace.jobs.mode = Mode(ending=runs.SUCCESS)
    again = site.inv("run")
    assert again.code == 0, again.err


def test_ctrl_c_while_the_attempts_copy_is_removed_cancels_the_job(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_attempts(path: Path, **_: Any) -> bool:
        return len(site.submits()) == 1 and path.parent.name == "attempts"

    cut_off(monkeypatch, shutil, "rmtree", is_attempts)

    said = site.inv("run")

    assert said.code == 130, said.err
    assert "looking for what was submitted" in said.err
    assert job_ends(site) == [runs.CANCELED]
    assert site.runs("RUNNING") == []


def test_ctrl_c_as_the_submitted_run_is_saved_cancels_it_and_records_its_end(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(monkeypatch, attempts, "save_submitted", lambda *_, **__: True)

    said = site.inv("run")

    assert said.code == 130, said.err
    assert job_ends(site) == [runs.CANCELED]
    assert site.record["run"]["status"] == "KILLED"
    assert site.record["attempt"]["run_id"] == site.record["run"]["run_id"]


def test_ctrl_c_before_the_submit_looks_for_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_off(monkeypatch, archive, "upload", lambda *_, **__: True)

    said = site.inv("run")

    assert said.code == 130, said.err
    assert "looking for" not in said.err
    assert site.workspace.requests.of("GET", "/api/2.0/jobs/runs/list") == []


def test_ctrl_c_while_mlflow_does_not_show_the_run_yet_cancels_its_job(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "WAIT", 0)
    cut_off(monkeypatch, DatabricksRuns, "_describe", lambda *_, **__: True)
    site.workspace.faults.add("POST", "/api/2.0/mlflow/runs/search", status=200, body={})

    said = site.inv("run")

    assert said.code == 130, said.err
    (end,) = job_ends(site)
    assert end == runs.CANCELED, said.err
    assert "has ended (TERMINATED CANCELED: Run cancelled.), and its MLflow run could not be marked" in said.err
    assert "`inv cancel` marks it, or `inv watch`" in said.err
    assert "may go on" not in said.err
    site.workspace.faults.clear()
    assert site.inv("cancel").code == 0
    assert site.runs("RUNNING") == []


def test_ctrl_c_during_a_submit_whose_job_cannot_be_cancelled_says_that_it_may_go_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(monkeypatch, DatabricksRuns, "_describe", lambda *_, **__: True)
    site.workspace.faults.add("POST", "/api/2.0/jobs/runs/cancel", status=403)

    said = site.inv("run")

    assert said.code == 130, said.err
    assert "what was submitted may go on; `inv watch` follows it, `inv cancel` ends it" in said.err
    site.workspace.faults.clear()
    assert site.inv("cancel").code == 0


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.full
def test_a_signal_during_the_upload_leaves_nothing_under_the_archives_name(site: Site, number: int, code: int) -> None:
    gate = threading.Event()
    fault = site.workspace.faults.add("POST", "/api/2.0/dbfs/put", gate=gate)
    process = site.start("run", "-P", f"text=for signal {number}")
    try:
        assert fault.met.wait()
        before = set((site.workspace.root / "dbfs").rglob("*.tar.gz"))
        process.send_signal(number)
        _, err = process.communicate()
    finally:
        process.kill()
        gate.set()

    assert process.returncode == code, err
    assert "Traceback" not in err
    assert set((site.workspace.root / "dbfs").rglob("*.tar.gz")) == before
    assert site.submits() == []
    assert site.runs("RUNNING") == []


def test_a_crash_during_the_run_is_resumed_by_the_same_command_alone(
    site: Site, running: subprocess.Popen[str]
) -> None:
    read_until(running, "RUNNING")
    running.kill()
    running.communicate()
    attempt = site.record["attempt"]

    status = site.inv("status")
    assert "cut off, and may go on" in status.out
    assert "`inv watch` follows it, `inv cancel` ends it" in status.err
    resumed = site.inv("run", "-P", "text=first", "--timeout", "1")

    assert f"its run {attempt['run_id']} goes on, and is followed again" in resumed.err
    assert resumed.code == 5
    assert len(site.submits()) == 1
    assert site.record["run"]["run_id"] == attempt["run_id"]


@pytest.mark.parametrize(
    ("end", "code"),
    [
        pytest.param(runs.SUCCESS, 0, id="well", marks=FULL),
        pytest.param(runs.State("TERMINATED", "", "FAILED", "RUN_EXECUTION_ERROR"), 5, id="badly", marks=FULL),
    ],
)
def test_a_run_that_ended_after_a_crash_is_taken_up_by_the_same_command_and_not_run_again(
    site: Site, running: subprocess.Popen[str], end: runs.State, code: int
) -> None:
    read_until(running, "RUNNING")
    running.kill()
    running.communicate()
    attempt = site.record["attempt"]
    site.workspace.jobs._runs[attempt["job_run_id"]].stop(end)
    site.workspace.jobs.wait(attempt["job_run_id"])

    said = site.inv("run", "-P", "text=first")

    assert said.code == code, said.err
    assert f"its run {attempt['run_id']} has ended since, and is taken up" in said.err
    assert (len(site.submits()), site.record["run"]["run_id"]) == (1, attempt["run_id"])


@pytest.mark.full
def test_a_release_resumes_its_own_run_beside_another_one_and_is_refused_to_others_meanwhile(
    site: Site, running: subprocess.Popen[str]
) -> None:
    read_until(running, "RUNNING")
    running.kill()
    running.communicate()
    run_id = site.record["attempt"]["run_id"]

    other = site.inv("release", "-P", "text=second", "--timeout", "0.1")
    resumed = site.start("release", "-P", "text=first")
    read_until(resumed, "RUNNING")
    busy = site.inv("run", "-P", "text=first")
    resumed.send_signal(signal.SIGINT)
    _, err = resumed.communicate()

    assert other.code == 5, other.err
    assert len(site.submits()) == 2
    assert f": release, process {resumed.pid}" in busy.err
    assert site.record["run"]["run_id"] == run_id, err
    assert site.record["run"]["status"] == "KILLED"


@pytest.mark.parametrize("task", ONE_TASK[1:])
def test_what_a_crashed_command_submitted_is_found_whatever_the_next_one_is_told(site: Site, task: str) -> None:
    fault = site.workspace.faults.add("POST", SUBMIT, after=True, gate=threading.Event())
    first = site.start("run", "--experiment-name", "/Shared/elsewhere", "-P", "text=first")
    try:
        assert fault.met.wait()
    finally:
        first.kill()
        first.communicate()
    site.workspace.faults.clear()
    attempt = site.record["attempt"]
    assert (attempt["run_id"], attempt["entry_point"], attempt["host"]) == (None, "main", site.workspace.url)

    said = site.inv(task, *(["--timeout", "1"] if task == "watch" else []))

    assert said.code == {"watch": 5, "cancel": 0}[task], said.err
    assert len(site.submits()) == 1
    run = site.record["run"]
    assert (run["experiment_id"], run["entry_point"]) == (attempt["experiment_id"], "main")
    assert run["status"] == site.status(run["run_id"]) == "KILLED"
    assert job_ends(site) == [runs.CANCELED]


@pytest.mark.full
def test_beside_a_job_that_was_submitted_just_before_a_crash_another_has_an_attempt_of_its_own(
    site: Site, running: subprocess.Popen[str]
) -> None:
    fault = site.workspace.faults.add("POST", SUBMIT, after=True, gate=threading.Event())
    assert fault.met.wait()
    running.kill()
    running.communicate()
    site.workspace.faults.clear()
    first = site.record["attempt"]

    said = site.inv("run", "-P", "text=second", "--timeout", "0.1")

    assert said.code == 5, said.err
    assert len(site.submits()) == 2
    assert site.record["attempt"]["id"] != first["id"]
    assert site.inv("cancel").code == 0
    assert job_ends(site) == [runs.CANCELED] * 2
    assert site.runs("RUNNING") == []


@pytest.mark.parametrize("task", ONE_TASK[1:])
@pytest.mark.parametrize("made", [True, pytest.param(False, marks=pytest.mark.full)])
def test_a_run_that_has_ended_since_a_crash_during_the_submit_is_recorded_with_its_end(
    site: Site, monkeypatch: pytest.MonkeyPatch, task: str, made: bool
) -> None:
    monkeypatch.setattr(lookup, "WAIT", 0)
    fault = site.workspace.faults.add("POST", SUBMIT, after=made, gate=threading.Event())
    first = site.start("run")
    try:
        assert fault.met.wait()
    finally:
        first.kill()
        first.communicate()
    fault.status = None if made else 503
    site.workspace.faults.clear()
    for run_id in list(site.workspace.jobs._runs)[-1:] if made else []:
        site.workspace.jobs._runs[run_id].stop(runs.SUCCESS)
        site.workspace.jobs.wait(run_id)

    said = site.inv(task)

    run = site.record["run"]
    assert site.record["attempt"]["ended"] is True
    if made:
        assert said.code == 0, said.err
        assert run["status"] == site.status(run["run_id"]) == "FINISHED"
        assert ("it had ended: TERMINATED SUCCESS" in said.out) == (task == "cancel")
    else:
        assert said.code == 3, said.err
        assert f"its run {run['run_id']} is now FAILED" in said.err
        assert site.status(run["run_id"]) == "FAILED"


@pytest.mark.parametrize("task", ONE_TASK)
def test_a_crash_during_the_submit_leaves_a_job_that_is_found(
    site: Site, running: subprocess.Popen[str], task: str
) -> None:
    fault = site.workspace.faults.add("POST", SUBMIT, after=True, gate=threading.Event())
    assert fault.met.wait()
    running.kill()
    running.communicate()
    site.workspace.faults.clear()
    assert site.record["attempt"]["run_id"] is None

    said = site.inv(task, *{"run": ["-P", "text=first", "--timeout", "1"], "watch": ["--timeout", "1"]}.get(task, []))

    assert said.code == (0 if task == "cancel" else 5), said.err
    assert len(site.submits()) == 1
    assert job_ends(site)[-1] == runs.CANCELED
    run = site.record["run"]
    assert run["status"] == site.status(run["run_id"]) == "KILLED"
    assert site.runs("RUNNING") == []
    assert site.parameters(run["run_id"]) == ({"text": "first"} if task == "run" else {})

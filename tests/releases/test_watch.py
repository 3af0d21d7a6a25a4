"""Runs that go on without us: left, found again, followed by several, ended."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_workspace import runs
from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.runs import Mode
from tests.support import sites
from tests.support.inv import inv, read_until
from tests.support.repositories import make_repository
from tests.support.sites import Site

pytest_plugins = ["tests.fake_workspace.fixture"]

HOST_AND_TOKEN = ("DATABRICKS_HOST", "DATABRICKS_TOKEN")


@pytest.fixture(scope="module")
def staged(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sites.opened(tmp_path_factory.mktemp("watch") / "repository", mlflow_server) as site:
        yield sites.stage(site)


@pytest.fixture
def site(staged: Site) -> Iterator[Site]:
    staged.forget()
    staged.workspace.jobs.mode = Mode(endless=True)
    with sites.entered(staged.workspace):
        yield staged


@pytest.fixture
def left(site: Site) -> str:
    """The id of a detached run."""
    said = site.inv("run", "--detach", "-P", "text=a b")
    assert said.code == 0, said.err
    return str(site.record["attempt"]["run_id"])


def end(site: Site) -> None:
    """Let the last job end well."""
    site.workspace.jobs._runs[max(site.workspace.jobs._runs)].stop(runs.SUCCESS)


def test_a_detached_run_goes_on_fully_described(site: Site, left: str) -> None:
    assert site.status(left) == "RUNNING"
    assert site.record["attempt"]["url"] in site.inv("status").out
    assert site.parameters(left) == {"text": "a b"}
    tags = site.tags(left)
    assert tags["mlops.branch"] == "main"
    assert tags["mlflow.source.name"] == "training"
    assert tags["mlflow.databricks.shellJobRunID"] == str(site.record["attempt"]["job_run_id"])
    status = site.inv("status")
    assert "detached" in status.out
    assert "`inv watch` follows it, `inv cancel` ends it" in status.err


def test_status_looks_for_the_deployed_wheels_by_the_profile_that_it_is_given(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in HOST_AND_TOKEN:
        monkeypatch.delenv(name)
    host, token = (site.workspace.environment[name] for name in HOST_AND_TOKEN)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".databrickscfg").write_text(f"[mine]\nhost = {host}\ntoken = {token}\n")

    with_profile, without = site.inv("status", "--profile", "mine"), site.inv("status")

    assert (with_profile.code, "unknown: " in with_profile.out) == (0, False), with_profile.err
    assert "unknown: " in without.out


def test_detaching_prints_the_record_so_far(site: Site) -> None:
    said = site.inv("run", "--detach", "--json")

    assert said.code == 0, said.err
    assert said.json["attempt"]["detached"] is True
    assert said.json["attempt"]["run_id"]
    assert said.json["attempt"]["url"].startswith(f"{site.workspace.url}/")
    assert "run" not in said.json


@pytest.mark.parametrize("name_it", [False, True])
def test_a_detached_run_is_watched_to_its_end(site: Site, left: str, name_it: bool) -> None:
    end(site)

    said = site.inv("watch", *([left] if name_it else []), "--json")

    assert said.code == 0, said.err
    assert said.json["run"]["status"] == site.status(left) == "FINISHED"
    assert site.record["attempt"]["ended"] is True
    assert site.tags(left)["mlflow.project.backend"] == "databricks"
    again = site.inv("watch")
    assert (again.code, "inv status" in again.err) == (3, True)


@pytest.mark.parametrize("name_it", [False, True])
def test_a_detached_run_is_cancelled(site: Site, left: str, name_it: bool) -> None:
    said = site.inv("cancel", *([left] if name_it else []), "--json")

    assert said.code == 0, said.err
    assert said.json["run"]["status"] == site.status(left) == "KILLED"
    assert said.json["attempt"]["ended"] is True


@pytest.mark.parametrize("task", ["watch", "cancel"])
def test_a_dry_run_asks_nothing_of_the_workspace(site: Site, left: str, task: str) -> None:
    site.workspace.requests.clear()

    said = site.inv(task, "--dry-run")

    assert (said.code, f"run {left}" in said.out) == (0, True), said.err
    assert site.workspace.requests == []
    assert site.record["attempt"]["ended"] is False


def test_what_has_ended_well_is_not_made_killed_by_cancelling_it(site: Site, left: str) -> None:
    end(site)
    assert site.inv("watch").code == 0
    ended = site.mlflow_run(left)["info"]["end_time"]
    site.forget()  # as in another clone

    said = site.inv("cancel", left)

    assert said.code == 0, said.err
    assert "it had ended: TERMINATED SUCCESS; nothing was cancelled" in said.out
    assert site.workspace.requests.of("POST", "/api/2.0/jobs/runs/cancel") == []
    assert site.status(left) == "FINISHED"
    assert site.mlflow_run(left)["info"]["end_time"] == ended


def test_the_last_run_can_be_looked_at_by_its_id_once_it_has_ended(site: Site, left: str) -> None:
    end(site)
    assert site.inv("watch").code == 0
    record = site.record

    watched, cancelled = site.inv("watch", left), site.inv("cancel", left)

    assert (watched.code, cancelled.code) == (0, 0), watched.err + cancelled.err
    assert f"FINISHED {left}" in watched.out
    assert "nothing was cancelled" in cancelled.out
    assert site.record == record


def test_cancelling_what_has_ended_meanwhile_records_its_end_and_cancels_nothing(site: Site, left: str) -> None:
    end(site)
    site.workspace.jobs.wait(site.record["attempt"]["job_run_id"], 30)

    said = site.inv("cancel")

    assert said.code == 0, said.err
    assert f"run {left}, job run {site.record['run']['job_run_id']}; it had ended: TERMINATED SUCCESS" in said.out
    assert site.record["run"]["status"] == site.status(left) == "FINISHED"
    assert site.record["attempt"]["ended"] is True


def test_a_run_of_somebody_else_is_watched_and_cancelled_by_its_id(site: Site, left: str) -> None:
    site.forget()
    mine = site.record

    cancelled = site.inv("cancel", left)
    watched = site.inv("watch", left, "--json")

    assert (cancelled.code, watched.code) == (0, 5), cancelled.err + watched.err
    assert (watched.json["run"]["run_id"], watched.json["run"]["status"]) == (left, "KILLED")
    assert site.status(left) == "KILLED"
    assert site.record == mine


@pytest.mark.full
def test_this_projects_timeout_ends_nobody_elses_run_unless_it_is_given_for_that(
    site: Site, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_run_id = site.record["attempt"]["job_run_id"]
    site.forget()
    monkeypatch.setenv("MLOPS_TIMEOUT", "0.1")
    watcher = site.start("watch", left, "--verbose")
    looks = site.workspace.faults.add("GET", "/api/2.0/jobs/runs/get[?]", call=3, status=503)
    assert looks.met.wait()
    watcher.send_signal(signal.SIGINT)
    _, err = watcher.communicate()
    assert (watcher.returncode, site.workspace.jobs.history(job_run_id)[-1]) == (130, "RUNNING"), err

    said = site.inv("watch", left, "--timeout", "0.1")

    assert said.code == 5, said.err
    assert "stopped after the timeout of 0.1 s" in said.err
    assert site.workspace.jobs.wait(job_run_id, 30) == runs.CANCELED


def test_a_detached_run_is_its_branchs_own_while_another_branchs_release_begins(site: Site, left: str) -> None:
    assert site.inv("name", "--branch", "other").code == 0

    last, named = site.inv("cancel", "--branch", "other"), site.inv("cancel", "--branch", "other", left)

    assert (last.code, named.code) == (3, 0), named.err
    assert f"  {left[:8]}  detached  databricks, main  main text=a b" in last.err
    assert site.status(left) == site.record["run"]["status"] == "KILLED"


@pytest.mark.parametrize("run_id", ["0123456789abcdef0123456789abcdef", "nonsense"])
def test_a_run_that_is_not_there_is_said_to_be_unknown(site: Site, run_id: str) -> None:
    said = site.inv("watch", run_id)

    assert said.code in {2, 4}, said.err
    assert run_id in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("name_it", [False, True])
@pytest.mark.parametrize("task", ["watch", "cancel"])
def test_a_host_that_nobody_answers_at_is_noticed_by_one_call(
    site: Site, left: str, task: str, name_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        monkeypatch.setenv("DATABRICKS_HOST", f"http://127.0.0.1:{taken.getsockname()[1]}")
        said = site.inv(task, *(["0" * 32] if name_it else []))

    assert said.code == 4, said.err
    assert "cannot be reached: Connection refused" in said.err
    assert "trying again" not in said.err


@pytest.mark.parametrize("task", ["watch", "cancel"])
def test_a_token_that_is_refused_is_told_as_such(
    site: Site, left: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-wrong")

    said = site.inv(task, left)

    assert said.code == 4, said.err
    assert "the login was refused" in said.err


@pytest.fixture
def elsewhere(site: Site, left: str) -> str:
    """The host that the record's attempt was made for, which is not this one."""
    host = "https://other.example"
    site.change_attempt(host=host)
    return host


@pytest.mark.parametrize("task", ["watch", "cancel"])
def test_an_attempt_at_another_host_is_not_looked_for_at_this_one(
    site: Site, left: str, elsewhere: str, task: str
) -> None:
    said = site.inv(task)

    assert said.code == 3, said.err
    assert f"was begun at {elsewhere}, and this is {site.workspace.url}" in said.err
    assert "--profile" in said.err
    assert site.status(left) == "RUNNING"


def test_a_run_here_leaves_an_attempt_at_another_host_alone_and_says_so(site: Site, left: str, elsewhere: str) -> None:
    first = site.record["attempt"]
    site.workspace.jobs.mode = Mode(ending=runs.SUCCESS)

    said = site.inv("run", "-P", "text=a b")

    assert said.code == 0, said.err
    assert f"was made at {elsewhere}, and its run may go on there" in said.err
    assert f"cancel it with that host's login: run {left}" in said.err
    assert "inv cancel" not in said.err
    assert site.record["attempt"]["id"] != first["id"]
    assert site.status(left) == "RUNNING"


def test_nothing_is_watched_before_anything_ran(site: Site) -> None:
    for task in ("watch", "cancel"):
        said = site.inv(task)
        assert said.code == 3
        assert "no run of this release is going on" in said.err


def test_the_id_may_be_left_out_before_another_flag_or_task(site: Site, left: str) -> None:
    said = site.inv("cancel", "--quiet", "status")

    assert said.code == 0, said.err
    assert "KILLED" in said.out


@pytest.mark.parametrize("task", ["run", "release"])
def test_while_a_run_goes_on_detached_no_other_of_the_same_job_is_begun(site: Site, left: str, task: str) -> None:
    said = site.inv(task, "-P", "text=a b")

    assert said.code == 3, said.err
    assert f"run {left} is going on" in said.err
    assert "`inv watch` follows it, `inv cancel` ends it" in said.err
    assert len(site.submits()) == 1
    assert said.out == ""


def test_beside_a_detached_run_another_job_is_run_and_each_is_found_by_its_short_id(site: Site, left: str) -> None:
    said = site.inv("run", "--detach", "-P", "text=other")
    assert said.code == 0, said.err
    other = site.record["attempt"]["run_id"]

    both = site.inv("watch")
    first, second = site.inv("cancel", left[:12]), site.inv("cancel")

    assert (both.code, "2 runs of this release may be going on" in both.err) == (3, True)
    assert all(words in both.err for words in (f"{left[:8]}  detached  main text=a b", f"{other[:8]}  detached"))
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert site.status(left) == site.status(other) == "KILLED"
    assert site.record["run"]["run_id"] == other
    assert site.attempt_paths == []


def test_a_detached_run_that_has_ended_meanwhile_gives_way_to_the_next(site: Site, left: str) -> None:
    end(site)
    site.workspace.jobs.wait(site.record["attempt"]["job_run_id"], 30)
    site.workspace.jobs.mode = Mode(ending=runs.SUCCESS)

    said = site.inv("run", "-P", "text=a b")

    assert said.code == 0, said.err
    assert f"was detached; its run {left} is now FINISHED" in said.err
    assert "warning: job run" not in said.err
    assert site.record["run"]["run_id"] != left


@pytest.mark.full
def test_a_run_that_is_followed_is_refused_to_others_and_watched_beside_them(site: Site) -> None:
    follower = site.start("run")
    read_until(follower, "RUNNING")
    run_id = site.record["attempt"]["run_id"]
    try:
        for task in ("run", "release"):
            said = site.inv(task)
            assert said.code == 3, said.err
            assert f"process {follower.pid}" in said.err
            assert "`inv watch` follows it, `inv cancel` ends it" in said.err
        watcher = site.start("watch", "--json")
        read_until(watcher, "RUNNING")
        cancelled = site.inv("cancel")
        assert cancelled.code == 0, cancelled.err
        out, err = watcher.communicate()
        _, said_of_run = follower.communicate()
    finally:
        follower.kill()

    assert (watcher.returncode, follower.returncode) == (5, 5), err + said_of_run
    assert json.loads(out)["attempt"]["run_id"] == run_id
    assert site.record["run"]["status"] == site.status(run_id) == "KILLED"


def test_a_watcher_that_is_interrupted_leaves_the_run_alone(site: Site, left: str) -> None:
    watcher = site.start("watch")
    read_until(watcher, "RUNNING")
    watcher.send_signal(signal.SIGINT)
    _, err = watcher.communicate()

    assert watcher.returncode == 130, err
    assert f"run {left} goes on; `inv cancel` ends it" in err
    assert site.status(left) == "RUNNING"
    assert site.inv("cancel").code == 0


def test_on_this_machine_nothing_goes_on_that_could_be_watched(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = make_repository(tmp_path_factory.mktemp("local") / "repository")

    for arguments, code in ((["watch"], 3), (["cancel"], 3), (["watch", "0123"], 2), (["cancel", "0123"], 2)):
        said = inv(*arguments, cwd=folder)
        assert (said.code, "`inv runs`" in said.err) == (code, True), said.err

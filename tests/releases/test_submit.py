"""The submit on the wire: one request, whatever its answer; what was made of it is found, what was not is repeated."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest

from tests.fake_workspace import runs
from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.runs import Mode
from tests.support import sites
from tests.support.inv import start
from tests.support.sites import Site

pytest_plugins = ["tests.fake_workspace.fixture"]

SUBMIT = "/api/2.0/jobs/runs/submit"
THROTTLED = {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down"}
TROUBLE = {"error_code": "INTERNAL_ERROR", "message": "oops"}


@pytest.fixture(scope="module")
def staged(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sites.opened(tmp_path_factory.mktemp("submit") / "repository", mlflow_server) as site:
        yield sites.stage(site)


@pytest.fixture
def site(staged: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    from mlops_tasks.backends.jobs import lookup

    staged.forget()
    staged.workspace.jobs.mode = Mode(ending=runs.SUCCESS)
    monkeypatch.setattr(lookup, "WAIT", 0.05)
    with sites.entered(staged.workspace):
        yield staged


LOST: list[Any] = [
    pytest.param({"status": 500, "body": TROUBLE}, id="500", marks=pytest.mark.full),
    pytest.param({"status": 500}, id="500 without a word", marks=pytest.mark.full),
    pytest.param({"status": 503}, id="503"),
    pytest.param({"reset": True}, id="reset", marks=pytest.mark.full),
]
"""Answers that do not say whether there is a job."""


@pytest.mark.parametrize("fault", [*LOST, pytest.param({"status": 429, "body": THROTTLED}, id="429")])
def test_a_submit_that_fails_after_the_job_was_made_is_looked_up_and_not_repeated(
    site: Site, fault: dict[str, Any]
) -> None:
    site.workspace.faults.add("POST", SUBMIT, after=True, **fault)

    said = site.inv("run")

    assert said.code == 0, said.err
    assert len(site.submits()) == len(site.workspace.jobs.submitted) == 1
    assert "it made a job, which is followed" in said.err
    tags = site.tags(site.record["run"]["run_id"])
    assert tags["mlflow.databricks.shellJobRunID"] == str(site.record["run"]["job_run_id"])
    assert site.runs("RUNNING") == []


@pytest.mark.parametrize("fault", LOST)
def test_a_submit_that_may_have_made_a_job_is_not_repeated_before_somebody_asks_for_it(
    site: Site, fault: dict[str, Any]
) -> None:
    site.workspace.faults.add("POST", SUBMIT, call=1, **fault)

    said = site.inv("run")

    assert said.code == 4, said.err
    assert "whether the workspace took the job is not known" in said.err
    assert f"look there for a job run with {site.record['attempt']['id']} in its name" in said.err
    assert len(site.submits()) == 1
    assert f"a job run with {site.record['attempt']['id']} in its name" in site.inv("status").out

    again = site.inv("run")

    assert again.code == 0, again.err
    assert "is now FAILED" in again.err
    assert (len(site.submits()), len(site.workspace.jobs.submitted)) == (2, 1)
    assert site.runs("RUNNING") == []


def test_a_job_that_no_list_shows_in_time_is_followed_by_the_next_run_and_stays_the_only_one(site: Site) -> None:
    site.workspace.jobs.mode = Mode(ending=runs.SUCCESS, unseen=1)
    site.workspace.faults.add("POST", SUBMIT, after=True, status=503)
    site.workspace.faults.add("POST", "/api/2.0/mlflow/runs/search", status=200, body={})

    said = site.inv("run")

    assert said.code == 4, said.err
    assert "whether the workspace took the job is not known" in said.err
    site.workspace.faults.clear()
    site.workspace.jobs._runs[max(site.workspace.jobs._runs)].look()  # the lists have caught up

    again = site.inv("run")

    assert again.code == 0, again.err
    assert f"its run {site.record['run']['run_id']} has ended" in again.err
    assert len(site.submits()) == len(site.workspace.jobs.submitted) == 1
    assert site.record["attempt"]["ended"] is True
    assert site.runs("RUNNING") == []


def test_a_submit_that_was_throttled_made_no_job_and_is_begun_again(site: Site) -> None:
    site.workspace.faults.add("POST", SUBMIT, call=1, status=429, body=THROTTLED)

    said = site.inv("run")

    assert said.code == 0, said.err
    assert (len(site.submits()), len(site.workspace.jobs.submitted)) == (2, 1)
    assert "submitting again" in said.err
    assert site.runs("RUNNING") == []


@pytest.mark.full
def test_a_workspace_that_keeps_throttling_is_not_asked_for_ever(site: Site) -> None:
    site.workspace.faults.add("POST", SUBMIT, status=429, body=THROTTLED)

    said = site.inv("run")

    assert said.code == 4, said.err
    assert "the workspace did not take the job" in said.err
    assert len(site.submits()) == 3
    assert site.runs("RUNNING") == []


def test_a_refusal_is_told_in_the_workspaces_words_and_not_repeated(site: Site) -> None:
    words = "Cluster validation error: Validation failed for spark_version, must be 13.3.x-scala2.12"
    refusal = {"error_code": "INVALID_PARAMETER_VALUE", "message": words}
    site.workspace.faults.add("POST", SUBMIT, status=400, body=refusal)

    said = site.inv("run")

    assert said.code == 4, said.err
    assert words in said.err
    assert "Traceback" not in said.err
    assert len(site.submits()) == 1
    assert site.runs("RUNNING") == []
    site.workspace.faults.clear()
    assert site.inv("run").code == 0


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 503}, id="503"),
        pytest.param({"reset": True}, id="reset"),
        pytest.param({"status": 200, "body": {"run_id": 1}}, id="no state and no page"),
        pytest.param({"status": 200, "body": b"<html>"}, id="no JSON"),
        pytest.param({"status": 400, "body": {"error_code": "INVALID_PARAMETER_VALUE", "message": "?"}}, id="unknown"),
    ],
)
def test_a_first_look_that_fails_loses_no_job(site: Site, fault: dict[str, Any]) -> None:
    site.workspace.faults.add("GET", "/api/2.0/jobs/runs/get[?]", call=1, **fault)

    said = site.inv("run")

    assert said.code == 0, said.err
    assert len(site.submits()) == 1
    assert site.runs("RUNNING") == []


@pytest.mark.parametrize("path", ["runs/create", "runs/log-batch", "runs/set-tag"])
@pytest.mark.parametrize("after", [False, True])
def test_what_fails_before_the_submit_leaves_no_run_behind(site: Site, path: str, after: bool) -> None:
    site.workspace.faults.add("POST", f"/api/2.0/mlflow/{path}", call=1, after=after, status=500, body=TROUBLE)

    said = site.inv("run")

    assert said.code == 0, said.err
    assert len(site.workspace.jobs.submitted) == 1
    assert site.runs("RUNNING") == []


def test_a_spark_job_is_sent_flat_with_its_words_whole(site: Site) -> None:
    text = 'it\'s "a b" é $HOME\n'

    said = site.inv("run", "-P", f"text={text}", "--run-name", "mine")

    assert said.code == 0, said.err
    (body,) = site.submits()
    wheel = site.record["deployed"][0]["uri"]
    assert body["libraries"] == [{"pypi": {"package": "/dbfs/" + wheel.removeprefix("dbfs:/")}}]
    assert {key: body["new_cluster"][key] for key in sites.SPARK_CLUSTER} == sites.SPARK_CLUSTER
    assert body["spark_python_task"]["parameters"] == ["train.py", "--text", text]
    assert site.record["attempt"]["id"] in body["run_name"]
    run_id = site.record["run"]["run_id"]
    assert site.parameters(run_id) == {"text": text}
    tags = site.tags(run_id)
    assert (tags["mlflow.runName"], tags["mlflow.project.backend"]) == ("mine", "databricks")
    assert (tags["mlflow.source.name"], tags["mlops.branch"]) == ("training", "main")
    sha256 = site.record["deployed"][0]["sha256"]
    assert tags["mlops.wheel.mylib"] == f"mylib-1.0-py3-none-any.whl sha256:{sha256}"


def test_the_staged_files_are_as_they_were_after_a_run(site: Site) -> None:
    project = site.folder / site.record["patched"]["project_dir"]
    before = {path.name: path.read_bytes() for path in project.iterdir()}

    assert site.inv("run").code == 0

    assert {path.name: path.read_bytes() for path in project.iterdir()} == before
    spec = json.loads(before["cluster.json"])
    assert spec == sites.SPARK_CLUSTER
    assert "ENV_MANAGER" in site.submits()[0]["new_cluster"]


def test_mlflow_finds_the_archive_and_sends_none(site: Site) -> None:
    assert site.inv("run").code == 0

    assert site.workspace.requests.of("POST", r"/dbfs/.*\.tar\.gz") == []
    assert len(site.workspace.requests.of("POST", r"/dbfs/.*\.py")) == 1
    archives = list((site.workspace.root / "dbfs" / "mlflow-experiments").rglob("*.tar.gz"))
    assert archives
    assert all(path.stat().st_size > 100 for path in archives)


def test_only_json_is_printed_where_json_is_asked_for(site: Site) -> None:
    said = site.inv("run", "--json")

    assert said.json["run"]["status"] == "FINISHED"


@pytest.mark.parametrize("task", ["run", "release"])
def test_a_host_that_nobody_answers_at_is_noticed_by_one_call(
    site: Site, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        monkeypatch.setenv("DATABRICKS_HOST", f"http://127.0.0.1:{taken.getsockname()[1]}")
        said = site.inv(task)

    assert said.code == 4, said.err
    assert "cannot be reached: Connection refused" in said.err
    assert "trying again" not in said.err


@pytest.mark.full
def test_two_releases_of_the_same_content_at_once_both_run(site: Site, tmp_path: Path) -> None:
    """One waits at the archive until the other has put the very same one there."""
    gate = threading.Event()
    site.workspace.faults.add("POST", "/api/2.0/dbfs/move", call=1, gate=gate)
    other = shutil.copytree(site.folder, tmp_path / "repository")
    processes = [start(folder, "run", "-P", "text=same") for folder in (site.folder, other)]
    with futures.ThreadPoolExecutor() as pool:
        ends = [pool.submit(process.communicate) for process in processes]
        futures.wait(ends, return_when=futures.FIRST_COMPLETED)
        gate.set()
        said = [end.result()[1] for end in ends]

    assert [process.returncode for process in processes] == [0, 0], said
    assert len(site.workspace.jobs.submitted) == 2
    assert site.workspace.requests.of("POST", r"/dbfs/.*\.tar\.gz") == []

"""Releases by this package's own backend: one project, unchanged, to each kind of compute."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_workspace.mlflow_server import MlflowServer
from tests.support import sites
from tests.support.inv import Said
from tests.support.repositories import MLPROJECT
from tests.support.sites import Site

pytest_plugins = ["tests.fake_workspace.fixture"]

CLUSTER = {**sites.SPARK_CLUSTER, "spark_version": "15.4.x-scala2.12"}
ENVIRONMENT = """\
name: training
channels: [defaults]
dependencies:
  - pip
  - pip:
      - mlflow-skinny
      - WHEELPATH
"""
TRAIN = """\
import os, sys
import mlflow, mylib
print("TEXT", sys.argv[2])
with mlflow.start_run():
    mlflow.log_metric("answer", mylib.ANSWER)
if sys.argv[2] == "fail":
    raise ValueError("no such luck")
"""
VOLUME, FILES = "/Volumes/main/default/wheels", "/Workspace/Shared/wheels"


@pytest.fixture(scope="module")
def site(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    texts = {"SETTINGS": sites.AUTO, "CLUSTER": json.dumps(CLUSTER), "TRAIN": TRAIN, "ENVIRONMENT": ENVIRONMENT}
    folder = tmp_path_factory.mktemp("jobs") / "a repository"
    with sites.opened(folder, mlflow_server, MLPROJECT=MLPROJECT, **texts) as opened:
        yield opened


@pytest.fixture(autouse=True)
def at_the_workspace(site: Site) -> Iterator[None]:
    with sites.entered(site.workspace):
        if site.record_path.exists():
            site.forget()
        yield
    site.workspace.faults.clear()


def release(site: Site, spark_version: str, *flags: str, **more: object) -> Said:
    spec = {**CLUSTER, "spark_version": spark_version, **more}
    (site.folder / "training" / "cluster.json").write_text(json.dumps(spec))
    return site.inv("release", *flags)


def log_of(site: Site) -> str:
    return Path(site.folder, site.record["run"]["log"]).read_text()


def check_one_run(site: Site) -> None:
    """The release ended well in one MLflow run and one job run, with the wheel that was built."""
    run = site.record["run"]
    assert (run["status"], run["backend"], run["metrics"]) == ("FINISHED", "databricks-jobs", {"answer": 42})
    assert site.tags(run["run_id"])["mlops.wheel.mylib"].endswith(site.record["wheels"][0]["sha256"])
    attempt = site.record["attempt"]["id"]
    assert site.tags(run["run_id"])["mlops.attempt"] == attempt
    assert len(site.workspace.jobs.submitted) == len(site.submits()) == 1
    assert site.submits()[0]["idempotency_token"] == attempt


@pytest.mark.parametrize(
    ("spark_version", "root"),
    [
        pytest.param("14.3.x-scala2.12", VOLUME, id="14.3-volume", marks=pytest.mark.full),
        pytest.param("15.4.x-scala2.12", FILES, id="15.4-files"),
        pytest.param("17.3.x-scala2.13", VOLUME, id="17.3-volume", marks=pytest.mark.full),
        pytest.param("18.x-scala2.13", FILES, id="18-files", marks=pytest.mark.full),
    ],
)
def test_a_project_runs_on_each_runtime_with_the_very_wheel(site: Site, spark_version: str, root: str) -> None:
    said = release(site, spark_version, "--wheel-root", root, "-P", "text=it's  $HOME")

    assert said.code == 0, said.err
    check_one_run(site)
    assert said.err.count("TEXT it's  $HOME\n") == log_of(site).count("TEXT it's  $HOME\n") == 1
    result = json.loads(next((site.workspace.root / root.lstrip("/")).rglob("result.json")).read_bytes())
    assert [each["sha256"] for each in result["wheels"]] == [site.record["wheels"][0]["sha256"]]


def test_nothing_is_asked_of_dbfs(site: Site) -> None:
    site.workspace.dbfs.disabled = True
    try:
        said = release(site, "15.4.x-scala2.12", "--wheel-root", FILES)
    finally:
        site.workspace.dbfs.disabled = False

    assert said.code == 0, said.err
    assert not site.workspace.requests.of("GET", "/api/2.0/dbfs/.*") + site.workspace.requests.of(
        "POST", "/api/2.0/dbfs/.*"
    )


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("status", [500, 503, None], ids=["500", "503", "cut off"])
def test_a_lost_answer_to_the_submit_makes_no_second_job(site: Site, status: int | None, after: bool) -> None:
    url = "/api/2.2/jobs/runs/submit"
    site.workspace.faults.add("POST", url, call=1, status=status, reset=status is None, after=after)

    said = release(site, "15.4.x-scala2.12", "--wheel-root", FILES)

    assert said.code == 0, said.err
    run = site.record["run"]
    assert (run["status"], site.record["attempt"]["ended"]) == ("FINISHED", True)
    assert {each["idempotency_token"] for each in site.submits()} == {site.record["attempt"]["id"]}
    assert site.workspace.jobs.find_runs(site.record["attempt"]["id"]) == [run["job_run_id"]]


def test_a_run_that_fails_tells_its_error_and_trace(site: Site) -> None:
    said = release(site, "15.4.x-scala2.12", "--wheel-root", FILES, "-P", "text=fail")

    assert said.code == 5
    run = site.record["run"]
    assert (run["status"], run["reason"]) == ("FAILED", "ValueError: no such luck")
    assert 'train.py", line 7' in log_of(site)
    assert "ValueError: no such luck" in said.err
    assert site.status(run["run_id"]) == "FAILED"


def test_a_dry_release_shows_the_body_of_the_submit(site: Site, tmp_path: Path) -> None:
    said = release(site, "15.4.x-scala2.12", "--wheel-root", FILES, "--dry-run")

    assert said.code == 0, said.err
    assert '"spark_python_task"' in said.out
    assert '"whl": "/Workspace/Shared/wheels/' in said.out
    assert site.submits() == []

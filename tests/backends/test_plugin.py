"""Runs on a project backend that is an MLflow plugin: a real one, installed beside the test."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient

from mlops_tasks.backends import plugin
from mlops_tasks.report import Report
from tests.support.inv import inv
from tests.support.jobs import make_job
from tests.support.repositories import git, make_repository, write

PLUGIN = """\
import os, subprocess, sys
from mlflow import MlflowClient
from mlflow.projects import SubmittedRun
from mlflow.projects.backend.abstract_backend import AbstractBackend

class Handle(SubmittedRun):
    def __init__(self, run_id, process):
        self._run_id, self._process = run_id, process

    @property
    def run_id(self):
        return self._run_id

    def wait(self):
        return self._process.wait() == 0

    def get_status(self):
        return None

    def cancel(self):
        self._process.kill()

class Backend(AbstractBackend):
    def run(self, project_uri, entry_point, params, version, backend_config, tracking_uri, experiment_id):
        run_id = MlflowClient(tracking_uri).create_run(experiment_id).info.run_id
        print("submitted with", backend_config["new_cluster"])
        code = {"main": "print('ran')", "hang": "import time; time.sleep(600)"}
        if entry_point == "fail":
            MlflowClient(tracking_uri).set_terminated(run_id, "FINISHED")
        failing = "raise SystemExit(3)"
        return Handle(run_id, subprocess.Popen([sys.executable, "-c", code.get(entry_point, failing)]))
"""
ENTRY_POINTS = "[mlflow.project_backend]\nelsewhere = elsewhere_backend:Backend\n"
MLPROJECT = """\
name: training
conda_env: training_env.yaml
entry_points:
  main: {command: "python train.py"}
  fail: {command: "python train.py"}
  hang: {command: "python train.py"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository up to `patch`, and a plugin that is called `elsewhere`."""
    write(
        tmp_path / "plugin",
        {
            "elsewhere_backend.py": PLUGIN,
            "elsewhere-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n",
            "elsewhere-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
        },
    )
    monkeypatch.syspath_prepend(str(tmp_path / "plugin"))
    folder = make_repository(tmp_path / "repository", MLPROJECT=MLPROJECT)
    assert inv("name", "build-wheel", "deploy", "patch", cwd=folder).code == 0
    return folder


def client_of(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder}/.mlops/mlflow.db")


def test_a_plugins_run_is_followed_described_and_compared(folder: Path) -> None:
    said = inv("run", "--backend", "elsewhere", "--tag", "team=blue", "--json", cwd=folder)

    assert said.code == 0, said.err
    run = said.json["run"]
    assert (run["backend"], run["status"]) == ("elsewhere", "FINISHED")
    tags = client_of(folder).get_run(run["run_id"]).data.tags
    assert (tags["mlflow.project.backend"], tags["team"], tags["mlops.branch"]) == ("elsewhere", "blue", "main")


@pytest.mark.full
def test_a_plugin_is_given_the_cluster_spec_that_the_setting_names(folder: Path) -> None:
    write(folder, {"training/prod.json": (folder / "training" / "cluster.json").read_text().replace("12.2", "99.9")})
    git("add", ".", cwd=folder)
    named = ("--cluster", "training/prod.json")

    said = inv("patch", *named, "run", *named, "--backend", "elsewhere", cwd=folder)

    assert said.code == 0, said.err
    assert "submitted with {'spark_version': '99.9" in said.err


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        pytest.param(("--entry-point", "fail"), "FAILED", id="fails after its run was marked FINISHED"),
        pytest.param(("--entry-point", "hang", "--timeout", "1"), "KILLED", id="hangs", marks=pytest.mark.full),
    ],
)
def test_a_plugins_run_that_does_not_end_well_exits_5(folder: Path, arguments: tuple[str, ...], status: str) -> None:
    said = inv("run", "--backend", "elsewhere", *arguments, cwd=folder)

    assert said.code == 5
    record = json.loads(next((folder / ".mlops").glob("*/local/branches/*/release.json")).read_text())
    assert (record["run"]["status"], record["run"]["timed_out"]) == (status, "--timeout" in arguments)
    assert client_of(folder).get_run(record["run"]["run_id"]).info.status == status


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ("databricks", "writes to none"),
        ("databricks-jobs", "writes to none"),
        ("kubernetes", "docker_env"),
        ("elswhere", "is not installed"),
    ],
)
def test_a_backend_that_cannot_be_had_is_refused_with_those_that_can(folder: Path, backend: str, reason: str) -> None:
    said = inv("run", "--backend", backend, cwd=folder)

    assert said.code == 2
    assert reason in said.err
    assert "auto, local, elsewhere" in said.err


def test_a_run_that_cannot_be_described_is_cancelled_and_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []

    def cut_off(run_id: str, **_: object) -> None:
        raise KeyboardInterrupt

    handle = SimpleNamespace(run_id="r1", cancel=lambda: done.append("cancelled"))
    track: Any = SimpleNamespace(uri="x", describe_run=cut_off, end_run=lambda *end: done.append(end))
    monkeypatch.setattr(plugin, "submit", lambda *_, **__: handle)

    with pytest.raises(KeyboardInterrupt):
        plugin.PluginRuns(track, Report()).submit(make_job(tmp_path / "p", MLPROJECT.replace("conda_env", "# ")), "1")

    assert done == ["cancelled", ("r1", "KILLED")]

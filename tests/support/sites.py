"""A small repository that is released to a test workspace, and what the workspace knows of its runs afterwards."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.runs import Mode
from tests.fake_workspace.server import Workspace
from tests.support.inv import Said, inv, start
from tests.support.repositories import MLPROJECT, make_repository

AUTO = "mlops: {project: training, libraries: [libs/*], target: databricks, poll_interval: 0.2}\n"
SETTINGS = AUTO.replace("}", ", backend: databricks}")
"""Of MLflow's own backend; with `AUTO` the one that fits the cluster is chosen."""
SPARK = """\
name: training
databricks_spark_job:
  python_libraries: [WHEELPATH]
entry_points:
  main:
    parameters:
      text: {type: string, default: hello}
    command: "python train.py --text {text}"
  fail:
    command: "python fail.py"
"""
SPARK_CLUSTER = {
    "spark_version": "14.3.x-scala2.12",
    "node_type_id": "i3.xlarge",
    "num_workers": 1,
    "data_security_mode": "SINGLE_USER",
}
CLASSIC_CLUSTER = {**SPARK_CLUSTER, "spark_version": "12.2.x-scala2.12"}
AUTHOR = {"NAME": "Ada", "EMAIL": "ada@example.com"}


@dataclass(frozen=True)
class Site:
    """`folder` is the repository, whose releases go to `workspace`."""

    folder: Path
    workspace: Workspace
    mlflow: MlflowServer

    def inv(self, *arguments: str) -> Said:
        return inv(*arguments, cwd=self.folder)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return start(self.folder, *arguments)

    @property
    def record_path(self) -> Path:
        return self.folder / ".mlops" / "training" / "databricks" / "branches" / "main" / "release.json"

    @property
    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.record_path.read_text())
        return found

    def mlflow_run(self, run_id: str) -> dict[str, Any]:
        """The run as MLflow's server has it."""
        found: dict[str, Any] = json.loads(self.mlflow.ask("GET", f"/api/2.0/mlflow/runs/get?run_id={run_id}").body)
        return dict(found["run"])

    def status(self, run_id: str) -> str:
        return str(self.mlflow_run(run_id)["info"]["status"])

    def tags(self, run_id: str) -> dict[str, str]:
        return _pairs(self.mlflow_run(run_id)["data"].get("tags", ()))

    def parameters(self, run_id: str) -> dict[str, str]:
        return _pairs(self.mlflow_run(run_id)["data"].get("params", ()))

    def runs(self, status: str) -> list[str]:
        """The ids of all runs of that status."""
        asked = {"experiment_ids": self._experiments(), "filter": f"attributes.status = '{status}'", "max_results": 100}
        found = json.loads(self.mlflow.ask("POST", "/api/2.0/mlflow/runs/search", json.dumps(asked).encode()).body)
        return [run["info"]["run_id"] for run in found.get("runs", ())]

    def submits(self) -> list[dict[str, Any]]:
        """The bodies of all submits that were sent, whatever became of them."""
        return [entry.json for entry in self.workspace.requests.of("POST", r"/api/2\.\d/jobs/runs/submit")]

    def change_attempt(self, **changed: Any) -> None:
        """Have the record's attempt, which has not ended, be another one."""
        record = self.record
        (path,) = (each for each in self.attempt_paths if record["attempt"]["id"] in each.read_text())
        record["attempt"] |= changed
        for each in (path, self.record_path):
            each.write_text(json.dumps(record))

    @property
    def attempt_paths(self) -> list[Path]:
        """The files of the attempts that have not ended."""
        return sorted(self.record_path.with_name("attempts").glob("*.json"))

    def forget(self) -> None:
        """Be as after `inv patch`: no run on record, nothing wrong with the workspace, and nothing asked of it."""
        kept = {key: value for key, value in self.record.items() if key not in {"run", "attempt"}}
        self.record_path.write_text(json.dumps(kept))
        shutil.rmtree(self.record_path.with_name("attempts"), ignore_errors=True)
        self.workspace.faults.clear()
        self.workspace.jobs.mode = Mode()
        self.workspace.jobs.submitted.clear()
        self.workspace.requests.clear()

    def _experiments(self) -> list[str]:
        found = json.loads(self.mlflow.ask("GET", "/api/2.0/mlflow/experiments/search?max_results=100").body)
        return [each["experiment_id"] for each in found["experiments"]]


@contextmanager
def opened(folder: Path, mlflow: MlflowServer, **changed: str) -> Iterator[Site]:
    """A site whose repository is a Spark job's, but for what is `changed`."""
    mlflow.start()
    mlflow.wipe()
    texts = {"SETTINGS": SETTINGS, "MLPROJECT": SPARK, "CLUSTER": json.dumps(SPARK_CLUSTER), **changed}
    with Workspace(mlflow=mlflow, reuse=True) as workspace, entered(workspace):
        workspace.make_volume("main", "default", "wheels")
        yield Site(make_repository(folder, **texts), workspace, mlflow)
    assert not workspace.crashes, workspace.crashes[0]


@contextmanager
def entered(workspace: Workspace) -> Iterator[None]:
    """The variables of somebody who is logged in there."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in workspace.environment.items():
            patch.setenv(name, value)
        for name, value in AUTHOR.items():
            patch.setenv(f"GIT_AUTHOR_{name}", value)
            patch.setenv(f"GIT_COMMITTER_{name}", value)
        yield


def classic(*, cluster: dict[str, Any] | None = None) -> dict[str, str]:
    """What is changed for a project with a conda YAML, whose cluster JSON has the wheels for the workers."""
    spec = {"new_cluster": cluster or CLASSIC_CLUSTER, "libraries": [{"whl": "WHEELPATH"}]}
    return {"MLPROJECT": MLPROJECT, "CLUSTER": json.dumps(spec)}


def stage(site: Site) -> Site:
    said = site.inv("name", "build-wheel", "deploy", "patch")
    assert said.code == 0, said.err
    return site


def _pairs(found: Any) -> dict[str, str]:
    return {each["key"]: each["value"] for each in found}

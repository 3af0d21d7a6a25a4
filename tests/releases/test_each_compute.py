"""Two whole projects, unchanged, on every kind of compute: the same metrics, tags and wheels everywhere.

Which compute a release is headed for is said by flags alone. MLflow's own backend gives the values to compare with.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import mlops_tasks
from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.runs import Mode
from tests.fake_workspace.server import Workspace
from tests.support import adoption, repositories, sites
from tests.support.inv import inv

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]
pytest_plugins = ["tests.fake_workspace.fixture"]

TEMPLATE = Path(mlops_tasks.__file__).parent / "template"
NODES = {"node_type_id": "Standard_DS3_v2", "num_workers": 1, "data_security_mode": "SINGLE_USER"}
VOLUME, FILES = "/Volumes/main/default/wheels", "/Workspace/Shared/wheels"
CLASSIC = "10.4.x-scala2.12"
COMPUTE: Mapping[str, tuple[str, str]] = {
    "14.3, volume": ("14.3.x-scala2.12", VOLUME),
    "15.4, workspace files": ("15.4.x-scala2.12", FILES),
    "17.3, volume": ("17.3.x-scala2.13", VOLUME),
    "18, workspace files": ("18.x-scala2.13", FILES),
    "existing cluster": ("", FILES),
    "serverless": ("", VOLUME),
}
PASSING = ("mlflow.", "mlops.attempt", "mlops.run_folder")
"""Tags that are MLflow's own, or that name the attempt."""


class Ended(NamedTuple):
    metrics: dict[str, float]
    tags: dict[str, str]
    parameters: dict[str, str]
    wheels: list[str]


def bundled(folder: Path) -> None:
    shutil.copytree(TEMPLATE / "projects" / "training", folder / "training")
    shutil.copytree(TEMPLATE / "libs", folder / "libs", ignore=shutil.ignore_patterns("__pycache__"))
    pin(folder / "training" / "training_env.yaml")


def playbook(folder: Path) -> None:
    """The playbook's, with what is outdated in it put right; the test workspace has no registry of models."""
    theirs = {name.replace(adoption.PROJECT, "training"): text for name, text in adoption.THEIRS.items()}
    repositories.write(folder, {**theirs, "training/quality.csv": adoption.DATA})
    registered = {"train.py": (", registered_model_name=model_name", "")}
    for mends in (adoption.PINS, adoption.DOWNLOAD, adoption.MODEL_NAME, registered):
        for name, (old, new) in mends.items():
            path = folder / "training" / name
            path.write_text(path.read_text().replace(old, new))
    pin(folder / "training" / "training_env.yaml")


def pin(environment: Path) -> None:
    """To the running MLflow: a newer one asks for what the server of the test workspace doesn't have."""
    pinned = re.sub(r"- mlflow\n", f"- mlflow=={metadata.version('mlflow')}\n", environment.read_text())
    environment.write_text(pinned)


PROJECTS = {"bundled": bundled, "playbook": playbook}


@pytest.fixture(params=PROJECTS)
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "a repository"
    folder.mkdir()
    PROJECTS[request.param](folder)
    settings = "mlops: {project: training, libraries: [libs/*], target: databricks, poll_interval: 0.5}\n"
    repositories.write(folder, {"tasks.py": repositories.TASKS, "invoke.yaml": settings})
    for name, (runtime, _) in {"classic": (CLASSIC, ""), **COMPUTE}.items():
        if runtime:
            spec = {"new_cluster": {**NODES, "spark_version": runtime}, "libraries": [{"whl": "WHEELPATH"}]}
            repositories.write(folder, {f"clusters/{name}.json": json.dumps(spec)})
    return folder


@pytest.fixture
def workspace(mlflow_server: MlflowServer) -> Iterator[Workspace]:
    mlflow_server.start()
    mlflow_server.wipe()
    with Workspace(mlflow=mlflow_server, reuse=True) as workspace, sites.entered(workspace):
        workspace.make_volume("main", "default", "wheels")
        workspace.jobs.mode = Mode(login_for_all=metadata.version("mlflow").startswith("2."))  # an old one's own way in
        yield workspace
    assert not workspace.crashes, workspace.crashes[0]


def test_the_same_project_gives_the_same_on_every_compute(
    workspace: Workspace, mlflow_server: MlflowServer, repository: Path
) -> None:
    cluster = workspace.compute.add_cluster()
    repositories.write(
        repository, {"clusters/existing cluster.json": json.dumps({"existing_cluster_id": cluster.cluster_id})}
    )
    repositories.commit(repository)
    classic = release(repository, workspace, mlflow_server, "classic", "--backend", "databricks")
    with repositories.nothing_changes(repository):
        ended = {
            name: release(repository, workspace, mlflow_server, name, "--wheel-root", root)
            for name, (_, root) in COMPUTE.items()
        }

    assert classic.metrics
    for name, found in ended.items():
        assert found.metrics == pytest.approx(classic.metrics, rel=1e-6), name
        assert found.tags == classic.tags, name
        assert found.parameters == classic.parameters, name
        assert found.wheels == classic.wheels, name
    assert (cluster.written(), cluster.libraries) == ([], {})


IN_ORDER = """\
mlops:
  libraries: [libs/*]
  poll_interval: 0.5
  projects:
    - project: training
    - project: scoring
      parameters: {model: "runs:/{training.run_id}/model", expected: "{training.metrics.r2}"}
"""


@pytest.mark.parametrize(
    ("flags", "runtime"),
    [
        (["--target", "local"], CLASSIC),
        (["--target", "databricks", "--backend", "databricks"], CLASSIC),
        (["--target", "databricks", "--wheel-root", VOLUME], "15.4.x-scala2.12"),
    ],
    ids=["local", "MLflow's backend", "databricks-jobs"],
)
def test_the_playbooks_score_reads_the_model_that_its_training_made(
    workspace: Workspace, tmp_path: Path, flags: list[str], runtime: str
) -> None:
    folder = tmp_path / "repository"
    playbook(folder)
    repositories.write(folder, {**adoption.SCORING, "scoring/quality.csv": adoption.DATA})
    for name, mends in {"score.py": adoption.DOWNLOAD["train.py"], "scoring_env.yaml": ("3.7", "3.9")}.items():
        path = folder / "scoring" / name
        path.write_text(path.read_text().replace(*mends))
    pin(folder / "scoring" / "scoring_env.yaml")
    cluster = json.dumps({"new_cluster": {**NODES, "spark_version": runtime}})
    repositories.write(folder, {f"{name}/cluster.json": cluster for name in ("training", "scoring")})
    repositories.write(folder, {"tasks.py": repositories.TASKS, "invoke.yaml": IN_ORDER})
    repositories.commit(folder)

    with repositories.nothing_changes(folder):
        said = inv("release", *flags, "--force", "--json", cwd=folder)

    assert said.code == 0, said.err
    training, scoring = (each["run"] for each in said.json["projects"].values())
    assert 0 < training["metrics"]["r2"] < 1
    assert scoring["metrics"] == pytest.approx(dict.fromkeys(["r2_again", "r2_expected"], training["metrics"]["r2"]))


def release(repository: Path, workspace: Workspace, mlflow: MlflowServer, name: str, *flags: str) -> Ended:
    """What is known of the run of a release to that compute: one MLflow run, and one job run."""
    workspace.requests.clear()
    before = len(workspace.jobs.submitted)
    serverless = name == "serverless"
    workspace.dbfs.disabled = serverless
    where = ("--compute", "serverless") if serverless else ("--cluster", f"clusters/{name}.json")
    runs = active_runs(mlflow)

    said = inv("release", *where, *flags, "--force", "--json", cwd=repository)

    assert said.code == 0, (name, said.err)
    run = said.json["run"]
    assert len(workspace.jobs.submitted) == before + 1, name
    assert active_runs(mlflow) - runs == {run["run_id"]}, name
    data = json.loads(mlflow.ask("GET", f"/api/2.0/mlflow/runs/get?run_id={run['run_id']}").body)["run"]["data"]
    tags, parameters = ({each["key"]: each["value"] for each in data.get(key, ())} for key in ("tags", "params"))
    wheels = [each["sha256"] for each in said.json["wheels"]]
    if run["backend"] == "databricks-jobs":
        result = workspace.root / tags["mlops.run_folder"].lstrip("/") / "result.json"
        assert [each["sha256"] for each in json.loads(result.read_bytes())["wheels"]] == wheels, name
    return Ended(
        metrics=run["metrics"],
        tags={key: value for key, value in tags.items() if not key.startswith(PASSING)},
        parameters=parameters,
        wheels=wheels,
    )


def active_runs(mlflow: MlflowServer) -> set[str]:
    listed = json.loads(mlflow.ask("GET", "/api/2.0/mlflow/experiments/search?max_results=100").body)
    asked = {"experiment_ids": [each["experiment_id"] for each in listed["experiments"]], "max_results": 1000}
    found: dict[str, Any] = json.loads(
        mlflow.ask("POST", "/api/2.0/mlflow/runs/search", json.dumps(asked).encode()).body
    )
    return {each["info"]["run_id"] for each in found.get("runs", ())}

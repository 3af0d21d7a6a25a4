"""Training and scoring in order, for real: what the second takes from the first, and where a failure leaves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import slugs
from mlops_tasks.record import Record
from mlops_tasks.release import Attempt, Release
from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.server import Workspace
from tests.support import sites, two_projects
from tests.support.inv import inv, read_until, start
from tests.support.repositories import nothing_changes, write

pytest_plugins = ["tests.fake_workspace.fixture"]

FAILING = "import sys\nprint('no threshold will do')\nsys.exit(3)\n"


def records(folder: Path) -> dict[str, dict[str, Any]]:
    """The records of all runs, by their projects; each project has one run."""
    found = [json.loads(path.read_text()) for path in (folder / ".mlops").glob("*/local/runs/*.json")]
    assert len({each["project"] for each in found if each["run"]["status"] == "FINISHED"}) == 2
    return {each["project"]: each for each in found if each["run"]["status"] == "FINISHED"}


def test_the_score_reads_what_training_made_and_a_failure_stops_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = two_projects.make(tmp_path / "repository", **{"score.py": FAILING})
    outputs = tmp_path / "outputs"
    for name, value in {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(outputs)}.items():
        monkeypatch.setenv(name, value)

    failed = inv("release", "-P", "slope=2", "--json", cwd=folder)

    assert failed.code == failed.json["error"]["code"] == 5, failed.err
    assert {name: each["run"]["status"] for name, each in failed.json["projects"].items()} == {
        "training": "FINISHED",
        "score": "FAILED",
    }
    assert "`inv release -P slope=2` (or `inv run --project score`," in failed.json["error"]["try"]
    trained = failed.json["projects"]["training"]["run"]["run_id"]
    assert f"training_run_id<<END\n{trained}\nEND\n" in outputs.read_text()

    write(folder, {"projects/score/score.py": two_projects.SCORE})
    done = inv("release", "-P", "slope=2", cwd=folder)

    assert done.code == 0, done.err
    assert f"run          FINISHED {trained} before, and nothing has changed\n" in done.out
    training, score = (records(folder)[f"projects/{name}"] for name in ("training", "score"))
    assert training["run"]["run_id"] == trained
    assert score["run"]["metrics"] == {"scored": 20.0, "threshold": 0.5}
    assert score["attempt"]["parameters"]["model"] == f"runs:/{trained}/model.json"
    assert done.out.splitlines()[-2:] == [
        f"training  FINISHED {trained}",
        f"score     FINISHED {score['run']['run_id']}",
    ]
    assert score["wheels"] == training["wheels"]
    assert score["deployed"] == training["deployed"]
    assert not (folder / ".mlops" / "series" / "local" / "main.json").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_projects.make(tmp_path_factory.mktemp("projects") / "repository")


def test_a_dry_run_shows_all_of_them_and_what_is_not_known_yet(folder: Path) -> None:
    with nothing_changes(folder):
        said = inv("release", "--dry-run", "--env", "local", cwd=folder)

    assert said.code == 0, said.err
    assert [line for line in said.out.splitlines() if line in {"training", "score"}] == ["training", "score"]
    assert "parameter model = runs:/00000000000000000000000000000000/model.json" in said.err
    assert "{training.metrics.auc} is known once training has run: here a specimen stands for it" in said.err
    assert said.out.count("mylib-1.0-py3-none-any.whl") == 2


@pytest.mark.parametrize("task", ["name", "build-wheel", "deploy", "patch", "run", "watch", "cancel"])
def test_a_task_of_one_project_wants_its_name(folder: Path, task: str) -> None:
    with nothing_changes(folder):
        said = inv(task, cwd=folder)

    assert (said.code, said.out) == (2, "")
    assert "2 projects are listed, and this takes one of them: training, score\n" in said.err
    assert "do: give `--project NAME`" in said.err


@pytest.mark.parametrize("task", ["watch", "cancel"])
def test_a_run_that_is_given_by_its_id_is_one_of_its_own_project(tmp_path: Path, task: str) -> None:
    folder = two_projects.make(tmp_path / "repository")
    attempt = Attempt(id="a1", run_id="feed" * 8, experiment_id="1", job_run_id=7, detached=True, entry_point="main")
    branch = folder / ".mlops" / slugs.slug("projects/score") / "local" / "branches" / "main"
    Record(branch).save_attempt(Release(target="local", project="projects/score", branch="main", attempt=attempt))

    said = inv(task, "feed", "--dry-run", cwd=folder)

    assert said.code == 0, said.err
    assert f"run {'feed' * 8}, job run 7" in said.out


def test_by_its_name_one_project_is_taken(folder: Path) -> None:
    said = inv("name", "--project", "score", "--json", cwd=folder)

    assert said.json["project"] == "projects/score"


def test_the_score_alone_wants_a_run_of_training(folder: Path) -> None:
    said = inv("release", "--project", "score", cwd=folder)

    assert said.code == 3
    assert "score takes {training.run_id}, and no run of training on the branch main has finished here" in said.err
    assert "in: mlops.projects.score.parameters.model (configuration)" in said.err


@pytest.mark.parametrize("name", ["training", "score"])
def test_a_fault_of_any_project_is_told_before_the_first_step(folder: Path, tmp_path: Path, name: str) -> None:
    settings = two_projects.SETTINGS.replace(f"projects/{name}\n", f"projects/{name}\n      entry_point: fit\n")
    folder = two_projects.make(tmp_path / "repository", settings=settings)

    with nothing_changes(folder):
        said = inv("release", cwd=folder)

    assert (said.code, said.out) == (2, "")
    assert f"in: {folder}/projects/{name}/MLproject" in said.err
    assert not (folder / ".mlops" / "series").exists()


JOBS = two_projects.SETTINGS.replace("  env_manager: local\n", "  target: databricks\n  poll_interval: 0.2\n")
CLUSTER = json.dumps({**sites.SPARK_CLUSTER, "spark_version": "15.4.x-scala2.12"})
ON_DRIVER = "name: both\ndependencies: [pip, {pip: [mlflow-skinny, WHEELPATH]}]\n"


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_workspace_runs_both_and_a_command_that_is_killed_loses_neither(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    folder = two_projects.make(tmp_path / "repository", settings=JOBS, environment=ON_DRIVER)
    write(folder, {f"projects/{name}/cluster.json": CLUSTER for name in ("training", "score")})
    mlflow_server.start()
    mlflow_server.wipe()
    with Workspace(mlflow=mlflow_server, reuse=True) as workspace, sites.entered(workspace):
        for words in (": main on databricks", "score of "):  # each is said when a job is there
            killed = start(folder, "release")
            read_until(killed, words)
            killed.kill()
            killed.communicate()
        (job_run_id,) = workspace.jobs.find_runs("score of ")
        workspace.jobs.wait(job_run_id)

        said = inv("release", "--json", cwd=folder)

        assert said.code == 0, said.err
        training, score = said.json["projects"].values()
        assert (training["run"]["status"], score["run"]["status"]) == ("FINISHED", "FINISHED")
        assert score["run"]["metrics"] == {"scored": 30, "threshold": 0.75}
        assert score["attempt"]["parameters"]["model"] == f"runs:/{training['run']['run_id']}/model.json"
        assert score["deployed"] == training["deployed"]
        assert len(workspace.jobs.submitted) == 2
        assert len(list(workspace.requests.of("POST", r".*mlflow/runs/create"))) == 2
    assert not workspace.crashes, workspace.crashes[0]

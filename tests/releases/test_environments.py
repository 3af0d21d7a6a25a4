"""One invoke.yaml for this machine and two workspaces: who is asked, what is recorded where, who is kept out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.runs import Mode
from tests.fake_workspace.server import Workspace
from tests.support import sites
from tests.support.inv import inv
from tests.support.repositories import git, make_repository, nothing_changes, write

pytest_plugins = ["tests.fake_workspace.fixture"]

SETTINGS = """\
mlops:
  project: training
  libraries: [libs/*]
  env_manager: local
  poll_interval: 0.2
  experiment: /Shared/{environment}/{project}/{branch}
  environments:
    rehearsal:
      parameters: {text: short}
    dev:
      target: databricks
      env_manager: auto
      profile: dev
      wheel_root: /Workspace/Shared/wheels
      experiment: /Users/{user}/{environment}/{branch}
    prod:
      extends: dev
      profile: prod
      branches: [main, release/*]
      clean: true
      tags: {stage: production}
"""
CLUSTER = {**sites.SPARK_CLUSTER, "spark_version": "15.4.x-scala2.12"}
ENVIRONMENT = "name: training\ndependencies: [pip, {pip: [mlflow-skinny, WHEELPATH]}]\n"
TRAIN = "import mlflow\nwith mlflow.start_run():\n    mlflow.log_metric('answer', 42)\n"
SETS = ("rehearsal", "dev", "prod")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = {"SETTINGS": SETTINGS, "CLUSTER": json.dumps(CLUSTER), "ENVIRONMENT": ENVIRONMENT, "TRAIN": TRAIN}
    return make_repository(tmp_path / "repository", **texts)


@pytest.fixture
def workspaces(
    mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Workspace]]:
    """Two workspaces with a user and a profile each, by the profile's name."""
    config = tmp_path / "databrickscfg"
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(config))
    dev_user, prod_user = {"dapi-of-dev": "ada@example.com"}, {"dapi-of-prod": "eve@example.com"}
    with (
        Workspace(mlflow=mlflow_server, users=dev_user, reuse=True) as dev,
        Workspace(mlflow=mlflow_server, users=prod_user, reuse=True) as prod,
    ):
        known = {"dev": dev, "prod": prod}
        sections = (f"[{name}]\nhost = {each.url}\ntoken = {each.token}\n" for name, each in known.items())
        config.write_text("\n".join(sections))
        yield known
        assert dev.crashes + prod.crashes == []


def asked(workspaces: dict[str, Workspace]) -> dict[str, int]:
    return {name: len(list(each.requests)) for name, each in workspaces.items()}


def test_each_environment_has_its_own_login_names_and_record(folder: Path, workspaces: dict[str, Workspace]) -> None:
    experiments = {}
    for name in SETS:
        before = asked(workspaces)
        said = inv("name", "--env", name, "--json", cwd=folder)

        assert said.code == 0, said.err
        assert said.json["environment"] == name
        experiments[name] = said.json["names"]["experiment"]
        assert {each for each, count in asked(workspaces).items() if count > before[each]} == {name} - {"rehearsal"}

    assert experiments == {
        "rehearsal": "/Shared/rehearsal/training/main",
        "dev": "/Users/ada@example.com/dev/main",
        "prod": "/Users/eve@example.com/prod/main",
    }
    assert {path.name for path in (folder / ".mlops" / "training").iterdir()} == set(SETS)


def test_a_release_to_this_machine_needs_no_login(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", "/dev/null/nowhere")

    said = inv("release", "--env", "rehearsal", "--dry-run", cwd=folder)

    assert said.code == 0, said.err
    assert "under /Shared/rehearsal/training/main on rehearsal\n" in said.out


@pytest.mark.parametrize("task", ["name", "build-wheel", "deploy", "patch", "run", "release"])
def test_a_branch_that_may_not_release_there_is_kept_out_before_anything_else(folder: Path, task: str) -> None:
    git("switch", "-q", "-c", "feature/x", cwd=folder)

    with nothing_changes(folder):
        said = inv(task, "--env", "prod", cwd=folder)

    assert (said.code, said.out) == (6, "")
    assert said.err == (
        "error: the branch feature/x may not release to prod, which lets in only main, release/*\n"
        f"  in: {folder}/invoke.yaml:19:7\n"
        "  do: release from a branch that is let in, or give `--env rehearsal` or `--env dev`\n"
    )
    assert not (folder / ".mlops").exists()


def test_who_only_looks_is_not_kept_out(folder: Path, workspaces: dict[str, Workspace]) -> None:
    git("switch", "-q", "-c", "feature/x", cwd=folder)

    assert inv("status", "--env", "prod", cwd=folder).code == 0
    assert inv("plan", "--env", "prod", cwd=folder).code == 0
    assert inv("doctor", "--env", "prod", cwd=folder).code == 0
    assert "no run of this release is going on" in inv("watch", "--env", "prod", cwd=folder).err


def test_a_work_tree_with_changes_is_kept_out_where_a_clean_one_is_wanted(folder: Path) -> None:
    write(folder, {"training/note.txt": "not committed"})

    said = inv("name", "--env", "prod", "--json", cwd=folder)

    assert said.code == said.json["error"]["code"] == 6
    assert said.json["error"]["what"].startswith("the work tree has changes that are not committed, and prod takes")
    assert said.json["error"]["where"] == f"{folder}/invoke.yaml:20:7"
    assert inv("name", "--env", "rehearsal", cwd=folder).code == 0


def test_a_detached_head_is_no_branch(folder: Path) -> None:
    git("switch", "-q", "--detach", cwd=folder)
    git("branch", "-q", "-m", "main", "elsewhere", cwd=folder)
    git("branch", "-q", "another", cwd=folder)

    said = inv("name", "--env", "prod", cwd=folder)

    assert said.code == 6
    assert f"the branch {git('rev-parse', 'HEAD', cwd=folder)[:12]} may not release to prod" in said.err


def test_the_doctor_examines_all_of_them(
    folder: Path, workspaces: dict[str, Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_STAGE", "another program's")

    said = inv("doctor", "--env", "all", cwd=folder)

    assert said.code == 0, said.err
    assert said.err.count("MLOPS_STAGE: no setting of mlops_tasks has that name") == 1
    assert [line for line in said.out.splitlines() if line in SETS] == list(SETS)

    workspaces["prod"].identity.users.clear()
    refused = inv("doctor", "--env", "all", "--json", cwd=folder)
    assert refused.code == 4
    assert list(refused.json["environments"]) == list(SETS)
    assert refused.json["environments"]["dev"]["findings"] == []
    assert refused.json["error"]["what"] == "1 of 3 environments have errors: prod"
    assert refused.json["error"]["try"].endswith("then `inv doctor --env all`")


def test_the_doctor_changes_nothing_for_all_of_them(folder: Path) -> None:
    said = inv("doctor", "--env", "all", "--fix", cwd=folder)

    assert said.code == 2
    assert "give `--env NAME`, or leave --fix out" in said.err


def test_without_environments_all_of_them_are_the_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    folder = make_repository(tmp_path / "repository", CLUSTER=json.dumps(CLUSTER), ENVIRONMENT=ENVIRONMENT)

    said = inv("doctor", "--env", "all", "--json", cwd=folder)

    assert said.code == 2
    assert said.json["error"]["what"] == "1 of 2 environments have errors: databricks"


@pytest.mark.full
def test_one_file_of_settings_releases_to_all_of_them(
    folder: Path, workspaces: dict[str, Workspace], mlflow_server: MlflowServer
) -> None:
    mlflow_server.start()
    mlflow_server.wipe()
    for name in SETS:
        said = inv("release", "--env", name, cwd=folder)
        assert said.code == 0, said.err
        assert "MLflow's tracking store refused" not in said.err

    records = {
        path.parts[-4]: json.loads(path.read_text())
        for path in (folder / ".mlops" / "training").glob("*/branches/main/release.json")
    }
    assert {name: each["environment"] for name, each in records.items()} == {name: name for name in SETS}
    assert {name: each["run"]["status"] for name, each in records.items()} == dict.fromkeys(SETS, "FINISHED")
    assert {name: each["attempt"].get("host", "") for name, each in records.items()} == {
        "rehearsal": "",
        **{name: each.url for name, each in workspaces.items()},
    }
    for name, each in workspaces.items():
        assert len(each.jobs.submitted) == 1
        token = {other.token for other in workspaces.values()} - {each.token}
        assert not [entry for entry in each.requests if token & {str(entry.headers).rpartition("Bearer ")[2][:12]}]
        assert records[name]["deployed"][0]["uri"].startswith("/Workspace/Shared/wheels/")

    shown = inv("status", "--env", "prod", cwd=folder).out
    assert "training on prod, branch main" in shown
    assert [line.split()[:2] for line in shown.splitlines()[-3:]] == [[name, "FINISHED"] for name in SETS]


@pytest.mark.full
def test_a_run_of_another_environment_is_cancelled_by_its_id_with_that_environments_login(
    folder: Path, workspaces: dict[str, Workspace]
) -> None:
    workspaces["dev"].jobs.mode = Mode(endless=True)
    begun = inv("release", "--env", "dev", "--detach", "--json", cwd=folder)
    assert begun.code == 0, begun.err
    run_id, before = begun.json["attempt"]["run_id"], asked(workspaces)["prod"]

    listed, said = inv("runs", cwd=folder), inv("cancel", run_id[:8], "--json", cwd=folder)

    assert (listed.code, "could not be asked" in listed.err, run_id[:8] in listed.out) == (0, False, True), listed.err
    assert (said.code, said.json["run"]["status"], said.json["environment"]) == (0, "KILLED", "dev"), said.err
    assert asked(workspaces)["prod"] == before

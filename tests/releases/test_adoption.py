"""A repository as the playbook's author laid it out, released by adding tasks.py and settings, once it is mended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_tasks.project import mlproject
from tests.fake_workspace.server import Workspace
from tests.support.adoption import ADDED, DATA, DOWNLOAD, MODEL_NAME, PINS, PROJECT, THEIRS
from tests.support.inv import inv
from tests.support.repositories import git, write

pytest_plugins = ["tests.fake_workspace.fixture"]

CLUSTER = {"spark_version": "12.2.x-scala2.12", "num_workers": 1, "node_type_id": "Standard_DS3_v2"}


@pytest.fixture
def adopted(tmp_path: Path) -> Path:
    """Their repository with our two files in it, and nothing else changed."""
    folder = tmp_path / "repository"
    write(folder, {**THEIRS, **ADDED})
    git("init", "-q", "-b", "main", cwd=folder)
    git("add", ".", cwd=folder)
    git("commit", "-q", "-m", "theirs", cwd=folder)
    return folder


@pytest.fixture
def mended(adopted: Path) -> Path:
    """What is dead in it replaced: its pins, its download, its model's name."""
    for mends in (PINS, DOWNLOAD, MODEL_NAME):
        for name, (old, new) in mends.items():
            path = adopted / PROJECT / name
            text = path.read_text()
            assert text.count(old) == 1
            path.write_text(text.replace(old, new))
    write(adopted, {f"{PROJECT}/quality.csv": DATA})
    return adopted


def examine(folder: Path) -> set[tuple[str, str]]:
    """What the doctor finds, each as its level and its words."""
    found = inv("doctor", "--json", cwd=folder).json["findings"]
    return {(each["level"], each["what"]) for each in found}


def test_the_doctor_names_each_thing_that_is_dead_in_it(adopted: Path) -> None:
    found = examine(adopted)

    expected = {
        "runtime 7.0 has 3.7": "error",
        "spark_version 7.0.x-scala2.12) is not supported": "warning",
        "asks for Python 3.7, which ended": "warning",
        "Python 3.7 cannot run MLflow": "warning",
        "/dbfs/libs/mylib-1.0-py3-none-any.whl is a fixed path": "note",
        "downloads http://example.org/wine/quality.csv": "note",
        "registered model's name has the three levels": "note",
    }
    assert inv("doctor", cwd=adopted).code == 2
    for what, level in expected.items():
        assert [each for each in found if each[0] == level and what in each[1]], what
    assert len(found) == len(expected)


@pytest.mark.full
def test_mended_it_is_released_on_this_machine(mended: Path) -> None:
    said = inv("release", cwd=mended)

    assert said.code == 0, said.err
    assert "greetings from the wheel" in said.err
    assert "run          FINISHED" in said.out
    record = inv("status", "--json", cwd=mended).json
    assert 0 < record["run"]["metrics"]["r2"] < 1


def test_mended_it_is_staged_for_databricks(
    mended: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead(monkeypatch, workspace)
    wrong = [what for level, what in examine(mended) if level == "error"]
    # true of the MLflow that is installed here, and not of the project
    assert all("MLflow's backend installs its own version" in each for each in wrong)

    said = inv("name", "build-wheel", "deploy", "--force", "patch", cwd=mended)

    assert said.code == 0, said.err
    (wheel,) = (workspace.root / "dbfs" / "wheels").rglob("*.whl")
    place = wheel.relative_to(workspace.root / "dbfs").as_posix()
    staged = find_staged(mended)
    environment = yaml.safe_load((staged / "training_env.yaml").read_text())
    assert environment["dependencies"] == ["python=3.9", "scikit-learn", {"pip": ["mlflow", f"/dbfs/{place}"]}]
    assert read_cluster(staged) == {"new_cluster": CLUSTER, "libraries": []}
    assert (staged / "quality.csv").read_text() == DATA

    said = inv("patch", "--workers", cwd=mended)

    assert said.code == 0, said.err
    staged = find_staged(mended)
    assert read_cluster(staged) == {"new_cluster": CLUSTER, "libraries": [{"whl": f"dbfs:/{place}"}]}


@pytest.mark.full
def test_in_todays_form_it_is_staged_without_an_error_left(
    mended: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.make_volume("main", "ml", "wheels")
    lead(monkeypatch, workspace, wheel_root="/Volumes/main/ml/wheels")
    spec = mended / PROJECT / "cluster.json"
    spec.write_text(spec.read_text().replace("12.2.x-scala2.12", "16.4.x-cpu-ml-scala2.12"))

    fixed = inv("doctor", "--fix", "--backend", "databricks", cwd=mended)
    said = inv("name", "build-wheel", "deploy", "patch", cwd=mended)

    assert (fixed.code, said.code) == (0, 0), fixed.out + said.err
    staged = find_staged(mended)
    job = mlproject.load(staged).spark_job
    (wheel,) = (workspace.root / "Volumes").rglob("*.whl")
    assert job is not None
    assert job.python_libraries == ("scikit-learn", "mlflow", f"/{wheel.relative_to(workspace.root).as_posix()}")
    assert read_cluster(staged) == {**CLUSTER, "spark_version": "16.4.x-cpu-ml-scala2.12"}


def lead(monkeypatch: pytest.MonkeyPatch, workspace: Workspace, **settings: str) -> None:
    """To the workspace, by what CI would set."""
    given = {f"MLOPS_{key.upper()}": value for key, value in settings.items()}
    for name, value in {"MLOPS_TARGET": "databricks", **given, **workspace.environment}.items():
        monkeypatch.setenv(name, value)


def read_cluster(staged: Path) -> Any:
    return json.loads((staged / "cluster.json").read_text())


def find_staged(folder: Path) -> Path:
    return folder / str(inv("status", "--json", cwd=folder).json["patched"]["project_dir"])

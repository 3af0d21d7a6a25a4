from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import Pipeline, Settings
from mlops_tasks.doctor import reading
from mlops_tasks.doctor.subject import Subject
from tests.support.repositories import git, make_repository, write

MISSING = "name: x\nconda_env: training_env.yaml\nentry_points: {main: {command: python gone.py}}\n"
MISSPELT = MISSING.replace("gone.py", "train.py, parameters: {seed: {type: flot}}")


def subject(folder: Path, **settings: Any) -> Subject:
    known: Mapping[str, Any] = {"project": "training", "libraries": ("libs/*",), **settings}
    pipeline = Pipeline(folder, Settings(**known), environ=dict(os.environ))
    return reading.read_subject(pipeline.context, pipeline.load())


def test_what_is_missing_of_libraries_and_project_is_found(tmp_path: Path) -> None:
    folder = make_repository(tmp_path)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n"
    write(folder, {"training/data.csv": pointer, "libs/mylib/mylib/model.bin": pointer})
    pipeline = Pipeline(folder, Settings(project="training", libraries=("libs/*",)))

    found = reading.examine(pipeline.context, None, login=True)

    said = [each.what for each in found.of("warning") if "LFS" in each.what]
    assert said == ["libs/mylib/mylib/model.bin is a Git LFS pointer", "training/data.csv is a Git LFS pointer"]


def take(folder: Path, *steps: str) -> None:
    pipeline = Pipeline(folder, Settings(project="training", libraries=("libs/*",)))
    for step in steps:
        pipeline.take(step)


def test_before_anything_ran_the_files_tell_what_they_can(tmp_path: Path) -> None:
    found = subject(make_repository(tmp_path), workers=True)

    assert found.is_classic
    assert found.cluster is not None
    assert found.environment is not None
    assert (found.wheel_root, found.backend, found.workers) == ("dbfs:/wheels", "databricks", True)
    assert (found.wheels, found.ours, found.experiment) == (
        (),
        {"mylib": tmp_path / "libs" / "mylib"},
        "/Shared/{repository}/{project}/{branch}",
    )
    assert [each.path.name for each in found.scripts] == ["fail.py", "train.py"]
    assert found.mlflow is not None
    assert found.unreadable == ()


def test_what_is_recorded_counts_for_its_own_branch_alone(tmp_path: Path) -> None:
    folder = make_repository(tmp_path)
    take(folder, "name", "build-wheel")

    here = subject(folder)
    git("checkout", "-q", "-b", "other", cwd=folder)
    there = subject(folder)

    assert [(each.distribution, each.requires_python) for each in here.wheels] == [("mylib", ">=3.8")]
    assert here.wheels[0].tags == {"py3-none-any"}
    assert here.experiment == f"/Shared/{tmp_path.name}/training/main"
    assert (there.wheels, there.experiment) == ((), "/Shared/{repository}/{project}/{branch}")


def test_a_wheel_that_is_damaged_counts_as_not_built(tmp_path: Path) -> None:
    folder = make_repository(tmp_path)
    take(folder, "name", "build-wheel")
    for path in (folder / ".mlops" / "wheels").rglob("*.whl"):
        path.write_bytes(b"no wheel")

    assert subject(folder).wheels == ()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"wheel_root": "/Volumes/a/b/c"}, ("wheel_root", "/Volumes/a/b/c")),
        ({"wheel_root": "somewhere"}, ("wheel_root", "dbfs:/wheels")),
        ({"backend": "local"}, ("backend", "databricks")),
        ({"backend": "databricks-jobs"}, ("backend", "databricks-jobs")),
        ({"experiment": "/Workspace/Shared/x"}, ("experiment", "/Shared/x")),
        ({"placeholder": "HERE"}, ("placeholder", "HERE")),
    ],
)
def test_the_settings_decide(tmp_path: Path, settings: dict[str, Any], expected: tuple[str, str]) -> None:
    found = subject(make_repository(tmp_path), **settings)

    assert getattr(found, expected[0]) == expected[1]


def test_what_the_databricks_target_refuses_is_a_fault_as_well(tmp_path: Path) -> None:
    found = subject(make_repository(tmp_path), target="databricks", backend="kubernetes", wheel_root="/dbfs/wheels")

    assert found.wheel_root == "/dbfs/wheels"
    assert [each.what for each in found.unreadable] == ["the backend kubernetes does not run on the databricks target"]


@pytest.mark.parametrize("settings", [{}, {"wheel_root": "somewhere"}])
def test_without_a_login_the_files_are_examined_all_the_same(tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = make_repository(tmp_path / "repository", CLUSTER='{"spark_version": "foo"}')
    known: Mapping[str, Any] = {"project": "training", "libraries": ("libs/*",), "target": "databricks", **settings}
    pipeline = Pipeline(folder, Settings(**known), environ={"HOME": str(tmp_path), "PATH": os.environ["PATH"]})

    found = reading.examine(pipeline.context, None, login=True)

    said = [each.what for each in found.of("error")]
    assert "no Databricks login is known" in said
    assert any("foo" in each for each in said), said


def test_a_cluster_spec_from_elsewhere_is_the_one_that_counts(tmp_path: Path) -> None:
    folder = make_repository(tmp_path)
    write(folder, {"big.json": '{"spark_version": "16.4.x-scala2.12"}'})

    assert str(subject(folder, cluster="big.json").runtime) == "runtime 16.4"


def test_a_script_that_a_command_names_is_read_wherever_it_is(tmp_path: Path) -> None:
    folder = make_repository(tmp_path, MLPROJECT='name: x\nentry_points: {main: {command: "python src/fit.py x.py"}}\n')
    write(folder, {"training/src/fit.py": "", "training/src/more.py": ""})

    assert [each.path.name for each in subject(folder).scripts] == ["fail.py", "fit.py", "train.py"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        pytest.param("training/MLproject", "name: x\ndocker_env: {image: x}\n", "docker_env is not", id="docker_env"),
        pytest.param("training/MLproject", MISSPELT, "seed has the type 'flot'", id="a parameter's type"),
        pytest.param("training/MLproject", MISSING, "runs gone.py, which is no file", id="a script"),
        pytest.param("training/training_env.yaml", "a: [b", "is not valid YAML", id="YAML"),
        pytest.param("training/cluster.json", "{", "is not valid JSON", id="JSON"),
        pytest.param("training/more.txt", "mlflow\nWHEELPATH\n", "WHEELPATH names a wheel in a file", id="-r"),
    ],
)
def test_what_cannot_be_read_is_kept_as_a_fault(tmp_path: Path, name: str, text: str, said: str) -> None:
    folder = make_repository(tmp_path)
    environment = folder / "training" / "training_env.yaml"
    environment.write_text(environment.read_text().replace("WHEELPATH", "WHEELPATH\n      - -r more.txt"))
    write(folder, {"training/more.txt": "", name: text})

    faults = [str(each) for each in subject(folder).unreadable]

    assert len(faults) == 1
    assert said in faults[0]

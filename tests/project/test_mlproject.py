from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import errors
from mlops_tasks.project import mlproject
from tests.support.projects import write


@pytest.mark.parametrize("name", ["MLproject", "mlproject", "MLPROJECT"])
def test_the_file_is_found_in_any_letter_case(tmp_path: Path, name: str) -> None:
    project = mlproject.load(write(tmp_path, name=name))
    assert (project.mlproject, project.name, project.kind) == (name, "demo", "conda")
    assert project.environment_file == tmp_path / "env.yaml"
    assert project.entry_points["main"].parameters["data"] == mlproject.Parameter(type="path", default="data.csv")


def test_mlflow_reads_the_same(tmp_path: Path) -> None:
    from mlflow.projects import _project_spec

    reader: Any = _project_spec  # it has no types
    ours, theirs = mlproject.load(write(tmp_path)), reader.load_project(str(tmp_path))
    assert (ours.name, str(ours.environment_file)) == (theirs.name, theirs.env_config_path)
    for name, entry_point in ours.entry_points.items():
        other = theirs.get_entry_point(name)
        assert entry_point.command == other.command
        assert {key: each.type for key, each in entry_point.parameters.items()} == {
            key: each.type for key, each in other.parameters.items()
        }


@pytest.mark.parametrize(
    ("files", "kind", "name"),
    [
        (["python_env.yaml", "conda.yaml"], "python", "python_env.yaml"),
        (["conda.yaml"], "conda", "conda.yaml"),
        ([], "", None),
    ],
)
def test_without_a_named_environment_the_default_files_count(
    tmp_path: Path, files: list[str], kind: str, name: str | None
) -> None:
    (tmp_path / "MLproject").write_text("name: x\n")
    for file in files:
        (tmp_path / file).write_text("")
    project = mlproject.load(tmp_path)
    assert (project.kind, project.environment_file) == (kind, tmp_path / name if name else None)


def test_a_spark_job_is_read(tmp_path: Path) -> None:
    text = "databricks_spark_job:\n  python_file: a.py\n  parameters: [--n, 1]\n  python_libraries: [WHEELPATH]\n"
    project = mlproject.load(write(tmp_path, text))
    assert project.kind == "spark-job"
    assert project.spark_job == mlproject.SparkJob(
        python_file="a.py", parameters=("--n", "1"), python_libraries=("WHEELPATH",)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("docker_env: {image: x}\n", "docker_env is not supported", id="docker"),
        pytest.param("conda_env: env.yaml\npython_env: env.yaml\n", "several environments", id="two environments"),
        pytest.param("conda_env: none.yaml\n", "'none.yaml', and there is no such file", id="no such YAML"),
        pytest.param("python_env: [a]\n", "there is no such file", id="not a name"),
        pytest.param("a: [\n", r"MLproject:2:1", id="broken YAML"),
        pytest.param("", "must be a mapping", id="empty"),
        pytest.param("entry_points: {main: python x}\n", "entry_points: main must be", id="entry point"),
        pytest.param("entry_points: {main: {command: [a]}}\n", "command must be text", id="command"),
        pytest.param("entry_points: {main: {command: x, parameters: {a: 1}}}\n", "parameters: a", id="parameter"),
        pytest.param("databricks_spark_job: {}\n", "either", id="spark job without anything to run"),
        pytest.param(
            "databricks_spark_job: {python_file: a.py}\nconda_env: env.yaml\n", "cannot have", id="spark conda"
        ),
        pytest.param(
            "databricks_spark_job: {python_file: a.py, python_libraries: x}\n",
            "list of texts",
            id="no list of libraries",
        ),
        pytest.param(
            "databricks_spark_job: {}\nentry_points: {main: {command: python x, parameters: {a: path}}}\n",
            "type path",
            id="spark path",
        ),
    ],
)
def test_what_mlflow_could_not_run_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(errors.BadInput, match=said):
        mlproject.load(write(tmp_path, text))


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.BadInput, match="no MLproject"):
        mlproject.load(tmp_path)
    with pytest.raises(errors.BadInput, match="no such folder"):
        mlproject.load(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(errors.BadInput, match="as a folder"):
        mlproject.load(tmp_path / "file")


def test_several_mlproject_files_are_refused(tmp_path: Path) -> None:
    write(write(tmp_path), name="mlproject")
    with pytest.raises(errors.BadInput, match="MLproject, mlproject"):
        mlproject.load(tmp_path)


@pytest.mark.parametrize("name", ["MLproject.yaml", "MLproject.yml", "mlproject.txt"])
def test_an_mlproject_file_with_an_ending_is_named_as_that(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.BadInput, match=f"MLflow does not read {name}") as caught:
        mlproject.load(write(tmp_path, name=name))
    assert caught.value.where == str(tmp_path / name)
    assert caught.value.cure == f"`mv {tmp_path / name} {tmp_path / 'MLproject'}`"


def test_an_empty_docker_env_is_passed_over_as_mlflow_does(tmp_path: Path) -> None:
    (tmp_path / "MLproject").write_text("docker_env:\n")
    (tmp_path / "conda.yaml").write_text("dependencies: []\n")
    assert mlproject.load(tmp_path).kind == "conda"

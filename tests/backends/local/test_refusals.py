"""What a run on this machine cannot do is told before anything is begun."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_tasks import errors
from mlops_tasks.backends.local import refusals
from mlops_tasks.pipeline import job_plan
from mlops_tasks.project import mlproject
from tests.support.contexts import make_context
from tests.support.projects import write

PATH = "entry_points: {main: {command: a, parameters: {data: path}}}\n"


@pytest.mark.parametrize("name", ["50%", "a:b", "why?", "a\nb"])
def test_a_sign_in_the_repositorys_path_that_a_run_would_stumble_over_is_named(name: str) -> None:
    with pytest.raises(errors.BadInput, match="a run on this machine would fail") as caught:
        refusals.check_top(Path("/home", name, "repo"), tracks_here=True)
    assert "move the repository to a path without" in caught.value.cure


@pytest.mark.parametrize("target", ["local", "databricks"])
@pytest.mark.parametrize("project", ["c#/p", "c/#p"])
def test_a_path_that_mlflow_cuts_off_is_refused_on_either_target(tmp_path: Path, target: str, project: str) -> None:
    (tmp_path / project).mkdir(parents=True)
    write(tmp_path / project)
    context = make_context((tmp_path / project).parent, target=target, project=(tmp_path / project).name)
    with pytest.raises(errors.BadInput, match="MLflow reads as the end of the project's path"):
        job_plan.check_job(context, {}, backend="databricks")


@pytest.mark.parametrize("target", ["local", "databricks"])
@pytest.mark.parametrize("text", ["python_env: env.yaml\n", "name: x\n"])
def test_conda_for_a_project_that_is_none_of_condas_is_refused_on_either_target(
    tmp_path: Path, target: str, text: str
) -> None:
    (tmp_path / "p").mkdir()
    write(tmp_path / "p", text)
    context = make_context(tmp_path, target=target, env_manager="conda")
    with pytest.raises(errors.BadInput, match="python_env project by virtualenv or uv alone"):
        job_plan.check_job(context, {}, backend="databricks")


def test_a_path_that_sqlite_cannot_open_is_refused_and_the_longest_is_not() -> None:
    refusals.check_top(Path("/" + "é" * 239), tracks_here=True)
    with pytest.raises(errors.BadInput, match="has 481 bytes") as caught:
        refusals.check_top(Path("/" + "é" * 240), tracks_here=True)
    assert "set MLFLOW_TRACKING_URI" in caught.value.cure


@pytest.mark.parametrize("path", ["/why?", "/" + "x" * 600])
def test_where_runs_are_tracked_elsewhere_the_databases_limits_do_not_hold(path: str) -> None:
    refusals.check_top(Path(path), tracks_here=False)


@pytest.mark.parametrize("name", ["a b", 'it\'s "q"', "[x]*", "é ☃", "$HOME", "a=b;c&d", "~", "{x}", "a\\b", "(c)"])
def test_all_other_signs_are_fine(name: str) -> None:
    refusals.check_top(Path("/home", name, "repo"), tracks_here=True)


@pytest.mark.parametrize(
    ("text", "env_manager", "said"),
    [
        ("python_env: env.yaml\n", "uv", "MLflow does not quote the path of its environments"),
        ("conda_env: env.yaml\n", "conda", "there is no conda on PATH"),
        ("databricks_spark_job: {python_file: train.py}\n", "virtualenv", "MLflow runs no Spark job on this machine"),
    ],
)
def test_an_env_manager_that_does_not_fit_is_refused(tmp_path: Path, text: str, env_manager: str, said: str) -> None:
    project = mlproject.load(write(tmp_path, text))
    for each in ("auto", "local"):
        refusals.check_env_manager(project, each, {"PATH": str(tmp_path)}, folder=Path("/a b"))
    with pytest.raises(errors.BadInput, match=said) as caught:
        refusals.check_env_manager(project, env_manager, {"PATH": str(tmp_path)}, folder=Path("/a b"))
    assert caught.value.where == "env_manager"


@pytest.mark.parametrize("variable", ["PATH", "MLFLOW_CONDA_HOME"])
def test_conda_is_looked_for_as_mlflow_looks(tmp_path: Path, variable: str) -> None:
    program = tmp_path / "bin" / "conda"
    program.parent.mkdir()
    program.touch(0o755)
    project = mlproject.load(write(tmp_path, "conda_env: env.yaml\n"))
    where = program.parent if variable == "PATH" else tmp_path
    refusals.check_env_manager(project, "conda", {"PATH": os.devnull, variable: str(where)}, folder=tmp_path)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no/such/file.csv", "there is no no/such/file.csv in "),
        ("file:///no/such/file.csv", "there is no file:///no/such/file.csv in "),
        ("nosuch://x", "nothing here can fetch nosuch://x"),
        ("s3://bucket/x.csv", "MLflow needs boto3 to fetch s3://bucket/x.csv"),
        ("http://127.0.0.1:9/x.csv", "nothing here can fetch http://127.0.0.1:9/x.csv"),
        ("gs://bucket/x.csv", "MLflow needs google-cloud-storage to fetch gs://bucket/x.csv"),
    ],
)
def test_a_path_that_nothing_here_can_fetch_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    monkeypatch.setattr(refusals, "_is_installed", lambda _: False)
    project = mlproject.load(write(tmp_path, PATH))
    with pytest.raises(errors.BadInput, match=said) as caught:
        refusals.check_entry_point(project, "main", {"data": value})
    assert caught.value.where == f"{tmp_path / 'MLproject'}: parameters: data"


def test_a_path_counts_from_where_inv_is_called_and_one_in_the_project_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p").mkdir()
    project = mlproject.load(write(tmp_path / "p", PATH, **{"a b.csv": ""}))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.BadInput) as caught:
        refusals.check_entry_point(project, "main", {"data": "a b.csv"})
    assert "-P data='p/a b.csv'" in caught.value.cure
    monkeypatch.chdir(tmp_path / "p")
    refusals.check_entry_point(project, "main", {"data": "a b.csv"})


@pytest.mark.parametrize(
    "value", ["runs:/1/x", "models:/m/1", "http://h/api/2.0/mlflow-artifacts/artifacts/x", "s3://b/x"]
)
def test_a_path_that_mlflow_may_fetch_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr(refusals, "_is_installed", lambda _: True)
    refusals.check_entry_point(mlproject.load(write(tmp_path, PATH)), "main", {"data": value})


def test_a_package_within_one_that_is_missing_is_missing() -> None:
    assert not refusals._is_installed("no_such_package.inner")
    assert refusals._is_installed("os.path")


def test_an_r_script_that_mlflow_cannot_quote_is_refused(tmp_path: Path) -> None:
    project = mlproject.load(write(tmp_path, "name: x\n", **{"my train.R": "", "train.R": ""}))
    with pytest.raises(errors.BadInput, match=r"MLflow cannot run an R script of that name: my train\.R"):
        refusals.check_entry_point(project, "my train.R", {})
    refusals.check_entry_point(project, "train.R", {})

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from mlflow.projects import utils

from mlops_tasks.project import mlproject
from mlops_tasks.tasks import init
from tests.fake_workspace.server import Workspace
from tests.support.inv import inv
from tests.support.repositories import LIBRARY, git, make_repository, nothing_changes, write

pytest_plugins = ["tests.fake_workspace.fixture"]

SPARK_JOB = """\
name: training
databricks_spark_job:
  python_libraries: [requests]
entry_points:
  main:
    command: "python train.py"
"""


@pytest.fixture(autouse=True)
def by_mlflows_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend that has most to be told of."""
    monkeypatch.setenv("MLOPS_BACKEND", "databricks")


@pytest.fixture
def bundled(tmp_path: Path) -> Path:
    """The project that the package brings, in a repository of its own."""
    shutil.copytree(init.TEMPLATE, tmp_path, dirs_exist_ok=True)
    git("init", "-q", "-b", "main", cwd=tmp_path)
    return tmp_path


def test_the_bundled_project_is_told_what_it_needs_on_databricks(bundled: Path) -> None:
    said = inv("doctor", cwd=bundled)

    errors = [line for line in said.out.splitlines() if line.startswith("error")]
    assert said.code == 2
    assert len(errors) == 2
    assert "a conda_env project does not run on runtime 16.4 ML" in errors[0]
    assert "installs no library from DBFS (dbfs:/wheels)" in errors[1]
    assert "in: " + str(bundled / "projects/training/cluster.json:3:5") in said.out
    assert "do: set `backend: auto`: databricks-jobs runs the project as it is, or write the project as a" in said.out
    assert "Spark job (`inv doctor --fix`), and set wheel_root to /Workspace/S" in said.out
    assert "documented: https://" in said.out
    assert "2 things will not work on Databricks" in said.err
    assert "the target here is local; this is what a release to Databricks would meet" in said.err


def test_the_bundled_project_needs_nothing_for_the_backend_that_fits(
    bundled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLOPS_BACKEND")

    said = inv("doctor", cwd=bundled)

    assert said.code == 0, said.out
    assert "nothing found" in said.out
    assert said.err.count("backend databricks-jobs: for a new cluster (runtime 16.4 ML)\n") == 1


def test_a_runtime_that_has_ended_is_renewed_in_the_json_and_the_project_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLOPS_BACKEND")
    folder = make_repository(tmp_path)  # its runtime is 12.2
    spec, project = folder / "training" / "cluster.json", folder / "training" / "MLproject"
    old, form = spec.read_text(), project.read_text()

    shown = inv("doctor", "--fix", "--dry-run", "--json", cwd=folder)
    said = inv("doctor", "--fix", "--json", cwd=folder)

    assert [Path(each).name for each in shown.json["fix"]["files"]] == ["cluster.json"]
    assert spec.read_text() == old.replace("12.2.x-scala2.12", "14.3.x-scala2.12") != old
    assert project.read_text() == form
    assert said.json["backend"] == {"name": "databricks-jobs", "why": "for a new cluster (runtime 14.3)"}
    assert "the project stays as it is" in said.json["fix"]["notes"][0]


def test_the_bundled_project_is_sound_once_it_is_fixed(bundled: Path) -> None:
    said = inv("doctor", "--fix", "--wheel-root", "/Volumes/main/ml/wheels", cwd=bundled)

    assert said.code == 0, said.err
    assert "+databricks_spark_job:" in said.out
    assert "note         it is not known whether Databricks installs WHEELPATH for a Spark job" in said.out
    assert "assumed:" in said.out
    assert inv("doctor", "--fix", cwd=bundled).code == 2
    folder = bundled / "projects" / "training"
    assert utils.load_project(folder).databricks_spark_job_spec is not None
    assert mlproject.load(folder).kind == "spark-job"


@pytest.mark.parametrize(
    ("variables", "code", "said", "known"),
    [
        pytest.param({}, 2, "no Databricks login is known", "the variables and the login file", id="no login"),
        pytest.param(
            {"DATABRICKS_HOST": "http://127.0.0.1:9", "DATABRICKS_TOKEN": "dapi1"},
            4,
            "http://127.0.0.1:9 cannot be reached",
            "the workspace itself",
            id="no such host",
        ),
    ],
)
def test_a_login_that_fails_ends_as_a_release_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], code: int, said: str, known: str
) -> None:
    for name, value in {"HOME": str(tmp_path / "home"), **variables}.items():
        monkeypatch.setenv(name, value)
    folder = make_repository(tmp_path / "repository")

    shown = inv("doctor", "--target", "databricks", cwd=folder)
    release = inv("release", "--target", "databricks", cwd=folder)

    assert (shown.code, release.code) == (code, code)
    assert f"error        {said}" in shown.out
    assert f"seen: {known}" in shown.out
    assert f"error: {said}" in release.err
    assert "things will not work on Databricks" in shown.err


def test_a_token_that_is_not_taken_is_the_workspaces_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", workspace.environment["DATABRICKS_HOST"])
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-wrong")

    said = inv("doctor", "--target", "databricks", "--json", cwd=make_repository(tmp_path))

    assert said.code == 4
    assert said.json["findings"][0]["source"] == "the workspace itself"


def test_where_there_is_a_login_the_workspace_is_asked_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    for name, value in workspace.environment.items():
        monkeypatch.setenv(name, value)
    cluster = '{"spark_version": "99.1.x-scala2.13", "node_type_id": "m5.larg", "num_workers": 1}'
    folder = make_repository(tmp_path, MLPROJECT=SPARK_JOB, CLUSTER=cluster)

    here, there = (inv("doctor", "--target", target, cwd=folder) for target in ("local", "databricks"))

    assert "warning      spark_version 99.1.x-scala2.13 is newer than this package's table" in here.out
    assert "m5.larg" not in here.out
    assert "error        the workspace has no runtime 99.1.x-scala2.13" in there.out
    assert "error        the workspace has no node type m5.larg" in there.out
    assert (here.code, there.code) == (0, 2)


def test_json_has_the_findings_and_nothing_else(tmp_path: Path) -> None:
    said = inv("doctor", "--json", cwd=make_repository(tmp_path))

    assert said.code == 2
    assert said.json["version"] == 1
    assert set(said.json["findings"][0]) == {"level", "what", "where", "cure", "basis", "source"}
    assert "names" in said.json["fine"]
    assert "login" in said.json["unasked"]


def test_verbose_says_what_was_fine_and_what_there_is_nothing_of(tmp_path: Path) -> None:
    said = inv("doctor", "--verbose", cwd=make_repository(tmp_path))

    assert "  names: fine\n" in said.err
    assert "  login: nothing to look at yet\n" in said.err


def test_cures_say_the_names_of_the_users_own_collection(bundled: Path) -> None:
    mine = "from invoke import Collection\nfrom mlops_tasks import namespace as ours\nns = Collection(mlops=ours)\n"
    write(bundled, {"tasks.py": mine})

    said = inv("mlops.doctor", cwd=bundled)

    assert "or write the project as a Spark job (`inv mlops.doctor --fix`)" in said.out
    assert "then `inv mlops.doctor`" in said.err


def test_nothing_found_ends_well(tmp_path: Path) -> None:
    # a runtime that has no end yet
    cluster = '{"spark_version": "18.0.x-cpu-ml-scala2.13", "node_type_id": "m5.large", "num_workers": 1}'
    settings = "mlops: {project: training}\n"
    folder = make_repository(tmp_path, MLPROJECT=SPARK_JOB, CLUSTER=cluster, SETTINGS=settings)

    said = inv("doctor", cwd=folder)

    assert said.code == 0, said.err
    assert said.out == "doctor       nothing found\n"


def test_a_project_in_which_nothing_refers_to_the_wheels_is_told_so(tmp_path: Path) -> None:
    said = inv("doctor", cwd=make_repository(tmp_path, MLPROJECT=SPARK_JOB, CLUSTER="{}"))

    assert (
        "note         nothing in the project refers to the wheels of mylib: patch adds them at the end of" in said.out
    )


def test_built_wheels_are_looked_at(tmp_path: Path) -> None:
    folder = make_repository(
        tmp_path,
        LIBRARY=LIBRARY.replace(">=3.8", ">=3.10"),
    )
    assert inv("name", "build-wheel", cwd=folder).code == 0

    said = inv("doctor", cwd=folder)

    assert "mylib-1.0-py3-none-any.whl needs Python >=3.10, and the cluster (runtime 12.2) has 3.9" in said.out


def test_a_docker_project_is_an_error_of_its_own(tmp_path: Path) -> None:
    said = inv("doctor", cwd=make_repository(tmp_path, MLPROJECT="name: x\ndocker_env: {image: x}\n"))

    assert said.code == 2
    assert "error        docker_env is not supported" in said.out


@pytest.mark.parametrize("flags", [("--dry-run",), ("--dry-run", "--json")])
def test_a_dry_fix_shows_the_change_and_makes_none(bundled: Path, flags: tuple[str, ...]) -> None:
    with nothing_changes(bundled):
        said = inv("doctor", "--fix", *flags, cwd=bundled)

    assert said.code == 0, said.err
    if "--json" in flags:
        assert "+databricks_spark_job:" in said.json["fix"]["diff"]
        assert [Path(each).name for each in said.json["fix"]["files"]] == ["MLproject", "cluster.json"]
        assert any("training_env.yaml is no longer used" in each for each in said.json["fix"]["notes"])
    else:
        assert "\n+databricks_spark_job:" in said.out
    assert "doctor  " not in said.out


def test_what_cannot_be_fixed_is_refused_and_stays(tmp_path: Path) -> None:
    folder = make_repository(
        tmp_path, MLPROJECT="name: x\nconda_env: training_env.yaml\nentry_points:\n  main: {command: bash x.sh}\n"
    )

    with nothing_changes(folder):
        said = inv("doctor", "--fix", cwd=folder)

    assert said.code == 2
    assert "main begins with bash" in said.err


def test_a_project_at_a_git_uri_cannot_be_fixed(tmp_path: Path) -> None:
    folder = make_repository(tmp_path)

    said = inv("doctor", "--fix", "--project", "https://example.org/x#training", cwd=folder)

    assert said.code == 2
    assert "at a git URI" in said.err


def test_a_project_at_a_git_uri_is_fetched_once(tmp_path: Path) -> None:
    cluster = '{"spark_version": "16.4.x-scala2.12", "node_type_id": "m5.large", "num_workers": 1}'
    theirs = make_repository(tmp_path / "theirs", CLUSTER=cluster)
    ours = make_repository(tmp_path / "ours")

    said = inv("doctor", "--project", f"{theirs.as_uri()}#training", cwd=ours)

    assert said.code == 2
    assert said.err.count("fetching") == 1


def test_the_fixed_project_still_releases_on_this_machines_terms(tmp_path: Path) -> None:
    folder = make_repository(tmp_path)
    fixed = inv("doctor", "--fix", "--json", cwd=folder)
    assert fixed.code in {0, 2}
    assert "databricks_spark_job" in fixed.json["fix"]["diff"]

    said = inv("name", "build-wheel", "deploy", "patch", "--json", cwd=folder)

    assert said.code == 0, said.err
    staged = folder / json.loads(said.out[said.out.rfind("\n{") + 1 :])["patched"]["project_dir"]
    libraries = mlproject.load(staged).spark_job
    assert libraries is not None
    assert any("mylib-1.0-py3-none-any.whl" in each for each in libraries.python_libraries)

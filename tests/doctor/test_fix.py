from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow.projects import utils

from mlops_tasks import errors
from mlops_tasks.doctor import fix
from mlops_tasks.project import mlproject
from tests.support import subjects
from tests.support.repositories import write

PROJECT = """\
# what we train
name: training

conda_env: env.yaml  # the driver's

entry_points:
  main:  # the usual one
    parameters:
      alpha: {type: float, default: 0.5}
    command: "python train.py --alpha {alpha}"
"""
ENVIRONMENT = """\
name: training
dependencies:
  - python=3.9
  - numpy=1.26
  - pip
  - pip:
      - mlflow  # tracking
      - requests>=2 ; python_version < "3.12"
      - --extra-index-url https://x.org/simple
      - -r more.txt
      - WHEELPATH
"""
SPEC = {
    "new_cluster": subjects.NEW,
    "libraries": [
        {"whl": "WHEELPATH"},
        {"whl": "dbfs:/libs/other-1.0-py3-none-any.whl"},
        {"pypi": {"package": "lightgbm", "repo": "https://x.org/simple"}},
        {"maven": {"coordinates": "a:b:1"}},
    ],
    "timeout_seconds": 60,
}


def make(folder: Path, *, project: str = PROJECT, spec: object = SPEC) -> mlproject.Project:
    files = {
        "MLproject": project,
        "env.yaml": ENVIRONMENT,
        "more.txt": "pandas\n",
        "train.py": "",
        "cluster.json": json.dumps(spec),
    }
    write(folder, files)
    return mlproject.load(folder)


def convert(folder: Path, **texts: object) -> fix.Form:
    project = make(folder, **texts)  # type: ignore[arg-type]
    return fix.convert(project, cluster_file=folder / "cluster.json", placeholder="WHEELPATH")


def test_mlflow_and_our_own_reader_take_the_new_form(tmp_path: Path) -> None:
    fix.write(convert(tmp_path))

    theirs, ours = utils.load_project(tmp_path), mlproject.load(tmp_path)
    wanted = [
        "numpy==1.26.*",
        "mlflow",
        'requests>=2 ; python_version < "3.12"',
        "pandas",
        "WHEELPATH",
        "/dbfs/libs/other-1.0-py3-none-any.whl",
        "lightgbm",
    ]
    assert theirs.databricks_spark_job_spec.python_libraries == wanted
    assert theirs.get_entry_point("main").compute_command({"alpha": "1"}, None) == "python train.py --alpha 1"
    assert ours.spark_job is not None
    assert list(ours.spark_job.python_libraries) == wanted
    assert json.loads((tmp_path / "cluster.json").read_text()) == subjects.NEW


def test_comments_and_everything_else_of_the_file_stay(tmp_path: Path) -> None:
    new = convert(tmp_path).files[0].new

    assert new.startswith("# what we train\nname: training\n\nentry_points:\n  main:  # the usual one\n")
    assert "conda_env" not in new


def test_what_does_not_come_along_is_said(tmp_path: Path) -> None:
    said = "\n".join(convert(tmp_path).notes)

    for part in (
        "conda packages are taken from PyPI",
        "--extra-index-url",
        "maven",
        "lightgbm will come from pip's own index",
        "timeout_seconds",
        "env.yaml is no",
    ):
        assert part in said


def test_nothing_is_written_before_it_is_asked_for(tmp_path: Path) -> None:
    form = convert(tmp_path)

    assert (tmp_path / "MLproject").read_text() == PROJECT
    shown = fix.compare(form, tmp_path).splitlines()
    assert "-conda_env: env.yaml  # the driver's" in shown
    assert "+databricks_spark_job:" in shown
    assert "--- a/cluster.json" in shown


@pytest.mark.parametrize(
    "project",
    [
        pytest.param('{name: x, conda_env: env.yaml, entry_points: {main: {command: "python train.py"}}}\n', id="flow"),
        pytest.param(PROJECT.replace("env.yaml ", '"env.yaml" ').rstrip("\n"), id="no line end"),
        pytest.param(PROJECT.replace("\n", "\r\n"), id="line ends of Windows"),
        pytest.param("databricks_spark_job:\n" + PROJECT, id="an empty job"),
        pytest.param(PROJECT + "\nconda_env: env.yaml\n", id="a key at the end"),
    ],
)
def test_every_spelling_of_the_file_comes_out_well(tmp_path: Path, project: str) -> None:
    fix.write(convert(tmp_path, project=project))

    found = mlproject.load(tmp_path)
    assert found.spark_job is not None
    assert "WHEELPATH" in found.spark_job.python_libraries
    assert list(found.entry_points) == ["main"]


def test_a_python_env_becomes_a_spark_job_too(tmp_path: Path) -> None:
    make(tmp_path)
    write(
        tmp_path, {"MLproject": PROJECT.replace("conda_env", "python_env"), "env.yaml": "dependencies: [numpy==1.26]\n"}
    )

    form = fix.convert(mlproject.load(tmp_path), cluster_file=None, placeholder="WHEELPATH")

    assert form.files[0].new.endswith("databricks_spark_job:\n  python_libraries:\n    - numpy==1.26\n")


def test_no_library_is_written_that_nothing_can_install(tmp_path: Path) -> None:
    packages = ["python<3.13", "pip<=25.2", "pytz=2023.3.post1", "libgomp=12", "jpeg_py=9b", "numpy[version='>=1.24']"]
    make(tmp_path)
    write(tmp_path, {"env.yaml": json.dumps({"dependencies": [*packages, {"pip": ["mlflow"]}]})})

    form = fix.convert(mlproject.load(tmp_path), cluster_file=None, placeholder="WHEELPATH")

    said = "\n".join(form.notes)
    assert form.files[0].new.endswith("python_libraries:\n    - pytz==2023.3.post1\n    - numpy>=1.24\n    - mlflow\n")
    assert "libgomp=12 of env.yaml is left out: it is no Python package" in said
    assert "jpeg_py=9b of env.yaml is left out: PyPI has no version '9b'" in said


def test_what_an_environment_is_built_with_is_no_library(tmp_path: Path) -> None:
    make(tmp_path, project=PROJECT.replace("conda_env", "python_env"))
    write(tmp_path, {"env.yaml": "build_dependencies: [pip==20.0.2, setuptools==44]\ndependencies: [mlflow]\n"})

    form = fix.convert(mlproject.load(tmp_path), cluster_file=None, placeholder="WHEELPATH")

    assert form.files[0].new.endswith("python_libraries:\n    - mlflow\n")


def test_comments_that_cannot_be_kept_are_said_to_go(tmp_path: Path) -> None:
    project = '{name: x,  # a name\n conda_env: env.yaml, entry_points: {main: {command: "python train.py"}}}\n'

    assert "MLproject is written anew, without its comments" in convert(tmp_path, project=project).notes


def test_a_flat_spec_without_libraries_stays_as_it_is(tmp_path: Path) -> None:
    assert [each.path.name for each in convert(tmp_path, spec=subjects.NEW).files] == ["MLproject"]


@pytest.mark.parametrize(
    ("project", "spec", "reason"),
    [
        pytest.param(
            PROJECT.replace("python train.py", "bash train.sh"), SPEC, "main begins with bash, and MLflow", id="bash"
        ),
        pytest.param(
            PROJECT.replace("python train.py", "python -m train"), SPEC, "takes -m for the file", id="a module"
        ),
        pytest.param(PROJECT.replace("{alpha}", "{alpha} && ls"), SPEC, "needs a shell for `&&`", id="shell"),
        pytest.param(
            PROJECT.replace("type: float", "type: path"), SPEC, "alpha of main is of the type path", id="path"
        ),
        pytest.param("name: x\nconda_env: env.yaml\n", SPEC, "no entry points", id="scripts only"),
        pytest.param(PROJECT, {"existing_cluster_id": "1-a"}, "existing cluster", id="existing cluster"),
        pytest.param(subjects.SPARK_JOB, subjects.NEW, "a databricks_spark_job already", id="done already"),
    ],
)
def test_what_cannot_become_a_spark_job_is_refused(tmp_path: Path, project: str, spec: object, reason: str) -> None:
    with pytest.raises(errors.BadInput) as caught:
        convert(tmp_path, project=project, spec=spec)

    assert reason in str(caught.value)


def test_a_script_that_imports_mlflow_gets_one_where_nothing_else_brings_it(tmp_path: Path) -> None:
    project = make(tmp_path, project=PROJECT.replace("conda_env: env.yaml  # the driver's\n", ""), spec=subjects.NEW)

    form = fix.convert(project, cluster_file=None, placeholder="WHEELPATH", mlflow_for="train.py")

    assert form.files[0].new.endswith("  python_libraries:\n    - mlflow\n")
    assert any("mlflow is listed: train.py imports it" in each for each in form.notes)

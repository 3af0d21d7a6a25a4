from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import errors
from mlops_tasks.doctor.checks import project as checks
from mlops_tasks.doctor.subject import Text
from tests.support import subjects

PLAIN = "name: training\nentry_points:\n  main:\n    command: 'python train.py'\n"
SHELL = subjects.CLASSIC.replace("python train.py", "bash train.sh")


def on(spark_version: str) -> dict[str, Any]:
    return {"spark_version": f"{spark_version}.x-scala2.12", **subjects.NODES}


@pytest.mark.parametrize(
    ("project", "version", "expected"),
    [
        pytest.param(subjects.CLASSIC, "12.2", [], id="the last that runs it"),
        pytest.param(subjects.CLASSIC, "13.0", ["error assumed | a conda_env...13.0...doctor --fix"], id="conda"),
        pytest.param(PLAIN, "16.4", ["a plain project"], id="no environment"),
        pytest.param(subjects.CLASSIC.replace("conda", "python"), "20.0", ["a python_env"], id="a newer runtime"),
        pytest.param(subjects.SPARK_JOB, "16.4", [], id="Spark job"),
        pytest.param(SHELL, "16.4", ["once this is fixed: the entry point main begins with bash"], id="no way to fix"),
    ],
)
def test_a_classic_project_ends_with_runtime_12(
    tmp_path: Path, project: str, version: str, expected: list[str]
) -> None:
    yaml = "dependencies: []\n"
    subject = subjects.make(tmp_path, project=project, spec=on(version), yaml=yaml)

    said = subjects.say(checks.check_kind, subject)

    assert subjects.matches(said, *expected), said


def test_of_ml_runtimes_it_is_documented(tmp_path: Path) -> None:
    spec = {"spark_version": "13.3.x-cpu-ml-scala2.12", **subjects.NODES}

    said = subjects.say(checks.check_kind, subjects.make(tmp_path, spec=spec))

    assert subjects.matches(said, "error documented | a conda_env"), said


def test_another_backend_runs_a_classic_project_anywhere(tmp_path: Path) -> None:
    assert not subjects.say(checks.check_kind, subjects.make(tmp_path, spec=on("16.4"), backend="databricks-jobs"))


SPARK_COMMANDS = subjects.SPARK_JOB.replace("train.py", "-m train") + '  other: {command: "bash x.sh"}\n'


def test_a_command_that_no_spark_job_runs_is_an_error_where_it_is_the_one_to_run(tmp_path: Path) -> None:
    subject = subjects.make(tmp_path, project=SPARK_COMMANDS)

    said = subjects.say(checks.check_commands, subject)

    expected = [
        "error seen | the entry point main begins with `python -m`, and MLflow takes -m...MLproject:8:5 | write",
        "note seen | the entry point other begins with bash...MLproject:9:11...write `python FILE.py ...`",
    ]
    assert subjects.matches(said, *expected), said


def test_without_a_main_any_entry_point_may_be_meant(tmp_path: Path) -> None:
    project = SPARK_COMMANDS.replace("main:", "train:")

    said = subjects.say(checks.check_commands, subjects.make(tmp_path, project=project))

    assert [each.split(" ")[0] for each in said] == ["error", "error"]


def test_a_script_in_the_place_of_an_entry_point_takes_none_of_their_faults(tmp_path: Path) -> None:
    subject = subjects.make(tmp_path, project=SPARK_COMMANDS, entry_point="train.py")

    assert {each.split(" ")[0] for each in subjects.say(checks.check_commands, subject)} == {"note"}


def test_a_python_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    job = "name: x\ndatabricks_spark_job:\n  python_file: {}\n"

    missing = subjects.say(checks.check_commands, subjects.make(tmp_path, project=job.format("trian.py")))
    there = subjects.say(checks.check_commands, subjects.make(tmp_path, project=job.format("train.py")))

    assert subjects.matches(missing, "error seen | python_file runs trian.py, which...MLproject:3:3 | correct"), missing
    assert not there


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    fault = errors.BadInput("docker_env is not supported", where="MLproject", cure="replace it")

    said = subjects.say(checks.check_readable, subjects.make(tmp_path, unreadable=(fault,)))

    assert subjects.matches(said, "error seen | docker_env is not supported | MLproject | replace it"), said


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(
            'x = 1\nread("http://x.org/data/a.csv")', ["note assumed...http://x.org/data/a.csv...t.py:2:6"], id="CSV"
        ),
        pytest.param('"""See https://x.org/page for more."""', [], id="a page"),
        pytest.param("# http://x.org/a.csv", [], id="a comment"),
        pytest.param("this is no Python http://x.org/a.csv", [], id="no Python"),
        pytest.param('read("http://x.org/a.csv")\0', [], id="a byte that no source has"),
    ],
)
def test_a_download_is_noted(tmp_path: Path, code: str, expected: list[str]) -> None:
    said = subjects.say(checks.check_downloads, subjects.make(tmp_path, scripts=(Text(tmp_path / "t.py", code),)))

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param('log(m, registered_model_name="churn")', ["note seen...'churn' lacks...t.py:1:30"], id="one"),
        pytest.param("log(m, registered_model_name=name)", ["note seen...check that"], id="from elsewhere"),
        pytest.param('log(m, registered_model_name="main.ml.churn")', [], id="three"),
        pytest.param('log(m, name="churn")', [], id="not registered"),
    ],
)
def test_a_model_name_of_one_level_is_noted(tmp_path: Path, code: str, expected: list[str]) -> None:
    said = subjects.say(checks.check_model_names, subjects.make(tmp_path, scripts=(Text(tmp_path / "t.py", code),)))

    assert subjects.matches(said, *expected), said


LOCALHOST = 'mlflow.set_tracking_uri("http://localhost:5000")'


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(
            LOCALHOST, ["warning seen...'http://localhost:5000': nothing listens there...train.py:1:25"], id="here"
        ),
        pytest.param(
            'set_tracking_uri(uri="https://mlflow.x.org")', ["what it logs goes to that server"], id="elsewhere"
        ),
        pytest.param('mlflow.set_tracking_uri("mlruns")', ["stays on the cluster's own disk"], id="a folder"),
        pytest.param(
            'mlflow.set_tracking_uri("sqlite:///mlflow.db")', ["stays on the cluster's own disk"], id="a file"
        ),
        pytest.param('os.environ["MLFLOW_TRACKING_URI"] = "http://x.org"', ["goes to that server"], id="a variable"),
        pytest.param('os.environ["OTHER"] = "http://x.org"', [], id="another variable"),
        pytest.param('mlflow.set_tracking_uri("databricks")', [], id="the same one"),
        pytest.param("mlflow.set_tracking_uri(uri)", [], id="from elsewhere"),
        pytest.param('mlflow.set_tracking_uri("")', [], id="the default one"),
        pytest.param(
            'mlflow.set_experiment("churn")', ["warning seen...'churn'...`Cannot start run with ID"], id="another"
        ),
        pytest.param('mlflow.set_experiment(experiment_id="7")', ["warning seen...'7'"], id="by its number"),
        pytest.param('mlflow.set_experiment("/Shared/x/main")', [], id="the release's own"),
        pytest.param("mlflow.set_experiment(name)", [], id="not known"),
        pytest.param(f"{LOCALHOST}\0", [], id="a byte that no source has"),
    ],
)
def test_what_a_script_says_of_tracking_is_told_with_what_comes_of_it(
    tmp_path: Path, code: str, expected: list[str]
) -> None:
    scripts = (Text(tmp_path / "train.py", code),)
    subject = subjects.make(tmp_path, scripts=scripts, experiment="/Shared/{project}/main")

    said = subjects.say(checks.check_tracking, subject)

    assert subjects.matches(said, *expected), said


def test_a_script_that_this_release_does_not_start_is_noted(tmp_path: Path) -> None:
    subject = subjects.make(tmp_path, scripts=(Text(tmp_path / "other.py", LOCALHOST),))

    assert subjects.matches(subjects.say(checks.check_tracking, subject), "note seen")


@pytest.mark.parametrize(
    ("project", "line", "changes", "expected"),
    [
        pytest.param(subjects.CLASSIC, "WHEELPATH", {}, [], id="the placeholder"),
        pytest.param(subjects.CLASSIC, "/dbfs/libs/mylib-1.0-py3-none-any.whl", {}, [], id="a fixed path"),
        pytest.param(subjects.CLASSIC, "mylib", {}, [], id="the library's name"),
        pytest.param(subjects.CLASSIC, "-e ../libs/mylib", {}, [], id="the library's folder"),
        pytest.param(subjects.CLASSIC, "numpy", {"ours": {}}, [], id="no libraries"),
        pytest.param(
            subjects.CLASSIC,
            "numpy",
            {"add_wheels": True},
            ["note seen | nothing...mylib: patch adds them at the end of training_env.yaml | training_env.yaml"],
            id="none",
        ),
        pytest.param(
            subjects.CLASSIC,
            "numpy",
            {},
            ["error seen...patch refuses...write an entry WHEELPATH into training_env.yaml, or leave `add_wheels` out"],
            id="none, and none may be added",
        ),
        pytest.param(
            PLAIN, "", {}, ["write python_env.yaml with `dependencies: [WHEELPATH]`"], id="nor a file for one"
        ),
        pytest.param(
            subjects.SPARK_JOB.replace("WHEELPATH", "numpy"), "", {"add_wheels": True}, ["end of MLproject"], id="a job"
        ),
    ],
)
def test_a_project_in_which_nothing_refers_to_the_wheels_is_told_what_patch_does(
    tmp_path: Path, project: str, line: str, changes: dict[str, Any], expected: list[str]
) -> None:
    ours = {"mylib": tmp_path / "libs" / "mylib"}
    (tmp_path / "training").mkdir()
    subject = subjects.make(
        tmp_path / "training",
        project=project,
        yaml=f"dependencies:\n  - pip:\n      - {line}\n",
        **{"ours": ours, **changes},
    )

    said = subjects.say(checks.check_wheels_named, subject)

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param("[WHEELPATH]", [], id="right"),
        pytest.param(
            "[wheelpath]", ["error seen | wheelpath is nearly WHEELPATH...training_env.yaml:1:23"], id="alone"
        ),
        pytest.param("[WHEELPATH, WHEELSPATH]", ["warning seen | WHEELSPATH is nearly"], id="beside the right one"),
    ],
)
def test_what_is_nearly_the_placeholder_is_asked_about(tmp_path: Path, lines: str, expected: list[str]) -> None:
    subject = subjects.make(tmp_path, yaml=f"dependencies: [{{pip: {lines}}}]\n")

    said = subjects.say(checks.check_misspelt, subject)

    assert subjects.matches(said, *expected), said

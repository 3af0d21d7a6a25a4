from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops_tasks.doctor.checks import mlflow
from mlops_tasks.doctor.subject import Text
from mlops_tasks.tracking.bounds import Client
from tests.support import subjects

OLDER = Client("2.17.2", ">=3.8")


def on(spark_version: str) -> dict[str, Any]:
    return {"spark_version": f"{spark_version}.x-scala2.12", **subjects.NODES}


def yaml(python: str, mlflow: str = "mlflow") -> str:
    return f"dependencies:\n  - python={python}\n  - pip:\n      - {mlflow}\n"


@pytest.mark.parametrize(
    ("version", "client", "expected"),
    [
        pytest.param("12.2", subjects.CLIENT, ["error seen...3.17.2...>=3.10...has 3.9...mlflow==3.1.4"], id="too new"),
        pytest.param("10.4", subjects.CLIENT, ["error...mlflow==2.17.2"], id="for 3.8"),
        pytest.param(
            "7.0", OLDER, ["error...2.17.2...has 3.7... | set spark...write the project as a Spark job"], id="3.7"
        ),
        pytest.param("6.4", subjects.CLIENT, ["error assumed...runtime 6.4 has 3.7 at most"], id="before the table"),
        pytest.param("10.4", OLDER, [], id="old enough"),
        pytest.param("13.3", subjects.CLIENT, [], id="the runtime is new enough"),
        pytest.param("20.0", subjects.CLIENT, [], id="not known"),
    ],
)
def test_the_forced_mlflow_fits_the_runtime(tmp_path: Path, version: str, client: Client, expected: list[str]) -> None:
    said = subjects.say(mlflow.check_runtime_fits, subjects.make(tmp_path, spec=on(version), mlflow=client))

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"project": subjects.SPARK_JOB}, id="a Spark job"),
        pytest.param({"backend": "databricks-jobs"}, id="another backend"),
        pytest.param({"mlflow": None}, id="no MLflow here"),
        pytest.param(
            {"libraries": [{"pypi": {"package": "git+https://github.com/mlflow/mlflow"}}]}, id="an MLflow from git"
        ),
    ],
)
def test_nothing_is_forced(tmp_path: Path, changes: dict[str, Any]) -> None:
    subject = subjects.make(tmp_path, **{"mlflow": subjects.CLIENT, "yaml": yaml("3.7", "mlflow==1.30"), **changes})

    assert not subjects.say(mlflow.check_runtime_fits, subject)
    assert not subjects.say(mlflow.check_environment_fits, subject)
    assert not subjects.say(mlflow.check_pin, subject)


def test_where_the_runtime_holds_it_the_yaml_is_to_ask_for_such_a_python(tmp_path: Path) -> None:
    subject = subjects.make(tmp_path, yaml=yaml("3.9"), mlflow=subjects.CLIENT, spec=on("13.3"))

    assert subjects.matches(subjects.say(mlflow.check_environment_fits, subject), "| ask for python=3.10")


@pytest.mark.parametrize(
    ("python", "expected"),
    [
        pytest.param("3.7", ["warning seen...3.7...at most 1.30.1...training_env.yaml:2:5"], id="too old"),
        pytest.param("3.9", ["warning seen...3.9... | install mlflow==3.1.4 here"], id="old"),
        pytest.param("3.10", [], id="new enough"),
        pytest.param("3", [], id="any 3"),
    ],
)
def test_the_yamls_python_holds_the_forced_mlflow(tmp_path: Path, python: str, expected: list[str]) -> None:
    said = subjects.say(
        mlflow.check_environment_fits, subjects.make(tmp_path, yaml=yaml(python), mlflow=subjects.CLIENT)
    )

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("mlflow==2.9.2", ["warning seen...mlflow==2.9.2...training_env.yaml:4:9"], id="another"),
        pytest.param("mlflow-skinny<3", ["warning seen...mlflow-skinny<3"], id="skinny"),
        pytest.param("mlflow==2.9.2", ["| ask for mlflow==3.17.2"], id="one that does not work here"),
        pytest.param("mlflow==2.20.0", ["3.17.2, or install mlflow==2.20.0 here"], id="one that works here"),
        pytest.param("mlflow<3", ["3.17.2, or install mlflow==2.17.2 here"], id="a range"),
        pytest.param("mlflow>=2", [], id="a range that holds it"),
        pytest.param("mlflow", [], id="any"),
        pytest.param("mlflow-extras==1", [], id="another distribution"),
        pytest.param("-r more.txt", [], id="an option"),
    ],
)
def test_another_mlflow_in_the_yaml_is_said(tmp_path: Path, line: str, expected: list[str]) -> None:
    said = subjects.say(mlflow.check_pin, subjects.make(tmp_path, yaml=yaml("3.10", line), mlflow=subjects.CLIENT))

    assert subjects.matches(said, *expected), said


def test_conda_pins_an_mlflow_as_pip_does(tmp_path: Path) -> None:
    pinned = "dependencies:\n  - python=3.10\n  - mlflow=2.9.2\n"
    subject = subjects.make(tmp_path, yaml=pinned, mlflow=subjects.CLIENT)

    said = subjects.say(mlflow.check_pin, subject)

    assert subjects.matches(said, "warning seen...asks for mlflow=2.9.2, and...training_env.yaml:3:5"), said


@pytest.mark.parametrize(
    ("project", "flavour", "code", "expected"),
    [
        pytest.param(subjects.SPARK_JOB, "", "import mlflow\n", ["warning assumed | t.py imports mlflow"], id="nobody"),
        pytest.param(subjects.SPARK_JOB, "", "\0import mlflow\n", [], id="no text"),
        pytest.param(subjects.SPARK_JOB, "cpu-ml-", "import mlflow\n", [], id="the runtime brings it"),
        pytest.param(subjects.SPARK_JOB.replace("requests", "mlflow>=2"), "", "import mlflow\n", [], id="installed"),
        pytest.param(subjects.SPARK_JOB, "", "import mlflows\n", [], id="not imported"),
        pytest.param(subjects.CLASSIC, "", "import mlflow\n", [], id="classic"),
    ],
)
def test_a_spark_job_has_its_mlflow_from_somewhere(
    tmp_path: Path, project: str, flavour: str, code: str, expected: list[str]
) -> None:
    spec = {"spark_version": f"14.3.x-{flavour}scala2.12", **subjects.NODES}
    subject = subjects.make(tmp_path, project=project, spec=spec, scripts=(Text(tmp_path / "t.py", code),))

    said = subjects.say(mlflow.check_spark_job_has_it, subject)

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(("version", "count"), [("15.3", 1), ("15.4", 0), ("16.4", 0)])
def test_base_images_bring_an_mlflow_from_15_4_on(tmp_path: Path, version: str, count: int) -> None:
    scripts = (Text(tmp_path / "t.py", "import mlflow\n"),)
    subject = subjects.make(tmp_path, project=subjects.SPARK_JOB, spec=on(version), scripts=scripts)

    assert len(subjects.say(mlflow.check_spark_job_has_it, subject)) == count

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops_tasks.doctor.checks import runtime
from tests.support import subjects


def spec(spark_version: str) -> dict[str, Any]:
    return {"spark_version": spark_version, **subjects.NODES}


def yaml(python: str) -> str:
    return f"name: x\ndependencies:\n  - pip\n  - {python}\n"


@pytest.mark.parametrize(
    ("spark_version", "expected"),
    [
        pytest.param("15.4.x-scala2.12", [], id="known"),
        pytest.param("20.0.x-scala2.13", ["note ...newer than...cluster.json:2:3"], id="newer"),
        pytest.param("custom:x", ["note ...not in"], id="another form"),
    ],
)
def test_a_runtime_that_the_table_lacks_is_said(tmp_path: Path, spark_version: str, expected: list[str]) -> None:
    said = subjects.say(runtime.check_known, subjects.make(tmp_path, spec=spec(spark_version)))

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("spark_version", "expected"),
    [
        pytest.param("16.4.x-scala2.12", [], id="supported"),
        pytest.param("12.2.x-scala2.12", ["warning documented...since 1 March 2026...cluster.json:2:3"], id="ended"),
        pytest.param("7.0.x-scala2.12", ["warning documented...7.0.x-scala2.12...any more"], id="long ago"),
        pytest.param("20.0.x-scala2.13", [], id="newer"),
    ],
)
def test_a_runtime_out_of_support_is_said(tmp_path: Path, spark_version: str, expected: list[str]) -> None:
    said = subjects.say(runtime.check_supported, subjects.make(tmp_path, spec=spec(spark_version)))

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("python", "expected"),
    [
        pytest.param(
            "python=3.7", ["warning documented...Python 3.7, which ended in June 2023...env.yaml:4:5"], id="3.7"
        ),
        pytest.param("conda-forge::python==3.8.2", ["Python 3.8"], id="with channel and patch level"),
        pytest.param("python >=3.7", [], id="a range"),
        pytest.param("ipython=3.7", [], id="another package"),
        pytest.param("python=3.12", [], id="alive"),
        pytest.param("python=3", [], id="any 3"),
        pytest.param("python=3.*", [], id="any 3, with a star"),
        pytest.param("numpy", [], id="none asked for"),
    ],
)
def test_a_python_that_has_ended_is_said(tmp_path: Path, python: str, expected: list[str]) -> None:
    said = subjects.say(runtime.check_python_alive, subjects.make(tmp_path, yaml=yaml(python)))

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("project", "python", "expected"),
    [
        pytest.param(subjects.CLASSIC, "python=3.9.19", [], id="the runtime's own"),
        pytest.param(subjects.CLASSIC, "python=3.7", ["warning seen...3.7...3.9...env.yaml:4:5"], id="another"),
        pytest.param(subjects.CLASSIC, "pip", [], id="none asked for"),
        pytest.param(subjects.SPARK_JOB, "python=3.7", [], id="a Spark job has no YAML"),
    ],
)
def test_another_python_than_the_runtimes_is_said(
    tmp_path: Path, project: str, python: str, expected: list[str]
) -> None:
    subject = subjects.make(tmp_path, project=project, yaml=yaml(python))

    said = subjects.say(runtime.check_python_fits, subject)

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("project", "version", "suggested"),
    [
        pytest.param(subjects.SPARK_JOB, "12.2.x-scala2.12", "16.4.x-scala2.12", id="plain"),
        pytest.param(subjects.SPARK_JOB, "12.2.x-cpu-ml-scala2.12", "16.4.x-cpu-ml-scala2.12", id="ML"),
        pytest.param(subjects.SPARK_JOB, "12.2.x-gpu-ml-scala2.12", "16.4.x-gpu-ml-scala2.12", id="GPU"),
        pytest.param(
            subjects.CLASSIC, "12.2.x-scala2.12", "16.4.x-scala2.12, and write the project as a", id="classic"
        ),
    ],
)
def test_the_runtime_that_is_suggested_runs_the_project(
    tmp_path: Path, project: str, version: str, suggested: str
) -> None:
    said = subjects.say(runtime.check_supported, subjects.make(tmp_path, project=project, spec=spec(version)))

    assert subjects.matches(said, f"such as {suggested}"), said


@pytest.mark.parametrize(
    ("python", "version", "cure"),
    [
        pytest.param("3.7", "12.2", "ask for python=3.9, the runtime's own", id="another"),
        pytest.param("3.9", "12.2", "the runtime's own: choose a newer runtime and write the project", id="its own"),
        pytest.param("3.8", "10.4", "the runtime's own: choose a newer runtime and write the project", id="older"),
        pytest.param("3.8", "20.0", "ask for a newer Python", id="not known"),
    ],
)
def test_the_cure_for_a_python_that_has_ended_suits_the_runtime(
    tmp_path: Path, python: str, version: str, cure: str
) -> None:
    subject = subjects.make(tmp_path, yaml=yaml(f"python={python}"), spec=spec(f"{version}.x-scala2.12"))

    said = subjects.say(runtime.check_python_alive, subject)

    assert subjects.matches(said, f"| {cure}" if cure.startswith("ask") else f"| it is {cure}"), said


def test_a_python_env_has_its_python_found(tmp_path: Path) -> None:
    project = subjects.CLASSIC.replace("conda_env", "python_env")
    subject = subjects.make(tmp_path, project=project, yaml='dependencies:\n  - numpy\npython: "3.8"\n')

    assert subjects.matches(subjects.say(runtime.check_python_alive, subject), "Python 3.8...env.yaml:3:9")

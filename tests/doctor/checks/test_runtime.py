from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import errors
from mlops_tasks.doctor.checks import cluster, runtime
from mlops_tasks.doctor.subject import Questions
from tests.support import subjects


def spec(spark_version: object) -> dict[str, Any]:
    return {"spark_version": spark_version, **subjects.NODES}


def yaml(python: str) -> str:
    return f"name: x\ndependencies:\n  - pip\n  - {python}\n"


@pytest.mark.parametrize(
    ("spark_version", "expected"),
    [
        pytest.param("15.4.x-scala2.12", [], id="known"),
        pytest.param("20.x-scala2.13", ["warning ...newer than...cluster.json:2:3 | check the name"], id="newer"),
        pytest.param("154.x-scala2.12", ["warning ...newer than"], id="much newer"),
        pytest.param("99.1.x-scala2.13", ["warning ...newer than"], id="much newer, with a minor"),
        pytest.param("foo", [], id="no name at all, which is another finding"),
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
        pytest.param(subjects.SPARK_JOB, "12.2.x-scala2.12", "13.3.x-scala2.12", id="plain"),
        pytest.param(subjects.SPARK_JOB, "12.2.x-cpu-ml-scala2.12", "13.3.x-cpu-ml-scala2.12", id="ML"),
        pytest.param(subjects.SPARK_JOB, "12.2.x-gpu-ml-scala2.12", "13.3.x-gpu-ml-scala2.12", id="GPU"),
        pytest.param(subjects.SPARK_JOB, "17.1.x-scala2.13", "17.3.x-scala2.13", id="the nearest"),
        pytest.param(
            subjects.SPARK_JOB,
            "15.3.x-scala2.12",
            "15.4.x-scala2.12, and set wheel_root to /Workspace/Shared/wheels",
            id="with a place for wheels that it reads",
        ),
        pytest.param(
            subjects.CLASSIC, "12.2.x-scala2.12", "13.3.x-scala2.12, and write the project as a Spark job", id="classic"
        ),
        pytest.param(
            subjects.CLASSIC.replace("python train.py", "Rscript train.R"),
            "7.3.x-scala2.12",
            "(`inv doctor --fix` once this is fixed: the entry point main begins with Rscript",
            id="what --fix would refuse",
        ),
    ],
)
def test_the_runtime_that_is_suggested_runs_the_project(
    tmp_path: Path, project: str, version: str, suggested: str
) -> None:
    said = subjects.say(runtime.check_supported, subjects.make(tmp_path, project=project, spec=spec(version)))

    assert subjects.matches(said, f"set spark_version to {suggested}" if suggested[0] != "(" else suggested), said


@pytest.mark.parametrize(
    ("python", "version", "cure"),
    [
        pytest.param("3.7", "13.3", "ask for python=3.10, the runtime's own", id="another"),
        pytest.param(
            "3.7", "12.2", "set spark_version to 13.3.x-scala2.12, and set `backend: auto`", id="its own has ended too"
        ),
        pytest.param("3.9", "12.2", "set spark_version to 13.3.x-scala2.12, and set `backend: auto`", id="its own"),
        pytest.param(
            "3.7", "6.4", "set spark_version to 13.3.x-scala2.12, and set `backend: auto`", id="before the table"
        ),
        pytest.param("3.8", "20.0", "ask for a newer one: python=3.12", id="not known"),
    ],
)
def test_the_cure_for_a_python_that_has_ended_suits_the_runtime(
    tmp_path: Path, python: str, version: str, cure: str
) -> None:
    subject = subjects.make(tmp_path, yaml=yaml(f"python={python}"), spec=spec(f"{version}.x-scala2.12"))

    said = subjects.say(runtime.check_python_alive, subject)

    assert subjects.matches(said, f"| {cure}"), said


@pytest.mark.parametrize(
    ("spark_version", "expected"),
    [
        pytest.param("16.4.x-scala2.12", [], id="a name"),
        pytest.param("custom:x", [], id="an image of one's own"),
        pytest.param(
            "foo", ["error documented...foo is no runtime's name...:2:3 | set spark_version to 18.x"], id="foo"
        ),
        pytest.param("16.4-cpu-ml", ["no runtime's name... | set spark_version to 16.4.x-cpu-ml-scala2.12"], id="near"),
        pytest.param("16.4 LTS ML (Scala 2.13)", [" to 16.4.x-cpu-ml-scala2.13"], id="as a page says it"),
        pytest.param(15.4, [" to 15.4.x-scala2.12"], id="a number"),
        pytest.param("16.4.X-scala2.12", [" to 16.4.x-scala2.12"], id="capitals"),
        pytest.param("17.9.x-cpu-ml-scala2.12", ["the last 17 is 17.3...set spark_version to 18.x-cpu"], id="no minor"),
        pytest.param("15.4.x-cpu-ml-scala2.21", ["has Scala 2.12... to 15.4.x-cpu-ml-scala2.12"], id="no Scala"),
        pytest.param("17.3.x-scala2.12", ["has Scala 2.13... to 17.3.x-scala2.13"], id="another Scala"),
        pytest.param("15.x-scala2.12", ["names no minor version"], id="an umbrella too early"),
        pytest.param("16.4.x-ml-scala2.12", ["no kind of runtime that is known: ml"], id="half a kind"),
    ],
)
def test_a_name_that_no_runtime_has_is_an_error_with_the_one_that_is_meant(
    tmp_path: Path, spark_version: object, expected: list[str]
) -> None:
    subject = subjects.make(tmp_path, project=subjects.SPARK_JOB, spec=spec(spark_version))

    said = subjects.say(runtime.check_name, subject)

    assert subjects.matches(said, *expected), said


OFFERED = frozenset({"12.2.x-scala2.12", "16.4.x-scala2.12", "20.x-scala2.13"})


@pytest.mark.parametrize(
    ("spark_version", "expected"),
    [
        pytest.param("16.4.x-scala2.12", [], id="offered"),
        pytest.param(
            "15.4.x-scala2.12", ["error seen | the workspace has no runtime 15.4...to 16.4.x"], id="not there"
        ),
        pytest.param("99.1.x-scala2.13", ["error seen | the workspace has no runtime 99.1"], id="not there, and newer"),
        pytest.param("20.x-scala2.13", ["note documented...not in this package's table"], id="newer, and there"),
        pytest.param("7.3.x-scala2.12", [], id="ended, and may start all the same"),
        pytest.param("custom:x", ["note documented"], id="an image of one's own"),
    ],
)
def test_a_workspace_that_can_be_asked_has_the_last_word(
    tmp_path: Path, spark_version: str, expected: list[str]
) -> None:
    ask = Questions(runtimes=lambda: OFFERED)
    subject = subjects.make(tmp_path, project=subjects.SPARK_JOB, spec=spec(spark_version), ask=ask)

    said = [*subjects.say(runtime.check_offered, subject), *subjects.say(runtime.check_known, subject)]

    assert subjects.matches(said, *expected), said


def test_a_workspace_that_does_not_say_what_it_has_leaves_it_to_the_table(tmp_path: Path) -> None:
    def refuse() -> frozenset[str]:
        raise errors.WorkspaceError("not allowed", cure="ask for it")

    subject = subjects.make(tmp_path, spec=spec("20.x-scala2.13"), ask=Questions(runtimes=refuse, node_types=refuse))

    assert not subjects.say(runtime.check_offered, subject)
    assert not subjects.say(cluster.check_node_types, subject)
    assert subjects.matches(subjects.say(runtime.check_known, subject), "warning ...newer than")


def test_a_python_env_has_its_python_found(tmp_path: Path) -> None:
    project = subjects.CLASSIC.replace("conda_env", "python_env")
    subject = subjects.make(tmp_path, project=project, yaml='dependencies:\n  - numpy\npython: "3.8"\n')

    assert subjects.matches(subjects.say(runtime.check_python_alive, subject), "Python 3.8...env.yaml:3:9")

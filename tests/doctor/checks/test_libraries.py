from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops_tasks.doctor.checks import libraries
from mlops_tasks.doctor.subject import Questions
from tests.support import subjects

OURS, THEIRS = "WHEELPATH", "dbfs:/libs/other-1.0-py3-none-any.whl"
FIXED = "dbfs:/libs/mylib-1.0-py3-none-any.whl"


def on(spark_version: str) -> dict[str, Any]:
    return {"spark_version": f"{spark_version}.x-scala2.12", **subjects.NODES}


@pytest.mark.parametrize(
    ("version", "library", "root", "expected"),
    [
        pytest.param("14.3", {"whl": OURS}, "dbfs:/w", [], id="the last that installs them"),
        pytest.param("15.4", {"whl": OURS}, "dbfs:/w", ["error documented...(dbfs:/w)...cluster.json:9:14"], id="ours"),
        pytest.param("15.4", {"whl": OURS}, "/Volumes/a/b/c", [], id="ours in a volume"),
        pytest.param("15.4", {"whl": FIXED}, "/Volumes/a/b/c", [], id="ours by a path that patch changes"),
        pytest.param("15.0", {"whl": THEIRS}, "/Volumes/a/b/c", [f"error assumed...{THEIRS}"], id="theirs"),
        pytest.param("15.4", {"jar": "dbfs:/x.jar"}, "/Volumes/a/b/c", ["error documented...x.jar"], id="a jar"),
        pytest.param("15.4", {"pypi": {"package": "numpy"}}, "dbfs:/w", [], id="none"),
        pytest.param("20.1", {"whl": OURS}, "dbfs:/w", ["error documented"], id="a newer runtime"),
    ],
)
def test_dbfs_libraries_end_with_runtime_14(
    tmp_path: Path, version: str, library: dict[str, Any], root: str, expected: list[str]
) -> None:
    subject = subjects.make(tmp_path, spec=on(version), libraries=[library], wheel_root=root)

    said = subjects.say(libraries.check_dbfs, subject)

    assert subjects.matches(said, *expected), said


def test_wheels_that_workers_will_get_count_as_libraries(tmp_path: Path) -> None:
    said = subjects.say(libraries.check_dbfs, subjects.make(tmp_path, spec=on("15.4"), workers=True))

    assert subjects.matches(said, "error documented...(dbfs:/wheels)...| workers |"), said


@pytest.mark.parametrize(
    ("project", "version", "root", "expected"),
    [
        pytest.param(subjects.SPARK_JOB, "15.4", "dbfs:/w", ["warning assumed...dbfs:/w"], id="new"),
        pytest.param(subjects.SPARK_JOB, "15.0", "dbfs:/w", ["warning assumed"], id="the first new one"),
        pytest.param(subjects.SPARK_JOB, "14.3", "dbfs:/w", [], id="old"),
        pytest.param(subjects.SPARK_JOB, "15.4", "/Volumes/a/b/c", [], id="in a volume"),
        pytest.param(
            subjects.SPARK_JOB.replace(OURS, "numpy"), "15.4", "dbfs:/w", ["warning assumed"], id="one that is added"
        ),
        pytest.param(subjects.CLASSIC, "15.4", "dbfs:/w", [], id="classic"),
    ],
)
def test_a_spark_jobs_wheel_on_dbfs_is_doubted_on_new_runtimes(
    tmp_path: Path, project: str, version: str, root: str, expected: list[str]
) -> None:
    subject = subjects.make(tmp_path, project=project, spec=on(version), wheel_root=root)

    said = subjects.say(libraries.check_spark_job_dbfs, subject)

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("library", "expected"),
    [
        pytest.param(
            {"maven": {"coordinates": "a:b:1"}}, ["warning seen...maven library...cluster.json:7:3"], id="maven"
        ),
        pytest.param(
            {"pypi": {"package": "x", "repo": "https://x.org"}}, ["warning seen...index https://x.org"], id="repo"
        ),
        pytest.param({"pypi": {"package": "x"}}, [], id="a package"),
        pytest.param({"whl": OURS}, [], id="a wheel"),
    ],
)
def test_what_mlflow_does_not_install_for_a_spark_job_is_said(
    tmp_path: Path, library: dict[str, Any], expected: list[str]
) -> None:
    said = subjects.say(
        libraries.check_spark_job_kinds, subjects.make(tmp_path, project=subjects.SPARK_JOB, libraries=[library])
    )

    assert subjects.matches(said, *expected), said
    assert not subjects.say(libraries.check_spark_job_kinds, subjects.make(tmp_path, libraries=[library]))


@pytest.mark.parametrize(
    ("version", "root", "expected"),
    [
        pytest.param("12.2", "/Workspace/w", ["error seen...13.1...| set wheel_root to dbfs:/..."], id="before"),
        pytest.param("13.0", "/Workspace/w", ["error seen"], id="just before"),
        pytest.param("13.1", "/Workspace/w", [], id="since"),
        pytest.param("12.2", "dbfs:/w", [], id="elsewhere"),
    ],
)
def test_wheels_among_workspace_files_need_a_newer_runtime(
    tmp_path: Path, version: str, root: str, expected: list[str]
) -> None:
    subject = subjects.make(tmp_path, spec=on(version), libraries=[{"whl": OURS}], wheel_root=root)

    said = subjects.say(libraries.check_workspace_wheels, subject)

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("version", "library", "expected"),
    [
        pytest.param("14.0", {"egg": "dbfs:/x.egg"}, ["error documented...x.egg"], id="egg"),
        pytest.param("13.3", {"egg": "dbfs:/x.egg"}, [], id="egg before"),
        pytest.param("14.3", {"requirements": "/Workspace/r.txt"}, ["warning assumed...r.txt"], id="requirements"),
        pytest.param("15.0", {"requirements": "/Workspace/r.txt"}, [], id="requirements since"),
    ],
)
def test_kinds_of_libraries_have_their_runtimes(
    tmp_path: Path, version: str, library: dict[str, Any], expected: list[str]
) -> None:
    subject = subjects.make(tmp_path, spec=on(version), libraries=[library])

    said = [*subjects.say(libraries.check_eggs, subject), *subjects.say(libraries.check_requirements, subject)]

    assert subjects.matches(said, *expected), said


def test_what_mlflow_drops_from_a_spark_job_is_said_once(tmp_path: Path) -> None:
    lost = [{"egg": "dbfs:/x.egg"}, {"jar": "dbfs:/x.jar"}, {"requirements": "/Workspace/r.txt"}]
    subject = subjects.make(tmp_path, project=subjects.SPARK_JOB, spec=on("14.3"), libraries=lost)

    checks = (libraries.check_eggs, libraries.check_dbfs, libraries.check_requirements, libraries.check_spark_job_kinds)
    said = [each for check in checks for each in subjects.say(check, subject)]

    assert subjects.matches(said, "the egg library...is lost", "the jar library", "the requirements library"), said


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        pytest.param(
            "/dbfs/libs/other-1.0-py3-none-any.whl", ["error documented...write dbfs:/libs/other"], id="/dbfs"
        ),
        pytest.param("https://x.org/other-1.0-py3-none-any.whl", ["error documented...begins with"], id="https"),
        pytest.param("s3://bucket/other-1.0-py3-none-any.whl", [], id="s3"),
        pytest.param("/dbfs/libs/mylib-1.0-py3-none-any.whl", [], id="ours, which patch changes"),
        pytest.param(OURS, [], id="the placeholder"),
    ],
)
def test_a_wheel_comes_from_where_databricks_looks(tmp_path: Path, uri: str, expected: list[str]) -> None:
    said = subjects.say(libraries.check_schemes, subjects.make(tmp_path, libraries=[{"whl": uri}]))

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("project", "package", "expected"),
    [
        pytest.param(subjects.CLASSIC, THEIRS, ["warning assumed...cluster.json:10:20..."], id="a wheel"),
        pytest.param(subjects.CLASSIC, OURS, ["warning assumed"], id="the placeholder"),
        pytest.param(subjects.CLASSIC, "numpy==1.26", [], id="a package"),
        pytest.param(subjects.SPARK_JOB, "numpy", ["note assumed...WHEELPATH...MLproject:5:7"], id="Spark job"),
        pytest.param(
            subjects.SPARK_JOB.replace("requests", THEIRS), "numpy", [f"installs {THEIRS}, WHEELPATH for"], id="two"
        ),
        pytest.param(subjects.SPARK_JOB.replace(OURS, "numpy"), "numpy", ["note assumed"], id="Spark job, to be added"),
        pytest.param(subjects.SPARK_JOB.replace(OURS, "numpy"), OURS, ["note assumed"], id="Spark job, to be moved"),
    ],
)
def test_a_wheels_path_in_place_of_a_package_is_marked_assumed(
    tmp_path: Path, project: str, package: str, expected: list[str]
) -> None:
    subject = subjects.make(tmp_path, project=project, libraries=[{"pypi": {"package": package}}])

    said = subjects.say(libraries.check_wheel_packages, subject)

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("line", "is_there", "expected"),
    [
        pytest.param("/dbfs/libs/other-1.0-py3-none-any.whl", False, ["error seen...training_env.yaml:6:9"], id="gone"),
        pytest.param("/dbfs/libs/other-1.0-py3-none-any.whl", True, [], id="there"),
        pytest.param(
            "/dbfs/libs/other-1.0-py3-none-any.whl[a] ; sys_platform == 'x'",
            False,
            ["no /dbfs/libs/other-1.0-py3-none-any.whl in"],
            id="marked",
        ),
        pytest.param("/dbfs/libs/mylib-1.0-py3-none-any.whl", False, [], id="ours"),
        pytest.param("./wheels/other-1.0-py3-none-any.whl", False, [], id="in the project"),
        pytest.param("numpy", False, [], id="a package"),
    ],
)
def test_wheels_of_others_have_to_be_in_the_workspace(
    tmp_path: Path, line: str, is_there: bool, expected: list[str]
) -> None:
    asked: list[str] = []

    def has_file(path: str) -> bool:
        asked.append(path)
        return is_there

    yaml = f"dependencies:\n  - python=3.9\n  - pip:\n      - WHEELPATH\n      - numpy\n      - {line}\n"
    subject = subjects.make(tmp_path, yaml=yaml, ask=Questions(has_file=has_file))

    said = subjects.say(libraries.check_there, subject)

    assert subjects.matches(said, *expected), said
    assert asked == (["/dbfs/libs/other-1.0-py3-none-any.whl"] if line.startswith("/dbfs/libs/other") else [])


def test_nothing_is_said_of_wheels_while_nobody_can_be_asked(tmp_path: Path) -> None:
    assert not subjects.say(libraries.check_there, subjects.make(tmp_path, libraries=[{"whl": THEIRS}]))


def test_a_fixed_path_of_our_own_wheel_is_noted(tmp_path: Path) -> None:
    subject = subjects.make(tmp_path, libraries=[{"whl": FIXED}, {"whl": THEIRS}])

    said = subjects.say(libraries.check_fixed, subject)

    assert subjects.matches(said, f"note seen | {FIXED}...cluster.json:9:14...WHEELPATH"), said


def test_of_a_project_without_wheels_nothing_is_said_of_them(tmp_path: Path) -> None:
    project = subjects.SPARK_JOB.replace(OURS, "numpy")
    subject = subjects.make(tmp_path, project=project, spec=on("15.4"), ours={})

    checks = (libraries.check_wheel_packages, libraries.check_spark_job_dbfs, libraries.check_dbfs)
    assert not [each for check in checks for each in subjects.say(check, subject)]

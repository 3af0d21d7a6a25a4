from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks.doctor.checks import wheels
from mlops_tasks.wheels import fitting
from tests.support import subjects

ON_CLUSTER = [{"whl": "WHEELPATH"}]


def yaml(python: str) -> str:
    return f"dependencies:\n  - python={python}\n  - pip:\n      - WHEELPATH\n"


@pytest.mark.parametrize(
    ("requires_python", "python", "libraries", "expected"),
    [
        pytest.param(">=3.8", "3.9", ON_CLUSTER, [], id="fits"),
        pytest.param("", "3.9", ON_CLUSTER, [], id="asks none"),
        pytest.param(">=3.9.10", "3.9", ON_CLUSTER, [], id="a patch level"),
        pytest.param(
            ">=3.10",
            "3.10",
            ON_CLUSTER,
            ["error seen...needs Python >=3.10...the cluster (runtime 12.2) has 3.9...cluster.json:3:5"],
            id="not on the cluster",
        ),
        pytest.param(">=3.10", "3.10", None, [], id="not on the cluster, where none goes"),
        pytest.param(
            ">=3.8",
            "3.7",
            ON_CLUSTER,
            ["error...the project's environment has 3.7...env.yaml:2:5"],
            id="not in the YAML",
        ),
    ],
)
def test_a_wheel_fits_the_pythons_that_get_it(
    tmp_path: Path, requires_python: str, python: str, libraries: list[Any] | None, expected: list[str]
) -> None:
    wheel = subjects.WHEEL._replace(requires_python=requires_python)
    subject = subjects.make(tmp_path, yaml=yaml(python), libraries=libraries, wheels=(wheel,))

    said = subjects.say(wheels.check_requires_python, subject)

    assert subjects.matches(said, *expected), said


def test_a_wheel_for_another_system_is_said(tmp_path: Path) -> None:
    name = "mylib-1.0-cp39-cp39-macosx_11_0_arm64.whl"
    wheel = subjects.WHEEL._replace(file_name=name, tags=fitting.parse_tags(name))

    said = subjects.say(wheels.check_tags, subjects.make(tmp_path, libraries=ON_CLUSTER, wheels=(wheel,)))

    assert subjects.matches(said, "error...the cluster (runtime 12.2)", "error...the project's environment"), said


def test_what_rests_on_an_assumed_python_is_assumed(tmp_path: Path) -> None:
    spec = {"spark_version": "8.4.x-scala2.12", **subjects.NODES}
    wheel = subjects.WHEEL._replace(requires_python=">=3.9")
    subject = subjects.make(tmp_path, project=subjects.SPARK_JOB, spec=spec, wheels=(wheel,))

    assert subjects.matches(subjects.say(wheels.check_requires_python, subject), "error assumed...runtime 8.4) has 3.8")


def test_nothing_is_said_of_a_python_that_is_not_known(tmp_path: Path) -> None:
    spec = {"spark_version": "20.0.x-scala2.13", **subjects.NODES}
    wheel = subjects.WHEEL._replace(requires_python="<3", tags=frozenset({"py2-none-any"}))
    subject = subjects.make(tmp_path, project=subjects.SPARK_JOB, spec=spec, wheels=(wheel,))

    assert not subjects.say(wheels.check_requires_python, subject)
    assert not subjects.say(wheels.check_tags, subject)


@pytest.mark.parametrize(
    ("spec", "version", "expected"),
    [
        pytest.param(
            {"existing_cluster_id": "1-a"},
            "1.0",
            ["warning seen...mylib 1.0...cluster.json:2:3...1.0+gabcdef012345"],
            id="a cluster that stays",
        ),
        pytest.param({"existing_cluster_id": "1-a"}, "1.0+g0123", [], id="a version that moves"),
        pytest.param(subjects.OLD, "1.0", [], id="a new cluster"),
    ],
)
def test_a_version_that_stays_is_said_where_the_environment_stays(
    tmp_path: Path, spec: dict[str, Any], version: str, expected: list[str]
) -> None:
    wheel = subjects.WHEEL._replace(version=version)
    subject = subjects.make(tmp_path, spec=spec, wheels=(wheel,), commit="abcdef0123456789")

    said = subjects.say(wheels.check_version_moves, subject)

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("text", "python", "expected"),
    [
        pytest.param("A = 1\n", "3.9", [], id="fine"),
        pytest.param("match 1:\n    case 1: pass\n", "3.9", ["error seen...Python 3.9...mylib.py:2"], id="too new"),
        pytest.param("(\n", "3.99", ["warning seen...Python here...mylib.py:1"], id="wrong for an unknown Python"),
    ],
)
def test_a_module_that_the_clusters_python_does_not_compile(
    tmp_path: Path, text: str, python: str, expected: list[str]
) -> None:
    path = tmp_path / "mylib-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mylib.py", text)
    wheel = subjects.WHEEL._replace(path=path)
    subject = subjects.make(tmp_path, yaml=yaml(python), wheels=(wheel,))

    assert subjects.matches(subjects.say(wheels.check_compiles, subject), *expected)

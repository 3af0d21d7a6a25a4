from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops_tasks.doctor.checks import access
from tests.support import subjects

VOLUME = "/Volumes/main/ml/wheels"


def mode(name: str, spark_version: str = "16.4.x-scala2.12") -> dict[str, Any]:
    return {"spark_version": spark_version, **subjects.NODES, "data_security_mode": name}


@pytest.mark.parametrize("name", ["USER_ISOLATION", "DATA_SECURITY_MODE_STANDARD"])
def test_mlflow_cannot_read_the_project_without_the_dbfs_mount(tmp_path: Path, name: str) -> None:
    said = subjects.say(access.check_dbfs_mount, subjects.make(tmp_path, spec=mode(name)))

    assert subjects.matches(said, f"error documented...{name}...cluster.json:5:3...SINGLE_USER"), said
    assert not subjects.say(
        access.check_dbfs_mount, subjects.make(tmp_path, spec=mode(name), backend="databricks-jobs")
    )


@pytest.mark.parametrize("name", ["SINGLE_USER", "DATA_SECURITY_MODE_DEDICATED", "NONE"])
def test_the_other_modes_have_the_dbfs_mount(tmp_path: Path, name: str) -> None:
    assert not subjects.say(access.check_dbfs_mount, subjects.make(tmp_path, spec=mode(name)))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(mode("USER_ISOLATION", "16.4.x-cpu-ml-scala2.12"), ["error documented"], id="ML"),
        pytest.param(mode("USER_ISOLATION"), [], id="not ML"),
        pytest.param(mode("SINGLE_USER", "16.4.x-cpu-ml-scala2.12"), [], id="dedicated"),
    ],
)
def test_standard_mode_has_no_ml_runtime(tmp_path: Path, spec: dict[str, Any], expected: list[str]) -> None:
    said = subjects.say(access.check_machine_learning, subjects.make(tmp_path, spec=spec))

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("spec", "root", "libraries", "expected"),
    [
        pytest.param(mode("NONE"), VOLUME, None, ["error assumed...NONE...:5:3"], id="no catalog"),
        pytest.param(mode("NONE"), "dbfs:/w", None, [], id="no volume"),
        pytest.param(
            mode("NONE"), "dbfs:/w", [{"whl": f"{VOLUME}/x-1-py3-none-any.whl"}], ["error assumed"], id="in libraries"
        ),
        pytest.param(subjects.NEW, VOLUME, None, [], id="the mode by default"),
        pytest.param(mode("USER_ISOLATION"), VOLUME, None, [], id="standard"),
        pytest.param(
            subjects.OLD,
            VOLUME,
            None,
            ["error documented...12.2 has no volumes...13.3...| set wheel"],
            id="old runtime",
        ),
        pytest.param(
            {**subjects.OLD, **mode("NONE"), "spark_version": "12.2.x"}, VOLUME, None, ["no volumes"], id="both"
        ),
    ],
)
def test_a_volume_needs_unity_catalog(
    tmp_path: Path, spec: dict[str, Any], root: str, libraries: list[Any] | None, expected: list[str]
) -> None:
    plan = subjects.make(tmp_path, spec=spec, libraries=libraries, wheel_root=root)

    said = subjects.say(access.check_volumes, plan)

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("spark_version", "root", "expected"),
    [
        pytest.param("10.4.x-scala2.12", "/Workspace/Shared/w", ["error documented...11.3"], id="before"),
        pytest.param("11.3.x-scala2.12", "/Workspace/Shared/w", [], id="since"),
        pytest.param("10.4.x-scala2.12", "dbfs:/w", [], id="elsewhere"),
    ],
)
def test_workspace_files_need_a_runtime_that_sees_them(
    tmp_path: Path, spark_version: str, root: str, expected: list[str]
) -> None:
    spec = {"spark_version": spark_version, **subjects.NODES}

    said = subjects.say(access.check_workspace_files, subjects.make(tmp_path, spec=spec, wheel_root=root))

    assert subjects.matches(said, *expected), said

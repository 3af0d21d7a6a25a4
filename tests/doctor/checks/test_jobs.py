from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks.doctor import checklist
from mlops_tasks.doctor.checks import jobs as checks
from mlops_tasks.doctor.subject import Questions, Subject
from tests.support import subjects

SERVERLESS = {"environments": [{"environment_key": "e", "spec": {"environment_version": "1"}}]}
EXISTING = {"existing_cluster_id": "1-a"}
NONE = "dependencies: [pip: [mlflow]]"


def make(folder: Path, spec: Mapping[str, Any] | None, **changes: Any) -> Subject:
    """A subject of a project that our own backend runs."""
    return subjects.make(folder, spec=spec, **{"backend": "databricks-jobs", **changes})


def asking(state: Mapping[str, Any] | None) -> Questions:
    return Questions(cluster=lambda _: state)


def test_what_holds_for_mlflows_own_backend_alone_is_not_said(tmp_path: Path) -> None:
    spec = {**subjects.NEW, "data_security_mode": "USER_ISOLATION", "cluster_id": "1-a", "run_name": "x"}
    libraries = [{"maven": {"coordinates": "a:b:1"}}, {"pypi": {"package": "WHEELPATH"}}]
    yaml = subjects.ENVIRONMENT.replace("- mlflow", "- mlflow==2.9.2")
    subject = make(
        tmp_path, spec, libraries=libraries, yaml=yaml, mlflow=subjects.CLIENT, wheel_root="/Workspace/Shared/w"
    )

    found = checklist.check(subject).found

    assert {each.level for each in found} == {"note"}, found
    assert any("cluster_id of cluster.json is left out" in each.what for each in found)
    assert any("training_env.yaml asks for Python 3.9, and a new cluster (runtime 16.4)" in each.what for each in found)


@pytest.mark.parametrize(
    ("spec", "changes", "expected"),
    [
        pytest.param(subjects.NEW, {}, [], id="libraries from DBFS are another check's"),
        pytest.param({**subjects.NEW, "spark_version": "14.3.x-scala2.12"}, {}, [], id="installed and mounted"),
        pytest.param(
            SERVERLESS, {}, ["serverless compute...has no /dbfs...| wheel_root | set wheel_root"], id="no mount"
        ),
        pytest.param(SERVERLESS, {"wheel_root": "/Volumes/a/b/c"}, [], id="a volume"),
        pytest.param(EXISTING, {}, [], id="an existing cluster that was not asked"),
        pytest.param(
            EXISTING,
            {"ask": asking({"spark_version": "15.4.x-scala2.12", "data_security_mode": "USER_ISOLATION"})},
            ["the existing cluster 1-a (runtime 15.4) has no /dbfs"],
            id="a shared one",
        ),
        pytest.param(
            subjects.NEW,
            {"ours": {}, "yaml": NONE},
            ["installs nothing from DBFS (dbfs:/wheels)"],
            id="requirements alone",
        ),
    ],
)
def test_a_wheel_root_on_dbfs_that_the_compute_does_not_reach_is_an_error(
    tmp_path: Path, spec: dict[str, Any], changes: dict[str, Any], expected: list[str]
) -> None:
    assert subjects.matches(subjects.say(checks.check_root, make(tmp_path, spec, **changes)), *expected)


def test_each_line_that_cannot_be_installed_is_an_error_at_its_own_place(tmp_path: Path) -> None:
    yaml = "dependencies:\n- pip:\n  - -f /home/me/wheels\n  - numpy\n  - --pre\n"
    found = make(tmp_path, {**subjects.OLD, "spark_version": "14.3.x-scala2.12"}, yaml=yaml)

    assert subjects.matches(
        [each for each in subjects.say(checks.check_dependencies, found) if each.startswith("error")],
        "a place on this machine...training_env.yaml:3 | put the wheels into a volume",
        "none of pip's options...training_env.yaml:5 | set spark_version to",
    )


@pytest.mark.parametrize("line", ["WHEELPATH", "mylib", "-e ../libs/mylib", "/dbfs/old/mylib-0.1-py3-none-any.whl"])
def test_a_line_that_patch_replaces_is_none_of_them(tmp_path: Path, line: str) -> None:
    (tmp_path / "libs" / "mylib").mkdir(parents=True)
    project = tmp_path / "training"
    project.mkdir()
    yaml = f"dependencies:\n- pip:\n  - mlflow\n  - {line}\n"
    found = make(project, SERVERLESS, yaml=yaml, ours={"mylib": tmp_path / "libs" / "mylib"})

    assert subjects.say(checks.check_dependencies, found) == []


@pytest.mark.parametrize(
    ("spec", "state", "expected"),
    [
        pytest.param(EXISTING, None, ["error seen | there is no cluster 1-a...cluster.json:2:3"], id="not there"),
        pytest.param(EXISTING, {"spark_version": "12.2.x-scala2.12"}, [], id="too old, which is another check's"),
        pytest.param(EXISTING, {"spark_version": "13.3.x-scala2.12"}, ["not supported any more"], id="ended"),
        pytest.param(EXISTING, {"spark_version": "16.4.x-scala2.12"}, [], id="sound"),
        pytest.param(subjects.NEW, None, [], id="a new one"),
    ],
)
def test_an_existing_cluster_is_asked_for(
    tmp_path: Path, spec: dict[str, Any], state: dict[str, Any] | None, expected: list[str]
) -> None:
    found = make(tmp_path, spec, ask=asking(state), today=date(2026, 11, 29))

    assert subjects.matches(subjects.say(checks.check_existing, found), *expected)


@pytest.mark.parametrize(
    ("spec", "state", "cure"),
    [
        pytest.param(subjects.OLD, None, "| set spark_version to 13.3.x-scala2.12", id="a new cluster"),
        pytest.param(
            EXISTING, {"spark_version": "12.2.x-scala2.12"}, "| name a cluster of a newer", id="an existing one"
        ),
    ],
)
def test_a_runtime_below_13_is_too_old(
    tmp_path: Path, spec: dict[str, Any], state: dict[str, Any] | None, cure: str
) -> None:
    found = make(tmp_path, spec, ask=asking(state))

    assert subjects.matches(subjects.say(checks.check_runs, found), f"error...older than runtime 13...{cure}")


def test_a_spec_that_names_no_compute_is_refused_in_the_words_of_a_release(tmp_path: Path) -> None:
    found = make(tmp_path, {**EXISTING, "new_cluster": subjects.NEW}, backend="auto")

    assert subjects.matches(subjects.say(checks.check_compute, found), "error seen | cluster.json names several kinds")


def test_an_environment_that_has_ended_is_warned_of(tmp_path: Path) -> None:
    before, after = (make(tmp_path, SERVERLESS, today=day) for day in (date(2026, 11, 29), date(2027, 4, 1)))

    assert subjects.say(checks.check_environment, before) == []
    assert subjects.matches(
        subjects.say(checks.check_environment, after),
        "warning documented | environment 1 is not supported since 12 March 2027...| set environment_version to 6",
    )


def test_a_home_that_the_runs_identity_may_not_read_is_an_error(tmp_path: Path) -> None:
    spec = {"new_cluster": subjects.NEW, "run_as": {"service_principal_name": "robot"}}
    root = "/Workspace/Users/ada/.mlops/wheels"

    assert subjects.matches(
        subjects.say(checks.check_readable, make(tmp_path, spec, wheel_root=root)),
        "the job runs as robot, which may not read /Workspace/Users/ada...cluster.json",
    )


def test_a_compiled_wheel_does_not_go_to_the_workers_of_an_existing_cluster(tmp_path: Path) -> None:
    wheel = subjects.WHEEL._replace(file_name="mylib-1.0-cp311-cp311-linux_x86_64.whl")
    found = make(tmp_path, EXISTING, wheels=(subjects.WHEEL, wheel), workers=True)

    assert subjects.matches(
        subjects.say(checks.check_workers, found), "has compiled code...| workers | describe a new_"
    )

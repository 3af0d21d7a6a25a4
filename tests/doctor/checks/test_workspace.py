from __future__ import annotations

from pathlib import Path

import pytest

from mlops_tasks import errors
from mlops_tasks.doctor.checks import workspace
from mlops_tasks.doctor.subject import Questions
from tests.support import subjects


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("/Shared/churn/main", [], id="absolute"),
        pytest.param("/Shared/{project}/{branch}", [], id="a template"),
        pytest.param("/Workspaces/x", [], id="only alike"),
        pytest.param(None, [], id="not known yet"),
        pytest.param(
            "churn",
            ["error documented...not an absolute workspace path...experiment...write /Shared/churn"],
            id="relative",
        ),
        pytest.param(
            "/Workspace/Shared/x", ["error documented...begins with /Workspace...write /Shared/x"], id="prefix"
        ),
    ],
)
def test_the_experiment_is_an_absolute_workspace_path(tmp_path: Path, name: str | None, expected: list[str]) -> None:
    said = subjects.say(workspace.check_experiment, subjects.make(tmp_path, experiment=name))

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("root", "is_there", "expected"),
    [
        pytest.param("/Volumes/main/ml/wheels/team", True, [], id="there"),
        pytest.param(
            "/Volumes/main/ml/wheels/team",
            False,
            ["error seen | there is no volume /Volumes/main/ml/wheels,"],
            id="gone",
        ),
        pytest.param("/Volumes/main/ml", True, ["error seen...names no place for wheels...VOLUME"], id="too short"),
        pytest.param(
            "/Volumes/main//wheels", True, ["error seen...names no place for wheels...VOLUME"], id="an empty part"
        ),
        pytest.param("dbfs:/wheels", False, [], id="elsewhere"),
        pytest.param("/dbfs/wheels", False, ["error seen...names no place...write dbfs:/wheels"], id="the mount"),
        pytest.param("s3://bucket", False, ["error seen...names no place...wheel_root...write dbfs:/"], id="a bucket"),
    ],
)
def test_the_volume_is_there(tmp_path: Path, root: str, is_there: bool, expected: list[str]) -> None:
    asked: list[str] = []

    def has_volume(path: str) -> bool:
        asked.append(path)
        return is_there

    said = subjects.say(
        workspace.check_wheel_root, subjects.make(tmp_path, wheel_root=root, ask=Questions(has_volume=has_volume))
    )

    assert subjects.matches(said, *expected), said
    assert asked == (["/Volumes/main/ml/wheels"] if root.endswith("team") else [])


def test_a_volume_is_believed_while_nobody_can_be_asked(tmp_path: Path) -> None:
    assert not subjects.say(workspace.check_wheel_root, subjects.make(tmp_path, wheel_root="/Volumes/main/ml/wheels"))


def test_what_is_wrong_with_the_login_is_said_in_its_own_words(tmp_path: Path) -> None:
    def refuse() -> None:
        raise errors.WorkspaceError("the token is not valid", where="DATABRICKS_TOKEN", cure="make a new one")

    bad, good, none = (
        subjects.make(tmp_path, ask=Questions(log_in=each)) for each in (refuse, lambda: "ada@example.com", None)
    )

    said = subjects.say(workspace.check_login, bad)

    assert subjects.matches(said, "error seen | the token is not valid | DATABRICKS_TOKEN | make a new one"), said
    assert not subjects.say(workspace.check_login, good)
    assert not subjects.say(workspace.check_login, none)

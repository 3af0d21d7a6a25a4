from __future__ import annotations

import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_tasks import errors
from tests.support.contexts import make_context
from tests.support.repositories import commit, git, make_library, write
from tests.support.workspaces import Heard

MLPROJECT = "name: {}\nentry_points: {{main: {{command: python x.py}}}}\n"


def make_projects(top: Path, *folders: str) -> None:
    write(top, {f"{folder}/MLproject": MLPROJECT.format(Path(folder).name or "whole") for folder in folders})


def told(top: Path, project: str) -> str:
    return make_context(top, project=project).project_in_repository


@pytest.mark.parametrize("state", ["committed", "new", "without git"])
def test_projects_of_one_repository_are_told_apart_by_as_much_of_their_path_as_it_takes(
    tmp_path: Path, state: str
) -> None:
    make_projects(tmp_path, "services/fraud/train", "services/churn/train", "projects/score")
    if state != "without git":
        git("init", "-q", "-b", "main", cwd=tmp_path)
    if state == "committed":
        commit(tmp_path)

    assert told(tmp_path, "services/fraud/train") == "fraud/train"
    assert told(tmp_path, "services/churn/train") == "churn/train"
    assert told(tmp_path, "projects/score") == "score"


def test_what_git_ignores_is_no_other_project(tmp_path: Path) -> None:
    make_projects(tmp_path, "projects/train", ".mlops/staged/train", "build/train")
    write(tmp_path, {".gitignore": "build/\n", ".mlops/.gitignore": "*\n"})
    commit(tmp_path)

    assert told(tmp_path, "projects/train") == "train"


def test_a_project_in_a_submodule_counts_too(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    make_projects(inner, "train")
    make_projects(outer, "projects/train")
    commit(inner)
    commit(outer)
    git("-c", "protocol.file.allow=always", "submodule", "-q", "add", str(inner), "sub", cwd=outer)

    assert told(outer, "projects/train") == "projects/train"
    assert told(outer, "sub/train") == "sub/train"


def test_a_project_in_the_top_folder_goes_by_its_name_unless_another_ones_folder_has_it(tmp_path: Path) -> None:
    write(tmp_path, {"MLproject": MLPROJECT.format("train")})
    assert told(tmp_path, ".") == "train"

    make_projects(tmp_path, "projects/train")
    assert told(tmp_path, ".") == "./train"
    assert told(tmp_path, "projects/train") == "train"


@pytest.mark.parametrize(
    ("target", "root", "there"),
    [
        pytest.param("local", "dbfs:/wheels", ".mlops/workspace/wheels", id="DBFS, here"),
        pytest.param("local", "/Volumes/main/ml/wheels", ".mlops/workspace/wheels", id="a volume, here"),
        pytest.param("local", "/Workspace/Shared/wheels", ".mlops/workspace/wheels", id="workspace files, here"),
        pytest.param("databricks", "wheels", "dbfs:/wheels", id="a folder, there"),
        pytest.param("databricks", "/srv/wheels", "dbfs:/wheels", id="a folder by its whole path, there"),
    ],
)
def test_a_wheel_root_of_the_other_target_is_left_alone(tmp_path: Path, target: str, root: str, there: str) -> None:
    write(tmp_path / "p", {"MLproject": "name: p\n"})

    assert make_context(tmp_path, target=target, wheel_root=root, backend="databricks").wheel_root == there


@pytest.mark.parametrize(
    ("target", "root"),
    [
        pytest.param("local", "wheels", id="a folder, here"),
        pytest.param("local", "s3://bucket/wheels", id="of neither, which is refused later"),
        pytest.param("databricks", "dbfs:/wheels", id="DBFS, there"),
        pytest.param("databricks", "/Shared/wheels", id="spelt otherwise, which is told later"),
    ],
)
def test_any_other_wheel_root_is_as_it_was_set(tmp_path: Path, target: str, root: str) -> None:
    assert make_context(tmp_path, target=target, wheel_root=root).wheel_root == root


def test_a_wheel_root_that_is_a_flag_is_meant_for_this_target(tmp_path: Path) -> None:
    context = make_context(tmp_path, wheel_root="dbfs:/wheels", origins={"wheel_root": "--wheel-root"})

    assert context.wheel_root == "dbfs:/wheels"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone without the submodules that are its project and one of its libraries."""
    for name in ("one", "other"):
        write(tmp_path / name, {"pyproject.toml": "[project]\n", "MLproject": "name: x\n"})
        commit(tmp_path / name)
    make_library(tmp_path / "origin")
    commit(tmp_path / "origin")
    for name, place in (("one", "libs/shared"), ("other", "p")):
        add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / name), place)
        git(*add, cwd=tmp_path / "origin")
    commit(tmp_path / "origin")
    git("clone", "-q", str(tmp_path / "origin"), "clone", cwd=tmp_path)
    return tmp_path / "clone"


def test_a_project_in_a_submodule_that_is_not_checked_out_is_refused_with_what_brings_it(clone: Path) -> None:
    with pytest.raises(errors.BadInput, match="the project is not there: p is a submodule that is not") as caught:
        _ = make_context(clone).project

    assert (caught.value.where, caught.value.cure) == (str(clone / "p"), f"`git -C {clone} submodule update --init p`")


def test_a_library_in_a_submodule_that_is_not_checked_out_is_refused_with_what_brings_it(clone: Path) -> None:
    with pytest.raises(errors.BadInput, match="libs/shared is a submodule that is not checked out") as caught:
        _ = make_context(clone, libraries=("libs/*",)).libraries

    assert caught.value.cure == f"`git -C {clone} submodule update --init libs/shared`"


def test_mlflow_which_asks_for_a_home_as_it_is_imported_finds_one_where_the_user_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setenv("HOME", "/to be put back")
    monkeypatch.delenv("HOME")

    found = replace(make_context(tmp_path), environ={}).programs_environ

    assert found["HOME"] == str(tmp_path / ".mlops" / "home")
    assert Path.home() == tmp_path / ".mlops" / "home"
    assert os.environ["HOME"] == found["HOME"]


def test_a_command_that_is_waited_for_is_said_once_however_many_processes_it_has(tmp_path: Path) -> None:
    heard = Heard()
    context = make_context(tmp_path, report=heard)

    for holder in ("release, process 7 on a", "release, process 8 on a", "a process that has just begun"):
        context.say_waiting(f"another command holds this release: {holder}")

    assert heard.lines == ["another command holds this release: release, process 7 on a"]


def test_a_context_that_says_nothing_leaves_it_to_others_to_say_it(tmp_path: Path) -> None:
    heard = Heard()
    context = make_context(tmp_path, report=heard)

    context.silenced().say_once("told")
    context.say_once("told")

    assert heard.lines == ["told"]

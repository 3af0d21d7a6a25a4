from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import errors
from mlops_tasks.tasks import chain
from tests.support.inv import inv
from tests.support.repositories import make_repository, write


def shared(*links: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    made = [chain.Link(task, flags) for task, flags in links]
    return chain.share(made, ("target", "branch", "workers")) | chain.switch(made, ("json",))


def test_what_one_task_of_a_command_is_given_holds_for_all() -> None:
    assert shared(("name", {"target": None}), ("run", {"target": "databricks", "workers": True, "json": False})) == {
        "target": "databricks",
        "workers": True,
    }
    assert shared(("name", {"json": True}), ("run", {"json": False, "branch": ""})) == {"json": True}
    assert shared(("name", {"branch": "x"}), ("run", {"branch": "x"})) == {"branch": "x"}


def test_what_is_no_such_flag_is_its_tasks_own() -> None:
    assert shared(("run", {"entry_point": "main"}), ("run", {"entry_point": "evaluate"})) == {}


@pytest.mark.parametrize(
    ("links", "said"),
    [
        pytest.param(
            [("name", {"target": "local"}), ("run", {"target": "databricks"})],
            "--target is given as local and as databricks",
            id="two values",
        ),
        pytest.param(
            [("release", {}), ("release", {"branch": "x"})],
            "release is called twice, with and without --branch",
            id="one task for two releases",
        ),
    ],
)
def test_one_command_is_of_one_release(links: list[tuple[str, dict[str, Any]]], said: str) -> None:
    with pytest.raises(errors.BadInput, match=said) as caught:
        shared(*links)

    assert "a command for each" in caught.value.cure


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("chain") / "repository")


def test_a_chain_goes_where_its_last_task_is_sent(folder: Path) -> None:
    said = inv("name", "status", "--branch", "trial", "--wheel-root", "elsewhere", cwd=folder)

    assert said.code == 0, said.err
    assert "elsewhere/repository/trial" in said.out
    assert not (folder / ".mlops/training/local/branches/main").exists()


def test_a_chain_that_is_of_two_minds_is_refused_before_its_first_step(folder: Path) -> None:
    said = inv("name", "--branch", "one", "status", "--branch", "two", cwd=folder)

    assert (said.code, said.out) == (2, "")
    assert "--branch is given as one and as two" in said.err
    assert not (folder / ".mlops/training/local/branches/one").exists()


@pytest.mark.parametrize("words", [("name", "--json", "status"), ("name", "status", "--json")])
def test_a_chain_prints_one_record_wherever_it_is_asked_for(folder: Path, words: tuple[str, ...]) -> None:
    said = inv(*words, cwd=folder)

    assert said.code == 0, said.err
    assert said.json["names"]["experiment"] == "/Shared/repository/training/main"


def test_a_chain_is_quiet_or_dry_as_a_whole(folder: Path) -> None:
    said = inv("name", "status", "--branch", "dry", "--dry-run", "--quiet", cwd=folder)

    assert (said.code, said.err) == (0, "")
    assert not (folder / ".mlops/training/local/branches/dry").exists()


def test_another_programs_variable_is_told_once_in_a_command_and_stops_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_API_TOKEN", "s3cret")
    monkeypatch.setenv("MLOPS_SPOOLER_TYPE", "FILESYSTEM")

    said = inv("name", "status", cwd=folder)

    assert said.code == 0, said.err
    assert said.err.count("MLOPS_API_TOKEN, MLOPS_SPOOLER_TYPE: no setting of mlops_tasks has that name") == 1
    assert "s3cret" not in said.err + said.out


def test_a_ci_job_that_has_another_commit_than_its_own_checked_out_is_warned(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ACTIONS": "true", "REF_NAME": "main", "REF_TYPE": "branch", "SHA": "0123456789" * 4}.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)

    said = inv("name", "status", cwd=folder)

    assert said.code == 0, said.err
    assert said.err.count("warning: GITHUB_REF_NAME of GitHub Actions names the branch main, whose commit is") == 1


def test_a_wheel_root_on_databricks_stops_no_rehearsal_and_is_said_to_be_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_WHEEL_ROOT", "/Workspace/Shared/wheels")

    said = inv("name", "status", cwd=folder)

    assert said.code == 0, said.err
    assert ".mlops/workspace/wheels/repository/main" in said.out
    assert said.err.count("wheel_root /Workspace/Shared/wheels is of another target than local") == 1


def test_a_library_that_is_passed_over_is_told_once_a_command(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")
    write(folder, {"libs/tools/pyproject.toml": "[tool.ruff]\nline-length = 120\n"})

    said = inv("name", "build-wheel", "status", cwd=folder)

    assert said.code == 0, said.err
    assert said.err.count("libs/tools is passed over") == 1

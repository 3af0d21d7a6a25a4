from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_tasks import __version__
from mlops_tasks.tasks import program
from tests.support.repositories import make_repository, write


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository without a tasks.py, and below it the folder that the command is called in."""
    folder = make_repository(tmp_path / "repository", TASKS="raise AssertionError('this file is not read')\n")
    monkeypatch.chdir(folder / "training")
    return folder


def mlops(*arguments: str) -> int:
    try:
        program.main(["mlops", *arguments])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_the_nearest_invoke_yaml_counts_and_the_record_lies_beside_it(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mlops("name", "--branch", "trial") == 0

    assert "/training/trial" in capsys.readouterr().out
    assert (repository / ".mlops/training/local/branches/trial/release.json").is_file()


@pytest.mark.usefixtures("repository")
def test_messages_name_the_command_that_was_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert mlops("patch", "--branch", "trial") == 3

    said = capsys.readouterr().err
    assert "`mlops release --branch trial`" in said
    assert "inv " not in said


def test_without_an_invoke_yaml_the_message_names_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert mlops("status") == 2
    said = capsys.readouterr().err
    assert f"in: {tmp_path} (there is no invoke.yaml in it)" in said
    assert "`mlops init`" in said


def test_a_project_can_be_started_and_released_without_a_tasks_py(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert mlops("init") == 0
    assert "next: mlops release" in capsys.readouterr().err
    (tmp_path / "tasks.py").unlink()
    assert mlops("name", "--branch", "trial", "--dry-run") == 0


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_the_help_says_where_settings_come_from_and_lists_options_and_tasks(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert mlops(*arguments) == 0

    said = capsys.readouterr().out
    for words in ("Usage: mlops", "invoke.yaml", "--print-completion-script=STRING", "  build-wheel   Step 2: build"):
        assert words in said
    assert "shell commands" not in said


def test_the_list_the_version_and_the_completion_are_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert mlops("--list") == 0
    assert "  release       Take the five steps" in capsys.readouterr().out
    assert mlops("--version") == 0
    assert capsys.readouterr().out == f"mlops {__version__}\n"
    for shell in ("bash", "zsh", "fish"):
        assert mlops("--print-completion-script", shell) == 0
        assert re.search(r"mlops .*--complete", capsys.readouterr().out)
    assert mlops("--complete", "--", "mlops deploy --tar") == 0
    assert "--target" in capsys.readouterr().out.split()


def test_a_process_of_its_own_ends_with_the_exit_code_of_what_failed(repository: Path) -> None:
    write(repository, {"invoke.yaml": "mlops: {project: training, target: databrick}\n"})
    command = [sys.executable, "-m", "mlops_tasks.tasks.program", "name"]
    done = subprocess.run(command, cwd=repository / "libs", capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert f"in: {repository}/invoke.yaml" in done.stderr

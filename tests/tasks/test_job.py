"""What `inv` hands to the job's CI system, by the system's own variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.inv import inv
from tests.support.repositories import make_repository

GITLAB_FILE = ".mlops/mlops.env"
EXPERIMENT = "/Shared/repository/training/main"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("job") / "repository")


def set_variables(monkeypatch: pytest.MonkeyPatch, **variables: str | Path) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))


def test_on_azure_the_next_steps_get_variables_and_the_page_a_summary(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(monkeypatch, TF_BUILD="True", AGENT_TEMPDIRECTORY=tmp_path)

    said = inv("name", "--json", cwd=folder)

    assert said.json["names"]["experiment"] == EXPERIMENT
    assert f"##vso[task.setvariable variable=experiment;isOutput=true]{EXPERIMENT}\n" in said.err
    assert "##vso[task.setvariable variable=exit_code;isOutput=true]0\n" in said.err
    assert f"##vso[task.uploadsummary]{tmp_path}/mlops_tasks.md\n" in said.err
    assert EXPERIMENT in (tmp_path / "mlops_tasks.md").read_text()


def test_on_github_outputs_and_summary_are_added_to_the_steps_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, summary = tmp_path / "output", tmp_path / "summary"
    output.write_text("own=1\n")
    set_variables(monkeypatch, GITHUB_ACTIONS="true", GITHUB_OUTPUT=output, GITHUB_STEP_SUMMARY=summary)

    said = inv("name", cwd=folder)

    assert said.code == 0, said.err
    assert output.read_text().startswith("own=1\n")
    assert f"experiment<<END\n{EXPERIMENT}\nEND\n" in output.read_text()
    assert EXPERIMENT in summary.read_text()
    assert "::" not in said.out + said.err


def test_on_gitlab_the_report_is_beside_the_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, GITLAB_CI="true", CI_PROJECT_DIR=folder)

    assert inv("name", cwd=folder).code == 0

    assert f"RELEASE_EXPERIMENT={EXPERIMENT}\n" in (folder / GITLAB_FILE).read_text()


def test_of_a_chain_the_last_task_hands_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, GITHUB_ACTIONS="true", GITHUB_OUTPUT=tmp_path / "output")

    assert inv("name", "name", cwd=folder).code == 0

    assert (tmp_path / "output").read_text().count("experiment<<END\n") == 1


def test_a_failure_hands_on_how_it_ended_and_marks_the_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, summary = tmp_path / "output", tmp_path / "summary"
    set_variables(monkeypatch, GITHUB_ACTIONS="true", GITHUB_OUTPUT=output, GITHUB_STEP_SUMMARY=summary)
    set_variables(monkeypatch, GITHUB_WORKSPACE=folder, MLOPS_ENTRY_POINT="nope")

    said = inv("release", cwd=folder)

    assert said.code == 2
    assert "exit_code<<END\n2\nEND\n" in output.read_text()
    assert "`failed`" in summary.read_text()
    (command,) = [line for line in said.err.splitlines() if line.startswith("::")]
    assert command.startswith("::error file=training/MLproject::")
    assert "nope" in command


def test_a_wrong_setting_is_marked_in_its_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, TF_BUILD="True", BUILD_SOURCESDIRECTORY=folder, MLOPS_TARGET="nowhere")

    said = inv("name", cwd=folder)

    assert said.code == 2
    assert "##vso[task.logissue type=error]MLOPS_TARGET (environment)" in said.err


def test_no_value_that_is_shown_becomes_a_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_variables(monkeypatch, TF_BUILD="True", AGENT_TEMPDIRECTORY=tmp_path)
    branch = "##vso[task.setvariable variable=PATH]x"

    said = inv("name", "--branch", branch, "--explain", cwd=folder)
    data = inv("name", "--branch", branch, "--json", cwd=folder)

    assert said.code == 0, said.err
    assert "variable=PATH" in said.out
    assert "##vso[" not in said.out
    assert "##vso[" not in data.out
    assert data.json["branch"] == branch


@pytest.mark.parametrize("variables", [{}, {"GITHUB_ACTIONS": "true"}], ids=["laptop", "dry run"])
def test_nothing_is_handed_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    set_variables(monkeypatch, GITHUB_OUTPUT=tmp_path / "output", **variables)

    said = inv("name", *(["--dry-run"] if variables else []), cwd=folder)

    assert said.code == 0, said.err
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_a_warning(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, GITHUB_ACTIONS="true", GITHUB_OUTPUT=tmp_path)

    said = inv("name", cwd=folder)

    assert said.code == 0
    assert f"warning: {tmp_path} cannot be written (Is a directory)" in said.err

"""What the tasks on runs do with a run of another environment than the command's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_tasks.record import Record
from mlops_tasks.release import Attempt, Checked, Release, Run
from tests.support.contexts import make_context
from tests.support.inv import inv
from tests.support.repositories import make_repository

SETTINGS = """\
mlops:
  project: training
  environments:
    dev:
      target: databricks
      profile: dev
"""
GOING_ON = Attempt(id="a1", run_id="abcd" * 8, experiment_id="1", job_run_id=7, job="1", host="https://x.net")
ENDED = GOING_ON._replace(id="a2", run_id="eeee" * 8, job="2", ended=True)
GATE = Checked("auc >= 0.9", met=False, value=0.5, bound=0.9, because="auc is 0.5")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with a detached run in the environment dev, and another one there that its gate has kept out."""
    top = make_repository(tmp_path / "repository", SETTINGS=SETTINGS)
    kept = make_context(top, project="training").record_of("dev")
    record = Record(kept, runs=kept.parents[1] / "runs")
    left = Release(
        target="databricks",
        environment="dev",
        project="training",
        branch="main",
        attempt=GOING_ON._replace(detached=True),
    )
    run = Run(ENDED.run_id or "", "1", "FINISHED", "databricks", "", "main", gates=(GATE,))
    record.save_attempt(left)
    record.save_attempt(Release(**{**vars(left), "attempt": ENDED, "run": run}))
    return top


@pytest.mark.parametrize("word", ["abcd" * 8, "abcd"], ids=["whole", "short"])
@pytest.mark.parametrize("task", ["watch", "cancel"])
def test_a_run_is_found_by_its_id_with_the_environment_that_it_is_of(folder: Path, task: str, word: str) -> None:
    said = inv(task, word, "--dry-run", "--json", cwd=folder)

    assert (said.code, said.json["environment"]) == (0, "dev"), said.err
    assert f"run {word} was released to dev: its settings and login count, not local's" in said.err


@pytest.mark.parametrize("given", [["--target", "local"], ["--env", "databricks"]], ids=["target", "env"])
@pytest.mark.parametrize("task", ["watch", "cancel"])
def test_a_flag_that_contradicts_the_id_is_refused(folder: Path, task: str, given: list[str]) -> None:
    said = inv(task, "abcd", *given, cwd=folder)

    assert (said.code, said.out) == (2, "")
    assert "is one of the environment dev" in said.err
    assert "do: give `--env dev`" in said.err


def test_a_run_that_its_gate_has_kept_out_ends_so_and_messages_name_its_environment(folder: Path) -> None:
    said = inv("watch", "eeee", cwd=folder)

    assert said.code == 6, said.err
    assert "not met: auc >= 0.9 (auc is 0.5)" in said.err
    assert "`inv compare --env dev`" in said.err


def test_a_run_of_an_environment_that_the_settings_lack_by_now_is_refused_in_words(folder: Path) -> None:
    (folder / "invoke.yaml").write_text("mlops: {project: training}\n")

    said = inv("cancel", "abcd", cwd=folder)

    assert (said.code, "name that environment in the settings again" in said.err) == (2, True), said.err


def test_the_flags_of_runs_narrow_its_list(folder: Path) -> None:
    whole, dev, local, other = (
        inv("runs", "--dry-run", "--json", *given, cwd=folder)
        for given in ([], ["--env", "dev"], ["--target", "local"], ["--branch", "other"])
    )

    states = {each["run_id"][:4]: each["state"] for each in whole.json["runs"]}
    assert states == {"abcd": "detached", "eeee": "gate not met"}
    assert dev.json == whole.json
    assert local.json == other.json == {"runs": []}


def test_a_workspace_without_a_login_is_said_not_to_have_been_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", "/dev/null/nowhere")

    said = inv("runs", cwd=folder)

    assert said.code == 0, said.err
    assert said.err.count("the workspace of dev could not be asked") == 1
    assert "detached" in said.out

"""The end of a run as a person and a program see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_tasks.errors import RunFailed
from mlops_tasks.release import Release, Run
from mlops_tasks.report import Report
from mlops_tasks.steps import run
from tests.support.repositories import write

FAILED = Run(
    run_id="1", experiment_id="2", status="FAILED", backend="local", url="https://host/#job/1", entry_point="x"
)._replace(reason="out of memory")


def test_a_run_that_failed_brings_its_release_along(tmp_path: Path) -> None:
    release = Release(target="local", project="training", branch="main", run=FAILED)

    with pytest.raises(RunFailed, match="run 1 ended FAILED: out of memory") as failed:
        run.judge(FAILED, release, timeout=None, log=tmp_path / "no.log", report=Report())

    assert failed.value.release is release
    assert failed.value.where == FAILED.url


@pytest.mark.parametrize(
    ("reason", "cure"),
    [
        ("exit code 1: /r/.mlops/x was removed while the run went on", "leave that folder alone while a command works"),
        ("exit code 1: No space left on device in /r/.mlops/x/runs", "make room there, then `inv run`"),
        ("exit code 1: (sqlite3.OperationalError) database or disk is full", "make room there, then `inv run`"),
        ("exit code 1: ValueError", "fix what its output shows"),
    ],
)
def test_what_failed_a_run_here_is_not_always_the_project(tmp_path: Path, reason: str, cure: str) -> None:
    failed = FAILED._replace(reason=reason, url="")

    with pytest.raises(RunFailed) as caught:
        run.judge(failed, None, timeout=None, log=tmp_path / "no.log", report=Report())

    assert caught.value.cure.startswith(cure)
    assert caught.value.where == ""


@pytest.mark.parametrize(
    "said",
    [
        "FileNotFoundError: [Errno 2] No such file or directory: 'data/train.csv'",
        "FileNotFoundError: [Errno 2] No such file or directory: '{staged}/data/train.csv'",
        "OSError: \"No such file or directory: 'data'\"",
        "Error in file(file, 'rt') : cannot open file 'data/train.csv': No such file or directory",
    ],
)
def test_a_file_that_a_run_missed_and_that_was_left_behind_is_named(tmp_path: Path, said: str) -> None:
    project, staged, log = tmp_path / "p", tmp_path / "staged", tmp_path / "run.log"
    write(project, {"MLproject": "", "data/train.csv": "1\n", "other/train.csv": ""})
    write(staged, {"MLproject": "", "other/train.csv": ""})
    log.write_text("Traceback\n" + said.replace("{staged}", str(staged)) + "\n")

    assert "`include: [data/train.csv]`" in run.name_left_behind(log, project, staged)
    assert run.name_left_behind(log, staged, staged) == ""


def test_a_file_that_never_was_is_none_that_was_left_behind(tmp_path: Path) -> None:
    write(tmp_path / "p", {"data/other.csv": ""})
    (tmp_path / "log").write_text("No such file or directory: 'data/train.csv'\n")

    assert run.name_left_behind(tmp_path / "log", tmp_path / "p", tmp_path / "none") == ""
    assert run.name_left_behind(tmp_path / "no log", tmp_path / "p", tmp_path / "none") == ""

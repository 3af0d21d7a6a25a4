"""The end of a run as a person and a program see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_tasks.errors import RunFailed
from mlops_tasks.release import Release, Run
from mlops_tasks.report import Report
from mlops_tasks.steps import run

FAILED = Run(
    run_id="1", experiment_id="2", status="FAILED", backend="local", url="https://host/#job/1", entry_point="x"
)


def test_a_run_that_failed_brings_its_release_along(tmp_path: Path) -> None:
    release = Release(target="local", project="training", branch="main", run=FAILED)

    with pytest.raises(RunFailed, match="run 1 ended FAILED") as failed:
        run.judge(FAILED, release, timeout=None, log=tmp_path / "no.log", report=Report())

    assert failed.value.release is release
    assert failed.value.where == FAILED.url

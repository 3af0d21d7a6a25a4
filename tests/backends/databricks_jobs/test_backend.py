"""The one run of an attempt in MLflow, and the store that its files go to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_tasks import errors, processes
from mlops_tasks.backends.base import Submitted
from mlops_tasks.backends.databricks_jobs import backend
from mlops_tasks.report import Report
from mlops_tasks.stores import volume
from tests.support.jobs import ENTRY_POINTS, make_job


class Warned(Report):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def refuse(*_: object, **__: object) -> None:
    raise errors.WorkspaceError("busy", where="MLflow", cure="wait")


def make_runs(report: Report, *, found: list[str | None], **tracking: Any) -> backend.DatabricksJobsRuns:
    """Runs of which lookups find those ids, one after the other."""
    workspace: Any = SimpleNamespace()
    made = backend.DatabricksJobsRuns(workspace=workspace, run=processes.run_command, report=report)
    stub = SimpleNamespace(find_run=lambda *_, **__: found.pop(0), tracking=SimpleNamespace(**tracking))
    vars(made)["attempts"] = stub
    return made


def test_a_run_that_cannot_be_described_goes_on_with_a_warning(tmp_path: Path) -> None:
    report = Warned()
    runs = make_runs(report, found=["r1"], resume_run=lambda run_id: None, describe_run=refuse)

    assert runs._ensure_run(make_job(tmp_path / "p", ENTRY_POINTS), "1") == "r1"
    assert ["busy" in each for each in report.warnings] == [True]


def test_a_run_whose_creation_had_no_answer_is_looked_for_and_taken_up(tmp_path: Path) -> None:
    taken_up: list[str] = []
    made = {"start_run": refuse, "resume_run": taken_up.append, "describe_run": lambda *_, **__: None}
    runs = make_runs(Report(), found=[None, "r1"], **made)

    assert runs._ensure_run(make_job(tmp_path / "p", ENTRY_POINTS), "1") == "r1"
    assert taken_up == ["r1"]


def test_the_run_that_a_job_was_told_of_is_taken_up_whatever_mlflow_shows(tmp_path: Path) -> None:
    taken_up: list[str] = []
    runs = make_runs(Report(), found=[], resume_run=taken_up.append, describe_run=lambda *_, **__: None)

    assert runs._ensure_run(make_job(tmp_path / "p", ENTRY_POINTS), "1", known="r1") == "r1"
    assert taken_up == ["r1"]


def test_a_run_that_mlflow_never_makes_is_an_error(tmp_path: Path) -> None:
    runs = make_runs(Report(), found=[None] * 9, start_run=refuse)

    with pytest.raises(errors.WorkspaceError, match="busy"):
        runs._ensure_run(make_job(tmp_path / "p", ENTRY_POINTS), "1")


def test_its_files_go_where_its_wheels_are(tmp_path: Path) -> None:
    job = replace(make_job(tmp_path / "p", ENTRY_POINTS), wheel_folder="/Volumes/a/b/c/wheels")

    assert isinstance(make_runs(Report(), found=[])._store(job), volume.VolumeStore)


def test_after_a_good_end_a_run_that_mlflow_does_not_show_is_a_warning_and_after_a_bad_one_an_error() -> None:
    report = Warned()
    runs = make_runs(report, found=[], end_run=refuse)
    submitted = Submitted(run_id="r1", experiment_id="7", backend="databricks-jobs", job_run_id=3)

    found = runs._mark(submitted, "FINISHED", entry_point="main")

    assert (found.run_id, found.experiment_id, found.status) == ("r1", "7", "FINISHED")
    assert ["busy" in each for each in report.warnings] == [True]
    with pytest.raises(errors.WorkspaceError, match="busy"):
        runs._mark(submitted, "FAILED", entry_point="main")

"""Several projects released in order: where a series stops, where it goes on, and what it has taken for done."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mlops_tasks import errors, locks
from mlops_tasks.pipeline.inputs import NOTHING, Inputs
from mlops_tasks.pipeline.pipeline import Pipeline
from mlops_tasks.pipeline.series import Series
from mlops_tasks.release import Release, Run
from mlops_tasks.report import Report
from mlops_tasks.state import StateFolder

NAMES = ("training", "score", "report")


class Project:
    """What a series asks of a pipeline; its runs are called by numbers, and fail as long as `fault` is set."""

    def __init__(self, name: str, top: Path, said: list[str], *, dry_run: bool = False) -> None:
        self.name, self.said = name, said
        self.fault: BaseException | None = None
        self.is_as_before, self.undeclared = True, set[str]()
        self.finished: list[Release] = []
        self.given: list[Inputs] = []
        settings = SimpleNamespace(environment="local")
        facts = SimpleNamespace(branch="main")
        places, report = StateFolder(top), Report()
        self.context = SimpleNamespace(settings=settings, facts=facts, places=places, report=report, dry_run=dry_run)

    def check(self) -> None:
        self.said.append(f"check {self.name}")

    def find_undeclared_for_all(self) -> set[str]:
        return self.undeclared

    def find_finished(self) -> Release | None:
        return self.finished[-1] if self.finished else None

    def load(self) -> Release | None:
        return None

    def hold(self, release: Release, inputs: Inputs) -> Release | None:
        return release if self.is_as_before else None

    def release(self, inputs: Inputs) -> Release:
        self.said.append(f"release {self.name}")
        self.given.append(inputs)
        if self.fault:
            raise self.fault
        self.finished.append(self.make_release(f"{self.name}-{len(self.finished)}"))
        return self.finished[-1]

    def make_release(self, run_id: str, status: str = "FINISHED") -> Release:
        run = Run(run_id, "1", status, "local", "", "main")
        return Release(target="local", project=self.name, branch="main", run=run)


class Repository:
    """Three projects and what was done with them."""

    def __init__(self, top: Path, *, dry_run: bool = False) -> None:
        self.said: list[str] = []
        self.file = top / ".mlops" / "series" / "local" / "main.json"
        self.projects = {name: Project(name, top, self.said, dry_run=dry_run) for name in NAMES}

    def release(self, inputs: Inputs = NOTHING) -> Series:
        """A whole command, as the next one after whatever became of those before."""
        self.said.clear()
        series = self.make_series()
        series.release(inputs)
        return series

    def make_series(self) -> Series:
        return Series(cast("dict[str, Pipeline]", self.projects), speak_of=self.speak_of)

    @contextlib.contextmanager
    def speak_of(self, name: str) -> Iterator[None]:
        yield

    def fails(self, fault: BaseException) -> dict[str, str]:
        """How far each project came in a command that ends by `fault`."""
        self.said.clear()
        series = self.make_series()
        with pytest.raises(type(fault)):
            series.release()
        return {name: str(each) for name, each in series.progress.items()}

    @property
    def released(self) -> list[str]:
        return [each.partition(" ")[2] for each in self.said if each.startswith("release")]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_all_are_checked_before_the_first_step_and_each_gets_what_was_made_before_it(repository: Repository) -> None:
    series = repository.release()

    assert repository.said == [f"{what} {name}" for what in ("check", "release") for name in NAMES]
    assert list(repository.projects["report"].given[0].made) == ["training", "score"]
    assert {name: str(each) for name, each in series.progress.items()} == {name: f"FINISHED {name}-0" for name in NAMES}
    assert list(series.to_dict()["projects"]) == list(NAMES)


def test_a_series_that_ended_well_begins_anew(repository: Repository) -> None:
    repository.release()
    assert not repository.file.exists()

    repository.release()
    assert repository.released == list(NAMES)


def run_failed(project: Project) -> errors.RunFailed:
    fault = errors.RunFailed("the run failed", cure="fix it")
    fault.release = project.make_release("bad", "FAILED")
    return fault


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("run", "FAILED bad"),
        (errors.StepFailed("no", cure="x"), "failed"),
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(9), "failed"),
    ],
    ids=["run", "step", "Ctrl-C", "killed"],
)
def test_the_same_command_goes_on_where_it_was_stopped(repository: Repository, kind: Any, state: str) -> None:
    score = repository.projects["score"]
    score.fault = run_failed(score) if kind == "run" else kind

    assert score.fault is not None
    assert repository.fails(score.fault) == {"training": "FINISHED training-0", "score": state, "report": "not begun"}
    assert repository.fails(score.fault)["training"] == "FINISHED training-0"
    assert repository.released == ["score"]

    score.fault = None
    assert str(repository.release().progress["training"]) == "FINISHED training-0"
    assert repository.released == ["score", "report"]
    assert score.given[-1].made["training"].run == repository.projects["training"].finished[0].run
    assert not repository.file.exists()


def test_what_has_changed_is_run_again_and_all_that_comes_after_it(repository: Repository) -> None:
    training, score, report = repository.projects.values()
    report.fault = errors.StepFailed("no", cure="x")
    repository.fails(report.fault)

    report.fault, training.is_as_before = None, False
    repository.release()

    assert repository.released == list(NAMES)
    assert score.given[-1].made["training"] == training.finished[-1]


def test_a_run_from_before_the_series_is_none_of_its_own(repository: Repository) -> None:
    training = repository.projects["training"]
    training.release(NOTHING)
    training.fault = errors.StepFailed("no", cure="x")
    repository.fails(training.fault)

    training.fault = None
    repository.release()

    assert repository.released == list(NAMES)


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2, "before": {}}', '{"version": 1, "before": {"other": ""}}'])
def test_a_file_of_another_series_or_another_version_is_none(repository: Repository, text: str) -> None:
    repository.projects["training"].release(NOTHING)
    repository.file.parent.mkdir(parents=True)
    repository.file.write_text(text)

    repository.release()

    assert repository.released == list(NAMES)


def test_two_at_once_are_not_for_one_branch(repository: Repository) -> None:
    with (
        locks.held(repository.file.with_suffix(".lock"), "release"),
        pytest.raises(errors.OutOfOrder, match="another command holds this release") as caught,
    ):
        repository.release()

    assert "--project NAME" in caught.value.cure
    assert repository.released == []


def test_what_cannot_be_for_all_is_refused_before_the_first_step(repository: Repository) -> None:
    for given in (Inputs(detach=True), Inputs(sweep=("c=1,2",))):
        with pytest.raises(errors.BadInput, match="is for one project: of several each waits for the one run"):
            repository.release(given)

    for each in repository.projects.values():
        each.undeclared = {"alpha", each.name}
    with pytest.raises(errors.BadInput, match="declares the parameter alpha"):
        repository.release()
    assert repository.released == []


def test_a_dry_run_leaves_nothing(tmp_path: Path) -> None:
    repository = Repository(tmp_path, dry_run=True)

    repository.release()

    assert repository.released == list(NAMES)
    assert repository.projects["score"].given[0].made == {}
    assert not repository.file.parent.exists()

"""The steps as the public Python API: what a program gets back, and what it can catch."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlops_tasks
from mlops_tasks import Pipeline, ReleaseError, Settings, errors
from mlops_tasks.report import Report
from mlops_tasks.tracking.client import Tracking
from tests.support.inv import inv, start
from tests.support.repositories import git, make_repository, write

PLAIN = """\
name: training
conda_env: training_env.yaml
entry_points:
  main:
    command: "python plain.py"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository whose project runs in the running interpreter, without MLflow in its script."""
    made = make_repository(tmp_path / "repository", MLPROJECT=PLAIN)
    write(made, {"training/plain.py": "print('ran')\n"})
    return made


class Heard(Report):
    def __init__(self) -> None:
        self.details: list[str] = []
        self.made: dict[str, list[str]] = {}

    def detail(self, text: str) -> None:
        self.details.append(text)

    def step(self, name: str, made: str) -> None:
        self.made.setdefault(name, []).extend(made.splitlines())


def pipeline(
    folder: Path, *, dry_run: bool = False, branch: str | None = None, report: Report | None = None
) -> Pipeline:
    settings = Settings(project="training", libraries=("libs/*",), env_manager="local", branch=branch)
    return Pipeline(folder, settings, dry_run=dry_run, report=report)


def test_whatever_is_promised_to_programs_is_there() -> None:
    assert all(hasattr(mlops_tasks, name) for name in mlops_tasks.__all__)


def test_a_release_is_taken_step_by_step_loaded_and_taken_whole(folder: Path) -> None:
    ours = pipeline(folder)
    assert ours.load() is None

    named = ours.take("name")
    built = ours.take("build-wheel")
    released = ours.release()

    assert (named.branch, named.wheels) == ("main", None)
    assert [wheel.distribution for wheel in built.wheels or ()] == ["mylib"]
    assert released.run is not None
    assert (released.run.status, released.wheels) == ("FINISHED", built.wheels)
    assert pipeline(folder).load() == ours.load() == released


def test_what_a_person_can_mend_is_raised_as_a_release_error(folder: Path) -> None:
    with pytest.raises(ReleaseError, match="name has not run yet") as caught:
        pipeline(folder).take("deploy")
    assert (caught.value.exit_code, caught.value.cure) == (
        3,
        "`inv name build-wheel`, or give --wheel FILE, or the whole `inv release`",
    )

    with pytest.raises(ReleaseError, match="no MLproject file"):
        Pipeline(folder, Settings(project="libs")).release()

    environment = folder / "training" / "training_env.yaml"
    environment.write_text(environment.read_text().replace("WHEELPATH", "-r more.txt"))
    write(folder, {"training/more.txt": "# mlflow\nWHEELPATH\n"})
    with pytest.raises(ReleaseError, match="WHEELPATH names a wheel in a file of requirements") as caught:
        pipeline(folder).release()
    assert str(caught.value.where) == f"{folder / 'training' / 'more.txt'}:2"


def test_a_step_that_there_is_not_is_refused_with_those_that_there_are(folder: Path) -> None:
    with pytest.raises(ReleaseError, match="there is no step build_wheel") as caught:
        pipeline(folder).take("build_wheel")
    assert "build-wheel" in caught.value.cure


@pytest.mark.parametrize("ask", [Pipeline.load, Pipeline.show_status, Pipeline.release], ids=lambda ask: ask.__name__)
def test_a_file_in_the_place_of_our_folder_is_a_release_error_too(folder: Path, ask: object) -> None:
    write(folder, {".mlops": "in the way"})

    with pytest.raises(ReleaseError, match="cannot be kept"):
        ask(pipeline(folder))  # type: ignore[operator]


def test_dry_steps_build_on_each_other_until_a_step_is_really_taken(folder: Path) -> None:
    pipeline(folder, dry_run=True, branch="tried").take("name")
    tried = pipeline(folder, dry_run=True, branch="tried").take("build-wheel")
    assert (tried.branch, len(tried.wheels or ())) == ("tried", 1)

    pipeline(folder, branch="tried").take("name")

    loaded = pipeline(folder, dry_run=True, branch="tried").load()
    assert loaded is not None
    assert loaded.wheels is None


def test_a_dry_release_starts_from_the_record_and_not_from_an_earlier_dry_release(folder: Path) -> None:
    heard = Heard()
    for branch in ("one", "two"):
        pipeline(folder, dry_run=True, branch=branch, report=heard).release()

    assert [line.rpartition(", ")[2] for line in heard.made["build-wheel"]] == ["built)"] * 2
    assert not [line for line in heard.details if "the record was of one" in line]


@pytest.fixture
def fetching(tmp_path: Path) -> Path:
    """A repository whose project is another repository's, at a git URI."""
    origin = make_repository(tmp_path / "origin")
    settings = f"mlops:\n  project: file://{origin}#training\n  libraries: [libs/*]\n"
    return make_repository(tmp_path / "repository", SETTINGS=settings)


def test_a_release_that_is_refused_at_once_takes_no_step_and_leaves_nothing_that_git_sees(fetching: Path) -> None:
    said = inv("release", "--entry-point", "mian", cwd=fetching)

    assert (said.code, said.out, "did you mean main?" in said.err) == (2, "", True)
    assert git("status", "--porcelain", cwd=fetching) == ""


@pytest.mark.parametrize("command", ["release", "status", "name"])
def test_a_file_in_the_place_of_what_is_fetched_is_told(fetching: Path, command: str) -> None:
    write(fetching, {".mlops": "in the way"})

    said = inv(command, cwd=fetching)

    assert (said.code, f"in: {fetching}/.mlops" in said.err) == (1, True), said.err


@pytest.mark.full
def test_several_dry_releases_at_once_do_not_fall_over_each_other(fetching: Path) -> None:
    started = [start(fetching, "release", "--dry-run") for _ in range(3)]
    ended = [(process.communicate()[1], process.returncode) for process in started]

    assert [code for _, code in ended] == [0] * 3, ended


def test_a_release_that_cannot_detach_is_refused_before_its_first_step(folder: Path) -> None:
    with pytest.raises(ReleaseError, match="ends with the command") as caught:
        pipeline(folder).release(mlops_tasks.Inputs(detach=True))

    assert caught.value.cure.startswith("leave --detach out")

    assert pipeline(folder).load() is None


@pytest.mark.full
def test_a_finished_release_ends_well_where_its_earlier_runs_cannot_be_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise errors.WorkspaceError("MLflow's tracking store refused: 403", cure="ask for the right to read")

    monkeypatch.setattr(Tracking, "read_past", refuse)

    run = pipeline(folder).release().run

    assert run is not None
    assert run.status == "FINISHED"


def test_a_branch_in_what_is_to_be_typed_is_quoted(folder: Path) -> None:
    pipeline(folder, branch="x;$(touch here)").take("name")

    with pytest.raises(ReleaseError) as caught:
        pipeline(folder).take("deploy")

    assert "--branch 'x;$(touch here)'" in caught.value.cure


def test_a_branch_that_is_returned_to_is_as_it_was_left(folder: Path) -> None:
    ours = pipeline(folder)
    for step in ("name", "build-wheel", "deploy", "patch"):
        left = ours.take(step)
    git("checkout", "-q", "-b", "other", cwd=folder)
    try:
        begun = ours.take("name")
    finally:
        git("checkout", "-q", "main", cwd=folder)

    assert (begun.branch, begun.wheels) == ("other", None)
    assert ours.load() == left
    assert pipeline(folder, branch="other").load() == begun


def test_watching_leaves_nothing_that_git_sees(folder: Path) -> None:
    with pytest.raises(ReleaseError):
        pipeline(folder).watch()

    assert git("status", "--porcelain", cwd=folder) == git("status", "--porcelain", "--", "training", cwd=folder)


@pytest.mark.parametrize("step", ["name", "build-wheel", "deploy", "patch", "run"])
def test_nothing_is_made_for_a_project_that_is_not_there(tmp_path: Path, step: str) -> None:
    ours = Pipeline(tmp_path, Settings(project="nope", branch="main"))

    for take in (lambda: ours.take(step), ours.release, ours.show_plan):
        with pytest.raises(errors.BadInput, match=r"nope|MLproject"):
            take()

    assert list(tmp_path.iterdir()) == []

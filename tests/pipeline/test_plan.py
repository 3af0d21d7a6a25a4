"""What a release would change since the last run: of the facts, the staged files and the wheels, as one diff."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import Pipeline, Settings, errors
from mlops_tasks.pipeline.plan import Plan, compare
from mlops_tasks.record import Record
from mlops_tasks.release import Attempt, Names, Release, Run
from mlops_tasks.report import Report
from tests.support.repositories import make_repository, put_back, write

RUN = Run("r1", "1", "FINISHED", "local", "", "main")
ATTEMPT = Attempt("a", "r1", backend="local", entry_point="main", ended=True, parameters={"text": "hello"})
ENVIRONMENT = "training/training_env.yaml"


class Heard(Report):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, name: str, made: str) -> None:
        self.lines.append(made)

    def detail(self, text: str) -> None:
        self.lines.append(text)


def plan(folder: Path, report: Report | None = None, **settings: Any) -> Plan:
    given = {"project": "training", "libraries": ("libs/*",), **settings}
    return Pipeline(folder, Settings(**given), report=report).show_plan()


def changed(found: Plan) -> list[str]:
    """The lines that go and come, without the heads of files."""
    return [line for line in found.diff.splitlines() if line[0] in "+-" and not line.startswith(("+++", "---"))]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose record says that a run has finished."""
    folder = make_repository(tmp_path_factory.mktemp("plan") / "repository")
    pipeline = Pipeline(folder, Settings(project="training", libraries=("libs/*",)))
    for step in ("name", "build-wheel", "deploy", "patch"):
        release = pipeline.take(step)
    ended = replace(release, attempt=ATTEMPT, run=RUN)
    pipeline.context.record.save(ended)
    pipeline.context.record.save_attempt(ended)
    return folder


@pytest.fixture
def folder(released: Path) -> Iterator[Path]:
    """That repository; what the test changes in it is put back."""
    with put_back(released):
        yield released


def record_of(folder: Path, target: str = "local") -> Record:
    place = folder / ".mlops" / "training" / target
    return Record(place / "branches" / "main", runs=place / "runs")


def load(folder: Path) -> Release:
    found = record_of(folder).load()
    assert found is not None
    return found


def test_nothing_changed_is_one_line(folder: Path) -> None:
    heard = Heard()

    found = plan(folder, heard)

    assert heard.lines == ["nothing has changed since run r1 (FINISHED)"]
    assert found.to_dict() == {"since": "r1", "status": "FINISHED", "diff": "", "changes": False}


def test_before_the_first_run_all_is_new(tmp_path: Path) -> None:
    heard = Heard()

    found = plan(make_repository(tmp_path / "repository"), heard)

    assert found.to_dict() == {"since": "", "status": "", "diff": "", "changes": True}
    assert heard.lines == ["nothing of this branch has run here yet: all of it is new"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"project": "nope"}, "there is no such folder"),
        ({"entry_point": "nope"}, "nope"),
        ({"libraries": ("nope",)}, "no library found"),
    ],
)
@pytest.mark.parametrize("target", ["local", "databricks"])
def test_before_the_first_run_what_cannot_be_released_is_refused(
    tmp_path: Path, target: str, settings: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    folder = make_repository(tmp_path / "repository")

    with pytest.raises(errors.BadInput, match=said):
        plan(folder, target=target, **settings)


def test_parameters_and_the_entry_point_are_compared_as_the_run_gets_them(folder: Path) -> None:
    assert changed(plan(folder, parameters={"text": "hello"})) == []
    assert changed(plan(folder, parameters={"text": "other"})) == ["-parameter text: hello", "+parameter text: other"]
    failing = changed(plan(folder, entry_point="fail"))
    assert failing == ["-entry point: main", "+entry point: fail", "-parameter text: hello"]


def test_the_parameters_of_a_sweep_are_no_change(folder: Path) -> None:
    settings = Settings(project="training", libraries=("libs/*",), parameters={"text": "bye"})
    pipeline = Pipeline(folder, settings)
    release = pipeline.load()

    assert release is not None
    assert compare(pipeline.context, release).diff.count("parameter text") == 2
    assert compare(pipeline.context, release, swept={"text"}).diff == ""


def test_another_wheel_changes_every_reference_to_it(folder: Path) -> None:
    write(folder, {"libs/mylib/mylib/__init__.py": "ANSWER = 43\n"})

    found = plan(folder)

    lines = changed(found)
    assert [line.partition(" ")[0] for line in lines if "wheel mylib" in line] == ["-wheel", "+wheel"]
    for file in ("training_env.yaml", "cluster.json"):
        assert f"--- a/{file}\n" in found.diff
    assert sum("mylib @ file://" in line for line in lines) == 2
    assert load(folder).attempt == ATTEMPT, "a plan changes no record"


def test_the_projects_own_files_are_shown_line_by_line_and_its_code_by_hash(folder: Path) -> None:
    path = folder / ENVIRONMENT
    write(
        folder,
        {
            ENVIRONMENT: path.read_text() + "      - https://ada:s3cret@host/x-1-py3-none-any.whl\n",
            "training/train.py": "#\n",
        },
    )

    found = plan(folder)

    lines = changed(found)
    assert "+      - https://***@host/x-1-py3-none-any.whl" in lines
    assert [line.partition(":")[0] for line in lines[:2]] == ["-file train.py", "+file train.py"]
    assert "s3cret" not in found.diff


def test_a_cluster_that_changed_is_shown(folder: Path) -> None:
    path = folder / "training" / "cluster.json"
    path.write_text(path.read_text().replace("12.2", "14.3"))

    lines = changed(plan(folder))

    assert ["12.2" in lines[0], "14.3" in lines[1], len(lines)] == [True, True, 2]


def test_the_last_run_is_compared_with_as_it_was_then(folder: Path) -> None:
    write(folder, {ENVIRONMENT: (folder / ENVIRONMENT).read_text() + "      - more\n"})
    Pipeline(folder, Settings(project="training", libraries=("libs/*",))).take("patch")

    assert changed(plan(folder)) == ["+      - more"]


def test_a_run_that_goes_on_is_compared_with_as_it_began(folder: Path) -> None:
    going_on = replace(load(folder), run=None, attempt=ATTEMPT._replace(run_id="r2", ended=False))
    record_of(folder).save(going_on)
    record_of(folder).save_attempt(going_on)
    write(folder, {ENVIRONMENT: (folder / ENVIRONMENT).read_text() + "      - more\n"})
    Pipeline(folder, Settings(project="training", libraries=("libs/*",))).take("patch")

    found = plan(folder)

    assert (found.since, changed(found)) == ("r2", ["+      - more"])


def test_a_staged_copy_that_is_gone_is_said(folder: Path) -> None:
    shutil.rmtree(folder / ".mlops" / "training" / "local" / "staged")
    write(folder, {"training/train.py": "#\n"})
    heard = Heard()

    found = plan(folder, heard, parameters={"text": "other"})

    assert "the staged project of the last run is gone: its files are not compared" in heard.lines
    assert changed(found) == ["-parameter text: hello", "+parameter text: other"]


def test_without_a_login_the_last_names_are_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(folder / "none"))
    local = load(folder)
    names = Names("/Shared/repository/training/main", "/Workspace/Users/ada/.mlops/wheels/repository/main")
    attempt = ATTEMPT._replace(backend="databricks-jobs")
    record_of(folder, "databricks").save(replace(local, target="databricks", names=names, attempt=attempt))
    heard = Heard()

    found = plan(folder, heard, target="databricks", backend="databricks-jobs", parameters={"text": "other"})

    assert found.since == "r1"
    assert heard.lines[0] == "experiment and wheel folder are taken to be the last ones: no Databricks login is known"
    assert [line for line in changed(found) if "text" in line] == ["-parameter text: hello", "+parameter text: other"]
    assert not any("wheel folder" in line or "wheel mylib" in line for line in changed(found))

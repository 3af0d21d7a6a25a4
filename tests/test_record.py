from __future__ import annotations

import json
import math
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks import errors, record
from mlops_tasks.release import Attempt, Deployed, Names, Patched, Reference, Release, Run, Wheel

WHOLE = Release(
    target="local",
    project="projects/training",
    branch="feature/churn",
    commit="c0ffee",
    dirty=False,
    names=Names(experiment="/Shared/training/x", wheel_folder="w/x"),
    wheels=(Wheel(distribution="a", version="1", file="a.whl", sha256="00", size=3),),
    deployed=(Deployed(distribution="a", uri="w/x/1/a.whl", sha256="00"),),
    patched=Patched(project_dir="s", references=(Reference(file="env.yaml", old="WHEELPATH", new="a @ file:///x"),)),
    run=Run(run_id="r", experiment_id="1", status="FINISHED", backend="local", url="", entry_point="main"),
    attempt=Attempt(id="x", run_id="r", ended=True),
    digests={"name": "d"},
)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    kept = record.Record(tmp_path)

    kept.save(WHOLE)

    assert kept.load() == WHOLE


def test_the_file_has_the_version_first_and_no_key_for_what_is_not_known(tmp_path: Path) -> None:
    kept = record.Record(tmp_path)

    kept.save(Release(target="local", project="p", branch="main"))

    assert list(json.loads(kept.path.read_text())) == ["version", "target", "project", "branch"]


def test_a_reference_is_written_as_from_and_to() -> None:
    assert WHOLE.to_dict()["patched"]["references"] == [
        {"file": "env.yaml", "from": "WHEELPATH", "to": "a @ file:///x"}
    ]


def test_the_records_of_runs_lie_where_all_branches_find_them(tmp_path: Path) -> None:
    kept = record.Record(tmp_path / "branches" / "x", runs=tmp_path / "runs")
    kept.save(WHOLE)
    kept.save_attempt(WHOLE)

    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json")) == [
        "branches/x/release.json",
        "runs/r.json",
    ]


def test_a_release_that_ended_in_a_run_stays_findable_by_its_run_id(tmp_path: Path) -> None:
    kept = record.Record(tmp_path)

    kept.save_attempt(WHOLE)
    kept.save(Release(target="local", project="p", branch="other"))

    assert json.loads((tmp_path / "runs" / "r.json").read_text())["branch"] == "feature/churn"


OPEN = replace(WHOLE, run=None, attempt=Attempt(id="x", job="0123"))


def test_each_attempt_has_its_own_file_until_it_has_ended(tmp_path: Path) -> None:
    kept = record.Record(tmp_path)
    other = replace(OPEN, attempt=Attempt(id="y", job="4567"))

    for each in (OPEN, other):
        kept.save_attempt(each)
    assert kept.open_attempts() == [OPEN, other]
    kept.save_attempt(replace(WHOLE, attempt=OPEN.attempt and OPEN.attempt._replace(run_id="r", ended=True)))

    assert kept.open_attempts() == [other]
    assert kept.load() is None
    assert [path.name for path in kept.runs.iterdir()] == ["r.json"]


def test_the_record_has_the_end_of_the_attempt_that_it_names_and_of_no_other(tmp_path: Path) -> None:
    kept = record.Record(tmp_path)
    kept.save(replace(OPEN, digests={"name": "later"}))
    kept.save_attempt(OPEN)

    kept.save_attempt(replace(WHOLE, attempt=Attempt(id="y", job="4567", ended=True)))
    assert kept.load() == replace(OPEN, digests={"name": "later"})
    kept.save_attempt(replace(WHOLE, attempt=Attempt(id="x", job="0123", ended=True)))

    last = kept.load()
    assert last is not None
    assert (last.run, last.attempt and last.attempt.ended, last.digests) == (WHOLE.run, True, {"name": "later"})


def test_an_open_attempt_that_the_record_alone_has_counts_too(tmp_path: Path) -> None:
    kept = record.Record(tmp_path)

    kept.save(OPEN)

    assert kept.open_attempts() == [OPEN]


@given(st.integers(min_value=0, max_value=400))
def test_a_record_cut_off_anywhere_is_refused_with_the_file_and_what_to_type(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    kept = record.Record(tmp_path_factory.mktemp("cut"))
    kept.path.write_text(json.dumps(WHOLE.to_dict())[:length])

    with pytest.raises(errors.OutOfOrder, match="cut off") as caught:
        kept.load()

    assert caught.value.where == str(kept.path)
    assert "inv name" in caught.value.cure


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"version": 99}, id="another version"),
        pytest.param([], id="no mapping"),
        pytest.param({"version": 1, "target": "local"}, id="keys missing"),
        pytest.param(
            {"version": 1, "target": "local", "project": "p", "branch": "b", "colour": "red"}, id="key unknown"
        ),
        pytest.param({"version": 1, "target": "l", "project": "p", "branch": "b", "wheels": 3}, id="wrong type"),
    ],
)
def test_a_record_of_another_version_or_form_is_refused(tmp_path: Path, content: object) -> None:
    kept = record.Record(tmp_path)
    kept.path.write_text(json.dumps(content))

    with pytest.raises(errors.OutOfOrder, match="record of this release"):
        kept.load()


def test_a_save_that_fails_leaves_the_record_as_it_was(tmp_path: Path) -> None:
    kept = record.Record(tmp_path)
    kept.save(WHOLE)
    before = kept.path.read_bytes()
    (tmp_path / "runs").write_text("a file where the folder should be")

    with pytest.raises(errors.StepFailed, match="cannot be written"):
        kept.save_attempt(WHOLE)

    assert kept.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def _hold(folder: Path, held: multiprocessing.synchronize.Event, done: multiprocessing.synchronize.Event) -> None:
    with record.Record(folder).locked("deploy"):
        held.set()
        done.wait(30)


def test_a_locked_record_says_who_is_at_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held, done))
    other.start()
    assert held.wait()

    with pytest.raises(errors.OutOfOrder) as caught, record.Record(tmp_path).locked("name"):
        pass
    done.set()
    other.join()

    assert f": deploy, process {other.pid}" in str(caught.value)
    assert caught.value.exit_code == errors.ExitCode.OUT_OF_ORDER


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        with record.Record(tmp_path).locked("run"):
            os._exit(9)
    os.waitpid(child, 0)

    with record.Record(tmp_path).locked("name"):
        pass


def test_a_scratch_record_starts_from_the_file_and_leaves_it_alone(tmp_path: Path) -> None:
    real = record.Record(tmp_path)
    real.save(WHOLE)

    record.ScratchRecord(tmp_path).save(Release(target="local", project="p", branch="tried"))

    kept = record.ScratchRecord(tmp_path).load()
    assert kept is not None
    assert kept.branch == "tried"
    assert real.load() == WHOLE


def test_a_scratch_record_gives_way_to_a_step_that_was_really_taken(tmp_path: Path) -> None:
    real = record.Record(tmp_path)
    record.ScratchRecord(tmp_path).save(Release(target="local", project="p", branch="tried"))

    real.save(WHOLE)

    assert record.ScratchRecord(tmp_path).load() == WHOLE


def test_a_scratch_record_can_be_begun_anew(tmp_path: Path) -> None:
    real = record.Record(tmp_path)
    real.save(WHOLE)
    scratch = record.ScratchRecord(tmp_path)
    scratch.save(Release(target="local", project="p", branch="tried"))

    scratch.begin()

    assert record.ScratchRecord(tmp_path).load() == WHOLE


def test_a_release_is_not_made_of_another_versions_data() -> None:
    with pytest.raises(ValueError, match="version"):
        Release.from_dict({"version": 99, "target": "local", "project": "p", "branch": "b"})


def test_a_metric_that_is_no_number_is_null_in_json_and_nan_again(tmp_path: Path) -> None:
    kept = record.Record(tmp_path)
    metrics = {"loss": math.nan, "most": math.inf, "auc": 0.5}
    kept.save(replace(WHOLE, run=WHOLE.run and WHOLE.run._replace(metrics=metrics)))

    assert json.loads(kept.path.read_text())["run"]["metrics"] == {"loss": None, "most": None, "auc": 0.5}
    loaded = record.Record(tmp_path).load()
    assert loaded is not None
    assert loaded.run is not None
    assert {name: str(value) for name, value in loaded.run.metrics.items()} == {
        "loss": "nan",
        "most": "nan",
        "auc": "0.5",
    }

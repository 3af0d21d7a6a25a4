"""Which runs are listed, how each is shown, and which one a short id names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks import errors, locks
from mlops_tasks.backends.base import Submitted
from mlops_tasks.pipeline import run_list
from mlops_tasks.record import Record
from mlops_tasks.release import Attempt, Checked, Release, Run
from mlops_tasks.steps.context import Context
from tests.support.contexts import make_context
from tests.support.workspaces import Heard

GOING_ON = Attempt(id="a1", run_id="r1", experiment_id="1", job_run_id=7, detached=True, entry_point="main")


@pytest.fixture
def several(tmp_path: Path) -> Context:
    """The context of the branch main, on which two runs go on, and a third on another branch; one has ended."""
    context = make_context(tmp_path, report=Heard())
    for branch, run_id, job in (("main", "aaaa1" * 6, "1"), ("main", "aaaa2" * 6, "2"), ("other", "bbbb" * 8, "3")):
        kept = make_context(tmp_path, branch=branch).record
        attempt = GOING_ON._replace(
            id=f"id-{job}", run_id=run_id, job=job, parameters={"c": job}, submitted_at=9.0 - int(job)
        )
        release = Release(target="local", project="p", branch=branch, attempt=attempt)
        kept.save_attempt(release)
    ended = Run(run_id="cccc" * 8, experiment_id="1", status="FAILED", backend="b", url="", entry_point="main")
    context.record.save_attempt(
        replace(release, branch="main", attempt=Attempt(id="id-4", job="4", ended=True), run=ended)
    )
    return context


def test_where_several_runs_go_on_those_of_the_branch_are_listed(several: Context) -> None:
    with pytest.raises(errors.OutOfOrder, match="2 runs of this release may be going on") as caught:
        run_list.find_only(several)

    lines = caught.value.what.splitlines()[1:]
    assert lines == ["  aaaa1aaa  detached  main c=1", "  aaaa2aaa  detached  main c=2"]
    assert "inv runs" in caught.value.cure


@pytest.mark.parametrize("is_remote", [True, False])
@pytest.mark.parametrize(("word", "found"), [("aaaa1", "aaaa1" * 6), ("bbbb", "bbbb" * 8), ("cccc", "cccc" * 8)])
def test_a_run_is_found_by_the_first_characters_of_its_id_on_every_branch(
    several: Context, word: str, found: str, is_remote: bool
) -> None:
    vars(several)["target"] = SimpleNamespace(is_remote=is_remote)

    kept = run_list.find(several, word)

    assert (kept if isinstance(kept, str) else kept.name) == found
    assert not isinstance(kept, str)
    assert kept.attempt.ended == (word[0] == "c")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        pytest.param("aaa", "'aaa' is too short for the id of a run", id="too short"),
        pytest.param("", "'' is too short", id="empty"),
        pytest.param("aaaa", "2 runs begin with aaaa: aaaa1.*, aaaa2", id="of two"),
        pytest.param("dddd", "no run of this repository begins with dddd", id="of none"),
    ],
)
def test_what_no_single_run_begins_with_is_refused(several: Context, word: str, said: str) -> None:
    vars(several)["target"] = SimpleNamespace(is_remote=True)

    with pytest.raises(errors.BadInput, match=said):
        run_list.find(several, word)


def test_what_goes_on_is_listed_before_what_has_ended_with_the_parameters_that_differ(several: Context) -> None:
    (first, *_) = several.record.open_attempts()
    with locks.held(several.record.attempt_lock(first.attempt or GOING_ON), "run"):
        listed = run_list.show_runs(several)

    columns, rows = run_list._tabulate(listed)
    assert columns == ["state", "age", "branch", "entry point", "parameters", "run"]
    assert [[row[0], *row[2:]] for row in rows] == [
        ["going on", "main", "main", "c=1", "aaaa1aaa"],
        ["detached", "main", "main", "c=2", "aaaa2aaa"],
        ["detached", "other", "main", "c=3", "bbbbbbbb"],
        ["FAILED", "main", "main", "", "cccccccc"],
    ]
    assert [each.to_dict()["parameters"] for each in listed] == [{"c": "1"}, {"c": "2"}, {"c": "3"}, {}]


def test_an_attempt_that_was_never_sent_is_not_listed_and_one_that_is_being_submitted_is(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    unsent = Attempt(id="id-5", job="5", sent=False)
    context.record.save_attempt(Release(target="local", project="p", branch="main", attempt=unsent))

    assert run_list.show_runs(context) == []
    with locks.held(context.record.attempt_lock(unsent), "run"):
        assert [each.state for each in run_list.show_runs(context)] == ["starting"]


def test_a_record_that_is_cut_off_is_warned_of_once_and_the_others_are_listed(
    several: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(several.report, "warning", warnings.append)
    broken = several.runs_folder / f"{'dddd' * 8}.json"
    broken.write_text('{"version"')

    assert len(run_list.show_runs(several)) == 4
    assert len(run_list.show_runs(several)) == 4
    assert warnings == [f"the record of this release is cut off or not JSON: {broken}"]


def test_a_whole_id_that_is_not_known_here_is_taken_for_somebody_elses(several: Context) -> None:
    vars(several)["target"] = SimpleNamespace(is_remote=True)

    assert run_list.find(several, "0" * 32) == "0" * 32


class Workspace(SimpleNamespace):
    """A target whose runs are as `ends` has them, by their ids; a run without an end goes on."""

    is_remote, host = True, "https://x.net"
    ends: dict[str, Run]

    def check(self) -> None: ...

    def runs_of(self, backend: str) -> Any:
        return self

    def pick_up(self, attempt: Attempt) -> Submitted | Run:
        run_id = attempt.run_id or ""
        return self.ends.get(run_id) or Submitted(run_id=run_id, experiment_id="1", backend=backend)


backend = "databricks-jobs"


def test_the_workspace_is_asked_about_its_own_runs_and_the_ends_of_those_that_have_ended_are_recorded(
    several: Context,
) -> None:
    target = several.settings.target
    run = Run(
        run_id="aaaa2" * 6, experiment_id="1", status="FINISHED", backend="b", url="https://x", entry_point="main"
    )
    vars(several)["target"] = Workspace(ends={run.run_id: run})

    states = {each.name: each.state for each in run_list.show_runs(several)}

    assert target == "local"
    assert states["aaaa1" * 6] == "detached"
    assert states["aaaa2" * 6] == "FINISHED"
    assert [each.attempt and each.attempt.run_id for each in several.record.open_attempts()] == ["aaaa1" * 6]


def test_without_a_login_what_is_on_record_is_listed_with_a_warning(
    several: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise errors.BadInput("no Databricks login is known", cure="log in")

    warnings: list[str] = []
    monkeypatch.setattr(several.report, "warning", warnings.append)
    vars(several)["target"] = SimpleNamespace(is_remote=True, check=refuse)

    assert len(run_list.show_runs(several)) == 4
    (warning,) = warnings
    assert warning.startswith("the workspace of local could not be asked what has become of runs")
    assert warning.endswith(": no Databricks login is known")


def test_each_environments_workspace_is_asked_and_one_that_cannot_be_is_warned_of_once(
    several: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(several.report, "warning", warnings.append)
    for number, name in enumerate(("dev", "gone", "gone")):
        attempt = GOING_ON._replace(id=f"new-{number}", job=f"new-{number}", run_id=f"{number}ddd" * 8)
        left = Release(target="databricks", environment=name, project="p", branch="main", attempt=attempt)
        Record(several.record_of(name), runs=several.record_of(name).parents[1] / "runs").save_attempt(left)
    end = Run(run_id="0ddd" * 8, experiment_id="1", status="FINISHED", backend="b", url="https://x", entry_point="main")
    there = make_context(several.root, report=several.report, target="databricks")
    vars(there)["target"] = Workspace(ends={end.run_id: end})
    other = make_context(several.root, report=several.report, target="databricks")
    vars(other)["target"] = Workspace(ends={}, host="https://another.net")
    known = {"dev": there, "local": several}

    def choose(_: Context, name: str) -> Context:
        if name not in known:
            raise errors.BadInput(f"env names no environment: {name}", cure="")
        return known[name]

    monkeypatch.setattr(Context, "in_environment", choose)

    states = {each.name: each.state for each in run_list.show_runs(several)}

    assert [states[f"{number}ddd" * 8] for number in range(3)] == ["FINISHED", "detached", "detached"]
    (warning,) = warnings
    assert warning.startswith("the workspace of gone could not be asked")
    assert warning.endswith("env names no environment: gone")


def test_of_a_run_begun_at_another_host_it_is_said_that_its_workspace_was_not_asked(
    several: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(several.report, "warning", warnings.append)
    attempt = GOING_ON._replace(id="id-9", job="9", run_id="9999" * 8, host="https://y.net")
    several.record.save_attempt(Release(target="local", project="p", branch="main", attempt=attempt))
    vars(several)["target"] = Workspace(ends={})

    run_list.show_runs(several)

    assert [each.partition(": ")[2] for each in warnings] == ["they were begun at https://y.net, which is another one"]


def test_flags_narrow_the_list_to_what_they_name(several: Context) -> None:
    dev = Release(target="databricks", environment="dev", project="p", branch="main", attempt=GOING_ON)
    Record(several.record_of("dev")).save_attempt(dev)
    here = replace(several, settings=replace(several.settings, target="databricks"))

    def names(context: Context, *only: str) -> set[str]:
        return {each.name[:4] for each in run_list.show_runs(replace(context, dry_run=True), only)}

    assert names(several) == {"aaaa", "bbbb", "cccc", "r1"}
    assert names(several, "env") == names(several, "target") == {"aaaa", "bbbb", "cccc"}
    assert names(several, "env", "branch") == {"aaaa", "cccc"}
    assert (names(here, "target"), names(here, "env")) == ({"r1"}, set())


def test_a_run_that_its_gates_have_kept_out_is_listed_as_such(several: Context) -> None:
    gate = Checked("auc >= 0.9", met=False, value=0.5, bound=0.9, because="auc is 0.5")
    ended = Run("eeee" * 8, "1", "FINISHED", "b", "", "main", gates=(gate,))
    attempt = Attempt(id="id-5", job="5", ended=True)
    several.record.save_attempt(Release(target="local", project="p", branch="main", attempt=attempt, run=ended))

    assert {each.name: each.to_dict()["state"] for each in run_list.show_runs(several)}[ended.run_id] == "gate not met"


@given(st.lists(st.text("0123456789abcdef", min_size=32, max_size=32), min_size=1, max_size=9, unique=True))
def test_short_ids_tell_the_runs_apart_and_are_no_longer_than_that_needs(names: list[str]) -> None:
    short = run_list.shorten(names)

    assert len(set(short)) == len(names)
    assert all(name.startswith(each) for name, each in zip(names, short, strict=True))
    size = len(short[0])
    assert size == run_list.SHORT or len({name[: size - 1] for name in names}) < len(names)

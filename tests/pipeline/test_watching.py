"""Which run `watch` and `cancel` choose, and what they say where there is none or nothing is to be done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_tasks import errors, locks
from mlops_tasks.backends.base import Submitted
from mlops_tasks.pipeline import conclusion, watching
from mlops_tasks.record import Record
from mlops_tasks.release import Attempt, Checked, Release, Run
from mlops_tasks.steps.context import Context
from tests.support.contexts import make_context
from tests.support.workspaces import Heard

GOING_ON = Attempt(id="a1", run_id="r1", experiment_id="1", job_run_id=7, detached=True, entry_point="main")
Ask = Callable[[Context, str | None], Release | None]
both = pytest.mark.parametrize("ask", [watching.watch, watching.cancel], ids=["watch", "cancel"])


def record(folder: Path, attempt: Attempt | None, **changed: Any) -> tuple[Context, Heard]:
    """The context of a release whose last attempt that is."""
    heard = Heard()
    context = make_context(folder, report=heard, **changed)
    release = Release(target="local", project="p", branch="main", attempt=attempt)
    make_context(folder).record.save(release)
    return context, heard


@both
@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(None, id="never run"),
        pytest.param(GOING_ON._replace(ended=True), id="ended"),
    ],
)
def test_where_no_run_goes_on_that_is_said(tmp_path: Path, ask: Ask, attempt: Attempt | None) -> None:
    context, _ = record(tmp_path, attempt)

    with pytest.raises(errors.OutOfOrder, match="no run of this release is going on"):
        ask(context, None)


@both
@pytest.mark.parametrize("word", ["cccc", "c" * 32])
@pytest.mark.parametrize("project", ["p", "score"])
def test_of_a_run_here_that_has_ended_its_end_is_said(tmp_path: Path, ask: Ask, word: str, project: str) -> None:
    context, heard = record(tmp_path, None)
    ended = Run(run_id="c" * 32, experiment_id="1", status="FAILED", backend="local", url="", entry_point="main")
    left = Release(target="local", project=project, branch="x", attempt=GOING_ON._replace(ended=True), run=ended)
    make_context(tmp_path, project=project).record.save_attempt(left)

    if ask is watching.watch:
        with pytest.raises(errors.RunFailed, match=f"run {'c' * 32} ended FAILED"):
            ask(context, word)
    else:
        assert ask(context, word) == left
        assert heard.lines == [f"cancel: run {'c' * 32}; it had ended: FAILED; nothing was cancelled"]


@both
@pytest.mark.parametrize("word", ["dddd", "no-run-at-all", "d" * 32, "d" * 99])
def test_of_an_id_that_no_run_here_has_that_is_said(tmp_path: Path, ask: Ask, word: str) -> None:
    context, _ = record(tmp_path, None)

    with pytest.raises(errors.BadInput, match=f"no run of this repository begins with {word}") as caught:
        ask(context, word)

    assert caught.value.cure.startswith("`inv runs` lists them")


@both
@pytest.mark.parametrize("word", [None, "r1"])
def test_a_run_here_that_goes_on_ends_with_the_command_that_follows_it(
    tmp_path: Path, ask: Ask, word: str | None
) -> None:
    attempt = GOING_ON._replace(job="1", job_run_id=None, detached=False, backend="local")
    context, _ = record(tmp_path, attempt)

    with (
        locks.held(context.record.attempt_lock(attempt), "run"),
        pytest.raises(errors.BadInput, match="a run on this machine ends with the command that follows it"),
    ):
        ask(context, word)
    with pytest.raises(errors.OutOfOrder, match="run r1 was cut off, and has ended"):
        ask(context, word)


@both
def test_runs_that_may_go_on_elsewhere_are_named_with_the_command_those_of_this_branch_first(
    tmp_path: Path, ask: Ask
) -> None:
    context, _ = record(tmp_path, None)
    for env, branch, letter in (("dev", "other", "d"), ("prod", "main", "e"), ("local", "main", "f")):
        host = "" if env == "local" else "https://x.net"
        attempt = GOING_ON._replace(id=letter, run_id=letter * 32, host=host, parameters={"c": "1"})
        left = Release(target="databricks", environment=env, project="p", branch=branch, attempt=attempt)
        there = make_context(tmp_path, branch=branch)
        Record(there.record_of(env) if host else there.record_of("rehearsal")).save(left)

    with pytest.raises(errors.OutOfOrder) as caught:
        ask(context, None)

    assert caught.value.what.splitlines() == [
        "no run of this release is going on; these may be:",
        "  eeeeeeee  detached  prod, main  main c=1",
        "  dddddddd  detached  dev, other  main c=1",
    ]
    assert caught.value.cure == f"`inv {ask.__name__} eeeeeeee`, or another's id"


GATE = Checked("auc >= 0.9", met=False, value=0.5, bound=0.9, because="auc is 0.5")


@pytest.mark.parametrize(("target", "job"), [("local", None), ("databricks", 7), ("databricks", None)])
def test_a_run_that_did_not_meet_its_gate_ends_so_each_time_that_it_is_watched(
    tmp_path: Path, target: str, job: int | None
) -> None:
    context = make_context(tmp_path, report=Heard(), target=target)
    ended = Run("c" * 32, "1", "FINISHED", "local", "", "main", job_run_id=job, gates=(GATE,))
    attempt = GOING_ON._replace(run_id=ended.run_id, ended=True)
    context.record.save_attempt(Release(target=target, project="p", branch="main", attempt=attempt, run=ended))
    asked = Workspace(end=ended._replace(gates=()), is_remote=target == "databricks")
    vars(context)["target"] = asked

    for _ in range(2):
        with pytest.raises(errors.GateNotMet, match=r"not met: auc >= 0.9 \(auc is 0.5\)") as caught:
            watching.watch(context, "cccc")
        assert caught.value.exit_code == errors.ExitCode.GATE
    assert asked.count == (2 if job else 0)


def test_the_gates_of_a_run_whose_end_a_list_has_recorded_are_checked_as_it_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context(tmp_path, report=Heard(), target="databricks", require=["auc >= 0.9"])
    ended = Run("c" * 32, "1", "FINISHED", "databricks", "", "main", job_run_id=7)
    attempt = GOING_ON._replace(run_id=ended.run_id, ended=True)
    release = Release(target="databricks", project="p", branch="main", attempt=attempt, run=ended)
    context.record.save_attempt(release)
    vars(context)["target"] = Workspace(end=ended, is_remote=True)
    concluded = []
    monkeypatch.setattr(conclusion, "conclude", lambda *told: concluded.append(told[1]))

    watching.watch(context, "cccc")

    assert concluded == [release]


class Workspace(SimpleNamespace):
    """A target whose runs have all ended as `end` has it; `count` is how often one was asked for."""

    host, count = "", 0
    end: Run

    def check(self) -> None: ...

    def runs_of(self, backend: str) -> Any:
        return self

    def watch(self, submitted: Submitted, **told: Any) -> Run:
        self.count += 1
        return self.end


@both
def test_a_run_of_another_target_is_named_with_its_target(tmp_path: Path, ask: Ask) -> None:
    record(tmp_path, GOING_ON)
    remote = make_context(tmp_path, target="databricks")

    with pytest.raises(errors.BadInput, match="run r1 is one of the environment local") as caught:
        ask(remote, "r1")

    assert caught.value.cure == "give `--target local`"


@both
def test_a_run_of_another_project_is_named_with_its_project(tmp_path: Path, ask: Ask) -> None:
    record(tmp_path, None)
    context = make_context(tmp_path)
    left = Release(target="local", project="score", branch="main", attempt=GOING_ON)
    Record(context.places.record_folder("score", "local", "main")).save(left)

    with pytest.raises(errors.BadInput, match="run r1 is one of the project score, and this is p") as caught:
        ask(context, "r1")

    assert caught.value.cure == "name that project by `--project`"


@both
def test_a_dry_run_says_which_run_it_would_be_and_leaves_it_alone(tmp_path: Path, ask: Ask) -> None:
    context, heard = record(tmp_path, GOING_ON, dry_run=True)

    found = ask(context, None)

    word = {"watch": "follow", "cancel": "end"}[ask.__name__]
    assert heard.lines == [f"{ask.__name__}: would {word} run r1, job run 7"]
    assert found is not None
    assert found.attempt == GOING_ON

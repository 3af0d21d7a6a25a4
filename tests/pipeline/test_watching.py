"""Which run `watch` and `cancel` choose, and what they say where there is none or nothing is to be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import errors
from mlops_tasks.pipeline import run_list, watching
from mlops_tasks.release import Attempt, Release, Run
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


@pytest.fixture
def several(tmp_path: Path) -> Context:
    """The context of the branch main, on which two runs go on, and a third on another branch; one has ended."""
    context, _ = record(tmp_path, None)
    for branch, run_id, job in (("main", "aaaa1" * 6, "1"), ("main", "aaaa2" * 6, "2"), ("other", "bbbb" * 8, "3")):
        kept = make_context(tmp_path, branch=branch).record
        attempt = GOING_ON._replace(id=f"id-{job}", run_id=run_id, job=job, parameters={"c": job})
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


@pytest.mark.parametrize(
    ("word", "found"), [("aaaa1", "aaaa1" * 6), ("bbbb", "bbbb" * 8), ("cccc", "cccc" * 8), ("0" * 32, "0" * 32)]
)
def test_a_run_is_found_by_the_first_characters_of_its_id_on_every_branch(
    several: Context, word: str, found: str
) -> None:
    kept = run_list.find(several, word)

    assert (kept if isinstance(kept, str) else kept.name) == found
    assert isinstance(kept, str) == (word[0] in "c0")


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
    with pytest.raises(errors.BadInput, match=said):
        run_list.find(several, word)


@both
def test_a_run_of_another_target_is_named_with_its_target(several: Context, ask: Ask) -> None:
    remote = make_context(several.top, target="databricks")

    with pytest.raises(errors.BadInput, match=r"run bbbb\w* is one of the target local") as caught:
        ask(remote, "bbbb")

    assert caught.value.cure == "give `--target local`"


@both
def test_a_dry_run_says_which_run_it_would_be_and_leaves_it_alone(tmp_path: Path, ask: Ask) -> None:
    context, heard = record(tmp_path, GOING_ON, dry_run=True)

    found = ask(context, None)

    word = {"watch": "follow", "cancel": "end"}[ask.__name__]
    assert heard.lines == [f"{ask.__name__}: would {word} run r1, job run 7"]
    assert found is not None
    assert found.attempt == GOING_ON

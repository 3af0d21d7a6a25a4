"""What a sweep runs, how its runs go on side by side, and what is left of one that was cut off."""

from __future__ import annotations

import contextlib
import itertools
import math
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks import errors
from mlops_tasks.pipeline import sweep
from mlops_tasks.pipeline.inputs import Inputs, Part
from mlops_tasks.record import RunState
from mlops_tasks.release import Attempt, Release, Run
from mlops_tasks.settings import Settings
from tests.support.contexts import make_context
from tests.support.projects import write
from tests.support.workspaces import Heard

RELEASE = Release(target="local", project="p", branch="main")
NAMES = st.text("abc_", min_size=1, max_size=3)
VALUES = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), min_size=1)
GRIDS = st.dictionaries(NAMES, VALUES.map(lambda found: list(dict.fromkeys(found))), max_size=3)


def quote(value: str) -> str:
    return "'{}'".format(value.replace("'", "''"))


@given(GRIDS.filter(lambda grid: math.prod(map(len, grid.values())) <= sweep.MOST))
def test_every_combination_of_the_values_is_run_once_and_called_by_a_name_of_its_own(
    grid: dict[str, list[str]],
) -> None:
    texts = [f"{name}={','.join(map(quote, values))}" for name, values in grid.items()]

    found = sweep.parse(texts)

    assert found == [dict(zip(grid, each, strict=True)) for each in itertools.product(*grid.values())]
    assert len({Part("", each, RELEASE, "").value for each in found}) == len(found)


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_any_text_is_read_or_refused_in_words(texts: list[str]) -> None:
    with contextlib.suppress(errors.BadInput):
        assert all(value for each in sweep.parse(texts) for value in each.values())


def test_credentials_in_a_value_are_neither_shown_nor_recorded() -> None:
    part = Part("", {"db": "https://ada:sesame@host/a"}, RELEASE, "")

    assert part.value == "'db=https://***@host/a'"
    with pytest.raises(errors.BadInput, match=r"has the value https://\*\*\*@host/a twice") as refused:
        sweep.parse(["db=https://ada:sesame@host/a,https://ada:open@host/a"])
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["c=0.01,0.1,1"], ["0.01", "0.1", "1"]),
        (["c='a,b',d"], ["a,b", "d"]),
        (["c=it's, b"], ["it's", " b"]),
        (["c=x=1,x=2"], ["x=1", "x=2"]),
        (["c='a\nb','it''s'"], ["a\nb", "it's"]),
    ],
)
def test_values_are_parted_by_commas_outside_quotes(texts: list[str], values: list[str]) -> None:
    assert [each["c"] for each in sweep.parse(texts)] == values


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        pytest.param(["c"], "'c' is not of the form name=value,value", id="no value"),
        pytest.param(["=1"], "'=1' is not of the form", id="no name"),
        pytest.param(["c=1,,2"], "'c=1,,2' has an empty value", id="empty"),
        pytest.param(["c="], "'c=' has an empty value", id="nothing"),
        pytest.param(["c=1,2,1"], "'c=1,2,1' has the value 1 twice", id="twice"),
        pytest.param(["c='a,b"], "has a quote that is not closed", id="open quote"),
        pytest.param(["c=1,'a''"], "has a quote that is not closed", id="open after two quotes"),
        pytest.param(["c='a'b,1"], "has text behind a closing quote", id="text behind a quote"),
        pytest.param(["c=1,a\nb"], "has a value that holds a line break", id="line break"),
        pytest.param(["c=1\n"], "has a value that holds a line break", id="line break at the end"),
        pytest.param(["c=1", "c=2"], "c is given twice", id="name twice"),
        pytest.param([f"c={','.join(map(str, range(101)))}"], "has 101 runs, and 100 is the most", id="too many"),
        pytest.param([f"{name}={','.join(map(str, range(100)))}" for name in "ab"], "has 10000 runs", id="product"),
    ],
)
def test_what_is_no_sweep_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(errors.BadInput) as caught:
        sweep.parse(texts)

    assert said in caught.value.what


def check(folder: Path, texts: list[str], *, flags: list[str], parameters: dict[str, str]) -> list[dict[str, str]]:
    """The runs of a sweep of a project whose parameter alpha is a float, beside parameters of flags and invoke.yaml."""
    (folder / "p").mkdir()
    write(folder / "p")
    settings = Settings.read(
        config={"project": "p", "branch": "main", "parameters": parameters}, environ={}, flags={"parameters": flags}
    )
    context = make_context(folder)
    vars(context)["settings"] = settings  # with the origins that only `read` knows
    return sweep.check(context, Inputs(sweep=tuple(texts)))


def test_a_parameter_that_is_swept_and_given_by_hand_is_refused_with_both(tmp_path: Path) -> None:
    with pytest.raises(errors.BadInput) as caught:
        check(tmp_path, ["alpha=1,2"], flags=["seed=1", "alpha=3"], parameters={})

    assert caught.value.what == "alpha is given by --sweep and by -P alpha=3"


def test_a_sweep_takes_the_place_of_a_parameter_in_the_settings(tmp_path: Path) -> None:
    found = check(tmp_path, ["alpha=1,2"], flags=["seed=1"], parameters={"alpha": "3"})

    assert found == [{"alpha": "1"}, {"alpha": "2"}]


def test_a_number_that_is_spelt_in_two_ways_is_the_same_value_twice(tmp_path: Path) -> None:
    with pytest.raises(errors.BadInput) as caught:
        check(tmp_path, ["seed=1,1.0", "alpha=2,1,1e0"], flags=[], parameters={})

    assert caught.value.what == "alpha is given the same number twice, as 1 and as 1e0"


PROGRAM = """\
import base64, json, os, pathlib, pickle, sys, time

root, settings, inputs = pickle.loads(base64.b64decode(sys.stdin.readline()))
value, here = inputs.part.parameters["c"], pathlib.Path(__file__).parent

def say(state, because=""):
    print(json.dumps({"state": state, "run_id": f"id-{value}", "because": because}), flush=True)

say("going on")
(here / f"at-{value}").touch()
if value == "crash":
    sys.exit("a bug")
if value in {"wait", "wait2"}:
    while not (here / "at-wait2").exists():
        time.sleep(0.01)
if value.startswith("endless"):
    sys.stdin.read()
say("FAILED" if value == "fail" else "FINISHED", "no luck" if value == "fail" else "")
"""


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes a sweep of some values, whose program does what each value says."""
    (tmp_path / "child.py").write_text(PROGRAM)
    monkeypatch.setattr(sweep, "CHILD", tmp_path / "child.py")

    def make(values: str, *, report: Heard | None = None, **ended: RunState) -> sweep.Sweeping:
        context = make_context(tmp_path, report=report or Heard())
        parts = [Part("id", each, RELEASE, f"job-{each['c']}") for each in sweep.parse([f"c={values}"])]
        return sweep.Sweeping(context, Inputs(), parts, {f"c={value}": each for value, each in ended.items()})

    return make


def test_a_run_that_fails_or_crashes_stops_no_other(begin: Any) -> None:
    states = begin("fail,crash,good").work()

    assert states == {
        "c=fail": RunState("id-fail", "FAILED", "no luck"),
        "c=crash": RunState("id-crash", "cut off", "its process ended with 1"),
        "c=good": RunState("id-good", "FINISHED"),
    }


def test_two_runs_go_on_at_once_and_each_is_told_as_it_begins_and_ends(
    begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = begin("wait,wait2,good")
    heard: dict[str, int] = {}
    monkeypatch.setattr(made._context.report, "detail", lambda news: heard.update({news: len(made._working)}))

    states = made.work()

    assert {each.state for each in states.values()} == {"FINISHED"}
    told = {
        f"c={value}: {state} id-{value}" for value in ("wait", "wait2", "good") for state in ("going on", "FINISHED")
    }
    assert set(heard) == told
    assert max(heard.values()) == 2


def test_a_run_that_has_ended_before_is_not_run_again(begin: Any, tmp_path: Path) -> None:
    before = RunState("id-before", "FAILED", "no luck")

    states = begin("fail,good", fail=before).work()

    assert (states["c=fail"], states["c=good"].state) == (before, "FINISHED")
    assert not (tmp_path / "at-fail").exists()


def test_ctrl_c_ends_the_runs_that_go_on(begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = begin("endless,endless2,never")
    heard: set[str] = set()

    def interrupt(news: str) -> None:
        heard.add(news)
        if len(heard) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(made._context.report, "detail", interrupt)

    with pytest.raises(KeyboardInterrupt) as cut:
        made.work()

    told = errors.of_interrupt(cut.value)
    assert told.what == "interrupted: of the 3 runs of the sweep 2 were stopped, 1 was not begun"
    assert told.cure == "`inv run` goes on with the sweep"
    ended = f"its process ended with {-signal.SIGTERM}"
    assert made._working == {}
    assert made._states == {
        "c=endless": RunState("id-endless", "cut off", ended),
        "c=endless2": RunState("id-endless2", "cut off", ended),
        "c=never": sweep.WAITING,
    }


def test_an_interrupted_sweep_says_what_has_ended_and_what_may_go_on_in_the_workspace(
    begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = begin("good,endless", report=(heard := Heard()))
    left = Attempt(id="a1", run_id="id-endless", job=made._parts["c=endless"].job)
    made._context.record.save_attempt(Release(target="databricks", project="p", branch="main", attempt=left))
    vars(made._context)["target"] = SimpleNamespace(is_remote=True)
    warnings: list[str] = []
    monkeypatch.setattr(heard, "warning", warnings.append)
    told: set[str] = set()

    def interrupt(news: str) -> None:
        told.add(news)
        if told == {"c=good: going on id-good", "c=good: FINISHED id-good", "c=endless: going on id-endle"}:
            made._warnings["run id-endless could not be ended"] = None
            raise errors.Terminated

    monkeypatch.setattr(heard, "detail", interrupt)

    with pytest.raises(errors.Terminated) as cut:
        made.work()

    said = "terminated: of the 2 runs of the sweep 1 had ended, 1 may go on (`inv runs` lists them)"
    assert errors.of_interrupt(cut.value).what == said
    assert warnings == ["run id-endless could not be ended"]


def test_the_record_of_a_sweep_has_the_runs_that_need_not_be_run_again(tmp_path: Path) -> None:
    kept = make_context(tmp_path).record
    assert kept.begin_sweep("id", RELEASE) == {}

    for value, status, timed_out in (("a", "FINISHED", False), ("b", "KILLED", False), ("c", "KILLED", True)):
        attempt = Attempt(id=value, job=value, sweep="id", value=value, ended=True)
        run = Run(f"id-{value}", "1", status, "local", "", "main", timed_out=timed_out)
        kept.save_attempt(Release(target="local", project="p", branch="main", attempt=attempt, run=run))

    assert kept.begin_sweep("id", RELEASE) == {"a": RunState("id-a", "FINISHED"), "c": RunState("id-c", "KILLED")}
    kept.end_sweep("id")
    assert kept.begin_sweep("id", RELEASE) == {}

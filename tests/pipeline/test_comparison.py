from __future__ import annotations

import itertools
import math
import re
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mlops_tasks import errors
from mlops_tasks.pipeline import comparison, history
from mlops_tasks.pipeline.comparison import Comparison
from mlops_tasks.release import Checked
from mlops_tasks.settings import gates
from mlops_tasks.tracking.client import PastRun

SHA = "9d92db0324de" + "0" * 52


def make_run(
    run_id: str = "7f98f3cc0000",
    *,
    name: str = "bold-owl-12",
    status: str = "FINISHED",
    tags: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> PastRun:
    return PastRun(
        run_id=run_id,
        name=name,
        status=status,
        tags={"mlflow.project.entryPoint": "main", "mlops.commit": "0123456789", **(tags or {})},
        parameters=parameters or {},
        metrics=metrics or {},
    )


def compare(*runs: PastRun, baseline: int | None = 1, **directions: int) -> Comparison:
    labels = ("this run", *(each.run_id[:8] for each in runs[1:]))
    return Comparison(runs=runs, labels=labels, baseline=baseline, directions=directions)


def list_rows(found: Comparison) -> list[list[str]]:
    return [[each.name, *each.texts] for each in found.rows]


def test_of_two_runs_only_what_differs_is_shown_and_every_metric() -> None:
    first = make_run("7f98f3cc0000", parameters={"c": "1.0", "rows": "500"}, metrics={"auc": 0.7941})
    other = make_run("b6d863460000", parameters={"c": "0.01", "rows": "500"}, metrics={"auc": 0.7941, "loss": 1.0})

    assert list_rows(compare(first, other)) == [
        ["c", "1.0", "0.01"],
        ["auc", "0.7941", "0.7941"],
        ["loss", "", "1"],
    ]


def test_parameters_come_first_then_commit_and_name_then_wheels_then_metrics() -> None:
    first = make_run(name="low rate", tags={"mlops.dirty": "true", "mlops.wheel.mylib": f"a.whl sha256:{SHA}"})
    other = make_run(
        status="FAILED",
        tags={"mlops.commit": "fedcba9876", "mlflow.project.entryPoint": "evaluate"},
        parameters={"status": "x"},
        metrics={"commit": 1},
    )

    assert list_rows(compare(first, other)) == [
        ["status", "", "x"],
        ["commit", "0123456 dirty", "fedcba9"],
        ["name", "low rate", ""],
        ["status", "FINISHED", "FAILED"],
        ["entry point", "main", "evaluate"],
        ["mylib", "9d92db03", ""],
        ["commit", "", "1"],
    ]


@pytest.mark.parametrize(
    ("now", "before", "shown"),
    [
        (0.8, 0.4, "↑ +100%"),
        (0.812, 0.8, "↑ +1.5%"),
        (0.8001, 0.8, "↑ +0.01%"),
        (0.6, 0.8, "↓ -25%"),
        (0.8, 0.8, "="),
        (-0.5, -1.0, "↑ +50%"),
        (0.5, 0.0, "↑"),
        (1e9, 1e-9, "↑ >+999%"),
        (math.nan, 1, ""),
        (1, math.inf, ""),
        (1, None, ""),
    ],
)
def test_a_metric_shows_how_it_changed(now: float, before: float | None, shown: str) -> None:
    other = make_run(metrics={} if before is None else {"auc": before})
    found = compare(make_run(metrics={"auc": now}), other)

    assert found.show_change(found.rows[0]) == shown


def test_the_best_is_marked_where_a_gate_says_what_is_better() -> None:
    runs = [make_run(metrics={"auc": auc, "loss": auc, "f1": auc}) for auc in (0.7, 0.9, math.nan, 0.1)]

    best = {each.name: each.best for each in compare(*runs, auc=1, loss=-1).rows}

    assert best == {"auc": (1,), "loss": (3,), "f1": ()}
    assert compare(runs[0], make_run(), auc=1).rows[0].best == ()


def test_of_runs_that_are_shown_alike_each_is_the_best_unless_all_are_and_none_has_changed() -> None:
    values = (0.76621, 0.76619, 0.5)
    runs = [make_run(f"{place}" * 12, metrics={"auc": value}) for place, value in enumerate(values)]

    found, alike = compare(*runs, auc=1), compare(*runs[:2], auc=1)

    assert comparison.to_markdown(found).splitlines()[-5:-2] == [
        "| `auc` | **0.7662** = | **0.7662** | 0.5 |",
        "",
        "**bold**: the best value, by the gates",
    ]
    assert comparison.to_dict(found)["metrics"]["auc"]["best"] == runs[0].run_id
    assert "| `auc` | 0.7662 = | 0.7662 |" in comparison.to_markdown(alike)
    assert "bold" not in comparison.to_markdown(alike)


@pytest.mark.parametrize(
    ("now", "before", "differs"),
    [
        ("1.0", "1", False),
        ("1e-3", "0.001", False),
        ("-0.0", "0", False),
        ("9007199254740993", "9007199254740992", True),
        ("007", "7", True),
        ("nan", "nan", False),
        ("1_0", "10", True),
        ("1", "", True),
    ],
)
def test_two_spellings_of_a_number_are_one_parameter(now: str, before: str, differs: bool) -> None:
    found = compare(make_run(parameters={"c": now}), make_run(parameters={"c": before}))

    assert [each.texts for each in found.rows] == ([(now, before)] if differs else [])


@pytest.mark.parametrize(
    ("wheels", "shown"),
    [
        pytest.param(("1.0 a", "1.1 b"), ("1.0", "1.1"), id="by versions"),
        pytest.param(("1.0 a", "1.0 b"), ("a", "b"), id="by contents"),
        pytest.param(("1.0 a", "1.0 b", "1.1 c"), ("1.0 a", "1.0 b", "1.1"), id="by both"),
        pytest.param(("1.0 a", ""), ("1.0", ""), id="there and not there"),
        pytest.param(("1.0 a", "1.0 a"), None, id="the same"),
    ],
)
def test_wheels_are_told_apart_by_version_and_by_content_where_that_is_the_same(
    wheels: tuple[str, ...], shown: tuple[str, ...] | None
) -> None:
    def tags(wheel: str) -> dict[str, str]:
        version, _, content = wheel.partition(" ")
        return {"mlops.wheel.mylib": f"mylib-{version}-py3-none-any.whl sha256:{content * 64}"} if wheel else {}

    found = compare(*(make_run(tags=tags(each)) for each in wheels))

    expected = [tuple(re.sub("[abc]", lambda content: content[0] * 8, each) for each in shown)] if shown else []
    assert [each.texts for each in found.rows] == expected


def test_gates_that_want_a_value_between_two_say_nothing_of_what_is_better() -> None:
    required = [gates.parse(each) for each in ("auc >= 0.7", "auc > 0.8", "rate >= 1", "rate <= 2", "f1 == 1")]

    assert comparison.directions_of(required) == {"auc": 1}


@pytest.mark.slow
def test_a_run_stands_beside_main_and_the_last_of_the_earlier_ones(tracked: Any) -> None:
    first = tracked.log("feature", metrics={"auc": 0.7})
    main = tracked.log(metrics={"auc": 0.8})
    earlier = [tracked.log("feature", metrics={"auc": value}) for value in (0.2, 0.3, 0.4)]
    this = tracked.log("feature", metrics={"auc": 0.82}, parameters={"note": "\x1b[31mred\nline", "path": "x" * 40})
    context = tracked.context(branch="feature", require=["auc > 0"])

    comparison.show(history.history_of(context, this))

    ((columns, rows),) = context.report.tables
    assert columns == ["", "this run", "main", *(each.run_id[:8] for each in reversed(earlier))]
    assert first.run_id[:8] not in columns
    assert context.report.texts == ["* the best value, by the gates"]
    assert rows == [
        ["note", "?[31mred?line", "", "", "", ""],
        ["path", "x" * 14 + "…", "", "", "", ""],
        ["auc", "0.82* ↑ +2.5%", "0.8", "0.4", "0.3", "0.2"],
    ]
    assert main.run_id != this.run_id


def test_on_main_a_run_changes_against_the_finished_run_before(tracked: Any) -> None:
    tracked.log(metrics={"auc": 0.5})
    tracked.log(metrics={"auc": 0.1}, status="FAILED")
    this = tracked.log(metrics={"auc": 0.6})
    context = tracked.context()

    comparison.show(history.history_of(context, this))

    ((columns, rows),) = context.report.tables
    assert len(columns) == 4
    assert rows == [["status", "FINISHED", "FAILED", "FINISHED"], ["auc", "0.6 ↑ +20%", "0.1", "0.5"]]
    assert context.report.texts == [], "no star stands there"


def test_of_the_first_run_nothing_is_shown(tracked: Any) -> None:
    context = tracked.context()

    comparison.show(history.history_of(context, tracked.log(metrics={"auc": 0.5})))

    assert context.report.tables == []


HOSTILE = st.one_of(
    st.text(max_size=20),
    st.text("`|\\\\<>@#*_[]()!&;: \n\r\t~=-+.x1\x1b\u202e\u2028", max_size=30),
    st.sampled_from(
        ["@everyone", "<img src=x onerror=y>", "a|b\\\\|c", "``x`", "https://evil.example", "[x](y)", "\x1b[2J"]
    ),
)


def read_table(text: str) -> tuple[list[list[str]], set[str]]:
    """The cells of the table as GitHub would show them, and the kinds of inline things in the whole comment."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    rows: list[list[str]] = []
    kinds: set[str] = set()
    for before, token in itertools.pairwise(tokens):
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline":
            kinds.update(child.type for child in token.children or ())
            if before.type in {"td_open", "th_open"}:
                rows[-1].append(token.content)
        kinds.update({token.type} & {"html_block", "fence", "code_block", "blockquote_open", "hr"})
    return rows, kinds


@given(name=HOSTILE, value=HOSTILE, branch=HOSTILE, metric=HOSTILE, run_name=HOSTILE, gate=HOSTILE)
def test_markdown_reads_nothing_in_what_others_have_named(
    name: str, value: str, branch: str, metric: str, run_name: str, gate: str
) -> None:
    tags = {"mlops.branch": branch, "mlflow.source.name": branch, f"mlops.wheel.{name}": value}
    this = make_run(name=run_name, tags=tags, parameters={name: value}, metrics={metric: 0.5})
    found = Comparison(
        runs=(this, make_run("b6d863460000")), labels=("this run", branch), baseline=1, directions={metric: 1}
    )
    checked = [Checked(gate, met=False, value=None, bound=None, because=gate)]

    text = comparison.to_markdown(found, checked=checked, url=f"https://host/{value}")

    rows, kinds = read_table(text)
    assert kinds <= {"text", "code_inline", "softbreak", "strong_open", "strong_close", "link_open", "link_close"}
    assert "](<" not in text or text.count("](<") == 1
    assert {len(row) for row in rows} == {3}
    assert len(rows) == 1 + len(found.rows)
    assert text.replace("\n", "").isprintable()


def test_markdown_is_a_comment_with_table_gates_and_link() -> None:
    this = make_run(
        tags={"mlops.branch": "feature/x", "mlflow.source.name": "training"},
        parameters={"c": "a|b"},
        metrics={"auc": 0.82, "loss": 1},
    )
    main = make_run("b6d863460000", parameters={"c": ""}, metrics={"auc": 0.8})
    found = Comparison(runs=(this, main), labels=("this run", "main"), baseline=1, directions={"auc": 1})
    checked = [Checked("auc >= main", met=True, value=0.82, bound=0.8, because="auc is 0.82, compared with 0.8")]

    assert (
        comparison.to_markdown(found, checked=checked, url="https://host/run?o=1#job/2")
        == """\
### `training` on `feature/x`

|  | this run | `main` |
| --- | ---: | ---: |
| `c` | `a¦b` |  |
| `auc` | **0.82** ↑ +2.5% | 0.8 |
| `loss` | 1 |  |

**bold**: the best value, by the gates

- met: `auc >= main`, `auc is 0.82, compared with 0.8`

[Run 7f98f3cc](<https://host/run?o=1#job/2>): FINISHED
"""
    )


def test_a_comment_has_room_for_the_table() -> None:
    this = make_run(metrics={f"class {number:05}": 0.5 for number in range(3000)})

    lines = comparison.to_markdown(compare(this, make_run("b6d863460000"))).splitlines()

    shown = [each for each in lines if each.startswith("| `class")]
    assert 1000 < len(shown) < 3000
    assert f"| {3000 - len(shown)} more in `inv compare` |  |  |" in lines
    assert len("\n".join(lines).encode()) < 65_536


def test_as_data_nothing_is_cut_and_what_is_no_number_is_null() -> None:
    this = make_run(parameters={"note": "x" * 200, "same": "1"}, metrics={"auc": math.nan, "f1": 0.9})
    other = make_run("b6d863460000", parameters={"same": "1"}, metrics={"f1": 0.6}, tags={"mlops.wheel.a": "a.whl"})

    found = comparison.to_dict(compare(this, other, f1=1))

    assert found["differing"] == ["note", "a"]
    assert found["metrics"]["auc"] == {"change": None, "share": None, "best": None}
    assert found["metrics"]["f1"] == {"change": pytest.approx(0.3), "share": pytest.approx(0.5), "best": this.run_id}
    assert found["baseline"] == other.run_id
    assert found["runs"][0]["parameters"] == {"note": "x" * 200, "same": "1"}
    assert found["runs"][0]["metrics"] == {"auc": None, "f1": 0.9}
    assert found["runs"][1]["wheels"] == {"a": "a.whl"}
    assert "gates" not in found


def test_a_share_that_no_number_holds_is_null() -> None:
    found = compare(make_run(metrics={"auc": 1.0}), make_run("b6d863460000", metrics={"auc": 5e-324}))

    assert comparison.to_dict(found)["metrics"]["auc"] == {"change": 1.0, "share": None, "best": None}


def test_credentials_in_a_runs_parameters_are_shown_to_nobody(tracked: Any) -> None:
    tracked.log(parameters={"source": "https://ada:sesame@host/x"})
    this = tracked.log(parameters={"source": "https://ada:sesame@host/y"})

    found = comparison.beside(history.history_of(tracked.context(branch="main"), this))

    shown = [comparison.to_markdown(found), str(comparison.to_dict(found)), str(found.rows)]
    assert all("host/y" in each and "sesame" not in each for each in shown)


def test_a_metric_that_no_run_has_logged_is_refused_with_the_nearest() -> None:
    found = compare(make_run(metrics={"auc": 1, "loss": 2}), make_run(metrics={"f1": 1}))

    assert [each.name for each in comparison.narrow(found, ["loss"]).rows] == ["loss"]
    with pytest.raises(errors.BadInput, match="no run here has logged a metric acu") as refused:
        comparison.narrow(found, ["auc", "acu"])
    assert refused.value.cure == "did you mean auc?"


def test_others_stand_beside_main_and_none_stands_there_twice(tracked: Any) -> None:
    other, main = tracked.log("other"), tracked.log()
    before, this = tracked.log("feature"), tracked.log("feature")
    around = history.history_of(tracked.context(branch="feature"), this)

    found = comparison.beside(around, last=5, others=[around.find(each) for each in ("other", "main", before.run_id)])

    assert [each.run_id for each in found.runs] == [this.run_id, main.run_id, other.run_id, before.run_id]
    assert list(found.labels) == ["this run", "main", "other", before.run_id[:8]]
    assert found.baseline == 1


def test_a_picture_has_the_branchs_runs_in_order_and_the_others_as_levels() -> None:
    values = (0.9, 0.7, math.nan, 0.8)
    this, main, *earlier = (make_run(f"{place}" * 12, metrics={"auc": value}) for place, value in enumerate(values))
    found = Comparison(
        runs=(this, main, *earlier, make_run("5" * 12, metrics={"loss": 1, "odd": math.nan})),
        labels=("this run", "main", "", "", ""),
        baseline=1,
        directions={"auc": -1},
        earlier_from=2,
    )

    auc, loss = comparison.to_picture(found).panels

    assert comparison.to_picture(found).runs == ("55555555", "33333333", "22222222", "00000000")
    assert comparison.to_picture(found).levels == ("main",)
    assert comparison.to_picture(found).undrawn == ("odd",)
    assert repr(auc.values) == "(nan, 0.8, nan, 0.9)"
    assert (auc.levels, auc.best) == ((0.7,), (1,))
    assert auc.said == "0.9 ↑ +29%, 2 of 4 without a number"
    assert loss.said == "not logged, 3 of 4 without a number"


@pytest.mark.parametrize("metrics", [{}, {"auc": math.nan}, {"auc": math.inf}, {"auc": -sys.float_info.max}])
def test_runs_without_a_number_make_no_picture(metrics: dict[str, float]) -> None:
    with pytest.raises(errors.OutOfOrder, match="nothing to draw"):
        comparison.to_picture(compare(make_run(metrics=metrics), make_run("b6d863460000", metrics=metrics)))


def test_few_runs_are_asked_for_however_many_there_are(tracked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked.log(metrics={"auc": 0.1})
    for _ in range(12):
        this = tracked.log("feature", metrics={"auc": 0.5})
    client, asked = tracked.store._client, list[int]()
    real = client.search_runs

    def search(*given: Any, max_results: int, **more: Any) -> Any:
        asked.append(max_results)
        return real(*given, max_results=max_results, **more)

    monkeypatch.setattr(client, "search_runs", search)
    around = history.history_of(tracked.context(branch="feature"), this)

    found = comparison.beside(around)

    assert len(found.runs) == 1 + 1 + comparison.EARLIER
    assert around.best("auc", 1) is not None
    assert asked == [1, comparison.EARLIER + 1, 2]

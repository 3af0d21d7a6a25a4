from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from mlops_tasks.pipeline import comparison, history
from mlops_tasks.pipeline.comparison import Comparison
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

    assert best == {"auc": 1, "loss": 3, "f1": None}
    assert compare(runs[0], make_run(), auc=1).rows[0].best is None


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


def test_of_the_first_run_nothing_is_shown(tracked: Any) -> None:
    context = tracked.context()

    comparison.show(history.history_of(context, tracked.log(metrics={"auc": 0.5})))

    assert context.report.tables == []

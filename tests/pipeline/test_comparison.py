from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlops_tasks.pipeline.comparison import EARLIER, compare, list_differences
from mlops_tasks.release import Run
from mlops_tasks.report import Report
from mlops_tasks.tracking.client import PastRun
from tests.support.contexts import make_context

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


def test_of_two_runs_only_what_differs_is_shown_and_every_metric() -> None:
    first = make_run("7f98f3cc0000", parameters={"c": "1.0", "rows": "500"}, metrics={"auc": 0.7941})
    other = make_run("b6d863460000", parameters={"c": "0.01", "rows": "500"}, metrics={"auc": 0.7941, "loss": 1.0})

    assert list_differences([first, other]) == [
        ["c", "1.0", "0.01"],
        ["auc", "0.7941", "0.7941"],
        ["loss", "", "1"],
    ]


def test_commit_work_tree_wheel_and_a_name_that_was_given_tell_runs_apart() -> None:
    first = make_run(name="low rate", tags={"mlops.dirty": "true", "mlops.wheel.mylib": f"a.whl sha256:{SHA}"})
    other = make_run(status="FAILED", tags={"mlops.commit": "fedcba9876", "mlflow.project.entryPoint": "evaluate"})

    assert list_differences([first, other]) == [
        ["status", "FINISHED", "FAILED"],
        ["name", "low rate", ""],
        ["entry point", "main", "evaluate"],
        ["commit", "0123456 dirty", "fedcba9"],
        ["mylib", "9d92db03", ""],
    ]


def test_a_long_or_hostile_value_stays_on_its_line() -> None:
    first = make_run(parameters={"note": "\x1b[31mred\nline", "path": "x" * 40})
    other = make_run(parameters={"note": "", "path": ""})

    assert list_differences([first, other]) == [["note", "?[31mred?line", ""], ["path", "x" * 14 + "…", ""]]


class Tables(Report):
    def __init__(self) -> None:
        self.tables: list[Any] = []

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False
    ) -> None:
        self.tables.append((list(columns), [list(each) for each in rows], numbers))


def test_a_run_stands_beside_the_last_of_the_earlier_ones_and_the_first_alone(tmp_path: Path) -> None:
    past = [make_run(f"{number}" * 12, metrics={"auc": number}) for number in (3, 9, 8, 7, 6, 5, 4, 2)]
    run = Run(run_id=past[1].run_id, experiment_id="1", status="FINISHED", backend="local", url="", entry_point="main")

    def show(runs: list[PastRun]) -> list[Any]:
        report = Tables()
        context = make_context(tmp_path, report=report)
        tracking = SimpleNamespace(past_runs=lambda experiment_id, limit: runs[:limit])
        vars(context)["target"] = SimpleNamespace(runs=SimpleNamespace(tracking=tracking))
        compare(context, run)
        return report.tables

    shown = [past[0], *past[2:]][:EARLIER]
    columns = ["", "this run", *(each.run_id[:8] for each in shown)]
    metrics = ["auc", "9", *(f"{each.metrics['auc']:g}" for each in shown)]
    assert show(past) == [(columns, [metrics], True)]
    assert show(past[1:2]) == show(past[:1]) == []

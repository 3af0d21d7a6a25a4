"""Show a run beside the earlier ones of its experiment: what differs, and the metrics."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_tasks.release import Run
from mlops_tasks.steps.context import Context

if TYPE_CHECKING:
    from mlops_tasks.tracking.client import PastRun

EARLIER = 3
"""How many earlier runs stand beside the last one: more do not fit on 80 columns."""
CELL = 15
"""Characters of a value in that table."""
WHEEL = "mlops.wheel."
MADE_UP = re.compile(r"[a-z]+-[a-z]+-\d+")
"""The names that MLflow gives to runs without one, such as bold-owl-12."""


def compare(context: Context, run: Run) -> None:
    """A table of the run beside the experiment's earlier ones: what differs, then the metrics.

    Nothing is shown of the first run, whose metrics have been shown.
    """
    found = context.target.runs.tracking.past_runs(run.experiment_id, limit=EARLIER + 3)
    this = [each for each in found if each.run_id == run.run_id]
    earlier = [each for each in found if each.run_id != run.run_id][:EARLIER]
    if not this or not earlier:
        return
    columns = ["", "this run", *(each.run_id[:8] for each in earlier)]
    context.report.table("", columns, list_differences([*this, *earlier]), numbers=True)


def list_differences(runs: Sequence[PastRun]) -> list[list[str]]:
    """A row for each fact in which `runs` differ, and for each metric: its name, and a cell a run."""
    facts = [_facts(each) for each in runs]
    differing = [
        name
        for name in dict.fromkeys(name for each in facts for name in each)
        if len({each.get(name) for each in facts}) > 1
    ]
    metrics = sorted({name for each in runs for name in each.metrics})
    return [
        *([name, *(_cell(each.get(name, "")) for each in facts)] for name in differing),
        *([name, *(_number(each.metrics.get(name)) for each in runs)] for name in metrics),
    ]


def _facts(run: PastRun) -> dict[str, str]:
    """What may make a run another one than the one before, by the names that a reader of the table knows."""
    commit = run.tags.get("mlops.commit", "")[:7] + (" dirty" if run.tags.get("mlops.dirty") == "true" else "")
    wheels = {key: value for key, value in sorted(run.tags.items()) if key.startswith(WHEEL)}
    return {
        "status": run.status,
        "name": "" if MADE_UP.fullmatch(run.name) else run.name,
        "entry point": run.tags.get("mlflow.project.entryPoint", ""),
        "commit": commit,
        **{key.removeprefix(WHEEL): value.rpartition("sha256:")[2][:8] for key, value in wheels.items()},
        **run.parameters,
    }


def _cell(text: str) -> str:
    """A value as somebody else wrote it, on one line and without what a terminal would obey."""
    plain = "".join(each if each.isprintable() else "?" for each in text)
    return plain if len(plain) <= CELL else f"{plain[: CELL - 1]}…"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"

"""A table of a release's run beside earlier runs of its experiment."""

from __future__ import annotations

from datetime import datetime, timezone

from mlops_tasks.release import Run
from mlops_tasks.steps.context import Context
from mlops_tasks.tracking.client import PastRun

EARLIER = 3
"""How many earlier runs stand beside the last one: more do not fit on 80 columns."""


def compare(context: Context, run: Run) -> None:
    """A table of the run's metrics beside those of the experiment's earlier runs."""
    found = context.target.runs.tracking.past_runs(run.experiment_id, limit=EARLIER + 3)
    earlier = [each for each in found if each.run_id != run.run_id][:EARLIER]
    columns = ["", "this run", *(_when(each) for each in earlier)]
    shown = [
        PastRun(run_id=run.run_id, entry_point=run.entry_point, status=run.status, started=0, metrics=run.metrics),
        *earlier,
    ]
    names = sorted({name for each in shown for name in each.metrics})
    rows = [
        ["run", *(each.run_id[:8] for each in shown)],
        ["entry point", *(each.entry_point for each in shown)],
        ["status", *(each.status for each in shown)],
        *([name, *(_number(each.metrics.get(name)) for each in shown)] for name in names),
    ]
    context.report.table(f"{context.project_name} on {context.facts.branch}", columns, rows, numbers=True)


def _when(run: PastRun) -> str:
    return datetime.fromtimestamp(run.started / 1000, timezone.utc).astimezone().strftime("%d %b %H:%M:%S")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"

"""`inv compare`: the branch's last run beside others, as a table, as a comment for a pull request, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import invoke

from mlops_tasks import errors, setting_types
from mlops_tasks.tasks import base, session

if TYPE_CHECKING:
    from mlops_tasks.pipeline.comparison import Comparison
    from mlops_tasks.release import Run
    from mlops_tasks.steps.context import Context

FORMATS = ("table", "markdown", "json")
MOST = 100
"""Runs that are looked up at most."""


@invoke.task(
    klass=base.ReleaseTask,
    settings=(*base.IDENTITY, "entry_point"),
    iterable=["with_", "metric"],
    help={
        "with": "a branch, whose last finished run is meant, or a run's id (repeatable)",
        "last": "how many of the branch's earlier runs to show (default: 3)",
        "metric": "a metric to show, instead of all (repeatable)",
        "format": "table, markdown (a comment for a pull request) or json (default: table)",
        "json": "the same as `--format json`",
        "dry_run": "the same, as nothing is changed",
    },
)
def compare(
    c: invoke.Context,
    with_: list[str] | None = None,
    last: str = "",
    metric: list[str] | None = None,
    format_: str = "table",
    **flags: Any,
) -> None:
    """Show the branch's last run beside its earlier ones, main's last and any other."""
    form = _read_format("json" if flags["json"] else format_)
    number = _read_last(last)
    context = session.open_pipeline(c, {**flags, "json": False}).context
    with context.places.usable():
        found, run = _compare(context, with_ or [], metric or [], number)
    _show(context, found, run, form)


def _compare(context: Context, others: list[str], metrics: list[str], last: int) -> tuple[Comparison, Run | None]:
    """The comparison, and its run as it is recorded, where it is."""
    from mlops_tasks.pipeline import comparison, history

    around = history.of_branch(context)
    found = comparison.beside(around, last=last, others=[around.find(each) for each in others])
    release = context.record.load()
    run = release.run if release and release.run and release.run.run_id == around.this.run_id else None
    return comparison.narrow(found, metrics), run


def _show(context: Context, found: Comparison, run: Run | None, form: str) -> None:
    from mlops_tasks.pipeline import comparison

    checked = run.gates if run else ()
    if form == "json":
        session.print_json(comparison.to_dict(found, checked=checked), {"json": True})
    elif form == "markdown":
        context.report.text(comparison.to_markdown(found, checked=checked, url=run.url if run else ""))
    else:
        comparison.report_table(context, found)


def _read_format(text: str) -> str:
    if text not in FORMATS:
        raise errors.BadInput(f"there is no format {text}", where="--format", cure=f"give one of: {', '.join(FORMATS)}")
    return text


def _read_last(text: str) -> int:
    from mlops_tasks.pipeline import comparison

    if not text:
        return comparison.EARLIER
    try:
        number = setting_types.count(text)
    except ValueError as fault:
        raise errors.BadInput(f"the number of runs {fault}", where="--last", cure="give a number such as 5") from fault
    if number > MOST:
        raise errors.BadInput(f"{number} runs are more than can be shown", where="--last", cure=f"give {MOST} at most")
    return number

"""`inv compare`: the branch's last run beside others, as a table, as a comment for a pull request, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import invoke

from mlops_tasks import errors
from mlops_tasks.settings import setting_types
from mlops_tasks.tasks import base, session, several

if TYPE_CHECKING:
    from mlops_tasks.pipeline.comparison import Comparison, Picture
    from mlops_tasks.pipeline.pipeline import Pipeline
    from mlops_tasks.release import Run
    from mlops_tasks.steps.context import Context

FORMATS = ("table", "markdown", "json")
MOST, DRAWN = 100, 49
"""Earlier runs that are looked up at most, and that a picture has without `--last`."""


@invoke.task(
    klass=base.ReleaseTask,
    settings=(*base.IDENTITY, "entry_point"),
    iterable=["with_", "metric"],
    help={
        "with": "a branch or an environment, whose last finished run is meant, or a run's id (repeatable)",
        "last": "how many of the branch's earlier runs to show (default: 3)",
        "metric": "a metric to show, instead of all (repeatable)",
        "format": "table, markdown (a comment for a pull request) or json (default: table)",
        "plot": "draw a picture too, into a file that ends in .png or .html; of 50 runs without --last",
        "json": "the same as `--format json`",
        "dry_run": "write no picture",
    },
)
def compare(
    c: invoke.Context,
    with_: list[str] | None = None,
    last: str | None = None,
    metric: list[str] | None = None,
    format_: str = "table",
    plot: str | None = None,
    **flags: Any,
) -> None:
    """Show the branch's last run beside its earlier ones, main's last and any other."""
    form, path = _read_format("json" if flags["json"] else format_), _read_path(plot)
    number = None if last is None else _read_last(last)
    asked, flags = _Asked(tuple(with_ or ()), tuple(metric or ()), number), {**flags, "json": form == "json"}
    if path is not None:
        _ = session.open_pipeline(c, flags)  # a picture is of one project

    def tell(pipeline: Pipeline) -> several.Told:
        with pipeline.context.places.usable():
            return _compare(pipeline.context, asked, form=form, path=path)

    saying = several.Saying("cannot be compared", "`inv compare`")
    session.print_json(several.tell_projects(c, flags, tell, saying, again=path is not None), flags)


class _Asked(NamedTuple):
    others: tuple[str, ...]
    metrics: tuple[str, ...]
    last: int | None


def _compare(context: Context, asked: _Asked, *, form: str, path: Path | None) -> several.Told:
    from mlops_tasks.pipeline import comparison, history

    context.check_folder()
    around = history.of_branch(context)
    others = [around.find(each) for each in asked.others]

    def compare_last(number: int) -> Comparison:
        found = comparison.beside(around, last=asked.last or number, others=others)
        return comparison.narrow(found, asked.metrics)

    if path is not None:
        _draw(context, comparison.to_picture(compare_last(DRAWN)), path)
    release = context.record.load()
    run = release.run if release and release.run and release.run.run_id == around.this.run_id else None
    return _show(context, compare_last(comparison.EARLIER), run, form)


def _draw(context: Context, found: Picture, path: Path) -> None:
    from mlops_tasks.tasks import picture

    if left_out := found.panels[picture.MOST :]:
        names = ", ".join(each.metric for each in left_out[:5]) + (", ..." if len(left_out) > 5 else "")  # noqa: PLR2004
        context.report.warning(f"the picture has {picture.MOST} panels, and leaves out {names}; --metric chooses")
    if found.undrawn:
        context.report.warning(f"no run of {found.branch} has a number to draw of {', '.join(found.undrawn)}")
    if context.dry_run:
        context.report.detail(f"would draw {path}")
        return
    picture.write(found, path)
    context.report.detail(f"drawn: {path}")


def _show(context: Context, found: Comparison, run: Run | None, form: str) -> several.Told:
    """Show what is found, unless that is to be JSON; what JSON has of it."""
    from mlops_tasks.pipeline import comparison

    checked = run.gates if run else ()
    if form == "markdown":
        context.report.text(comparison.to_markdown(found, checked=checked, url=run.url if run else ""))
    elif form == "table":
        comparison.report_table(context, found)
    return comparison.to_dict(found, checked=checked) if form == "json" else {}


def _read_format(text: str) -> str:
    if text not in FORMATS:
        raise errors.BadInput(f"there is no format {text}", where="--format", cure=f"give one of: {', '.join(FORMATS)}")
    return text


def _read_path(text: str | None) -> Path | None:
    from mlops_tasks.tasks import picture

    if text is None:
        return None
    picture.check_name(Path(text))
    return Path(text).absolute()


def _read_last(text: str) -> int:
    try:
        number = setting_types.count(text)
    except ValueError as fault:
        raise errors.BadInput(f"the number of runs {fault}", where="--last", cure="give a number such as 5") from fault
    if number > MOST:
        raise errors.BadInput(f"{number} runs are more than can be shown", where="--last", cure=f"give {MOST} at most")
    return number

"""Show a release in tables: the state of its steps, and its run beside the branch's earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from mlops_tasks import errors, locks
from mlops_tasks.pipeline import staleness
from mlops_tasks.pipeline.inputs import BY_HAND
from mlops_tasks.release import Attempt, Release, Run
from mlops_tasks.steps.context import Context

if TYPE_CHECKING:
    from mlops_tasks.tracking.client import PastRun


def show_status(context: Context, steps: staleness.Steps, release: Release | None) -> None:
    """Report the table: what each step has made and whether it is up to date, with a warning for a run that goes on."""
    if release is None:
        context.report.table(
            f"{context.project_name} on {context.settings.target}",
            ["step", "state"],
            [[step, "has not run"] for step in steps],
        )
        return
    rows = [[step, *_state(context, steps, step, release)] for step in steps]
    context.report.table(
        f"{release.project} on {release.target}, branch {release.branch}", ["step", "state", "made"], rows
    )
    if _may_go_on(context, release.attempt):
        context.report.warning(f"the last run may still be going on: {context.target.busy_cure}")


def _may_go_on(context: Context, attempt: Attempt | None) -> bool:
    """Whether the attempt's run is remote, may still be going on, and is followed by no command on this machine."""
    is_open = attempt is not None and not attempt.ended
    return is_open and context.target.is_remote and not locks.is_held(context.attempt_lock)


def _state(context: Context, steps: staleness.Steps, step: str, release: Release) -> tuple[str, str]:
    made = _made(step, release)
    if step == "run" and release.attempt and not release.attempt.ended:
        cut_off = "cut off, and may go on" if context.target.is_remote else "cut off"
        left = "detached" if release.attempt.detached else cut_off
        made = "\n".join(each for each in (release.attempt.run_id, release.attempt.url) if each)
        return ("going on" if locks.is_held(context.attempt_lock) else left), made
    if step == "run" and release.run:
        return release.run.status, made
    if step == "run" or step not in release.digests:
        return "has not run", ""
    if release.digests[step] == BY_HAND:
        return "by hand", made
    return _freshness(context, steps, step, release), made


def _freshness(context: Context, steps: staleness.Steps, step: str, release: Release) -> str:
    """`up to date`, `stale`, or `behind` the stale step that this one stands on."""
    try:
        chain = [*staleness.stands_on(steps, step, release), step]
        stale = staleness.find_stale(context, steps, chain, release)
    except errors.ReleaseError as fault:
        return f"unknown: {fault.what}"
    if not stale:
        return "up to date"
    return "stale" if step in stale else f"behind {stale[0]}"


def _made(step: str, release: Release) -> str:
    facts: dict[str, Sequence[str]] = {
        "name": [release.names.experiment, release.names.wheel_folder] if release.names else [],
        "build-wheel": [f"{wheel.distribution} {wheel.version}" for wheel in release.wheels or ()],
        "deploy": [each.uri for each in release.deployed or ()],
        "patch": [release.patched.project_dir] if release.patched else [],
        "run": [f"{release.run.run_id} log {release.run.log or '-'}", release.run.reason] if release.run else [],
    }
    return "\n".join(each for each in facts[step] if each)


EARLIER = 3
"""How many earlier runs stand beside the last one: more do not fit on 80 columns."""


def compare(context: Context, run: Run) -> None:
    """A table of the run's metrics beside those of the experiment's earlier runs."""
    from mlops_tasks.tracking.client import PastRun

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

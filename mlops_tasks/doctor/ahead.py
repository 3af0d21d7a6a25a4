"""Preflight as the commands need it: from a Context to what was found, or to a refusal."""

from __future__ import annotations

from mlops_tasks.doctor import reading, rules, subject
from mlops_tasks.doctor.findings import Findings
from mlops_tasks.release import Release
from mlops_tasks.steps.context import Context


def look_ahead(context: Context, release: Release, *, force: bool) -> None:
    """Before anything is sent: BadInput for what will not work there, but with `force`."""
    if context.target.is_remote:
        rules.insist(examine(context, release), context.report, warned=context.warned, force=force)


def examine(context: Context, release: Release | None, *, login: bool = False) -> Findings:
    """All that the checks find; `login` has them begin with the login itself."""
    target = context.target
    ask = subject.Questions(
        log_in=target.check if login else None, has_volume=target.has_volume, has_file=target.is_reachable
    )
    return rules.check(reading.make_plan(context, release, ask=ask if target.is_remote else subject.Questions()))

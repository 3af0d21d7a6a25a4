"""Preflight as the commands need it: from a Bench to what was found, or to a refusal."""

from __future__ import annotations

from mlops_tasks.doctor import reading, rules, subject
from mlops_tasks.doctor.findings import Findings
from mlops_tasks.release import Release
from mlops_tasks.steps.context import Bench


def look_ahead(bench: Bench, release: Release, *, force: bool) -> None:
    """Before anything is sent: BadInput for what will not work there, but with `force`."""
    if bench.target.is_remote:
        rules.insist(examine(bench, release), bench.report, told=bench.told, force=force)


def examine(bench: Bench, release: Release | None, *, login: bool = False) -> Findings:
    """All that the checks find; `login` has them begin with the login itself."""
    target = bench.target
    ask = subject.Questions(
        log_in=target.check if login else None, has_volume=target.has_volume, has_file=target.is_reachable
    )
    return rules.check(reading.make_plan(bench, release, ask=ask if target.is_remote else subject.Questions()))

"""Preflight as the commands need it: from a Bench to what was found, or to a refusal."""

from __future__ import annotations

from mlops_tasks import preflight
from mlops_tasks.steps.context import Bench
from mlops_tasks.inputs import Inputs
from mlops_tasks.preflight import plan, planning
from mlops_tasks.preflight.findings import Findings
from mlops_tasks.release import Release


def look_ahead(bench: Bench, release: Release, inputs: Inputs) -> None:
    """Before anything is sent: BadInput for what will not work there, but with `force`."""
    if bench.target.is_remote:
        preflight.insist(examine(bench, release), bench.report, told=bench.told, force=inputs.force)


def examine(bench: Bench, release: Release | None, *, login: bool = False) -> Findings:
    """All that the checks find; `login` has them begin with the login itself."""
    target = bench.target
    ask = plan.Questions(
        log_in=target.check if login else None, has_volume=target.has_volume, has_file=target.is_reachable
    )
    return preflight.check(planning.make_plan(bench, release, ask=ask if target.is_remote else plan.Questions()))

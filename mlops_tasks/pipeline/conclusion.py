"""What follows a finished run: it is shown beside the others, and checked against the gates of the settings."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from mlops_tasks import errors
from mlops_tasks.pipeline import comparison
from mlops_tasks.pipeline.history import GATE, History, history_of
from mlops_tasks.record import Record
from mlops_tasks.release import Checked, Release, Run
from mlops_tasks.settings import IN_ENVIRONMENT, gates
from mlops_tasks.settings.gates import Gate
from mlops_tasks.settings.setting_types import CONFIGURATION
from mlops_tasks.steps.context import Context
from mlops_tasks.tracking.client import PastRun

SHOWN = 5
"""How many of the logged metrics a message names."""


class Found(NamedTuple):
    """A run to compare with, None where there is none, and what it is called."""

    run: PastRun | None
    called: str


def conclude(context: Context, release: Release, kept: Record | None = None) -> Release:
    """The release with what became of its run's gates, which the record `kept` has; GateNotMet where one is not met."""
    run = release.run
    if run is None:
        return release
    history = functools.lru_cache(lambda: history_of(context, run))
    try:
        comparison.show(history())
    except errors.ReleaseError as fault:  # the run itself is finished and recorded
        context.report.warning(f"the earlier runs cannot be shown: {fault.what}")
    if context.settings.require:
        try:
            checked = check(context, run, history)
        except errors.ReleaseError as fault:
            kind = errors.WorkspaceError if isinstance(fault, errors.WorkspaceError) else errors.StepFailed
            what = f"run {run.run_id} finished, and its gates could not be checked: {fault.what}"
            raise kind(what, where=fault.where, cure=fault.cure) from fault
        release = _keep(context, kept or context.record, release, checked)
        enforce(context, release)
    return release


def check(context: Context, run: Run, history: Callable[[], History]) -> Run:
    """The run with what became of each gate; the store is asked only where a gate compares with another run."""
    found: list[Checked] = []
    metrics = run.metrics or history().this.metrics  # of a run on Databricks they may not have been read yet
    for gate in context.settings.require:
        names = gate.references if gate.metric in metrics else ()
        beside = {each: _find(history(), each, gate) for each in names}
        found.append(judge(gate, metrics, beside, strict=context.settings.strict))
    return run._replace(gates=tuple(found))


def judge(gate: Gate, metrics: Mapping[str, float], beside: Mapping[str, Found], *, strict: bool) -> Checked:
    """What becomes of a gate on a run's `metrics`, with the runs that it names `beside` them."""
    value, metric = metrics.get(gate.metric), gate.metric
    if value is None:
        near = gates.name_near(metric, metrics)
        known = ", ".join([*sorted(metrics)[:SHOWN], *(["..."] if len(metrics) > SHOWN else [])])
        hint = f"did you mean {near}?" if near else f"logged are: {known}" if known else "nothing was logged"
        return Checked(str(gate), met=False, value=None, bound=None, because=f"{metric} was not logged; {hint}")
    if math.isnan(value):
        return Checked(str(gate), met=False, value=value, bound=None, because=f"{metric} is NaN")
    values: dict[str, float] = {}
    for name, (run, called) in beside.items():
        there = math.nan if run is None else run.metrics.get(metric, math.nan)
        if run is None or math.isnan(there):
            lacks = called if run is None else f"{called} (run {run.run_id[:8]}) has no number for {metric}"
            passes = "there is nothing to compare with" + (", and strict is set" if strict else "")
            return Checked(str(gate), met=not strict, value=value, bound=None, because=f"{passes}: {lacks}")
        values[name] = there
    bound = gate.bound(values)
    because = f"{metric} is {value:.6g}"
    if math.isnan(bound):
        because += ", and what it is compared with is no number"
    elif gate.references or len(gate.expression) > 1:
        because += f", compared with {bound:.6g}"
    sources = [
        f"{each.called} {values[name]:.6g}, run {each.run.run_id[:8]}" for name, each in beside.items() if each.run
    ]
    said = f"{because} ({'; '.join(sources)})" if sources else because
    return Checked(str(gate), met=gate.is_met(value, bound), value=value, bound=bound, because=said)


def _find(history: History, name: str, gate: Gate) -> Found:
    """The run that a gate names."""
    branch = history.context.default_branch
    if name == gates.MAIN:
        main = history.baseline(name, gate.metric)
        called = f"the run before on {branch}" if branch == history.branch else f"{branch}'s last"
        return Found(main, called if main else history.say_none(name))
    if name != gates.BEST:
        there = history.baseline(name, gate.metric)
        return Found(there, f"the last in {name}" if there else history.say_none(name))
    best = history.best(gate.metric, gate.direction)
    return Found(best, "the best before" if best else f"no run before of {history.branch} has logged {gate.metric}")


def enforce(context: Context, release: Release) -> None:
    """Report what became of the run's gates, as they were checked; GateNotMet where one is not met."""
    run = release.run
    if run is None or not run.gates:
        return
    if not run.unmet:
        context.report.step("gate", "\n".join(f"met: {each.gate} ({each.because})" for each in run.gates))
        return
    lines = [f"  {'met' if each.met else 'not met'}: {each.gate} ({each.because})" for each in run.gates]
    places = dict.fromkeys(_place(context, each) for each in run.unmet)
    cure = "`inv compare` shows what differs from the other runs; change that, or the gate, then `inv run`"
    if any(each.value is None for each in run.unmet):  # a command to type would repeat the name from its flag
        cure = "correct the metric's name in the gate (`inv compare` shows what was logged), or log it; then run again"
    failed = errors.GateNotMet(
        "\n".join([f"run {run.run_id} finished, and {_count(run)} not met:", *lines]),
        where=", ".join(places),
        cure=cure,
    )
    failed.release = release
    raise failed


def _place(context: Context, checked: Checked) -> str:
    """Where the gate is written: the file with its line, the variable or the flag."""
    from mlops_tasks.project.text import yaml_tree

    settings = context.settings
    origin = settings.origins.get(f"require.{checked.gate}", "the setting require")
    if not origin.endswith(CONFIGURATION):
        return origin
    key = origin.removesuffix(CONFIGURATION).strip()
    if key == "mlops.require":
        return yaml_tree.find_key(settings.config_file, "mlops", "require")
    if key.startswith(IN_ENVIRONMENT):
        name = key.removeprefix(IN_ENVIRONMENT).removesuffix(".require")
        return yaml_tree.find_key(settings.config_file, "mlops", "environments", name, "require")
    return f"{settings.config_file}, {key}"


def _count(run: Run) -> str:
    if len(run.gates) == 1:
        return "its gate is"
    return f"{len(run.unmet)} of {len(run.gates)} gates {'is' if len(run.unmet) == 1 else 'are'}"


def _keep(context: Context, kept: Record, release: Release, run: Run) -> Release:
    """The release with the checked run, recorded, and the run tagged."""
    try:
        context.target.runs.tracking.set_tag(run.run_id, GATE, run.verdict)
    except errors.WorkspaceError as fault:
        context.report.warning(f"run {run.run_id} has no tag {GATE}: {fault.what}")
    release = replace(release, run=run)
    with kept.locked("run", wait=context.say_waiting):
        kept.save_attempt(release)
    return release

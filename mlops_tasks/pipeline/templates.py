"""The templates of a listed project's settings, filled with what the runs of earlier projects have made."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mlops_tasks import errors, state
from mlops_tasks.release import Release, Run
from mlops_tasks.settings import projects
from mlops_tasks.settings.projects import Reference
from mlops_tasks.steps.context import Context

SPECIMEN = {"run_id": "0" * 32, "experiment_id": "0", "experiment": "/experiment"}
"""What stands for a value that no run has made yet; for a metric that is 0."""


def fill(context: Context, made: Mapping[str, Release], *, is_needed: bool = True) -> Context:
    """The context with the values of its settings' templates: of the runs in `made`, else of each project's last one.

    OutOfOrder for a value that no run has, where it `is_needed`; else a specimen stands for it, and what is taken from
    where is said.
    """
    settings = context.settings
    if not settings.listed_as:
        return context
    look_up = functools.cache(functools.partial(_look_up, context, made, is_needed=is_needed))
    filled: dict[str, Any] = {"parameters": {}, "tags": {}}
    for key, name, text in projects.templates(vars(settings)):
        try:
            found = projects.fill(text, look_up)
        except errors.OutOfOrder as fault:
            fault.where = projects.place(settings.origins, key, name)
            raise
        filled = {**filled, key: {**filled[key], name: found} if name else found}
    return context.with_settings(replace(settings, **filled))


def find_finished(context: Context) -> Release | None:
    """The release of the last run of this project, entry point and branch that finished and met its gates."""
    for path in sorted(context.runs_folder.glob("*.json"), key=state.last_used, reverse=True):
        release = context.read_release(path)
        run = release.run if release and release.branch == context.facts.branch else None
        if run and _is_good(run) and run.entry_point == context.settings.entry_point:
            return release
    return None


def load_own(context: Context) -> Release | None:
    """The branch's release as it is recorded; of listed projects in one folder, which share it, with the own last run.

    That is the last one which finished, where another project's has come after it.
    """
    release, entry_point = context.record.load(), context.settings.entry_point
    attempt = release.attempt if release else None
    if release is None or attempt is None or not context.settings.listed_as or attempt.entry_point == entry_point:
        return release
    own = find_finished(context)
    return replace(release, run=own.run if own else None, attempt=own.attempt if own else None)


def _is_good(run: Run) -> bool:
    return run.status == "FINISHED" and not run.unmet


def _look_up(context: Context, made: Mapping[str, Release], named: Reference, *, is_needed: bool) -> str:
    if not named.project:
        return {"branch": context.facts.branch, "environment": context.settings.environment}[named.value]
    earlier = next(each for each in context.settings.earlier if each.listed_as == named.project)
    release = made.get(named.project) or find_finished(context.beside(earlier))
    run = release.run if release else None
    if is_needed and run is None:
        raise errors.OutOfOrder(
            f"{context.settings.listed_as} takes {named}, and no run of {named.project} on the branch "
            f"{context.facts.branch} has finished here",
            cure=f"release {named.project} first: give it by `--project`, or leave `--project` out for all of them",
        )
    if is_needed and release and run:
        return _read(context, release, run, named)
    found = _as_recorded(release, run, named) if release and run else ""
    stands_for = f"that of run {run.run_id} stands for it" if run and found else "a specimen stands for it"
    context.say_once(f"{named} is known once {named.project} has run: here {stands_for}")
    return found or SPECIMEN.get(named.value, "0")


def _as_recorded(release: Release, run: Run, named: Reference) -> str:
    """The value as the record has it; empty where it has none."""
    if named.metric:
        return str(run.metrics[named.metric]) if named.metric in run.metrics else ""
    experiment = release.names.experiment if release.names else ""
    return {"run_id": run.run_id, "experiment_id": run.experiment_id, "experiment": experiment}[named.value]


def _read(context: Context, release: Release, run: Run, named: Reference) -> str:
    """The value, asked of the store where the record may have another or none."""
    tracking = context.target.runs.tracking
    if named.value == "experiment":  # a run may have been made under another one than the release's
        return tracking.read_experiment_name(run.experiment_id)
    if not named.metric:
        return _as_recorded(release, run, named)
    value = run.metrics.get(named.metric, math.nan)
    if not math.isfinite(value):  # the record has not read it yet, or cannot hold it
        now = tracking.read_past(run.run_id)
        value = _choose_metric(context, run, named, now.metrics if now else {})
    return str(value)


def _choose_metric(context: Context, run: Run, named: Reference, metrics: Mapping[str, float]) -> float:
    takes = f"{context.settings.listed_as} takes {named}, and run {run.run_id} of {named.project} has"
    if named.metric not in metrics:
        from mlops_tasks.settings import gates

        near = gates.name_near(named.metric, metrics)
        raise errors.OutOfOrder(
            f"{takes} not logged {named.metric}{f'; did you mean {near}?' if near else ''}",
            cure="correct the name, or have the run log it, then repeat",
        )
    value = metrics[named.metric]
    if not math.isfinite(value):
        raise errors.OutOfOrder(
            f"{takes} logged {value} as {named.metric}, which is no number to go on with",
            cure="have the run log a number, then repeat",
        )
    return value

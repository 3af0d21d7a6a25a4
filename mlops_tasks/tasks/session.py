"""What a task needs around its one call: the pipeline made from flags and settings, the report, the `--json`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import invoke

from mlops_tasks import errors
from mlops_tasks.settings import REPEATED, Settings
from mlops_tasks.tasks import base, console, job

if TYPE_CHECKING:
    from mlops_tasks.pipeline.pipeline import Pipeline
    from mlops_tasks.release import Release


def open_pipeline(c: invoke.Context, flags: dict[str, Any], *, again: bool = False) -> Pipeline:
    """The pipeline for one command, from Invoke's configuration, the environment and the command's flags.

    `again` is for another one in the same command, which warns of nothing twice.
    """
    from mlops_tasks.pipeline.pipeline import Pipeline

    keys = {flag.lstrip("-"): key for key, flag in REPEATED.items()}
    own = {keys.get(flag, flag): value for flag, value in flags.items() if flag not in base.SWITCHES}
    given = {key: value for key, value in own.items() if value != []}
    config = base.settings_of(c)
    settings = Settings.read(config=config, environ=os.environ, flags=given, config_file=base.show_config(c))
    report = open_report(flags)
    if settings.foreign and base.place().is_first and not again:
        report.warning(f"{', '.join(settings.foreign)}: no setting of mlops_tasks has that name, so it is left alone")
    return Pipeline(base.root_of(c), settings, report=report, dry_run=is_dry(c, flags))


def work(c: invoke.Context, flags: dict[str, Any], action: Callable[[Pipeline], Release | None]) -> None:
    """Do `action`, then print the record where `--json` asks for it, with the error after a run that ended badly.

    In CI later steps of the job get what was made, of several tasks of one command by the last, or by the one that
    failed.
    """
    pipeline = open_pipeline(c, flags)
    ci_job = job.Job(pipeline, dry_run=is_dry(c, flags), spell=base.spell_as_called)
    try:
        done = action(pipeline)
    except BaseException as fault:
        release = None
        if isinstance(fault, errors.ReleaseError):
            fault.where = pipeline.context.settings.place_of(fault.where)
        if isinstance(fault, (errors.RunFailed, errors.GateNotMet)):
            release = fault.release or pipeline.load()
            fault.beside = release.to_dict() if release else {}
        ci_job.hand_on(release, fault)
        raise
    print_json(done.to_dict() if done else {}, flags)
    if base.place().is_last:
        ci_job.hand_on(done)


def open_report(flags: dict[str, Any], *, spell: Callable[[str], str] = base.spell_as_called) -> console.Console:
    """The console for a task, by its switches `--quiet`, `--verbose` and `--json`."""
    return console.standard(quiet=flags["quiet"], verbose=flags["verbose"], results=not flags["json"], spell=spell)


def is_dry(c: invoke.Context, flags: dict[str, Any]) -> bool:
    """Whether nothing may be changed, by the task's own `--dry-run` or Invoke's `--dry`."""
    return flags["dry_run"] or bool(c.config.run.dry)


def print_json(made: Mapping[str, Any], flags: dict[str, Any]) -> None:
    """With `--json` print `made`, of several tasks of one command that of the last; without it print nothing."""
    if flags["json"] and base.place().is_last:
        console.standard().data(made)

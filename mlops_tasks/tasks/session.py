"""What a task needs around its one call: the pipeline made from flags and settings, the report, the `--json`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import invoke

from mlops_tasks import errors
from mlops_tasks.settings import REPEATED, Settings
from mlops_tasks.tasks import base, console, job

if TYPE_CHECKING:
    from mlops_tasks.pipeline.inputs import Inputs
    from mlops_tasks.pipeline.pipeline import Pipeline
    from mlops_tasks.release import Release


def open_pipeline(c: invoke.Context, flags: dict[str, Any], *, again: bool = False) -> Pipeline:
    """The pipeline for one command, from Invoke's configuration, the environment and the command's flags.

    `again` is for another one in the same command, which warns of nothing twice.
    """
    return _open(c, flags, [Settings.read(**_sources(c, flags))], again=again)[0]


def open_pipelines(c: invoke.Context, flags: dict[str, Any], *, again: bool = False) -> dict[str, Pipeline]:
    """The pipelines of the projects that the settings list, by their names and in order; of any other one its own."""
    found = Settings.read_each(**_sources(c, flags))
    return dict(zip([each.listed_as for each in found], _open(c, flags, found, again=again), strict=True))


def _sources(c: invoke.Context, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Where the settings come from."""
    keys = {flag.lstrip("-"): key for key, flag in REPEATED.items()}
    own = {keys.get(flag, flag): value for flag, value in flags.items() if flag not in base.SWITCHES}
    given = {key: value for key, value in own.items() if value != []}
    config = base.settings_of(c)
    return {"config": config, "environ": os.environ, "flags": given, "config_file": base.show_config(c)}


def _open(c: invoke.Context, flags: dict[str, Any], settings: Sequence[Settings], *, again: bool) -> list[Pipeline]:
    from mlops_tasks.pipeline.pipeline import Pipeline

    report = open_report(flags)
    foreign = settings[0].foreign
    if foreign and base.place().is_first and not again:
        report.warning(f"{', '.join(foreign)}: no setting of mlops_tasks has that name, so it is left alone")
    root, dry_run = base.root_of(c), is_dry(c, flags)
    said = [base.said_of((each.listed_as, each.environment)) for each in settings]
    return [
        Pipeline(root, each, report=report, dry_run=dry_run, said=before)
        for each, before in zip(settings, said, strict=True)
    ]


def work(c: invoke.Context, flags: dict[str, Any], action: Callable[[Pipeline], Release | None]) -> None:
    """Do `action`, then print the record where `--json` asks for it, with the error after a run that ended badly.

    In CI later steps of the job get what was made, of several tasks of one command by the last, or by the one that
    failed.
    """
    _work(c, flags, open_pipeline(c, flags), action)


def work_on_run(
    c: invoke.Context, flags: dict[str, Any], run_id: str | None, action: Callable[[Pipeline], Release | None]
) -> None:
    """Do as `work` does, on a run that is there: for the project and to the environment that the run is of."""
    pipelines = list(open_pipelines(c, flags).values())
    if run_id is None and len(pipelines) > 1:
        work(c, flags, action)  # which wants one of them named
        return
    release = _find_release(pipelines[0], run_id) if run_id is not None else None
    settings = pipelines[0].context.settings
    spoken: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    is_given = flags.get("env") or flags.get("target")  # a run of another one is refused then
    if release and not is_given and release.released_to in _others(settings):
        there, here = release.released_to, settings.environment
        open_report(flags).detail(f"run {run_id} was released to {there}: its settings and login count, not {here}'s")
        flags, spoken = {**flags, "env": there, "target": None}, base.called_with(env=there, target=None)
        pipelines = list(open_pipelines(c, flags, again=True).values())
    project = release.project if release else ""
    own = next((each for each in pipelines if each.context.project_name == project), pipelines[0])
    with spoken, speak_of(own):
        _work(c, flags, own, action)


def _find_release(pipeline: Pipeline, run_id: str) -> Release | None:
    """The release of a run, where that is known here: what is wrong with the id is left to the task to say."""
    with contextlib.suppress(errors.ReleaseError):
        return pipeline.find_release(run_id)
    return None


def _others(settings: Settings) -> set[str]:
    """The environments beside that of the settings."""
    from mlops_tasks.settings import environments

    return {*settings.environments, *environments.TARGETS} - {settings.environment}


def release(c: invoke.Context, flags: dict[str, Any], inputs: Inputs) -> None:
    """Release the project of the settings, or all that the settings list, as `work` does."""
    pipelines = open_pipelines(c, flags)
    if len(pipelines) == 1:
        _work(c, flags, next(iter(pipelines.values())), lambda pipeline: pipeline.release(inputs))
        return
    from mlops_tasks.pipeline.series import Series

    series = Series(pipelines, speak_of=lambda name: speak_of(pipelines[name]))
    ci_jobs = {
        name: job.Job(each, dry_run=is_dry(c, flags), spell=base.spell_as_called) for name, each in pipelines.items()
    }
    try:
        series.release(inputs)
    except BaseException as fault:
        if isinstance(fault, errors.ReleaseError):
            fault.where = pipelines[series.at_work].context.settings.place_of(fault.where)
            fault.beside = series.to_dict()
        ci_jobs[series.at_work].hand_on(series.releases.get(series.at_work), fault, beside=series.releases)
        raise
    print_json(series.to_dict(), flags)
    if base.place().is_last:
        ci_jobs[series.at_work].hand_on(series.releases[series.at_work], beside=series.releases)


def speak_of(pipeline: Pipeline) -> contextlib.AbstractContextManager[None]:
    """In the block, messages name the listed project in the commands that they say to type.

    `release` takes all of them, and goes on where it stopped; a parameter that the project lacks is for the others.
    """
    settings = pipeline.context.settings
    if not settings.listed_as:
        return contextlib.nullcontext()
    try:
        lacking = pipeline.find_undeclared_for_all()
    except errors.ReleaseError:
        lacking = set()
    given = [f"{key}={settings.parameters[key]}" for key in settings.given_for_all if key not in lacking]
    return base.called_with(but="release", project=settings.listed_as, parameters=given)


def _work(
    c: invoke.Context, flags: dict[str, Any], pipeline: Pipeline, action: Callable[[Pipeline], Release | None]
) -> None:
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

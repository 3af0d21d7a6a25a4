"""From a task's flags to the pipeline, and from its record to `--json`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import invoke

from mlops_tasks import console, errors
from mlops_tasks.commands import boundary
from mlops_tasks.settings import REPEATED, Settings

if TYPE_CHECKING:
    from mlops_tasks.pipeline import Pipeline
    from mlops_tasks.release import Release


def open_pipeline(c: invoke.Context, flags: dict[str, Any]) -> Pipeline:
    """The pipeline for one command, from Invoke's configuration, the environment and the command's flags."""
    from mlops_tasks.pipeline import Pipeline

    keys = {flag.lstrip("-"): key for key, flag in REPEATED.items()}
    own = {keys.get(flag, flag): value for flag, value in flags.items() if flag not in boundary.SWITCHES}
    given = {key: value for key, value in own.items() if value != []}
    config = boundary.settings_of(c)
    settings = Settings.read(config=config, environ=os.environ, flags=given, config_file=boundary.show_config(c))
    return Pipeline(
        boundary.root_of(c),
        settings,
        report=console.standard(
            quiet=flags["quiet"],
            verbose=flags["verbose"],
            results=not flags["json"],
            spell=boundary.spell_as_called,
        ),
        dry_run=flags["dry_run"] or bool(c.config.run.dry),
    )


def work(c: invoke.Context, flags: dict[str, Any], action: Callable[[Pipeline], Release | None]) -> None:
    """Do `action`; with `--json` the record is printed then, and of a run that failed too."""
    pipeline = open_pipeline(c, flags)
    try:
        done = action(pipeline)
    except errors.RunFailed:
        print_record(pipeline.load(), flags)
        raise
    print_record(done, flags)


def print_record(done: Release | None, flags: dict[str, Any]) -> None:
    """With `--json` the record so far: an empty object before the first step."""
    if flags["json"]:
        console.standard().text(json.dumps(done.to_dict() if done else {}, indent=2))

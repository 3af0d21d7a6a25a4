"""The tasks on runs that are there: `runs` lists them, `watch` follows one, `cancel` ends one."""

from __future__ import annotations

from typing import Any

import invoke

from mlops_tasks.tasks import base, session

ENDING = (*base.IDENTITY, "poll_interval", "lost_contact")
FOLLOWING = (*ENDING, "timeout", "require", "strict")
NARROWING = ("project", "env", "target", "branch")
"""The flags that narrow the list of runs."""
RUN_ID = {
    "run_id": "MLflow's id of the run, or its first characters (default: the only one of the branch that goes on)"
}


@invoke.task(klass=base.ReleaseTask, settings=base.IDENTITY)
def runs(c: invoke.Context, **flags: Any) -> None:
    """List the runs that go on, and those that have ended lately."""
    only = [key for key in NARROWING if flags[key]]
    first = next(iter(session.open_pipelines(c, flags).values()))  # the list is of all projects, whichever this is
    listed = first.show_runs(only)
    session.print_json({"runs": [each.to_dict() for each in listed]}, flags)


@invoke.task(klass=base.ReleaseTask, settings=FOLLOWING, positional=["run_id"], help=RUN_ID)
def watch(c: invoke.Context, run_id: str | None = None, **flags: Any) -> None:
    """Follow a detached run to its end: watch [RUN_ID]."""
    session.work_on_run(c, flags, run_id, lambda pipeline: pipeline.watch(run_id))


@invoke.task(klass=base.ReleaseTask, settings=ENDING, positional=["run_id"], help=RUN_ID)
def cancel(c: invoke.Context, run_id: str | None = None, **flags: Any) -> None:
    """Cancel a detached run: cancel [RUN_ID]."""
    session.work_on_run(c, flags, run_id, lambda pipeline: pipeline.cancel(run_id))

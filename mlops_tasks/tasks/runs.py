"""`inv status`, `inv watch` and `inv cancel`: where the release stands, and what becomes of a detached run."""

from __future__ import annotations

from typing import Any

import invoke

from mlops_tasks.tasks import base, session

ENDING = (*base.IDENTITY, "poll_interval", "lost_contact")
FOLLOWING = (*ENDING, "timeout")
RUN_ID = {
    "run_id": "MLflow's id of the run (default: the last one here); a word that names a task is taken as that task"
}


@invoke.task(klass=base.ReleaseTask, settings=base.PATCHING)
def status(c: invoke.Context, **flags: Any) -> None:
    """Show what each step has made and whether that still holds."""
    pipeline = session.open_pipeline(c, flags)
    session.print_record(pipeline.show_status(), flags)


@invoke.task(klass=base.ReleaseTask, settings=FOLLOWING, positional=["run_id"], help=RUN_ID)
def watch(c: invoke.Context, run_id: str | None = None, **flags: Any) -> None:
    """Follow a detached run to its end."""
    session.work(c, flags, lambda pipeline: pipeline.watch(run_id))


@invoke.task(klass=base.ReleaseTask, settings=ENDING, positional=["run_id"], help=RUN_ID)
def cancel(c: invoke.Context, run_id: str | None = None, **flags: Any) -> None:
    """Cancel a detached run."""
    session.work(c, flags, lambda pipeline: pipeline.cancel(run_id))

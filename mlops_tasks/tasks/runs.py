"""`inv watch` and `inv cancel`: a run that goes on without us, followed again or ended."""

from __future__ import annotations

from typing import Any

import invoke

from mlops_tasks.tasks import base, session

ENDING = (*base.IDENTITY, "poll_interval", "lost_contact")
FOLLOWING = (*ENDING, "timeout")
RUN_ID = {"run_id": "MLflow's id of a run that is not the last one here; a word that names a task is that task"}


@invoke.task(klass=base.ReleaseTask, settings=FOLLOWING, positional=["run_id"], help=RUN_ID)
def watch(c: invoke.Context, run_id: str | None = None, **flags: Any) -> None:
    """Follow a run that goes on without us, to its end."""
    session.work(c, flags, lambda pipeline: pipeline.watch(run_id))


@invoke.task(klass=base.ReleaseTask, settings=ENDING, positional=["run_id"], help=RUN_ID)
def cancel(c: invoke.Context, run_id: str | None = None, **flags: Any) -> None:
    """End a run that goes on without us."""
    session.work(c, flags, lambda pipeline: pipeline.cancel(run_id))

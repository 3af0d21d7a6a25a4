"""`inv status`: where the release stands."""

from __future__ import annotations

from typing import Any

import invoke

from mlops_tasks.tasks import base, session


@invoke.task(klass=base.ReleaseTask, settings=base.PATCHING)
def status(c: invoke.Context, **flags: Any) -> None:
    """Show what each step has made and whether that still holds."""
    pipeline = session.open_pipeline(c, flags)
    session.print_record(pipeline.show_status(), flags)

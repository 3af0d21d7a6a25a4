"""`inv status`: where the release stands."""

from __future__ import annotations

from typing import Any

import invoke

from mlops_tasks.commands import boundary, opening


@invoke.task(klass=boundary.ReleaseTask, settings=boundary.PATCHING)
def status(c: invoke.Context, **flags: Any) -> None:
    """Show what each step has made and whether that still holds."""
    pipeline = opening.open_pipeline(c, flags)
    opening.print_record(pipeline.show_status(), flags)

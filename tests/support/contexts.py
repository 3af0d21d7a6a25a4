"""A Context for a test that takes one step by itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mlops_tasks import processes
from mlops_tasks.report import Report
from mlops_tasks.settings import Settings
from mlops_tasks.steps.context import Context
from mlops_tasks.stores import base as stores


def make_context(
    top: Path,
    *,
    report: Report | None = None,
    dry_run: bool = False,
    store: stores.Store | None = None,
    **settings: Any,
) -> Context:
    """What a command in `top` on the branch main has, with `store` in the place of the target's own."""
    made = Context(
        root=top,
        settings=Settings(**{"project": "p", "branch": "main", **settings}),
        report=report or Report(),
        run=processes.run_command,
        environ=os.environ,
        dry_run=dry_run,
    )
    if store is not None:
        vars(made)["store"] = store
    return made

"""What a remote store says of a name that is taken, and what that means for a file on its way there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mlops_tasks.stores import base as stores
from mlops_tasks.workspace import faults


@contextlib.contextmanager
def same_content_is_fine(store: stores.Store, source: Path, folder: str) -> Iterator[None]:
    """For a write that overwrites nothing: a taken name is no fault where the file there is the one to be written.

    It was put there by a try of ours whose answer was lost, or by somebody else with the same content.
    """
    try:
        yield
    except faults.ApiError as fault:
        if not (fault.is_taken and stores.holds(store, source, folder)):
            raise

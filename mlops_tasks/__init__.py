"""Release an MLflow Project with Invoke: `from mlops_tasks import namespace` is a whole tasks.py.

The Python API beside it is imported when it is first used: `inv --list` should not wait for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_tasks.errors import ReleaseError
    from mlops_tasks.pipeline.inputs import Inputs
    from mlops_tasks.pipeline.pipeline import Pipeline
    from mlops_tasks.release import Release
    from mlops_tasks.settings import Settings
    from mlops_tasks.tasks import namespace

__all__ = ["Inputs", "Pipeline", "Release", "ReleaseError", "Settings", "namespace"]

_HOMES = {
    "Inputs": "pipeline.inputs",
    "Pipeline": "pipeline.pipeline",
    "Release": "release",
    "ReleaseError": "errors",
    "Settings": "settings",
    "namespace": "tasks",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

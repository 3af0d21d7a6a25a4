"""Release an MLflow Project with Invoke: `from mlops_tasks import namespace` is a whole tasks.py.

The names in `__all__` are the Python API. Each is imported when it is first used, so that `inv --list` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_tasks.errors import ExitCode, ReleaseError, RunFailed
    from mlops_tasks.pipeline.inputs import Inputs
    from mlops_tasks.pipeline.pipeline import Pipeline
    from mlops_tasks.release import Release, Run
    from mlops_tasks.report import Report
    from mlops_tasks.settings import Settings
    from mlops_tasks.tasks import namespace

__all__ = [
    "ExitCode",
    "Inputs",
    "Pipeline",
    "Release",
    "ReleaseError",
    "Report",
    "Run",
    "RunFailed",
    "Settings",
    "__version__",
    "namespace",
]
__version__ = "0.1.0"

_HOMES = {
    "ExitCode": "errors",
    "Inputs": "pipeline.inputs",
    "Pipeline": "pipeline.pipeline",
    "Release": "release",
    "ReleaseError": "errors",
    "Report": "report",
    "Run": "release",
    "RunFailed": "errors",
    "Settings": "settings",
    "namespace": "tasks",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

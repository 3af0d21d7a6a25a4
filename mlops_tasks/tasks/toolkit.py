"""The tasks as invoke-toolkit's `inv` and `intk` load them: `inv mlops.release`, without a tasks.py.

invoke-toolkit finds this module by its entry point, and takes collections of its own class only.
"""

from __future__ import annotations

from invoke_toolkit.collections import ToolkitCollection

from mlops_tasks import tasks

namespace = ToolkitCollection.from_module(tasks)

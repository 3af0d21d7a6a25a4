"""The release tasks: `inv --list` shows them."""

from mlops_tasks import namespace  # noqa: F401 - Invoke looks for this name

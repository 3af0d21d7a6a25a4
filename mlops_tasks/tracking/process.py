"""What MLflow takes from the process that it runs in, and what it prints into it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def stdout_is_stderr() -> Iterator[None]:
    """What MLflow and its backends print is no result of ours; file descriptor 1 is what their children print to."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextlib.contextmanager
def variables(**values: str) -> Iterator[None]:
    """MLflow's settings for a while: most of them it takes from the environment alone."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def fresh_clients() -> Iterator[None]:
    """MLflow keeps a workspace's client with the limits that it was first made under: none is kept over the borders."""
    _forget_clients()
    try:
        yield
    finally:
        _forget_clients()


def _forget_clients() -> None:
    """Not every version keeps them."""
    from mlflow.utils import rest_utils

    forget = getattr(getattr(rest_utils, "get_workspace_client", None), "cache_clear", None)
    if forget is not None:
        forget()

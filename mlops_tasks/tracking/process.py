"""Lend MLflow what it takes from this process: stdout, environment variables, time, the clients that it keeps."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator

from mlops_tasks import processes

WANTED = ("mlflow.projects.utils", "mlflow.store.tracking.sqlalchemy_store")
"""The modules whose import brings what a run needs of MLflow."""


def begin_import() -> None:
    """Import MLflow, 2 s of work, beside what follows. A fault is met again, and told, where MLflow is used first."""

    def load() -> None:
        with processes.importing():
            for name in WANTED:
                importlib.import_module(name)

    processes.begin_import(load)


@contextlib.contextmanager
def stdout_is_stderr() -> Iterator[None]:
    """Send to stderr what MLflow, its backends and their children print: stdout is for this package's results."""
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
    """Environment variables for the length of the block: MLflow takes most of its settings from there alone."""
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
    """Let no client of MLflow's into or out of the block: a client keeps the time limits that it was made under."""
    _forget_clients()
    try:
        yield
    finally:
        _forget_clients()


def _forget_clients() -> None:
    from mlflow.utils import rest_utils

    forget = getattr(getattr(rest_utils, "get_workspace_client", None), "cache_clear", None)
    if forget is not None:  # not every version keeps clients
        forget()

"""The error family: each class owns its exit code, each message names the thing, the place and the cure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from enum import IntEnum, unique
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_tasks.release import Release


@unique
class ExitCode(IntEnum):
    """How every task ends; the README lists the same numbers."""

    DONE = 0
    STEP_FAILED = 1
    BAD_INPUT = 2
    OUT_OF_ORDER = 3
    WORKSPACE = 4
    RUN_FAILED = 5
    GATE_NOT_MET = 6
    INTERRUPTED = 130
    TERMINATED = 143


class ReleaseError(Exception):
    """A failure that a person can act on.

    `what` says what is wrong, `where` names the file (with line and column where there is one) or the setting, and
    `cure` says what to type or change. A cure that names a task writes it as `inv <task>`: it is shown under the name
    that the user's own collection gives that task.
    """

    exit_code = ExitCode.STEP_FAILED

    def __init__(self, what: str, *, where: object = "", cure: str) -> None:
        super().__init__(what)
        self.what = what
        self.where = str(where)
        self.cure = cure

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  in: {self.where}")
        lines.append(f"  do: {self.cure}")
        return "\n".join(lines)


class StepFailed(ReleaseError):
    """A step began and could not be finished."""


class BadInput(ReleaseError):
    """The settings or the project's files are wrong; nothing was begun."""

    exit_code = ExitCode.BAD_INPUT


class OutOfOrder(ReleaseError):
    """A step's input is missing, stale, or in use by somebody else."""

    exit_code = ExitCode.OUT_OF_ORDER


class WorkspaceError(ReleaseError):
    """The workspace, or whatever stands for it, refused or cannot be reached."""

    exit_code = ExitCode.WORKSPACE


class RunFailed(ReleaseError):
    """The run was started and did not end well.

    `release` is what to show of it where the record tells of another run.
    """

    exit_code = ExitCode.RUN_FAILED
    release: Release | None = None


class Terminated(KeyboardInterrupt):
    """Somebody sent SIGTERM, as CI systems do when a job is cancelled: to be handled wherever Ctrl-C is.

    No Exception: MLflow and databricks-sdk take each of these for a fault of the request at hand, and go on.
    """


@contextlib.contextmanager
def warn_on_failure(say: Callable[[str], None]) -> Iterator[None]:
    """For cleaning up after a fault: what fails in that is told by `say`, and does not take the first one's place."""
    try:
        yield
    except Exception as fault:  # noqa: BLE001 - whatever it is, the fault before it matters more
        say(f"while cleaning up: {fault}")

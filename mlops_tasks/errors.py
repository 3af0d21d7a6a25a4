"""The errors that end a command: each class has an exit code, each message says what is wrong, where, what to do."""

from __future__ import annotations

import contextlib
import shlex
import traceback
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum, unique
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_tasks.release import Release


@unique
class ExitCode(IntEnum):
    """How every task ends; docs/reference.md lists the same numbers."""

    DONE = 0
    STEP_FAILED = 1
    BAD_INPUT = 2
    OUT_OF_ORDER = 3
    WORKSPACE = 4
    RUN_FAILED = 5
    GATE = 6
    INTERRUPTED = 130
    TERMINATED = 143

    __str__ = int.__repr__  # Python 3.10 would write the name


class ReleaseError(Exception):
    """A failure that a person can act on.

    `what` says what is wrong, `where` names the file (with line and column where there is one) or the setting, and
    `cure` says what to type or change. A cure that names a task writes it as `inv <task>`: it is shown under the name
    that the user's own collection gives that task. `beside` is what `--json` prints with the error.
    """

    exit_code = ExitCode.STEP_FAILED
    beside: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, what: str, *, where: object = "", cure: str) -> None:
        super().__init__(what)
        self.what = what
        self.where = str(where)
        self.cure = cure

    def __str__(self) -> str:
        where = f"  in: {self.where}\n" if self.where else ""
        return f"{self.what}\n{where}  do: {self.cure}"


def typed(*words: object) -> str:
    """A command, or a part of one, for a message: each word is quoted where a shell would read more into it."""
    return shlex.join(map(str, words))


class StepFailed(ReleaseError):
    """A step began and could not be finished."""


class BadInput(ReleaseError):
    """The settings or the project's files are wrong; nothing was begun."""

    exit_code = ExitCode.BAD_INPUT


class OutOfOrder(ReleaseError):
    """A step's input is missing, stale, or held by another command."""

    exit_code = ExitCode.OUT_OF_ORDER


class WorkspaceError(ReleaseError):
    """The workspace, or the tracking server or folder in its place, refuses or cannot be reached."""

    exit_code = ExitCode.WORKSPACE


class RunFailed(ReleaseError):
    """The run was started and failed, or was stopped.

    `release` is the release to show where the record holds another run.
    """

    exit_code = ExitCode.RUN_FAILED
    release: Release | None = None


class NotAllowed(ReleaseError):
    """The environment does not take this release; nothing was begun."""

    exit_code = ExitCode.GATE


class GateNotMet(ReleaseError):
    """The run finished, and does not meet a gate. `release` is the release with that run."""

    exit_code = ExitCode.GATE
    release: Release | None = None


class Terminated(KeyboardInterrupt):
    """SIGTERM, which CI systems send when a job is cancelled. Whoever handles Ctrl-C handles it too.

    It is no Exception: MLflow and databricks-sdk take each Exception for a fault of one request, and go on.
    """


def exit_code_of(fault: BaseException) -> ExitCode:
    """How a command ends that `fault` has ended; a bug of ours as a step that failed."""
    if isinstance(fault, ReleaseError):
        return fault.exit_code
    if isinstance(fault, KeyboardInterrupt):
        return ExitCode.TERMINATED if isinstance(fault, Terminated) else ExitCode.INTERRUPTED
    return ExitCode.STEP_FAILED


def of_interrupt(cut: KeyboardInterrupt) -> ReleaseError:
    """What is told of a command that Ctrl-C or a signal has cut short.

    Work that knows more has put two texts into its arguments: how far it came, and what to do.
    """
    name = exit_code_of(cut).name.lower()
    if len(cut.args) != 2:  # noqa: PLR2004
        return ReleaseError(name, cure="`inv status` shows how far it came")
    how_far, cure = cut.args
    return ReleaseError(f"{name}: {how_far}", cure=cure)


def is_ours(fault: BaseException) -> bool:
    """Whether `fault` was raised by this package's own code: a bug of ours, whatever it is an instance of."""
    raised_in = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(fault.__traceback__)]
    return bool(raised_in) and str(raised_in[-1]).partition(".")[0] == __name__.partition(".")[0]


@contextlib.contextmanager
def warn_on_failure(say: Callable[[str], None]) -> Iterator[None]:
    """For what a run can do without, and cleaning up after an error: a failure goes to `say`, and the work goes on."""
    try:
        yield
    except Exception as fault:  # noqa: BLE001 - the error before it matters more
        say(f"this was left undone: {fault}")

"""The program that takes one run of a sweep, in a process of its own.

The first line of its input says which. When its input ends, the command that began it is gone: the program ends as if
it was killed, and the next command takes its attempt up. Each line that it prints is a JSON object: how the run stands,
or a warning. It is started by its path.
"""

import sys

sys.path.pop(0)  # this file's folder: the modules beside it must not shadow anybody's

import base64
import json
import os
import pickle
from collections.abc import Callable
from typing import TextIO

from mlops_tasks import errors, processes
from mlops_tasks.backends.local import child
from mlops_tasks.pipeline.pipeline import Pipeline
from mlops_tasks.pipeline.sweep import BEGUN, NOT_RUN
from mlops_tasks.record import RunState
from mlops_tasks.release import Release
from mlops_tasks.report import Report, write_line

Say = Callable[..., None]


class Told(Report):
    """What the run says, as messages to the command that began it."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def warning(self, text: str) -> None:
        self._say(warning=text)

    def begun(self, run_id: str) -> None:
        self._say(state=BEGUN, run_id=run_id, because="")


def main() -> int:
    said, told = _take_stdout(), sys.stdin.readline()
    child.end_with_input()
    root, settings, inputs = pickle.loads(base64.b64decode(told))  # noqa: S301 - from the command that started it

    def say(**message: str) -> None:
        write_line(said, json.dumps(message))

    with processes.signals_raise():
        try:
            _say_end(say, Pipeline(root, settings, report=Told(say)).take_part(inputs))
        except (errors.RunFailed, errors.GateNotMet) as fault:
            _say_end(say, fault.release, fault)
        except errors.ReleaseError as fault:
            say(state=NOT_RUN, run_id="", because=_in_one_line(fault))
        except KeyboardInterrupt:
            return errors.ExitCode.TERMINATED
    return 0


def _say_end(say: Say, release: Release | None, fault: errors.ReleaseError | None = None) -> None:
    if release is not None and release.run is not None:
        say(**RunState.of(release.run)._asdict())
    else:
        say(state=NOT_RUN, run_id="", because=_in_one_line(fault) if fault else "")


def _in_one_line(fault: errors.ReleaseError) -> str:
    return " ".join(fault.what.split())


def _take_stdout() -> TextIO:
    """The program's stdout, for its messages alone: what MLflow and others print goes to stderr."""
    kept = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return kept


if __name__ == "__main__":
    sys.exit(main())

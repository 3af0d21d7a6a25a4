"""One child process followed to its end: its output line by line, a time limit, and an end for all it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

GRACE = 10.0
"""Seconds between asking a process group to end (SIGTERM) and ending it (SIGKILL)."""


class TimedOut(Exception):
    """The child was stopped because its time was up."""


def follow(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    message: str,
    log: Path,
    show: Callable[[str], None],
    timeout: float | None,
) -> int:
    """Run `command` in a process group of its own and wait for it; the answer is its exit code.

    `message` is its first line of input. The input stays open after that: the child can tell by its end that nobody
    follows it any more. Output and errors go to `log` as they are and to `show` line by line. Raises TimedOut after
    `timeout` seconds. Whatever ends the wait, nothing of the group is left behind.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    child = subprocess.Popen(
        list(command),
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    reader = threading.Thread(target=_copy_lines, args=(child.stdout, log, show), daemon=True)
    reader.start()
    try:
        _tell(child, message)
        return child.wait(timeout)
    except subprocess.TimeoutExpired as fault:
        raise TimedOut from fault
    finally:
        _end_group(child)
        reader.join(GRACE)
        if child.stdin:
            with contextlib.suppress(OSError):
                child.stdin.close()


def _tell(child: subprocess.Popen[bytes], message: str) -> None:
    """A child that is gone before it has read its input shows that by its exit code."""
    if child.stdin:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(message.encode() + b"\n")
            child.stdin.flush()


def _copy_lines(stream: IO[bytes], log: Path, show: Callable[[str], None]) -> None:
    with log.open("ab") as kept, stream:
        for line in stream:
            kept.write(line)
            kept.flush()
            show(line.decode("utf-8", "replace").rstrip("\r\n"))


def _end_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()

"""Every program that is started: run to its end, followed line by line, or served until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol, cast

from mlops_tasks import files

Completed = subprocess.CompletedProcess[str]

GRACE = 10.0
"""Seconds between asking a process group to end (SIGTERM) and ending it (SIGKILL)."""


class TimedOut(Exception):
    """The program was stopped because its time was up."""


class Runner(Protocol):
    """Passed to whoever runs programs, so that a test can hand in a function."""

    def __call__(
        self, command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Completed:
        """Run `command` (never through a shell) to its end, with its output captured as text.

        `env` is the whole environment, not an addition to this process's. A program that does not exist raises
        FileNotFoundError; an exit code other than 0 does not raise.
        """


def run_command(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Completed:
    """The Runner that really runs programs. Output that is not UTF-8 is kept, with surrogates for the odd bytes."""
    return subprocess.run(
        list(command),
        cwd=cwd,
        env=dict(env) if env is not None else None,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )


def describe_failure(done: Completed) -> str:
    """The error output of a program that failed, or its exit code where it wrote none."""
    return done.stderr.strip() or f"exit code {done.returncode}"


def ran_full(done: Completed) -> bool:
    """Whether a program failed because there is no room: it says so, or a limit on file sizes has killed it."""
    said = done.stdout + done.stderr
    return done.returncode == -signal.SIGXFSZ or any(os.strerror(number) in said for number in files.FULL)


def follow(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    message: str,
    log: Path,
    show: Callable[[str], None],
    timeout: float | None,
) -> int:
    """Run `command` in a process group of its own, wait for its end, and return its exit code.

    `message` is its first line of input. The input stays open after that: its end shows the program that nobody
    follows any more. Output and errors go to `log` as they are and to `show` line by line. Raises TimedOut after
    `timeout` seconds. However the wait ends, no process of the group is left.
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
    stdin = cast("IO[bytes]", child.stdin)
    reader = threading.Thread(target=_copy_lines, args=(child.stdout, log, show), daemon=True)
    reader.start()
    try:
        with contextlib.suppress(BrokenPipeError):  # a child that is gone already shows that by its exit code
            stdin.write(message.encode() + b"\n")
            stdin.flush()
        return child.wait(timeout)
    except subprocess.TimeoutExpired as fault:
        raise TimedOut from fault
    finally:
        _end_group(child)
        reader.join(GRACE)
        with contextlib.suppress(OSError):
            stdin.close()


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


def serve(command: Sequence[str], *, env: Mapping[str, str], quiet: bool) -> int:
    """Run a server until it ends or Ctrl-C is pressed, and return its exit code, 0 after Ctrl-C.

    All that it prints goes to stderr, or nowhere with `quiet`. Its process group, a new one, is ended with it: a
    server may leave its workers to whoever ends it.
    """
    out, err = (subprocess.DEVNULL, subprocess.DEVNULL) if quiet else (2, None)
    with subprocess.Popen(list(command), env=dict(env), stdout=out, stderr=err, start_new_session=True) as server:
        try:
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)

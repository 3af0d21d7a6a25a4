"""How other programs are run: a callable that is passed in, so that a test can hand in a function."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mlops_tasks import files

Completed = subprocess.CompletedProcess[str]


def describe_failure(done: Completed) -> str:
    """What a program that failed says of it; one that was killed says nothing."""
    return done.stderr.strip() or f"exit code {done.returncode}"


def ran_full(done: Completed) -> bool:
    """Whether a program failed because there is no room: it says so, or a limit on file sizes has killed it."""
    said = done.stdout + done.stderr
    return done.returncode == -signal.SIGXFSZ or any(os.strerror(number) in said for number in files.FULL)


class Runner(Protocol):
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

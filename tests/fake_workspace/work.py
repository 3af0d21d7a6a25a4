"""The processes of one run, one after the other; another thread may end them."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path


class Stopped(Exception):
    """The run was ended from outside."""


class Work:
    def __init__(self) -> None:
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: Path) -> int:
        """Run `command` to its end, what it says added to `output`; its exit code, or Stopped."""
        with output.open("ab") as file:
            process = self._start(command, env=env, cwd=cwd, file=file.fileno())
        code = process.wait()
        if self.stopped.is_set():
            raise Stopped
        return code

    def stop(self) -> None:
        """End what runs, with all that it started, and let nothing more begin."""
        with self._lock:
            self.stopped.set()
            if self._process and self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)

    def _start(
        self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, file: int
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            if self.stopped.is_set():
                raise Stopped
            self._process = subprocess.Popen(
                command,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            return self._process

"""A real `mlflow server` on SQLite, started when it is first asked."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

ARTIFACT_ROOT = "dbfs:/databricks/mlflow-tracking"
PATIENCE = 300.0
"""Seconds to wait for the start: it takes ten where nothing else runs."""

KEPT = {"alembic_version", "workspaces"}
"""Tables whose rows are not what somebody logged."""


@dataclass(frozen=True)
class Reply:
    """What the server answered, as it came."""

    status: int
    body: bytes
    content_type: str


class MlflowServer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def ask(self, method: str, target: str, body: bytes = b"") -> Reply:
        """One call; `target` is the path with its query."""
        self.start()
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)) as connection:
            connection.request(method, target, body or None, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return Reply(answer.status, answer.read(), answer.getheader("Content-Type") or "")

    def start(self) -> None:
        """Return once the server answers; clients that have little patience should find it started."""
        with self._lock:
            if self._process is None:
                self._start()

    def wipe(self) -> None:
        """Forget all that was logged, so that the next test finds a new server without waiting for one."""
        with self._lock:
            if self._process is None:
                return
            with closing(sqlite3.connect(self._folder / "mlflow.db", timeout=PATIENCE)) as database, database:
                tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
                for (table,) in tables:
                    if table not in KEPT and not table.startswith("sqlite_"):
                        # experiment 0 is the server's own
                        condition = " WHERE experiment_id <> 0" if table == "experiments" else ""
                        database.execute(f'DELETE FROM "{table}"{condition}')

    def close(self) -> None:
        """End the server and the workers that it started, at once: SQLite keeps what was committed."""
        with self._lock:
            if self._process is None:
                return
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._port = _free_port()
        log = self._folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                _command(self._folder, self._port),
                cwd=self._folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + PATIENCE
        while not self._is_healthy():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"mlflow server did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.1)

    def _is_healthy(self) -> bool:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)) as connection:
            try:
                connection.request("GET", "/health")
                return connection.getresponse().status == 200
            except OSError:
                return False


def _command(folder: Path, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--default-artifact-root", ARTIFACT_ROOT, "--no-serve-artifacts"),
    ]


def _environment() -> dict[str, str]:
    """The server is nobody's client: what leads clients to a workspace is not for it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DATABRICKS_"))}
    return {**kept, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""The files, jobs and clusters of a test workspace without its server, for tests of what happens on clusters."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.fake_workspace.calls import call, token_of
from tests.fake_workspace.compute import Compute
from tests.fake_workspace.jobs import Jobs
from tests.fake_workspace.runs import Mode, State
from tests.support import repositories

CLUSTER: dict[str, Any] = {"spark_version": "14.3.x-scala2.12", "node_type_id": "i3.xlarge", "num_workers": 1}


class Nothing(BaseHTTPRequestHandler):
    """A workspace that has nothing: tasks may ask, and go on."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *arguments: object) -> None:
        pass


class Bench:
    """A workspace's files, jobs and clusters."""

    def __init__(self, folder: Path, url: str) -> None:
        self.disk = folder / "disk"
        self.url = url
        self.has_dbfs = True
        self.compute = Compute(folder / "home")
        self.jobs = Jobs(
            self.disk,
            url,
            token_of,
            folder / "home",
            compute=self.compute,
            reuse=True,
            has_dbfs=lambda: self.has_dbfs,
        )

    def fresh(self) -> Bench:
        """With nothing wrong, as for a new test."""
        self.jobs.mode, self.has_dbfs = Mode(), True
        return self

    def write(self, path: str, text: str) -> None:
        repositories.write(self.disk, {path: text})

    def submit(self, task: Mapping[str, Any], libraries: Sequence[object] = (), **cluster: Any) -> int:
        body = {"new_cluster": {**CLUSTER, **cluster}, "libraries": list(libraries), **task}
        run_id: int = call(self.jobs.routes(), "POST", "/api/2.0/jobs/runs/submit", body)["run_id"]
        return run_id

    def run(self, task: Mapping[str, Any], libraries: Sequence[object] = (), **cluster: Any) -> tuple[State, str]:
        """How the task ended, and what it said."""
        run_id = self.submit(task, libraries, **cluster)
        return self.jobs.wait(run_id, 300), self.jobs.output(run_id)

    def run_body(self, body: Mapping[str, Any]) -> tuple[State, str]:
        """How the one task of a body of the later API ended, and what it said."""
        run_id = call(self.jobs.routes(), "POST", "/api/2.2/jobs/runs/submit", body)["run_id"]
        return self.jobs.wait(run_id, 300), self.jobs.output(run_id)

    def output(self, run_id: int) -> dict[str, Any]:
        return call(self.jobs.routes(), "GET", "/api/2.0/jobs/runs/get-output", run_id=run_id)


@contextmanager
def opened(folder: Path) -> Iterator[Bench]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bench = Bench(folder, f"http://127.0.0.1:{server.server_port}")
    yield bench
    bench.jobs.close()
    server.shutdown()
    server.server_close()


def shell(script: str, **variables: str) -> dict[str, Any]:
    return {"shell_command_task": {"command": ["bash", "-c", script], "env_vars": variables}}


def python(file: str, *parameters: str) -> dict[str, Any]:
    return {"spark_python_task": {"python_file": file, "parameters": list(parameters)}}


def wait_until(true: Any) -> None:
    give_up = time.monotonic() + 60
    while not true():
        assert time.monotonic() < give_up
        threading.Event().wait(0.05)

"""The program that runs one entry point, in a process of its own: MLflow's backends print past any redirection.

The first line of its input is a JSON object. When its input ends, the command that followed it is gone: the program
ends, with all that it started. It is started by its path, and imports nothing of this package.
"""

import sys

if __name__ == "__main__":
    sys.path.pop(0)  # this file's folder: the modules beside it must not shadow anybody's

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

SERVER_WITHIN = 120
"""Seconds for MLflow's own server to answer: a first start takes 8 to 15."""


def main() -> int:
    job = json.loads(sys.stdin.readline())
    end_with_input()
    with _tracking(job) as uri:
        os.environ["MLFLOW_TRACKING_URI"] = uri
        return _run_command(job) if job.get("command") else _run_project(job, uri)


def end_with_input() -> None:
    """Kill this program and its process group once its input ends; what it starts has an empty input of its own."""
    control = os.dup(0)  # no child inherits it
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def wait_for_the_end() -> None:
        while os.read(control, 1024):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait_for_the_end, daemon=True).start()


def _run_command(job: Mapping[str, Any]) -> int:
    """Run a program in the project's folder as MLflow runs an entry point: with the run's id in the environment."""
    facts = {"MLFLOW_RUN_ID": job["run_id"], "MLFLOW_EXPERIMENT_ID": job["experiment_id"]}
    done = subprocess.run(job["command"], cwd=job["project"], env={**os.environ, **facts}, check=False)
    return _exit_code(done.returncode)


def _run_project(job: Mapping[str, Any], uri: str) -> int:
    import logging

    import mlflow
    from mlflow.exceptions import ExecutionException

    logging.getLogger("mlflow.projects").setLevel(logging.WARNING)  # the report says it better
    mlflow.set_tracking_uri(uri)
    try:
        mlflow.projects.run(
            job["project"],
            entry_point=job["entry_point"],
            parameters=job["parameters"],
            experiment_id=job["experiment_id"],
            run_id=job["run_id"],
            backend=job["backend"],
            env_manager=job["env_manager"],
            storage_dir=job["storage"],
        )
    except Exception as fault:  # MLflow and what it needs raise anything before the entry point begins
        code = _find_exit_code(fault)
        if code is None:
            return _say_not_begun(job, fault)
        if not isinstance(fault, ExecutionException):
            raise
        return code
    return 0


def _say_not_begun(job: Mapping[str, Any], fault: Exception) -> int:
    """Leave the reason where the command looks for it: an exit code would be taken for the entry point's own."""
    said = str(fault) or type(fault).__name__
    path = pathlib.Path(job["not_begun"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(said, encoding="utf-8")
    sys.stderr.write(f"{said}\n")
    return 1


def _find_exit_code(fault: BaseException) -> "int | None":
    """The entry point's own exit code: MLflow's exception leaves it out, but the frame that raised it holds the run."""
    trace = fault.__traceback__
    while trace is not None:
        for value in trace.tb_frame.f_locals.values():
            process = getattr(value, "command_proc", None)
            if isinstance(process, subprocess.Popen) and process.returncode:
                return _exit_code(process.returncode)
        trace = trace.tb_next
    return None


def _exit_code(returned: int) -> int:
    """As a shell gives it: 128 and the signal's number for a process that a signal ended."""
    return 128 - returned if returned < 0 else returned


@contextlib.contextmanager
def _tracking(job: Mapping[str, Any]) -> Iterator[str]:
    """The URI to log to: that of a server started here where the project's MLflow is another version.

    One version cannot read the other's database, or upgrades it without asking.
    """
    if not job["through_server"]:
        yield job["tracking_uri"]
        return
    port = job["port"]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = {"MLFLOW_BACKEND_STORE_URI": job["tracking_uri"], "MLFLOW_DEFAULT_ARTIFACT_ROOT": job["artifacts"]}
    environ = {**os.environ, **stores}  # not on the command line: the store's URI may hold a password
    server = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # nobody answers there once the run has ended
    try:
        _wait_for_server(server, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _wait_for_server(server: "subprocess.Popen[bytes]", port: int) -> None:
    import urllib.request  # a twentieth of a second that most runs need not wait for

    give_up = time.monotonic() + SERVER_WITHIN
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy knows this machine's loopback
    while server.poll() is None and time.monotonic() < give_up:
        with contextlib.suppress(OSError):
            direct.open(f"http://127.0.0.1:{port}/health", timeout=2).close()
            return
        time.sleep(0.2)
    raise SystemExit("the local MLflow server did not start")


if __name__ == "__main__":
    sys.exit(main())

"""`inv ui`: MLflow's own pages on what was tracked here."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import invoke

from mlops_tasks import console, errors
from mlops_tasks.commands import boundary


@invoke.task(klass=boundary.ReleaseTask, switches=False, help={"port": "port on this machine (default 5000)"})
def ui(c: invoke.Context, port: int = 5000) -> None:
    """Open MLflow's UI on the runs that were tracked on this machine."""
    from mlops_tasks import git, runner, state

    root = boundary.root_of(c)
    tree = git.read(root, runner=runner.run_command)
    database = state.StateFolder(tree.top if tree else root).database
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database}"
    if uri.startswith(("http://", "https://")):
        console.standard().text(uri)
        return
    if uri.endswith(str(database)) and not database.exists():
        raise errors.OutOfOrder("nothing has been tracked here yet", where=database, cure="`inv release`")
    console.standard().text(f"http://127.0.0.1:{port} (Ctrl-C ends it)")
    code = _serve(uri, port)
    if code:
        raise errors.StepFailed(
            f"MLflow's UI ended with exit code {code}", cure=f"`inv ui --port {port + 1}`, if {port} is taken"
        )


def _serve(uri: str, port: int) -> int:
    """MLflow's UI until Ctrl-C; in a process group of its own, since MLflow leaves its workers to whoever ends it.

    The URI goes through the environment: it may hold a password, and command lines can be read by everybody.
    """
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environ = {**os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    with subprocess.Popen(command, env=environ, start_new_session=True) as server:
        try:
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)

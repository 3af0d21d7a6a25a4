"""`inv ui`: MLflow's own pages on what was tracked here."""

from __future__ import annotations

import os
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
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    code = subprocess.run([*command, "--port", str(port)], check=False).returncode
    if code:
        raise errors.StepFailed(
            f"MLflow's UI ended with exit code {code}", cure=f"`inv ui --port {port + 1}`, if {port} is taken"
        )

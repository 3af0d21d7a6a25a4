"""`inv ui`: MLflow's own pages on the runs that were tracked on this machine."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path
from typing import Any

import invoke

from mlops_tasks import errors
from mlops_tasks.settings import setting_types
from mlops_tasks.tasks import base, session


@invoke.task(
    klass=base.ReleaseTask,
    help={
        "port": "port on this machine (default: 5000)",
        "json": "print the URL of the pages as JSON, and nothing else",
        "dry_run": "say what would be opened, and open nothing",
    },
)
def ui(c: invoke.Context, port: str = "5000", **flags: Any) -> None:
    """Open MLflow's UI on the runs that were tracked on this machine."""
    _open(c, _read_port(port), flags)


def _read_port(text: str) -> int:
    """Invoke's own reading of a number ends in a traceback."""
    try:
        return setting_types.count(text)
    except ValueError as fault:
        raise errors.BadInput(f"the port {fault}", where="--port", cure="give a number such as 5001") from fault


def _open(c: invoke.Context, port: int, flags: dict[str, Any]) -> None:
    from mlops_tasks import redaction
    from mlops_tasks.tracking import uris

    uri = _find_store(base.root_of(c))
    has_pages = uri.startswith(("http://", "https://"))
    shown = redaction.strip(uri)
    report = session.open_report(flags)
    url = shown if has_pages else f"http://127.0.0.1:{port}"
    if experiment := _find_experiment(c, flags, named=shown if uris.named(os.environ) else ""):
        url = f"{url.rstrip('/')}/#/experiments/{experiment}{'' if has_pages else _runs_page()}"
    report.debug(f"runs are tracked in {shown}")
    if not has_pages and not session.is_dry(c, flags):
        _check_port(port)
    session.print_json({"url": url}, flags)
    if has_pages:
        report.text(url)
    elif session.is_dry(c, flags):
        report.text(f"would open {url}")
    else:
        report.text(f"{url} (answers after some 15 seconds; Ctrl-C ends it)")
        _serve(uri, port, quiet=flags["quiet"], verbose=flags["verbose"])


def _find_store(root: Path) -> str:
    from mlops_tasks import state
    from mlops_tasks.checkout import git
    from mlops_tasks.tracking import uris

    if uri := uris.named(os.environ):
        return uri
    database = state.StateFolder(git.top(root) or root).database
    if not database.exists():
        raise errors.OutOfOrder("nothing has been tracked here yet", where=database, cure="`inv release`")
    return f"sqlite:///{database}"


def _find_experiment(c: invoke.Context, flags: dict[str, Any], *, named: str) -> str:
    """The id of the experiment of the branch's last run on this machine, where the record has it; else empty.

    `named` is the store that the environment names, empty for the one below `.mlops`: an id holds in its own store.
    """
    with contextlib.suppress(errors.ReleaseError):  # the pages open without it
        contexts = [each.context for each in session.open_pipelines(c, flags, again=True).values()]
        for context in [found for each in contexts for found in (each, each.in_environment("local"))]:
            release = context.record.load()
            if release is None or release.attempt is None or release.attempt.host:
                continue
            if release.run is None or release.run.url.partition("/#/")[0].rstrip("/") == named.rstrip("/"):
                return release.attempt.experiment_id or ""
    return ""


def _runs_page() -> str:
    """What leads from an experiment's address to its runs: MLflow 3 opens on what it has for GenAI."""
    from importlib import metadata

    is_older = metadata.version("mlflow").startswith("2.")
    return "" if is_older else "/runs?workflowType=machine_learning"


def _check_port(port: int) -> None:
    """MLflow ends as if all were well where its port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as fault:
            raise errors.StepFailed(
                f"port {port} cannot be used: {fault}", cure="`inv ui --port NUMBER` with another one"
            ) from fault


def _serve(uri: str, port: int, *, quiet: bool, verbose: bool) -> None:
    """MLflow's UI until Ctrl-C; a line for each request is printed with `verbose` alone.

    The URI goes through the environment: it may hold a password, and command lines can be read by everybody.
    """
    from mlops_tasks import processes

    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    level = {} if verbose else {"UVICORN_LOG_LEVEL": "warning"}
    environ = {**level, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    if code := processes.serve(command, env=environ, quiet=quiet):
        raise errors.StepFailed(f"MLflow's UI ended with exit code {code}", cure="read above what it says of itself")

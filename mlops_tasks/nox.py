"""The tasks as sessions of nox: `nox -s release -- --target databricks`.

A noxfile.py registers them by `from mlops_tasks import nox as mlops` and `mlops.sessions()`. Needs the extra `nox`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import nox

from mlops_tasks.tasks import namespace


def sessions(prefix: str = "") -> None:
    """Register a session for each task; its name is `prefix` and the task's name.

    A session is the command `mlops` in the noxfile's folder, run by the interpreter that runs nox. It has no virtual
    environment of its own, runs only where it is named (`nox -s`), and passes what follows `--` to the task.
    """
    for name, task in namespace.tasks.items():
        register = nox.session(name=f"{prefix}{name}", venv_backend="none", default=False)
        register(_make_session(name, task.__doc__))


def _make_session(task: str, meaning: str | None) -> Callable[[nox.Session], None]:
    def run(session: nox.Session) -> None:
        command = [sys.executable, "-m", "mlops_tasks.tasks.program", task, *session.posargs]
        # without a timeout, as nox would kill the task half a second after Ctrl-C: a run takes longer to cancel.
        # stderr on its own, as nox would mix it into stdout, where the results are
        session.run(*command, external=True, stderr=None, interrupt_timeout=None, terminate_timeout=None)

    run.__doc__ = meaning
    return run

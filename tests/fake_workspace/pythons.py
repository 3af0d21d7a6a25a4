"""The Python environments of clusters: what a runtime brings, and what is installed on top of it, one by one."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fake_workspace import environments, runtimes
from tests.fake_workspace.libraries import Installation, Shelf
from tests.fake_workspace.runtimes import Runtime
from tests.fake_workspace.work import Work

_BROUGHT = ("setuptools", "wheel", "virtualenv")
_TAIL = 2000
"""As many of the last characters of an installer's output go into a run's message."""

_LOCKS: dict[str, threading.Lock] = {}

Found = Sequence[tuple[Mapping[str, Any], Installation]]
"""Libraries, with what is to be installed for each."""


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Makes environments for a runtime, by the processes of `work`, which write their logs into `logs`.

    Where there is a folder that is `shared`, an environment with the same content as an earlier one is that one.
    """

    runtime: Runtime
    shelf: Shelf
    work: Work
    logs: Path
    shared: Path | None

    def make(self, found: Found, own: Path) -> Path:
        """An environment with these libraries: the shared one, or a new one at `own`."""
        if self.shared is None:
            self.fill(own, found)
            return own
        environment = self.shared / self._digest(found)
        with _LOCKS.setdefault(str(environment), threading.Lock()):
            if not environments.is_complete(environment):
                self.fill(environment, found)
        return environment

    def fill(self, environment: Path, found: Found) -> None:
        self.begin(environment)
        for library, installation in found:
            self.install(environment, library, installation)
        environments.complete(environment)

    def begin(self, environment: Path) -> None:
        """An environment with what the runtime brings, not yet complete; nobody works in the one that is copied."""
        if self.shared is None:
            self._bring(environment, self._commands(environment))
            return
        base = self.shared / self._digest([]).replace("cluster-", "base-")
        with _LOCKS.setdefault(str(base), threading.Lock()):
            if not environments.is_complete(base):
                self._bring(base, [*self._commands(base), *environments.warming(base, self.runtime.mlflow)])
                environments.complete(base)
        environments.copy(base, environment)

    def install(self, environment: Path, library: Mapping[str, Any], installation: Installation) -> None:
        """Add one library; LibraryFailed where it can't be."""
        commands = [environments.installing(environment, *installation.wanted)] if installation.wanted else []
        commands += [environments.installing_wheels(environment, *installation.wheels)] if installation.wheels else []
        log = self.logs / f"library-{hashlib.sha256(repr(library).encode()).hexdigest()[:12]}.log"
        for command in commands:
            if self._call(command, log) != 0:
                raise self.shelf.fail(library, "DRIVER_LIBRARY_INSTALLATION_FAILURE", tail(log))

    def _commands(self, environment: Path) -> list[list[str]]:
        return [
            environments.making(environment, environments.interpreter(self.runtime.python)),
            environments.installing(environment, *self._brought()),
        ]

    def _bring(self, environment: Path, commands: Sequence[Sequence[str]]) -> None:
        shutil.rmtree(environment, ignore_errors=True)
        log = self.logs / "environment.log"
        for command in commands:
            if self._call(command, log) != 0:
                raise runtimes.ClusterFailed(f"NO_ENVIRONMENT: {tail(log)}")

    def _call(self, command: Sequence[str], log: Path) -> int:
        """Environments are made from outside of the machine, where uv can link from its cache."""
        given = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
        return self.work.call(command, env={**given, "UV_PYTHON_DOWNLOADS": "never"}, cwd=self.logs, output=log)

    def _brought(self) -> tuple[str, ...]:
        """MLflow in the version that is here, whichever the real one's is."""
        name = self.runtime.mlflow
        return (*_BROUGHT, *((f"{name}=={importlib.metadata.version('mlflow')}",) if name else ()))

    def _digest(self, found: Found) -> str:
        python = environments.interpreter(self.runtime.python)
        parts = (sys.version, python, self._brought(), [installation.digest() for _, installation in found])
        return "cluster-" + hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-_TAIL:].strip() if log.exists() else ""

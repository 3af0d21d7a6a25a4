"""Clusters: a machine and a Python environment made for one run, in which its task runs for real.

Other than in Databricks the Python is always the one that runs the workspace, whatever the runtime's version is; and
where environments are reused a task finds what an earlier one with the same libraries left in its environment.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shlex
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.fake_workspace import environments, machines, runtimes
from tests.fake_workspace.libraries import Installation, Shelf
from tests.fake_workspace.obstacles import Obstacle
from tests.fake_workspace.programs import conda
from tests.fake_workspace.work import Work

_KEPT = ("PIP_", "UV_", "LC_", "LANG", "SSL_", "REQUESTS_CA_", "CURL_CA_", "JAVA_HOME", "TZ")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_PATH = "/databricks/bin:/databricks/python/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BROUGHT = ("setuptools", "wheel", "virtualenv")
_PROGRAMS = {"conda": "conda", "pyenv": "pyenv", "rsync": "rsync", "uv": "fixed_uv"}
_ACTIVATE = """\
. "${CONDA_ENVS_PATH:-$HOME/.conda/envs}/$1/bin/activate"
"""
_TOP = Path(__file__).parents[2]
_TAIL = 2000
"""As many of the last characters of an installer's output go into a run's message."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What all clusters of a workspace share. `reuse`: environments with the same libraries are made once.

    `has_dbfs` tells whether there is a DBFS now."""

    disk: Path
    url: str
    home: Path
    reuse: bool = False
    has_dbfs: Callable[[], bool] = lambda: True
    locks: dict[str, threading.Lock] = field(default_factory=dict)


class Owner(NamedTuple):
    """As whom a task runs: with this token; it can't read the home of the `stranger`, who has submitted it, nor write
    to `read_only`, some of the workspace's folders."""

    token: str
    stranger: str = ""
    read_only: tuple[str, ...] = ()

    def may_read(self, place: str) -> bool:
        return not self.stranger or not f"{place}/".startswith(f"/Workspace/Users/{self.stranger}/")


class Outcome(NamedTuple):
    """How a task ended. `error` is the last line and `trace` the traceback of a Python file that failed."""

    failed: bool
    error: str = ""
    trace: str = ""


class Unreadable(Obstacle):
    """A Python file that isn't there for this cluster."""

    code = "RESOURCE_NOT_FOUND"


class Cluster:
    """One cluster of `site`. What its task prints is added to `output`, which outlives it."""

    def __init__(
        self, *, site: Site, owner: Owner, cluster_id: str, spec: Mapping[str, Any], work: Work, output: Path
    ) -> None:
        self.site = site
        self.owner = owner
        self.cluster_id = cluster_id
        self.spec = spec
        self.runtime = runtimes.read_runtime(spec, dbfs=site.has_dbfs()) if spec else runtimes.SERVERLESS
        self.folder = site.home / "clusters" / cluster_id
        self._work = work
        self._output = output

    def prepare(self, libraries: Sequence[Mapping[str, Any]]) -> None:
        """Make the machine and install `libraries`, one by one as given; LibraryFailed names the one that can't be."""
        for name in ("databricks/bin", "databricks/driver", "databricks/home", "local_disk0/tmp", "root"):
            (self.folder / name).mkdir(parents=True)
        for name in ("dbfs", "Volumes", "Workspace"):
            (self.site.disk / name).mkdir(parents=True, exist_ok=True)
        self._write_programs()
        shelf = Shelf(
            disk=self.site.disk,
            copies=self.folder / "libraries",
            runtime=self.runtime,
            cluster_id=self.cluster_id,
            may_read=self.owner.may_read,
        )
        found = [(library, shelf.find(library)) for library in libraries]
        (self.folder / "databricks" / "python").symlink_to(self._environment(shelf, found))

    def run_command(self, command: Sequence[str], variables: Mapping[str, str]) -> Outcome:
        return Outcome(failed=self._run(command, variables, "/databricks/driver") != 0)

    def run_python(self, file: str, parameters: Sequence[str]) -> Outcome:
        """Run a Python file as the kernel of a cluster does; one that ends without an answer has lost its kernel."""
        place = self._fetch(file)
        answer = self.folder / "answer.json"
        driver = Path(__file__).parent / "programs" / "cell.py"
        command = ["/databricks/python/bin/python", "-u", str(driver), str(answer), str(place), *parameters]
        self._run(command, {}, str(place.parent) if self.runtime.works_in_files_folder else "/databricks/driver")
        if not answer.exists():
            return Outcome(failed=True, error="Fatal error: The Python kernel is unresponsive.")
        said = json.loads(answer.read_text())
        return Outcome(bool(said), said.get("error", ""), said.get("error_trace", ""))

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, command: Sequence[str], variables: Mapping[str, str], cwd: str) -> int:
        entered = self.folder / "entered"
        folders = {name: self.site.disk / name for name in self.runtime.mounts}
        folders |= {name: self.folder / name for name in ("databricks", "local_disk0")}
        hidden = [f"Workspace/Users/{self.owner.stranger}"] if self.owner.stranger and "Workspace" in folders else []
        inside = machines.enter(
            command,
            folders=folders,
            hidden=hidden,
            read_only=self.owner.read_only,
            cwd=cwd,
            root=self.folder / "root",
            entered=entered,
        )
        texts = {name: str(value) for name, value in variables.items()}
        code = self._call(inside, self._variables() | texts, self._output)
        if not entered.exists():
            raise runtimes.ClusterFailed(f"NO_MACHINE: {_tail(self._output)}")
        return code

    def _call(self, command: Sequence[str], variables: Mapping[str, str], output: Path) -> int:
        return self._work.call(command, env=variables, cwd=self.folder, output=output)

    def _fetch(self, file: str) -> Path:
        """Where the task finds a Python file; one in DBFS is copied, which works without the mount too."""
        if file.startswith("dbfs:/") and not file.startswith("dbfs:/Volumes/"):
            source = self.site.disk / "dbfs" / file.removeprefix("dbfs:/").lstrip("/")
            if source.is_file() and self.runtime.dbfs and not self.runtime.serverless:
                shutil.copy(source, self.folder / "databricks" / "driver" / source.name)
                return Path("/databricks/driver", source.name)
        place = file.removeprefix("dbfs:")
        there = place.split("/")[1] in self.runtime.mounts and (self.site.disk / place.lstrip("/")).is_file()
        if there and self.owner.may_read(place):
            return Path(place)
        raise Unreadable(f"Cannot read the python file {file}. Please check driver logs for more details.")

    def _variables(self) -> dict[str, str]:
        """Nothing of this process but what installers need; the workspace's address and token as in a real task."""
        given = {
            name: value for name, value in os.environ.items() if name.startswith(_KEPT) or name.upper() in _PROXIES
        }
        shared = {conda.SHARED: str(self.site.home / "environments")} if self.site.reuse else {}
        home = Path.home()
        return {
            **given,
            **shared,
            "PATH": _PATH,
            "HOME": "/databricks/home",
            "TMPDIR": "/local_disk0/tmp",
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(home / ".cache")),
            "XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME", str(home / ".config")),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_LINK_MODE": "copy",
            "DB_HOME": "/databricks",
            "DB_CLUSTER_ID": self.cluster_id,
            "DB_IS_DRIVER": "TRUE",
            "DB_IS_JOB_CLUSTER": "TRUE",
            "DATABRICKS_HOST": self.site.url,
            "DATABRICKS_TOKEN": self.owner.token,
            "DATABRICKS_RUNTIME_VERSION": self.runtime.number,
            **{name: str(value) for name, value in self.spec.get("spark_env_vars", {}).items()},
        }

    def _environment(self, shelf: Shelf, found: Sequence[tuple[Mapping[str, Any], Installation]]) -> Path:
        if not self.site.reuse:
            self._fill(self.folder / "environment", shelf, found)
            return self.folder / "environment"
        name = _digest(self._brought(), found)
        with self.site.locks.setdefault(name, threading.Lock()):
            environment = self.site.home / "environments" / name
            if not environments.is_complete(environment):
                self._fill(environment, shelf, found)
        return environment

    def _fill(self, environment: Path, shelf: Shelf, found: Sequence[tuple[Mapping[str, Any], Installation]]) -> None:
        shutil.rmtree(environment, ignore_errors=True)
        self._begin(environment)
        for library, installation in found:
            self._install(environment, installation, shelf, library)
        environments.complete(environment)

    def _begin(self, environment: Path) -> None:
        """An environment with what the runtime brings."""
        log = self.folder / "environment.log"
        brought = environments.installing(environment, *self._brought())
        for command in (environments.making(environment), brought):
            if self._call(command, self._installers_variables(), log) != 0:
                raise runtimes.ClusterFailed(f"NO_ENVIRONMENT: {_tail(log)}")

    def _install(self, environment: Path, installation: Installation, shelf: Shelf, library: Mapping[str, Any]) -> None:
        commands = [environments.installing(environment, *installation.wanted)]
        if installation.wheel:
            commands.append(environments.installing_wheel(environment, installation.wheel))
        log = self.folder / f"library-{hashlib.sha256(repr(library).encode()).hexdigest()[:12]}.log"
        for command in commands:
            if self._call(command, self._installers_variables(), log) != 0:
                raise shelf.fail(library, "DRIVER_LIBRARY_INSTALLATION_FAILURE", _tail(log))

    def _installers_variables(self) -> dict[str, str]:
        """Environments are made from outside of the machine, where uv can link from its cache."""
        given = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
        return {**given, "UV_PYTHON_DOWNLOADS": "never"}

    def _brought(self) -> tuple[str, ...]:
        learning = (f"mlflow=={importlib.metadata.version('mlflow')}",) if self.runtime.machine_learning else ()
        return (*_BROUGHT, *learning)

    def _write_programs(self) -> None:
        programs = self.folder / "databricks" / "bin"
        for name, module in _PROGRAMS.items():
            code = (
                f"import sys; sys.path.insert(0, {str(_TOP)!r}); from tests.fake_workspace.programs import {module}; "
            )
            code += f"sys.exit({module}.main(sys.argv[1:]))"
            _write_program(programs / name, f'#!/bin/sh\nexec {shlex.join([sys.executable, "-I", "-c", code])} "$@"\n')
        (programs / "activate").write_text(_ACTIVATE)
        databricks_pyenv = self.folder / "databricks" / ".pyenv" / "bin"
        databricks_pyenv.mkdir(parents=True)
        (databricks_pyenv / "pyenv").symlink_to("/databricks/bin/pyenv")


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _digest(brought: Sequence[str], found: Sequence[tuple[Mapping[str, Any], Installation]]) -> str:
    """Of the libraries as they were given and the contents of their files."""
    digest = hashlib.sha256(repr((sys.version, brought, [library for library, _ in found])).encode())
    for _, installation in found:
        for path in map(Path, installation.wanted):
            digest.update(path.read_bytes() if path.is_file() else b"")
    return "cluster-" + digest.hexdigest()[:24]


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-_TAIL:].strip() if log.exists() else ""

"""Clusters: a machine and a Python environment made for one run, in which its task runs for real.

Other than in Databricks the Python is always the one that runs the workspace, whatever the runtime's version is; and
where environments are reused a task finds what an earlier one with the same libraries left in its environment.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests.fake_workspace import environments, machines, pythons, runtimes, serverless
from tests.fake_workspace.libraries import Shelf
from tests.fake_workspace.obstacles import Obstacle
from tests.fake_workspace.programs import conda, kernel_login
from tests.fake_workspace.work import Work

_KEPT = ("PIP_", "UV_", "LC_", "LANG", "SSL_", "REQUESTS_CA_", "CURL_CA_", "JAVA_HOME", "TZ")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_PATH = "/databricks/bin:/databricks/python/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRAMS = {"conda": "conda", "pyenv": "pyenv", "rsync": "rsync", "uv": "fixed_uv"}
_ACTIVATE = """\
. "${CONDA_ENVS_PATH:-$HOME/.conda/envs}/$1/bin/activate"
"""
_SIGNALS = 128
"""A shell's exit code of what was killed is this and the signal's number."""

_TOP = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Site:
    """What all clusters of a workspace share. `reuse`: environments with the same libraries are made once.

    `has_dbfs` tells whether there is a DBFS now."""

    disk: Path
    url: str
    home: Path
    reuse: bool = False
    has_dbfs: Callable[[], bool] = lambda: True


class Owner(NamedTuple):
    """As whom a task runs, with this token; it can't read the home of the `stranger`, who has submitted it, nor write
    to `read_only`, some of the workspace's folders. `in_kernel`: only a Python file's own process is logged in."""

    name: str
    token: str
    stranger: str = ""
    read_only: tuple[str, ...] = ()
    in_kernel: bool = True

    def may_read(self, place: str) -> bool:
        return not self.stranger or not f"{place}/".startswith(f"/Workspace/Users/{self.stranger}/")


class Outcome(NamedTuple):
    """How a task ended. `error` is the last line and `trace` the traceback of a Python file that failed; where its
    kernel was `lost`, so is what it has printed."""

    failed: bool
    error: str = ""
    trace: str = ""
    lost: bool = False


class Unreadable(Obstacle):
    """A Python file that isn't there for this cluster."""

    code = "RESOURCE_NOT_FOUND"


class Cluster:
    """One cluster of `site`, or serverless where there is an `environment` and no `spec`.

    What its task prints is added to `output`, which outlives it.
    `folder` is its machine, `scratch` what belongs to this one run.
    """

    for_jobs = "TRUE"

    def __init__(
        self,
        *,
        site: Site,
        owner: Owner,
        cluster_id: str,
        spec: Mapping[str, Any],
        environment: Mapping[str, Any] | None = None,
        work: Work,
        output: Path,
    ) -> None:
        self.site = site
        self.owner = owner
        self.cluster_id = cluster_id
        self.spec = spec
        self.environment = environment
        if spec:
            self.runtime = runtimes.read_runtime(spec, dbfs=site.has_dbfs())
        else:
            self.runtime = runtimes.serverless(serverless.version_of(environment or {}))
        self.folder = self.scratch = site.home / "clusters" / cluster_id
        self._work = work
        self._output = output

    def prepare(self, libraries: Sequence[Mapping[str, Any]]) -> None:
        """Make the machine and install `libraries`, one by one as given; LibraryFailed names the one that can't be.

        An environment's dependencies are installed at once, as the lines for pip that they are.
        """
        self._build_machine()
        shelf = self._shelf()
        found = [(library, shelf.find(library)) for library in libraries]
        if self.environment is not None:
            lines = self.environment.get("dependencies") or []
            serverless.check_lines(lines)
            found.append(({"environment": lines}, shelf.find_lines(lines)))
        self._use(self._make_maker(shelf).make(found, self.folder / "environment"))

    def run_command(self, command: Sequence[str], variables: Mapping[str, str]) -> Outcome:
        """Its login is in variables, which is assumed: MLflow's backend has no other way for its projects."""
        login = {"DATABRICKS_HOST": self.site.url, "DATABRICKS_TOKEN": self.owner.token}
        return Outcome(failed=self._run(command, {**login, **variables}, "/databricks/driver") != 0)

    def run_python(self, file: str, parameters: Sequence[str]) -> Outcome:
        """Run a Python file as the kernel of a cluster does; one that ends without an answer has lost its kernel."""
        place = self._fetch(file)
        answer = self.scratch / "answer.json"
        driver = Path(__file__).parent / "programs" / "cell.py"
        command = ["/databricks/python/bin/python", "-u", str(driver), str(answer), str(place), *parameters]
        folder = str(place.parent) if self.runtime.works_in_files_folder else "/databricks/driver"
        code = self._run(command, self._login(driver), folder)
        if not answer.exists():
            return Outcome(failed=True, error=_describe_death(code), lost=True)
        said = json.loads(answer.read_text())
        return Outcome(bool(said), said.get("error", ""), said.get("error_trace", ""))

    def _login(self, kernel: Path) -> Mapping[str, str]:
        """For the kernel alone, as on the real one, or in variables that every process of the task has."""
        if not self.owner.in_kernel:
            return {"DATABRICKS_HOST": self.site.url, "DATABRICKS_TOKEN": self.owner.token}
        folder = self.scratch / "kernel"
        there = self.runtime.entry_point
        kernel_login.write(folder, host=self.site.url, token=self.owner.token, kernel=kernel, entry_point=there)
        return {"PYTHONPATH": str(folder)}

    def remove(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _build_machine(self) -> None:
        for name in ("databricks/bin", "databricks/driver", "databricks/home", "local_disk0/tmp"):
            (self.folder / name).mkdir(parents=True)
        for name in ("dbfs", "Volumes", "Workspace"):
            (self.site.disk / name).mkdir(parents=True, exist_ok=True)
        self._write_programs()

    def _shelf(self) -> Shelf:
        return Shelf(
            disk=self.site.disk,
            copies=self.scratch / "libraries",
            runtime=self.runtime,
            cluster_id=self.cluster_id,
            may_read=self.owner.may_read,
        )

    def _make_maker(self, shelf: Shelf) -> pythons.Maker:
        shared = environments.shared() if self.site.reuse else None
        return pythons.Maker(runtime=self.runtime, shelf=shelf, work=self._work, logs=self.scratch, shared=shared)

    def _use(self, environment: Path) -> None:
        (self.folder / "databricks" / "python").symlink_to(environment)

    def _run(self, command: Sequence[str], variables: Mapping[str, str], cwd: str) -> int:
        entered, root = self.scratch / "entered", self.scratch / "root"
        root.mkdir(exist_ok=True)
        folders = {name: self.site.disk / name for name in self.runtime.mounts}
        folders |= {name: self.folder / name for name in ("databricks", "local_disk0")}
        hidden = [f"Workspace/Users/{self.owner.stranger}"] if self.owner.stranger and "Workspace" in folders else []
        inside = machines.enter(
            command,
            folders=folders,
            hidden=hidden,
            read_only=self.owner.read_only,
            cwd=cwd,
            root=root,
            entered=entered,
        )
        texts = {name: str(value) for name, value in variables.items()}
        variables = self._variables() | texts
        code = self._work.call(inside, env=variables, cwd=self.scratch, output=self._output)
        if not entered.exists():
            raise runtimes.ClusterFailed(f"NO_MACHINE: {pythons.tail(self._output)}")
        return code

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
        """Nothing of this process but what installers need."""
        given = {
            name: value for name, value in os.environ.items() if name.startswith(_KEPT) or name.upper() in _PROXIES
        }
        shared = {conda.SHARED: str(environments.shared())} if self.site.reuse else {}
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
            "DB_IS_JOB_CLUSTER": self.for_jobs,
            "DATABRICKS_RUNTIME_VERSION": self.runtime.number,
            **({"DATABRICKS_ENV_VERSION": self.runtime.environment} if self.runtime.serverless else {}),
            **{name: str(value) for name, value in self.spec.get("spark_env_vars", {}).items()},
        }

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


def _describe_death(code: int) -> str:
    """What a task says whose kernel is gone: in reports, of those that were killed and of those that were not."""
    said = "Fatal error: The Python kernel is unresponsive."
    if code <= _SIGNALS:
        return said
    name = signal.Signals(code - _SIGNALS)
    cause = " This may have been caused by an OOM error. Check your command's memory usage."
    died = f"{code} ({name.name}: {signal.strsignal(name)})."
    return f"{said}\nThe Python process exited with exit code {died}{cause if name == signal.SIGKILL else ''}"


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)

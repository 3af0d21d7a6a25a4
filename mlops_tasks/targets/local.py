"""The local target: wheels go to a folder, runs to this machine, tracking to SQLite."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_tasks import errors, processes, state
from mlops_tasks.report import Report
from mlops_tasks.stores import uris

if TYPE_CHECKING:
    from mlops_tasks.backends.base import Asked
    from mlops_tasks.backends.local import backend as local_backend
    from mlops_tasks.project import mlproject
    from mlops_tasks.settings import Settings
    from mlops_tasks.stores import base as stores


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LocalTarget:
    places: state.StateFolder
    environ: Mapping[str, str]
    run: processes.Runner
    report: Report
    display_name: str = "local"
    busy_cure: str = "wait until it has ended, or press Ctrl-C there"
    is_remote: bool = False
    is_databricks: bool = False
    host: str = ""

    def default_wheel_root(self, backend: str) -> tuple[str, str]:
        return self.places.store.relative_to(self.places.top).as_posix(), ""

    def may_hold(self, root: str) -> bool:
        return uris.kind_of(root) == "folder"

    def user(self) -> str:
        """The user's login name; a container's user may have none."""
        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return f"uid-{os.getuid()}"

    def prepare(self, folder: str = "") -> None: ...

    def store(self, wheel_root: str) -> stores.Store:
        from mlops_tasks.stores import choosing

        return choosing.choose_local(wheel_root, top=self.places.top)

    def absolute_uri(self, uri: str) -> str:
        return (self.places.top / uri).as_uri() if uris.is_here(uri) and not uri.startswith("file:") else uri

    def check_given(self, uri: str, *, instead: str) -> None:
        if uris.kind_of(uri) != "folder" and not Path(uri).is_file():  # macOS has its disks below /Volumes
            raise errors.BadInput(
                f"{uri} lies in a Databricks workspace, and a run on this machine cannot read it",
                where="--wheel-uri",
                cure="give a wheel of this machine, or `--target databricks`",
            )

    def has_volume(self, path: str) -> bool:
        return False

    def runtimes(self) -> tuple[str, ...]:
        return ()

    def node_types(self) -> tuple[str, ...]:
        return ()

    def find_cluster(self, cluster_id: str) -> None:
        return None

    def is_reachable(self, entry: str) -> bool:
        return entry.startswith(("http://", "https://")) or uris.to_path(entry).is_file()

    def choose_backend(self, settings: Settings, project: mlproject.Project, cluster: Path | None) -> tuple[str, str]:
        wanted = settings.backend
        if wanted not in {"auto", "local"}:
            from mlops_tasks.backends import plugin

            plugin.check(wanted)
            return wanted, "you named it"
        why = "you named it" if wanted == "local" else "the target is local"
        if project.spark_job is not None:
            why += "; MLflow has no local backend for a Spark job, its program is run directly"
        return "local", why

    def check_job(self, asked: Asked) -> None:
        from mlops_tasks.backends import plugin
        from mlops_tasks.backends.local import environment, refusals
        from mlops_tasks.tracking import uris as tracking

        project, env_manager = asked.project, asked.env_manager
        plugin.check_project(project, asked.top, env_manager=env_manager)
        if asked.backend != "local":
            return
        refusals.check_top(asked.top, tracks_here=tracking.named(self.environ) is None)
        refusals.check_env_manager(project, env_manager, self.environ, folder=self.places.environments)
        refusals.check_entry_point(project, asked.entry_point, asked.parameters)
        if env_manager == "auto":
            environment.read_lines(project, report=Report())

    def check(self) -> None:
        _ = self.runs.tracking  # refuses a store that the local target does not write to

    def check_detaching(self) -> None:
        raise errors.BadInput(
            "a run on this machine ends with the command that follows it",
            where="--detach",
            cure="leave --detach out, or give `--target databricks`",
        )

    def runs_of(self, backend: str) -> local_backend.LocalRuns:
        return self.runs

    @cached_property
    def runs(self) -> local_backend.LocalRuns:
        from mlops_tasks.backends.local import backend as local_backend

        return local_backend.LocalRuns(places=self.places, environ=self.environ, run=self.run, report=self.report)

"""The databricks target: wheels go to a workspace's stores, runs to its clusters and its tracking."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_tasks import errors, processes
from mlops_tasks.backends.base import WATCH_OR_CANCEL
from mlops_tasks.report import Report
from mlops_tasks.stores import base as stores
from mlops_tasks.stores import choosing, uris

if TYPE_CHECKING:
    from mlops_tasks.backends.base import Asked
    from mlops_tasks.backends.jobs.runs import WorkspaceRuns
    from mlops_tasks.project import mlproject
    from mlops_tasks.settings import Settings
    from mlops_tasks.workspace.api import Workspace

MLFLOW_BACKEND, OWN_BACKEND = "databricks", "databricks-jobs"
"""The names of the backends: MLflow's own, and the one of this package."""
DBFS_ROOT = "dbfs:/wheels"
"""The wheel root for MLflow's own backend, which keeps the project on DBFS in any case."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DatabricksTarget:
    """`profile` is one of ~/.databrickscfg. The workspace is first asked when an answer is needed."""

    profile: str | None
    environ: Mapping[str, str]
    run: processes.Runner
    report: Report
    display_name: str = "databricks"
    busy_cure: str = WATCH_OR_CANCEL
    is_remote: bool = True
    is_databricks: bool = True

    def default_wheel_root(self, backend: str) -> tuple[str, str]:
        if backend == MLFLOW_BACKEND:
            return DBFS_ROOT, "MLflow's own backend keeps the project on DBFS too"
        return uris.kept_for(self.user(), "wheels"), "your own folder, which nobody else writes to"

    def may_hold(self, root: str) -> bool:
        return not uris.is_folder(root)

    @property
    def host(self) -> str:
        return self.workspace.login.host

    def user(self) -> str:
        return self.workspace.user

    def prepare(self, folder: str = "") -> None:
        from mlops_tasks.workspace import api, login

        with contextlib.suppress(errors.ReleaseError):
            if login.is_plain(self.profile, self.environ):  # to find another one out may take a request by itself
                self.workspace.begin_sign_in()
        if uris.kind_of(folder) in {"volume", "workspace"} and "databricks.sdk" not in sys.modules:
            processes.begin_import(api.import_sdk)

    def store(self, wheel_root: str) -> stores.Store:
        return choosing.choose_remote(wheel_root, workspace=self.workspace)

    def absolute_uri(self, uri: str) -> str:
        return uri

    def check_given(self, uri: str, *, instead: str) -> None:
        if uris.is_here(uri):
            raise errors.BadInput(
                f"{uri} is a file of this machine, and a run on Databricks cannot read it",
                where="--wheel-uri",
                cure=f"{instead} puts it into the workspace; or give its URI there",
            )

    def has_volume(self, path: str) -> bool:
        return self.workspace.has_folder(path)

    def runtimes(self) -> frozenset[str]:
        return self.workspace.runtimes

    def node_types(self) -> frozenset[str]:
        return self.workspace.node_types

    def find_cluster(self, cluster_id: str) -> Mapping[str, Any] | None:
        return self.workspace.find_cluster(cluster_id)

    def is_reachable(self, entry: str) -> bool:
        """A wheel in one of the workspace's stores is looked up; any other URL is taken to be reachable."""
        uri = uris.from_cluster(entry)
        if uris.kind_of(uri) == "folder":
            return not uris.is_here(uri)
        folder, _, name = uri.rpartition("/")
        try:
            return name in self.store(folder).list_files(folder)
        except errors.BadInput:
            return False  # no store has files there

    def choose_backend(self, settings: Settings, project: mlproject.Project, cluster: Path | None) -> tuple[str, str]:
        return choose_backend(settings, cluster)

    def check_job(self, asked: Asked) -> None:
        """The checks of the doctor look at what a cluster has."""
        from mlops_tasks.backends import plugin
        from mlops_tasks.backends.databricks_jobs import backend as databricks_jobs

        plugin.check_project(asked.project, asked.top, env_manager=asked.env_manager)
        if asked.backend == OWN_BACKEND:
            databricks_jobs.check(asked)

    def check(self) -> None:
        """Sign in, which tells a missing login, a bad token and a host that does not answer apart."""
        _ = self._announced_user

    @cached_property
    def _announced_user(self) -> str:
        """Cached, so that it is reported once a command, however many of its steps ask."""
        user = self.workspace.user
        self.report.detail(f"{user} at {self.workspace.login.host} ({self.workspace.login.origin})")
        return user

    def check_detaching(self) -> None: ...

    @cached_property
    def workspace(self) -> Workspace:
        from mlops_tasks.workspace import api, login

        return api.Workspace(login=login.resolve(self.profile, self.environ), report=self.report)

    @property
    def runs(self) -> WorkspaceRuns:
        return self.runs_of(MLFLOW_BACKEND)

    def runs_of(self, backend: str) -> WorkspaceRuns:
        from mlops_tasks.backends.databricks import backend as databricks_backend
        from mlops_tasks.backends.databricks_jobs import backend as databricks_jobs

        if backend not in self._runs:
            kind = databricks_jobs.DatabricksJobsRuns if backend == OWN_BACKEND else databricks_backend.DatabricksRuns
            self._runs[backend] = kind(workspace=self.workspace, run=self.run, report=self.report)
        return self._runs[backend]

    @cached_property
    def _runs(self) -> dict[str, WorkspaceRuns]:
        return {}


def choose_backend(settings: Settings, cluster: Path | None) -> tuple[str, str]:
    """The backend for the settings and the user's cluster spec, and why, without asking the workspace."""
    from mlops_tasks.backends.databricks_jobs import compute

    wanted = settings.backend
    if wanted == MLFLOW_BACKEND and settings.compute is not None:
        raise errors.BadInput(
            f"compute is {settings.compute}, which only the backend {OWN_BACKEND} runs on",
            where="compute",
            cure="leave compute out, or set `backend: auto`",
        )
    if wanted in {MLFLOW_BACKEND, OWN_BACKEND}:
        return wanted, "you named it"
    if wanted != "auto":
        raise errors.BadInput(
            f"the backend {wanted} does not run on the databricks target",
            where="backend",
            cure=f"use one of: auto, {MLFLOW_BACKEND}, {OWN_BACKEND}",
        )
    if cluster is None and settings.compute is None:
        return OWN_BACKEND, "there is no cluster spec yet"
    there = compute.read(cluster, compute=settings.compute, environment_version=settings.environment_version)
    return compute.choose_backend(there), f"for {there}"

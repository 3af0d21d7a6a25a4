"""All-purpose clusters: they stand before a run and after it, and all runs on one share its machine and its Python."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.fake_workspace import environments, pythons
from tests.fake_workspace.clusters import Cluster, Owner, Site
from tests.fake_workspace.libraries import Installation, LibraryFailed
from tests.fake_workspace.obstacles import Obstacle
from tests.fake_workspace.work import Work


class Standing:
    """A cluster of this `spec`, whose machine is in `folder` once a run has needed it.

    Its `state` is one of the API's. A run starts it where it is TERMINATED, as the real one does; or, where it
    `starts` not, fails. What a task gives it as libraries stays, over every restart.
    """

    def __init__(self, cluster_id: str, spec: Mapping[str, Any], folder: Path) -> None:
        self.cluster_id = cluster_id
        self.spec = spec
        self.folder = folder
        self.state = "RUNNING"
        self.starts = True
        self.libraries: dict[str, dict[str, Any]] = {}
        """What `libraries/cluster-status` tells of each, by the library as text."""

        self.lock = threading.RLock()
        """Held while it is started or installed to."""

        self._files: dict[str, tuple[int, int]] = {}

    @property
    def environment(self) -> Path:
        return self.folder / "environment"

    def distributions(self) -> dict[str, str]:
        """What its own Python has, by normalized name, with the versions."""
        found = importlib.metadata.distributions(
            path=[str(path) for path in self.environment.glob("lib/*/site-packages")]
        )
        return {normalize(each.metadata["Name"]): each.version for each in found}

    def written(self) -> list[str]:
        """The files of its Python that are there, or gone, or different by other hands than its own installer's."""
        now = self._list()
        return sorted(name for name in now.keys() | self._files.keys() if now.get(name) != self._files.get(name))

    def note_files(self) -> None:
        self._files = self._list()

    def terminate(self) -> None:
        """Its machine is gone, its libraries are installed again when it starts."""
        with self.lock:
            self.state = "TERMINATED"
            shutil.rmtree(self.folder, ignore_errors=True)
            self._files = {}

    def show(self) -> dict[str, Any]:
        """As `clusters/get` does."""
        return {
            "cluster_id": self.cluster_id,
            "cluster_name": "all-purpose",
            "cluster_source": "UI",
            "data_security_mode": "SINGLE_USER",
            **self.spec,
            "state": self.state,
            "state_message": "",
        }

    def _list(self) -> dict[str, tuple[int, int]]:
        """Without what Python compiles as it runs."""
        files = (path for path in self.environment.rglob("*") if path.is_file() and path.suffix != ".pyc")
        facts = ((path, path.lstat()) for path in files)
        return {str(path.relative_to(self.environment)): (fact.st_size, fact.st_mtime_ns) for path, fact in facts}


class NotStarted(Obstacle):
    """A cluster that doesn't run; the words are assumed."""

    code = "CLUSTER_ERROR"


class NotYours(Obstacle):
    """A dedicated cluster of somebody else."""

    code = "UNAUTHORIZED_ERROR"


class Visit(Cluster):
    """One run's stay on a cluster that stands: only what is the run's own goes with it."""

    for_jobs = "FALSE"

    def __init__(self, standing: Standing, *, site: Site, owner: Owner, run_id: int, work: Work, output: Path) -> None:
        super().__init__(
            site=site, owner=owner, cluster_id=standing.cluster_id, spec=standing.spec, work=work, output=output
        )
        self.standing = standing
        self.folder = standing.folder
        self.scratch = site.home / "clusters" / f"run-{run_id}"

    def prepare(self, libraries: Any) -> None:
        self.scratch.mkdir(parents=True)
        self._check_user()
        with self.standing.lock:
            self._start()
            for library in libraries:
                self._install(library)

    def _check_user(self) -> None:
        wanted = self.standing.spec.get("single_user_name")
        if self.runtime.mode == "SINGLE_USER" and wanted and self.owner.name != wanted:
            asked = f"user '{self.owner.name}' attempted to run a command on single-user cluster {self.cluster_id}"
            raise NotYours(f"Single-user check failed: {asked}, but the single user of this cluster is '{wanted}'")

    def _start(self) -> None:
        if self.standing.state != "RUNNING" and not self.standing.starts:
            raise NotStarted(f"Cluster {self.cluster_id} is in unexpected state {self.standing.state.capitalize()}.")
        environment = self.standing.environment
        if not environments.is_complete(environment):
            shutil.rmtree(self.folder, ignore_errors=True)
            self._build_machine()
            self._maker().begin(environment)
            self._use(environment)
            self.standing.note_files()
            for told in self.standing.libraries.values():
                told["status"] = "PENDING"
                self._install(told["library"])
            environments.complete(environment)
            self.standing.note_files()
        self.standing.state = "RUNNING"

    def _install(self, library: Mapping[str, Any]) -> None:
        """What is there already, as this library or as a wheel of this name and version, is not installed again."""
        told = self.standing.libraries.setdefault(
            repr(library), {"library": library, "status": "PENDING", "is_library_for_all_clusters": False}
        )
        if told["status"] == "INSTALLED":
            return
        try:
            installation = self._shelf().find(library)
            if not self._has(installation):
                self._maker().install(self.standing.environment, library, installation)
        except LibraryFailed as fault:
            told |= {"status": "FAILED", "messages": [str(fault)]}
            raise
        told["status"] = "INSTALLED"
        self.standing.note_files()

    def _has(self, installation: Installation) -> bool:
        there = self.standing.distributions()
        names = [wheel.name.split("-")[:2] for wheel in installation.wheels]
        return bool(names) and all(there.get(normalize(name)) == version for name, version in names)

    def _maker(self) -> pythons.Maker:
        return self._make_maker(self._shelf())


def normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

"""Target: the place where wheels are kept and projects run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlops_tasks.stores.base import Store

if TYPE_CHECKING:
    from mlops_tasks.backends.base import Asked, Runs
    from mlops_tasks.project import mlproject
    from mlops_tasks.settings import Settings


class Target(Protocol):
    """Every method may raise WorkspaceError: the place refuses or cannot be reached."""

    @property
    def display_name(self) -> str:
        """The name of the environment."""

    @property
    def runs(self) -> Runs:
        """The runs of any backend, for what is the same for all: where they are tracked, which there are."""

    def runs_of(self, backend: str) -> Runs:
        """The runs of one backend, which `choose_backend` has named; of another one those that MLflow knows."""

    @property
    def host(self) -> str:
        """The workspace's address; empty for this machine."""

    def default_wheel_root(self, backend: str) -> tuple[str, str]:
        """The wheel root where the settings name none, for runs of `backend`, and why; empty where it is always so."""

    def may_hold(self, root: str) -> bool:
        """Whether `root` can be meant as a wheel root here, and not as one of another target."""

    @property
    def busy_cure(self) -> str:
        """What to do while another command follows a run, or while a detached run goes on."""

    def user(self) -> str:
        """The user's name there, for experiment names."""

    def prepare(self, folder: str = "") -> None:
        """Begin to sign in, and to import what the store of the wheel folder needs, beside what follows.

        What is wrong with the login is told where it is needed first.
        """

    def store(self, wheel_root: str) -> Store: ...

    def absolute_uri(self, uri: str) -> str:
        """A stored wheel's URI as the machine that runs the project can use it."""

    def check_given(self, uri: str, *, instead: str) -> None:
        """Raise BadInput for a wheel, given by its URI, that a run here cannot read.

        The command `instead` deploys it.
        """

    @property
    def is_remote(self) -> bool:
        """Whether wheels and runs leave this machine: a run may go on without the command that began it."""

    @property
    def is_databricks(self) -> bool:
        """Whether the project runs on Databricks, so that what `doctor` knows holds for it."""

    def has_volume(self, path: str) -> bool:
        """Whether the volume `/Volumes/<catalog>/<schema>/<volume>` is there."""

    def runtimes(self) -> Collection[str]:
        """Each `spark_version` that a cluster may have there; empty where there are no clusters."""

    def node_types(self) -> Collection[str]:
        """Each `node_type_id` likewise."""

    def find_cluster(self, cluster_id: str) -> Mapping[str, Any] | None:
        """What is known of a cluster that is there; None where there is none of that id."""

    def is_reachable(self, entry: str) -> bool:
        """Whether a wheel that a project names, but that was not deployed, is there when the project runs."""

    def choose_backend(self, settings: Settings, project: mlproject.Project, cluster: Path | None) -> tuple[str, str]:
        """The backend for the setting `backend` (a name, or `auto`), and why. `cluster` is the user's cluster spec."""

    def check_job(self, asked: Asked) -> None:
        """Raise BadInput, before anything is begun, for what a run needs and lacks."""

    def check(self) -> None:
        """Raise what would fail every run here, as a missing login does, before anything is begun."""

    def check_detaching(self) -> None:
        """Raise BadInput where every run ends with the command that follows it."""

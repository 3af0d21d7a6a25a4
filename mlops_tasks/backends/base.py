"""What every backend is given and offers: a Job to run, the Submitted run, the methods of Runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mlops_tasks import errors
from mlops_tasks.project import mlproject
from mlops_tasks.release import Attempt, Deployed, Run

if TYPE_CHECKING:
    from mlops_tasks.tracking.client import Tracking

WATCH_OR_CANCEL = "`inv watch` follows it, `inv cancel` ends it"
"""What can be done about a detached run."""


class Limits(NamedTuple):
    """How a run is followed, in seconds: `timeout` counts from its start, `lost_contact` from the last answer.

    `pending` counts from its start too, and ends a run that still waits for its compute.
    """

    timeout: float | None
    poll_interval: float
    lost_contact: float
    pending: float | None = None


REMOVED = "was removed while the run went on"
"""Why a run failed whose folder, which stands before these words, is gone."""


def stopped_after(limits: Limits) -> str:
    """Why a run was KILLED whose time was up."""
    return f"stopped after the timeout of {limits.timeout:g} s"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of a run before anything is staged for it, by the settings and the project's own files.

    `top` is the repository's folder, `cluster` the user's own file of the cluster spec. `wheel_root` is empty
    where it is the default.
    """

    project: mlproject.Project
    top: Path
    cluster: Path | None
    entry_point: str
    parameters: Mapping[str, str]
    backend: str
    env_manager: str
    compute: str | None
    environment_version: str | None
    wheel_root: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to be made: the staged project, and all that its run is made from and described with.

    `sources` is the folder that it was staged from. `given` are the parameters that the user gave, `parameters` the
    same with the entry point's defaults. `cluster` is the path of the cluster spec in the project. `attempt` is the
    attempt's id. `release_folder` holds the files of this release alone, the staged project too. `record` is logged
    with the run. `begun` is to be called before anything is sent that may make a run which can only be found by
    looking for it.

    `spec` is the cluster spec where no file of the project has it. `deployed` are the wheels in the store, each after
    those that it needs; `wheel_files` has their files here, by normalised name, where they are known. `wheel_folder`
    is the branch's folder in the store. `compute`, `environment_version` and `driver_root` are the settings.
    """

    project: mlproject.Project
    sources: Path
    entry_point: str
    given: Mapping[str, str]
    parameters: Mapping[str, str]
    experiment_name: str | None
    experiment_id: str | None
    run_name: str | None
    tags: Mapping[str, str]
    cluster: str | None
    backend: str
    env_manager: str
    limits: Limits
    attempt: str
    release_folder: Path
    record: Mapping[str, Any]
    begun: Callable[[], None] = lambda: None
    spec: Mapping[str, Any] | None = None
    deployed: Sequence[Deployed] = ()
    wheel_files: Mapping[str, Path] = field(default_factory=dict)
    wheel_folder: str = ""
    workers: bool = False
    compute: str | None = None
    environment_version: str | None = None
    driver_root: str | None = None

    @property
    def is_staged(self) -> bool:
        """Whether the project is a staged copy, and not the user's own, patched in place."""
        return self.project.folder.is_relative_to(self.release_folder)

    @property
    def scratch(self) -> Path:
        """A folder for files of this attempt, which need not exist."""
        return self.release_folder / "attempts" / self.attempt


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A run that MLflow knows of. `submitted_at` is seconds since 1970, where the record has it."""

    run_id: str
    experiment_id: str
    backend: str
    job_run_id: int | None = None
    submitted_at: float | None = None


class TimedOut(Exception):
    """The run was still going on when its time was up; `waits_for` says what for, where it had not begun by then."""

    def __init__(self, waits_for: str = "") -> None:
        super().__init__(waits_for)
        self.waits_for = waits_for


class NotMarked(errors.WorkspaceError):
    """A run's job was cancelled, or had ended, and its end could not be written to MLflow."""


class Unsure(errors.WorkspaceError):
    """Whether a job was made is not known: nothing answered what would have made it."""


class Runs(Protocol):
    """The runs of one command on its target; what they say goes to the command's report.

    Every method may raise WorkspaceError: the place refuses or cannot be reached.
    """

    @property
    def tracking(self) -> Tracking:
        """MLflow's store for the runs; BadInput where the target does not write to that one."""

    def find_experiment(self, job: Job) -> str:
        """The id of the experiment that `job` runs under, which is made where there is none of its name."""

    def submit(self, job: Job) -> Submitted:
        """Have everything ready for `job`'s run, under the experiment that was found, and make it known to MLflow."""

    def show(self, job: Job) -> None:
        """Show what `submit` would send, where that is more than MLflow's own backends send; BadInput as `submit`."""

    def follow(self, job: Job, submitted: Submitted, *, log: Path) -> Run:
        """The run at its end, whatever that was; its output goes to `log` and to the report.

        KeyboardInterrupt while following (Terminated is one) ends a run on this machine and marks it KILLED; where
        runs are remote it leaves it to `stop`.
        """

    def watch(self, submitted: Submitted, *, limits: Limits, entry_point: str, log: Path) -> Run:
        """Follow a detached run, as `follow` does, and leave it alone when interrupted; BadInput where none can be."""

    def page(self, submitted: Submitted) -> str:
        """The address of a page that shows the run; empty where none is known."""

    def stop(self, submitted: Submitted) -> str | None:
        """End a detached run and mark it KILLED; BadInput where none can be.

        The answer is how the run had ended by itself; None where this call ended it.
        """

    def find(self, run_id: str) -> tuple[Submitted, str]:
        """A detached run by MLflow's id, and its entry point; BadInput where it is not known."""

    def pick_up(self, attempt: Attempt, *, again: bool = False) -> Submitted | Run | None:
        """What became of an attempt that no command follows any more: its end, or the run that is still going on.

        A run that neither goes on nor has ended is marked, unless the same job is about to be submitted `again` in a
        way that takes it up. None where no run of it is known.
        """

"""What is said of a run before it begins, and what is known of it once MLflow knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mlops_tasks import errors
from mlops_tasks.project import mlproject

GOES_ON = "`inv watch` follows it, `inv cancel` ends it"
"""What can be done about a run that goes on without us."""


class Limits(NamedTuple):
    """How a run is followed, in seconds: until when after its start, how often it is looked at, how long in vain."""

    timeout: float | None
    poll_interval: float
    lost_contact: float


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to be made: the staged project and everything that is said of its run.

    `given` are the parameters as the user gave them, `parameters` the same with the entry point's defaults. `cluster`
    is the cluster spec's name in the project. `attempt` is the attempt's id, and `release_folder` has all that is
    kept of this release alone, the staged project too. `record` is logged with the run.
    """

    project: mlproject.Project
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

    @property
    def is_staged(self) -> bool:
        """Whether the project is a copy of ours: it may be patched in place instead."""
        return self.project.folder.is_relative_to(self.release_folder)

    @property
    def scratch(self) -> Path:
        """The attempt's own folder, which need not exist."""
        return self.release_folder / "attempts" / self.attempt


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A run that MLflow knows of: it has ids, and somebody has to follow it to its end.

    `submitted_at` is seconds since 1970, where that is on record.
    """

    run_id: str
    experiment_id: str
    backend: str
    job_run_id: int | None = None
    submitted_at: float | None = None


class NotMarked(errors.WorkspaceError):
    """A run's job was cancelled, or had ended, and MLflow could not be told so."""

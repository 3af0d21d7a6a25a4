"""Inputs: the flags of one command that are no settings, and the facts that they give by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from mlops_tasks import errors

if TYPE_CHECKING:
    from mlops_tasks.release import Release

BY_HAND = "by hand"
"""The digest of a step whose facts were given by hand: those never become stale."""


class Part(NamedTuple):
    """One run of a sweep: the parameters by which it differs, and the staged release that all of the sweep run.

    `sweep` is the sweep's id, `job` the digest of the run's job.
    """

    sweep: str
    parameters: Mapping[str, str]
    release: Release
    job: str

    @property
    def value(self) -> str:
        """What the run stands for in the sweep; credentials in it are masked."""
        from mlops_tasks import redaction  # a sweep alone has a use for it

        return errors.typed(*(f"{name}={redaction.mask(value)}" for name, value in self.parameters.items()))


class Inputs(NamedTuple):
    """`wheels` are files; `wheel_uris` name wheels where a run can reach them. The rest are flags of the same names.

    `command` is the task that was called, where that is not the step's own. `made` are the releases of earlier projects
    that were released in one order with this one, by their names. `part` is the run's, of a sweep.
    """

    explain: bool = False
    wheels: tuple[Path, ...] = ()
    wheel_uris: tuple[str, ...] = ()
    diff: bool = False
    in_place: bool = False
    detach: bool = False
    force: bool = False
    experiment_name: str | None = None
    experiment_id: str | None = None
    command: str = ""
    made: Mapping[str, Release] = MappingProxyType({})
    sweep: tuple[str, ...] = ()
    part: Part | None = None

    def replaces(self, step: str) -> bool:
        """Whether these inputs take the place of the facts that `step` records."""
        given = {
            "build-wheel": self.wheels,
            "deploy": self.wheel_uris,
            "name": self.experiment_name or self.experiment_id,
        }
        return bool(given.get(step))


NOTHING = Inputs()

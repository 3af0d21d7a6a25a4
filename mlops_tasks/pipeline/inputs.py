"""Inputs: the flags of one command that are no settings, and the facts that they give by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mlops_tasks.release import Release

BY_HAND = "by hand"
"""The digest of a step whose facts were given by hand: those never become stale."""


class Inputs(NamedTuple):
    """`wheels` are files; `wheel_uris` name wheels where a run can reach them. The rest are flags of the same names.

    `command` is the task that was called, where that is not the step's own. `made` are the releases of earlier projects
    that were released in one order with this one, by their names.
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

    def replaces(self, step: str) -> bool:
        """Whether these inputs take the place of the facts that `step` records."""
        given = {
            "build-wheel": self.wheels,
            "deploy": self.wheel_uris,
            "name": self.experiment_name or self.experiment_id,
        }
        return bool(given.get(step))


NOTHING = Inputs()

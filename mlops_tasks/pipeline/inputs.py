"""Inputs: what a user gives by hand for one call, in place of what an earlier step would have recorded."""

from pathlib import Path
from typing import NamedTuple

BY_HAND = "by hand"
"""The digest of a step whose facts were given: nothing that could be watched makes them stale."""


class Inputs(NamedTuple):
    """`wheels` are files, `wheel_uris` name wheels that are where a run can reach them.

    `command` is the task that was called, where that is not the step's own.
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

    def replaces(self, step: str) -> bool:
        """Whether these inputs stand for what `step` would have recorded."""
        given = {
            "build-wheel": self.wheels,
            "deploy": self.wheel_uris,
            "name": self.experiment_name or self.experiment_id,
        }
        return bool(given.get(step))


NOTHING = Inputs()

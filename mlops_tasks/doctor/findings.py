"""What a check says: one Finding for each thing, and all of them with what was looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mlops_tasks import errors
from mlops_tasks.workspace import runtimes
from mlops_tasks.workspace.runtimes import Basis

CLUSTERS = "databricks-sdk: databricks/sdk/service/compute.py"
MLFLOW_BACKEND = "mlflow: mlflow/projects/databricks.py"
READERS = "mlops_tasks: what a release refuses before it begins"
RUNTIMES = runtimes.RELEASES
UNTRIED = "no page and no client shows it"
WORKSPACE = "the workspace itself"

VERSION = 1
Level = Literal["error", "warning", "note"]
"""It will not work; it may well not, or not as meant; it is worth knowing."""


class Finding(NamedTuple):
    """One thing that a check found. `where` is a file (with its line where there is one) or a setting.

    `source` is what `basis` rests on: a page, or the file of a client in which it was seen. `kind` is the error as
    which it ends a command: most are the project's own, and the login's may be the workspace's.
    """

    level: Level
    what: str
    where: str
    cure: str
    basis: Basis
    source: str
    kind: type[errors.ReleaseError] = errors.BadInput

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        where = [f"in: {self.where}"] if self.where else []
        return [self.what, *where, f"do: {self.cure}", f"{self.basis}: {self.source}"]

    def to_dict(self) -> Mapping[str, str]:
        return {name: value for name, value in self._asdict().items() if name != "kind"}


class Findings(NamedTuple):
    """All that was found: `fine` are the topics without any finding, `unasked` those with nothing to look at yet."""

    found: Sequence[Finding]
    fine: Sequence[str] = ()
    unasked: Sequence[str] = ()

    def of(self, level: Level) -> list[Finding]:
        return [each for each in self.found if each.level == level]

    def to_dict(self) -> Mapping[str, Any]:
        return {
            "version": VERSION,
            "findings": [each.to_dict() for each in self.found],
            "fine": list(self.fine),
            "unasked": list(self.unasked),
        }


def weakest(basis: Basis, *others: Basis) -> Basis:
    """The basis of what rests on several facts, of which one is assumed."""
    return "assumed" if "assumed" in others else basis


def error(what: str, *, where: object = "", cure: str, basis: Basis, source: str) -> Finding:
    return Finding("error", what, str(where), cure, basis, source)


def warning(what: str, *, where: object = "", cure: str, basis: Basis, source: str) -> Finding:
    return Finding("warning", what, str(where), cure, basis, source)


def note(what: str, *, where: object = "", cure: str, basis: Basis, source: str) -> Finding:
    return Finding("note", what, str(where), cure, basis, source)

"""Finding: one problem, its place, its cure and how it is known; Evidence: a source that findings rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mlops_tasks import errors
from mlops_tasks.workspace import runtimes
from mlops_tasks.workspace.runtimes import Basis

VERSION = 1
Level = Literal["error", "warning", "note"]
"""An error will not work, a warning may not work or not as meant, a note is worth knowing."""


class Finding(NamedTuple):
    """One thing that a check found. `where` is a file (with its line where there is one) or a setting.

    `cure` is empty for what is well as it is.
    `basis` and `source` are those of its Evidence. `kind` is the class of error that ends a command: BadInput, or what
    the login raised.
    """

    level: Level
    what: str
    where: str
    cure: str
    basis: Basis
    source: str
    kind: type[errors.ReleaseError] = errors.BadInput

    def __str__(self) -> str:
        where = f"in: {self.where}\n" if self.where else ""
        cure = f"do: {self.cure}\n" if self.cure else ""
        return f"{self.what}\n{where}{cure}{self.basis}: {self.source}"

    def to_dict(self) -> Mapping[str, str]:
        return {name: value for name, value in self._asdict().items() if name != "kind"}


class Findings(NamedTuple):
    """All findings. `fine` are the topics without any, `unasked` the topics with nothing to look at yet.

    `backend` is the one that runs the project, for `reason`.
    """

    found: Sequence[Finding]
    fine: Sequence[str] = ()
    unasked: Sequence[str] = ()
    backend: str = ""
    reason: str = ""

    def of(self, level: Level) -> list[Finding]:
        return [each for each in self.found if each.level == level]

    def to_dict(self) -> Mapping[str, Any]:
        return {
            "version": VERSION,
            "backend": {"name": self.backend, "why": self.reason},
            "findings": [each.to_dict() for each in self.found],
            "fine": list(self.fine),
            "unasked": list(self.unasked),
        }


class Evidence(NamedTuple):
    """How a fact is known, and the page or the client's file that shows it. The methods make findings from it."""

    basis: Basis
    source: str

    def assumed(self, *, when: bool = True) -> Evidence:
        """The same source with the basis `assumed`, for what the source does not quite say."""
        return self._replace(basis="assumed") if when else self

    def error(self, what: str, *, where: object = "", cure: str) -> Finding:
        return Finding("error", what, str(where), cure, *self)

    def warning(self, what: str, *, where: object = "", cure: str) -> Finding:
        return Finding("warning", what, str(where), cure, *self)

    def note(self, what: str, *, where: object = "", cure: str = "") -> Finding:
        return Finding("note", what, str(where), cure, *self)


CLUSTERS = Evidence("documented", "databricks-sdk: databricks/sdk/service/compute.py")
MLFLOW_BACKEND = Evidence("seen", "mlflow: mlflow/projects/databricks.py")
PATCH = Evidence("seen", "mlops_tasks: steps/patch.py")
READERS = Evidence("seen", "mlops_tasks: what a release refuses before it begins")
RUNTIMES = Evidence("documented", runtimes.RELEASES)
UNTRIED = Evidence("assumed", "no page and no client shows it")
WORKSPACE = Evidence("seen", "the workspace itself")

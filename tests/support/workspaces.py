"""A client of the test workspace that remembers what it reports and never waits."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_tasks import report
from mlops_tasks.workspace import api, login
from tests.fake_workspace.server import Workspace


class Heard(report.Report):
    """A report that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, name: str, made: str) -> None:
        self.lines.append(f"{name}: {made}")

    def debug(self, text: str) -> None:
        self.lines.append(text)

    def detail(self, text: str) -> None:
        self.lines.append(text)


class Ours(api.Workspace):
    """`heard` is what was told, `waited` the seconds that would have been waited."""

    heard: Heard
    waited: list[float]


def connect(
    workspace: Workspace,
    environ: Mapping[str, str] | None = None,
    *,
    profile: str | None = None,
    patience: api.Patience = api.PATIENT,
) -> Ours:
    heard, waited = Heard(), list[float]()
    found = login.resolve(profile, workspace.environment if environ is None else environ)
    ours = Ours(login=found, report=heard, patience=patience, pause=waited.append)
    ours.__dict__.update(heard=heard, waited=waited)
    return ours

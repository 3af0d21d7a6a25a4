"""`tracked`: a real SQLite store of MLflow, with a context whose runs are tracked there."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_tasks.pipeline.history import BRANCH, ENTRY_POINT, PROJECT
from mlops_tasks.release import Run
from mlops_tasks.report import Report
from mlops_tasks.steps.context import Context
from mlops_tasks.tracking.client import Tracking
from tests.support.contexts import make_context


class Shown(Report):
    """A report that remembers the tables, the texts, the steps, the details and the warnings."""

    def __init__(self) -> None:
        self.tables: list[tuple[list[str], list[list[str]]]] = []
        self.texts: list[str] = []
        self.steps: list[str] = []
        self.warnings: list[str] = []
        self.details: list[str] = []

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False
    ) -> None:
        self.tables.append((list(columns), [list(each) for each in rows]))

    def text(self, text: str) -> None:
        self.texts.append(text)

    def step(self, name: str, made: str) -> None:
        self.steps.append(f"{name} {made}")

    def detail(self, text: str) -> None:
        self.details.append(text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)


@dataclass(frozen=True)
class Tracked:
    """`store` holds the runs of one repository, whose experiments are named by the template."""

    store: Tracking
    folder: Path
    clock: itertools.count[int] = field(default_factory=lambda: itertools.count(1_700_000_000_000, 1000))

    def context(self, **settings: Any) -> Context:
        context = make_context(self.folder, report=Shown(), **settings)
        target = SimpleNamespace(
            runs=SimpleNamespace(tracking=self.store),
            user=lambda: "ada",
            check=lambda: None,
            prepare=lambda folder="": None,
            is_databricks=False,
            is_remote=False,
        )
        vars(context).update(target=target, project_in_repository="p", repository=self.folder.name)
        return context

    def log(
        self,
        branch: str = "main",
        *,
        metrics: Mapping[str, float] | None = None,
        parameters: Mapping[str, str] | None = None,
        status: str = "FINISHED",
        experiment: str = "",
        name: str | None = None,
        **tags: str,
    ) -> Run:
        """A run of the branch, each begun a second after the one before."""
        client = self.store._client
        experiment_id = self.store.ensure_experiment(experiment or f"/Shared/{self.folder.name}/p/{branch}")
        own = {BRANCH: branch, PROJECT: "p", ENTRY_POINT: "main", "mlops.commit": "0123456789"}
        run = client.create_run(experiment_id, start_time=next(self.clock), run_name=name, tags={**own, **tags})
        for key, value in (parameters or {}).items():
            client.log_param(run.info.run_id, key, value)
        for key, number in (metrics or {}).items():
            client.log_metric(run.info.run_id, key, number)
        if status != "RUNNING":
            client.set_terminated(run.info.run_id, status)
        return self.store.read_run(run.info.run_id, backend="local", entry_point="main")


@pytest.fixture(scope="session")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """One for all tests of the room: making one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    return Tracking(f"sqlite:///{folder / 'mlflow.db'}", artifacts=folder / "artifacts")


@pytest.fixture
def tracked(_store: Tracking, tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """A repository of its own, whose experiments nobody else has."""
    return Tracked(_store, tmp_path_factory.mktemp("repository"))

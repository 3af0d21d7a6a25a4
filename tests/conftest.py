"""For every test: no CI system's variables, no user's git configuration, hypothesis' profiles, and `--quick`."""

from __future__ import annotations

import os
import signal
import string
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

from mlops_tasks.checkout import ci

# a shell's background jobs ignore Ctrl-C, nohup the end of the terminal, and both hand that on to all that they start
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# the same examples at each run, so that a change is judged by itself; the sweep looks for new ones
hypothesis.settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True)
hypothesis.settings.register_profile("sweep", max_examples=10_000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

CI_VARIABLES = {
    name
    for system in ci.SYSTEMS
    for name in (
        *(system.marker, *system.branch, *system.fork, *system.commits, *system.more),
        *(field for _, field, _, _ in string.Formatter().parse(system.url) if field),
    )
}

SLOW = {
    *("tests.support.inv", "tests.support.sites"),  # whole `inv` commands
    *("mlops_tasks.steps.build_wheel", "mlops_tasks.wheels.building"),  # wheels
    *("tests.fake_workspace.environments", "tests.support.benches"),  # clusters
    "tests.fake_workspace.mlflow_server",
}
"""Modules whose use takes seconds: `--quick` leaves out test modules that import one of them, and tests marked slow."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="skip what runs whole commands, builds, or starts servers")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Function) -> None:
    """Skip a slow test before its fixtures are made; pytest's summary counts all of these in one line."""
    if item.config.getoption("--quick") and (item.get_closest_marker("slow") or _is_slow(item.module)):
        pytest.skip("not quick: whole `inv` commands, builds, clusters, servers of MLflow; `inv test` runs them all")


def _is_slow(module: ModuleType) -> bool:
    used = (getattr(value, "__module__", getattr(value, "__name__", "")) for value in vars(module).values())
    return not SLOW.isdisjoint(used)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The suite runs inside CI systems and on laptops: neither may leak into what a test sees."""
    for variable in list(os.environ):
        if variable.startswith(("MLOPS_", "MLFLOW_", "INVOKE_", "GIT_", "DATABRICKS_")) or variable in CI_VARIABLES:
            monkeypatch.delenv(variable)
    config = tmp_path_factory.getbasetemp() / "gitconfig"
    config.write_text("[user]\n\tname = Ada\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    """Run git for real, in `tmp_path` unless told otherwise; the answer is its standard output."""

    def run(*arguments: str, cwd: Path = tmp_path) -> str:
        done = subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return run

"""What every test stands on: no CI system's variables, no user's git or pip configuration, hypothesis' profiles."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from mlops_tasks.checkout import ci

# a shell's background jobs ignore Ctrl-C, nohup the end of the terminal, and both hand that on to all that they start
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

hypothesis.settings.register_profile("quick", max_examples=60, deadline=None)
hypothesis.settings.register_profile("sweep", max_examples=10_000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The suite runs inside CI systems and on laptops: neither may leak into what a test sees."""
    for variable in list(os.environ):
        if variable.startswith(("MLOPS_", "MLFLOW_", "INVOKE_", "GIT_", "DATABRICKS_")) or variable in ci.VARIABLES:
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

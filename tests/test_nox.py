"""The tasks as sessions of the real nox, in a process of its own as a user has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repositories import make_repository, write

ROOT = Path(__file__).parents[1]
NOXFILE = """\
import nox
from mlops_tasks import nox as mlops

mlops.sessions({prefix})

@nox.session(venv_backend="none")
def lint(session):
    print("linted")
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = make_repository(tmp_path / "repository")
    (folder / "tasks.py").unlink()
    return folder


def nox(folder: Path, *arguments: str, prefix: str = "") -> subprocess.CompletedProcess[str]:
    write(folder, {"noxfile.py": NOXFILE.format(prefix=prefix and f'prefix="{prefix}"')})
    command = [sys.executable, "-m", "nox", "--noxfile", str(folder / "noxfile.py"), *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder.parent, env=env, capture_output=True, text=True, check=False)


def test_each_task_is_listed_with_its_first_line_and_is_not_run_by_default(repository: Path) -> None:
    listed = nox(repository, "--list").stdout
    assert "- build-wheel -> Step 2: build the wheels of the libraries that changed." in listed

    done = nox(repository)
    assert "linted" in done.stdout
    assert not (repository / ".mlops").exists()


def test_a_session_passes_its_arguments_to_the_task(repository: Path) -> None:
    done = nox(repository, "-s", "mlops-name", "--", "--branch", "trial", prefix="mlops-")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("name         /Shared/repository/training/trial\n")
    assert (repository / ".mlops/training/local/branches/trial/release.json").is_file()


def test_a_task_that_fails_fails_its_session(repository: Path) -> None:
    done = nox(repository, "-s", "patch")

    assert done.returncode == 1
    assert "`mlops name build-wheel deploy`" in done.stderr

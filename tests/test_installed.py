"""The package as its wheel installs it: the command `mlops`, the types, and the tasks under invoke-toolkit.

invoke-toolkit is installed here and not beside the development tools: both it and Invoke install a command `inv`, and
the one that comes last stays.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import uv

from mlops_tasks import __version__
from tests.support.repositories import make_repository

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package's wheel and invoke-toolkit, to stand before this environment's packages."""
    folder = tmp_path_factory.mktemp("installed")
    install = [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", sys.executable, "--target", str(folder)]
    subprocess.run([*install, "--no-deps", str(ROOT)], check=True)
    subprocess.run([*install, "invoke-toolkit"], check=True)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = make_repository(tmp_path / "repository")
    (folder / "tasks.py").unlink()
    return folder


def run(installed: Path, program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(installed / "bin" / program), *arguments]
    env = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_the_command_mlops_and_the_types_are_installed(installed: Path, repository: Path) -> None:
    assert run(installed, "mlops", "--version", cwd=repository).stdout == f"mlops {__version__}\n"
    assert (installed / "mlops_tasks/py.typed").is_file()
    assert (installed / "mlops_tasks/template/invoke.yaml").is_file()
    assert (installed / "mlops_tasks/ci_templates/github/.github/workflows/release.yml").is_file()


def test_the_tasks_run_under_invoke_toolkit_without_a_tasks_py(installed: Path, repository: Path) -> None:
    listed = run(installed, "intk", "--list", cwd=repository)
    assert "mlops.build-wheel" in listed.stdout, listed.stderr

    named = run(installed, "intk", "mlops.name", "mlops.build-wheel", "--json", cwd=repository)
    assert named.returncode == 0, named.stderr
    assert '"distribution": "mylib"' in named.stdout

    refused = run(installed, "intk", "mlops.patch", cwd=repository)
    assert refused.returncode == 3
    assert "inv mlops.deploy" in refused.stderr


def test_they_stand_beside_the_tasks_of_a_tasks_py(installed: Path, repository: Path) -> None:
    (repository / "tasks.py").write_text("from invoke import task\n@task\ndef mine(c):\n    print('mine')\n")
    said = run(installed, "intk", "mine", "mlops.name", cwd=repository)

    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("mine\n")
    assert "/Shared/repository/training/main" in said.stdout


def test_what_an_installer_left_uncompiled_is_compiled_once_and_tasks_py_never(tmp_path: Path) -> None:
    folder, installed = make_repository(tmp_path / "repository"), tmp_path / "installed"
    shutil.copytree(ROOT / "mlops_tasks", installed / "mlops_tasks", ignore=shutil.ignore_patterns("__pycache__"))
    env = {**os.environ, "PYTHONPATH": str(installed)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)

    subprocess.run([sys.executable, "-m", "invoke", "--list"], cwd=folder, env=env, capture_output=True, check=True)

    assert list((installed / "mlops_tasks" / "tasks").rglob("steps.*.pyc"))
    assert not list(folder.rglob("*.pyc"))

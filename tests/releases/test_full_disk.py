"""Every step on a full disk: the limit on the size of files stands for it, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.inv import Said, inv
from tests.support.repositories import make_repository, nothing_changes

STEPS = ("name", "build-wheel", "deploy", "patch", "run")
SETTINGS = "mlops:\n  project: training\n  libraries: [libs/*]\n"
LARGE = f'{{"new_cluster": {{"x": "{"0123456789" * 1000}"}}, "libraries": [{{"whl": "WHEELPATH"}}]}}'
"""A cluster spec with more bytes than any of the limits: patched in place it comes after the environment."""


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository, and copies of it beside it: `name` as it is before that step is taken, and so on."""
    root = tmp_path_factory.mktemp("taken")
    folder = make_repository(root / "repository", SETTINGS=SETTINGS, CLUSTER=LARGE)
    for step in STEPS:
        shutil.copytree(folder, root / step, symlinks=True)
        said = inv(step, cwd=folder) if step != "run" else None
        assert said is None or said.code == 0, said.err
    return root


def limited(folder: Path, size: int, *arguments: str) -> Said:
    """`inv` where no file of more than `size` bytes can be written."""
    limits = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY))"
    code = f"import sys; {limits}; from invoke.main import program; program.run(['inv', *sys.argv[1:]])"
    command = [sys.executable, "-c", code, *arguments]
    # what measures the tests' coverage would fail in there too, and say so
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    env = {**kept, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return Said(done.returncode, done.stdout, done.stderr)


def record_of(folder: Path) -> bytes:
    path = folder / ".mlops" / "training" / "local" / "branches" / "main" / "release.json"
    return path.read_bytes() if path.exists() else b""


@pytest.mark.parametrize("size", [0, 20, 300, pytest.param(6000, marks=pytest.mark.full)])
@pytest.mark.parametrize("command", [*STEPS, "patch --in-place"])
def test_a_full_disk_is_said_and_leaves_everything_as_it_was(taken: Path, command: str, size: int) -> None:
    step = command.split(maxsplit=1)[0]
    folder = taken / "repository"  # the same place each time: the staged project names its wheels by their whole paths
    shutil.rmtree(folder)
    shutil.copytree(taken / step, folder, symlinks=True)
    before = record_of(folder)

    with nothing_changes(folder):
        said = limited(folder, size, *command.split())

    assert "Traceback" not in said.err
    if size == 6000 and step in {"name", "deploy"}:
        assert said.code == 0, said.err  # they need no more
        return
    assert said.code == (4 if (step, size) in {("deploy", 300), ("run", 300), ("run", 6000)} else 1), said.err
    assert "make room" in said.err
    if (command, size) != ("run", 6000):  # an attempt is recorded before anything is begun
        assert record_of(folder) == before
    assert not list(folder.rglob("*.part"))

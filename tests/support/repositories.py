"""Small git repositories with a library and a project, and a guard that nothing in one changes."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

TASKS = "from mlops_tasks import namespace\n"
SETTINGS = "mlops:\n  project: training\n  libraries: [libs/*]\n"
MLPROJECT = """\
name: training
conda_env: training_env.yaml
entry_points:
  main:
    parameters:
      text: {type: string, default: hello}
    command: "python train.py --text {text}"
  fail:
    command: "python fail.py"
"""
ENVIRONMENT = """\
name: training
channels: [defaults]
dependencies:
  - python=3.10
  - pip
  - pip:
      - mlflow
      - WHEELPATH  # ours
"""
CLUSTER = '{"new_cluster": {"spark_version": "12.2.x-scala2.12"}, "libraries": [{"whl": "WHEELPATH"}]}\n'
TRAIN = """\
import argparse

import mlflow
import mylib

parser = argparse.ArgumentParser()
parser.add_argument("--text")
arguments = parser.parse_args()
with mlflow.start_run():
    mlflow.log_metric("answer", mylib.ANSWER)
print("trained with", arguments.text)
"""
FAIL = "import sys\nprint('about to fail')\nsys.exit(3)\n"
LIBRARY = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "mylib"
version = "1.0"
requires-python = ">=3.8"
"""
HATCHLING = 'requires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def git(*arguments: str, cwd: Path) -> str:
    return subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True).stdout.strip()


def make_repository(folder: Path, **changed: str) -> Path:
    """A git repository with one library and one project; `changed` replaces the texts of this module by name."""
    texts = {name: value for name, value in globals().items() if name.isupper()} | changed
    write(
        folder,
        {
            "tasks.py": texts["TASKS"],
            "invoke.yaml": texts["SETTINGS"],
            "libs/mylib/pyproject.toml": texts["LIBRARY"],
            "libs/mylib/mylib/__init__.py": "ANSWER = 42\n",
            "training/MLproject": texts["MLPROJECT"],
            "training/training_env.yaml": texts["ENVIRONMENT"],
            "training/cluster.json": texts["CLUSTER"],
            "training/train.py": texts["TRAIN"],
            "training/fail.py": texts["FAIL"],
        },
    )
    git("init", "-q", "-b", "main", cwd=folder)
    git("add", ".", cwd=folder)
    git("commit", "-q", "-m", "first", cwd=folder)
    return folder


def make_library(
    top: Path, name: str = "mylib", *, system: str = HATCHLING, project: str = "", module: str = "A = 1\n"
) -> Path:
    folder = top / "libs" / name
    about = f'[build-system]\n{system}\n[project]\nname = "{name}"\ndescription = "d"\n'
    about += "" if "dynamic" in project else 'version = "1.0"\n'
    write(folder, {"pyproject.toml": about + project, f"{name}/__init__.py": module})
    return folder


def commit(top: Path, *tags: str) -> None:
    if not (top / ".git").exists():
        git("init", "-q", "-b", "main", cwd=top)
    git("add", ".", cwd=top)
    git("commit", "-q", "-m", "now", cwd=top)
    for tag in tags:
        git("tag", tag, cwd=top)


@contextlib.contextmanager
def put_back(folder: Path) -> Iterator[Path]:
    """The folder; whatever changes in it inside is put back."""
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept, symlinks=True)
    yield folder
    shutil.rmtree(folder)
    kept.rename(folder)


@contextlib.contextmanager
def nothing_changes(folder: Path) -> Iterator[None]:
    """Whatever happens inside, no file of `folder` outside `.mlops` changes."""
    before = _snapshot(folder)
    yield
    assert _snapshot(folder) == before


def _snapshot(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    hidden = {".mlops", ".git", "__pycache__"}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in paths
        if not hidden & set(path.relative_to(folder).parts)
    }

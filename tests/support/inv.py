"""The real `inv`, in this process: what it printed and how it ended; and small repositories to call it in."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import invoke.program

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


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def inv(*arguments: str, cwd: Path) -> Said:
    """Call `inv` with `arguments` in `cwd`, as its own program does."""
    out, err = io.StringIO(), io.StringIO()
    before, path = Path.cwd(), list(sys.path)
    os.chdir(cwd)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _run(arguments)
    finally:
        os.chdir(before)
        sys.path[:] = path
        sys.modules.pop("tasks", None)
    return Said(code, out.getvalue(), err.getvalue())


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`inv` as a process of its own, which the test must see to its end."""
    command = [str(Path(sys.executable).with_name("inv")), *arguments]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def _run(arguments: tuple[str, ...]) -> int:
    program = invoke.program.Program(name="inv", binary="inv", version="0")
    try:
        program.run(["inv", *arguments])
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


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

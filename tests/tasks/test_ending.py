"""At a command's end the user's own tasks lose nothing that they leave to Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TASKS = """\
import atexit
import tempfile

from invoke import Collection, task

from mlops_tasks import processes

atexit.register(lambda: print(f"at the end {WORDS}"))

from mlops_tasks.tasks import namespace as mlops

WORDS = "all is there"
LOG = open("global.log", "w")
SCRATCH = tempfile.NamedTemporaryFile(dir=".", prefix="scratch-")


class Kept:
    def __init__(self):
        self.log = open("circle.log", "w")
        self.itself = self


KEPT = Kept()


@task
def hello(c):
    LOG.write("hello\\n")
    KEPT.log.write("hello\\n")
    with processes.importing():
        import json
    print("printed", end="")


namespace = Collection(hello)
namespace.add_collection(mlops, "mlops")
"""


def test_files_are_written_and_removed_as_without_this_package(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    inv = [str(Path(sys.executable).with_name("inv")), "hello"]
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(inv, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)

    assert done.stdout == "printedat the end all is there\n"
    assert done.stderr == ""
    written = {path.name: path.read_text() for path in tmp_path.iterdir() if path.name != "tasks.py"}
    assert written == {"global.log": "hello\n", "circle.log": "hello\n"}

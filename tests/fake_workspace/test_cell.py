"""The kernel's traps: what a program finds there that is otherwise under `python FILE`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_workspace import runtimes
from tests.fake_workspace.programs import kernel_login

CELL = Path(__file__).parent / "programs" / "cell.py"
TASK = """\
import asyncio, atexit, io, json, os, sys
found = {"argv": sys.argv, "name": __name__, "file": "__file__" in globals(), "buffer": hasattr(sys.stdout, "buffer")}
found["here"] = os.path.dirname(sys.argv[0]) in sys.path
try:
    sys.stdout.fileno()
except io.UnsupportedOperation:
    found["descriptor"] = False
try:
    open(1, "w")
except ValueError as fault:
    found["open"] = str(fault)
coroutine = asyncio.sleep(0)
try:
    asyncio.run(coroutine)
except RuntimeError as fault:
    found["loop"] = str(fault)
coroutine.close()
try:
    import mlops_tasks
except ImportError as fault:
    found["editable"] = False
atexit.register(print, "never")
print("printed")
os.system("echo by a child")
print(json.dumps(found))
sys.exit(0)
"""


def test_a_kernel_is_not_a_plain_python(tmp_path: Path) -> None:
    task, answer = tmp_path / "task.py", tmp_path / "answer.json"
    task.write_text(TASK)
    command = [sys.executable, "-u", str(CELL), str(answer), str(task), "a b"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")

    said = json.loads(answer.read_text())
    assert (done.returncode, said["error"]) == (1, "SystemExit: 0")
    assert f'File "{task}", line 26, in <module>\n    sys.exit(0)\n' in said["error_trace"]
    assert done.stderr == said["error_trace"]
    *printed, found = done.stdout.splitlines()
    assert printed == ["printed", "by a child"]
    assert json.loads(found) == {
        "argv": [str(task), "a b"],
        "name": "__main__",
        "file": False,
        "buffer": False,
        "here": False,
        "descriptor": False,
        "open": "IPython won't let you open fd=1 by default as it is likely to crash IPython.",
        "loop": "asyncio.run() cannot be called from a running event loop",
        "editable": False,
    }


@pytest.mark.parametrize(("version", "names"), [("4", ["dbutils"]), ("5", []), ("6", [])])
def test_dbutils_is_there_for_mlflow_2_where_its_entry_point_is(tmp_path: Path, version: str, names: list[str]) -> None:
    task = tmp_path / "task.py"
    task.write_text("from IPython import get_ipython\nprint([*get_ipython().ns_table['user_global']])\n")
    there = runtimes.serverless(version).entry_point
    folder = kernel_login.write(tmp_path / "kernel", host="h", token="t", kernel=CELL, entry_point=there)
    command = [sys.executable, "-u", str(CELL), str(tmp_path / "answer.json"), str(task)]
    variables = {**os.environ, "PYTHONPATH": str(folder)}
    assert subprocess.check_output(command, text=True, env=variables) == f"{names}\n"

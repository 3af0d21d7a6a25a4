"""The real `inv`: called in this process, with its output and exit code, or started as a process of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import invoke.program


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


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """The first line of the process's errors that holds `words`; the process must say them."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if words in line:
            return line
    raise AssertionError("".join(seen))

"""Runs a Python file as a cluster's kernel does, from a generated cell; any SystemExit is an error.

Called with the folder of the answer, the file and its parameters by the Python of the cluster's environment, without
anything of this package: `__main__` is the cell's, has no `__file__`, and exit and quit are not there.
"""

import builtins
import json
import os
import sys
import traceback
import types
from pathlib import Path

CELL = """\
import sys
sys.argv = {argv!r}
del sys
with open({filename!r}, "rb") as __file:
    __code = compile(__file.read(), {filename!r}, "exec")
del __file
exec(__code)
"""


def run(answer: Path, argv: list[str]) -> int:
    error = execute(CELL.format(argv=argv, filename=argv[0]))
    sys.stdout.flush()
    if error:
        sys.stderr.write(error["error_trace"])
    answer.write_text(json.dumps(error))
    return 1 if error else 0


def execute(cell: str) -> dict[str, str]:
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    del builtins.exit, builtins.quit
    try:
        exec(compile(cell, f"{Path.home()}/.ipykernel/{os.getpid()}/command--1-1", "exec"), module.__dict__)
    except BaseException as raised:  # noqa: BLE001 - whatever a task raises is its error
        return describe(raised)
    return {}


def describe(raised: BaseException) -> dict[str, str]:
    """Without the frame of this program, which is the first."""
    raised.__traceback__ = raised.__traceback__ and raised.__traceback__.tb_next
    last = traceback.format_exception_only(type(raised), raised)[-1].strip()
    return {"error": last, "error_trace": "".join(traceback.format_exception(raised))}


if __name__ == "__main__":
    sys.path.pop(0)
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))

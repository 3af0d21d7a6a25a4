"""Runs a Python file as a cluster's kernel does, with the traps that a program finds there and not under `python FILE`.

Called with the folder of the answer, the file and its parameters by the Python of the cluster's environment, without
anything of this package. The file is executed from a generated cell: `__main__` is the cell's and has no `__file__`,
exit and quit are not there, open takes none of the standard descriptors, any SystemExit is an error, 0 too. An event
loop runs in the main thread, sys.stdout is no file, .pth files have no effect, the file's folder is not on sys.path,
and what atexit was given is never called: the kernel is killed.
"""

import asyncio
import builtins
import importlib.util
import io
import json
import os
import site
import sys
import sysconfig
import traceback
import types
from pathlib import Path
from typing import IO, Any

CELL = """\
import sys
sys.argv = {argv!r}
del sys
with open({filename!r}, "rb") as __file:
    __code = compile(__file.read(), {filename!r}, "exec")
del __file
exec(__code)
"""
LAUNCHER = ["/databricks/python_shell/scripts/db_ipykernel_launcher.py", "-f", "/databricks/kernel-connections/1.json"]


class Stream(io.TextIOBase):
    """The kernel's own sys.stdout or sys.stderr: a text stream without `buffer` or a descriptor (ipykernel.iostream).

    What it is given goes to the task's log, wherever the descriptors 1 and 2 lead by then.
    """

    encoding = "UTF-8"

    def __init__(self, descriptor: int) -> None:
        self._log = os.dup(descriptor)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text)}")
        left = text.encode("utf-8", "backslashreplace")
        while left:
            left = left[os.write(self._log, left) :]
        return len(text)


def run(answer: Path, argv: list[str]) -> int:
    sys.argv = LAUNCHER
    sys.stdout, sys.stderr = Stream(1), Stream(2)
    sys.path[:] = [folder for folder in sys.path if folder in find_folders()]
    sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in str(getattr(finder, "__module__", ""))]
    del builtins.exit, builtins.quit
    if importlib.util.find_spec("dbruntime"):  # kernel_login's
        importlib.import_module("dbruntime")
    error = asyncio.new_event_loop().run_until_complete(execute(CELL.format(argv=argv, filename=argv[0])))
    if error:
        sys.stderr.write(error["error_trace"])
    answer.write_text(json.dumps(error))
    return 1 if error else 0


def find_folders() -> set[str]:
    """What sys.path has without .pth files."""
    own = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    own |= {str(Path(sysconfig.get_path("stdlib"), "lib-dynload")), *site.getsitepackages()}
    return own | set(os.environ.get("PYTHONPATH", "").split(os.pathsep))


async def execute(cell: str) -> dict[str, str]:
    module = types.ModuleType("__main__")
    vars(module)["open"] = refuse_standard_streams
    sys.modules["__main__"] = module
    try:
        exec(compile(cell, f"{Path.home()}/.ipykernel/{os.getpid()}/command--1-1", "exec"), module.__dict__)
    except BaseException as raised:  # noqa: BLE001 - whatever a task raises is its error
        return describe(raised)
    return {}


def refuse_standard_streams(file: object, *args: Any, **kwargs: Any) -> IO[Any]:
    """The `open` of an IPython kernel's cells (IPython.core.interactiveshell)."""
    if file in {0, 1, 2}:
        raise ValueError(f"IPython won't let you open fd={file} by default as it is likely to crash IPython.")
    return io.open(file, *args, **kwargs)  # type: ignore[call-overload, no-any-return]  # noqa: UP020


def describe(raised: BaseException) -> dict[str, str]:
    """Without the frame of this program, which is the first."""
    raised.__traceback__ = raised.__traceback__ and raised.__traceback__.tb_next
    last = traceback.format_exception_only(type(raised), raised)[-1].strip()
    return {"error": last, "error_trace": "".join(traceback.format_exception(raised))}


if __name__ == "__main__":
    sys.path.pop(0)
    os._exit(run(Path(sys.argv[1]), sys.argv[2:]))

"""The program that a Databricks Spark job runs in the place of the project's own, and that runs it as Python would.

Databricks executes this text without a file name, with a foreign sys.argv[0], without exit() and quit(), and takes
every SystemExit for a failure. MLflow puts lines of its own in front, after which no __future__ import may stand, and
runs it from a folder where the modules beside the project's file are not found.
"""

import builtins
import runpy
import sys
from pathlib import Path


def run(script: str, arguments: "list[str]") -> None:
    for name in ("exit", "quit"):
        if not hasattr(builtins, name):
            setattr(builtins, name, sys.exit)
    sys.path.insert(0, str(Path(script).absolute().parent))
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if end.code not in (None, 0):
            raise RuntimeError(f"{script} ended with {end.code}") from None


run(sys.argv[1], sys.argv[2:])

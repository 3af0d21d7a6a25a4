"""`python -m mlops_tasks [FOLDER]`: `inv init` where there is no tasks.py yet, or a pipeline for a CI system."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mlops_tasks import errors
from mlops_tasks.tasks import console, init


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mlops_tasks", description=init.init.__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path.cwd(), help="where to write it (default: here)")
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument("--minimal", action="store_true", help="write tasks.py and invoke.yaml alone")
    alone.add_argument("--ci", choices=init.list_pipelines(), help="write a pipeline for this CI system alone")
    given = parser.parse_args()
    try:
        if given.ci:
            init.write_pipeline(given.folder, given.ci, report=console.standard())
        else:
            command = f"{parser.prog}{' --minimal' if given.minimal else ''}"
            init.write_template(given.folder, minimal=given.minimal, report=console.standard(), command=command)
    except errors.ReleaseError as fault:
        console.standard().fail(str(fault))
        return int(fault.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())

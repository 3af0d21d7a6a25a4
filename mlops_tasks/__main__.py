"""`python -m mlops_tasks [FOLDER]`: `inv init` where there is no tasks.py yet."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mlops_tasks import errors
from mlops_tasks.tasks import console, init


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mlops_tasks", description=init.init.__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path.cwd(), help="where to write it (default: here)")
    try:
        init.write_template(parser.parse_args().folder, report=console.standard())
    except errors.ReleaseError as fault:
        console.standard().fail(str(fault))
        return int(fault.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())

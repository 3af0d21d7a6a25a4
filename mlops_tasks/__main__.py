"""`python -m mlops_tasks [FOLDER]`: lay the bundled project down where there is no tasks.py yet for `inv init`."""

from __future__ import annotations

import sys
from pathlib import Path

from mlops_tasks import console, errors
from mlops_tasks.commands import init


def main() -> int:
    try:
        init.lay_down(Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd(), report=console.standard())
    except errors.ReleaseError as fault:
        console.standard().fail(str(fault))
        return int(fault.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""pyenv as MLflow calls it; the only Python that it can install, under whatever number, is the one that runs it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.fake_workspace.programs import speech


def main(arguments: Sequence[str]) -> int:
    match list(arguments):
        case ["install", "--list"]:
            speech.say("Available versions:", *(f"  3.{minor}.0" for minor in range(8, 15)))
        case ["install", "--skip-existing", version] if not version.startswith("-"):
            install(root() / "versions" / version)
        case ["root"]:
            speech.say(str(root()))
        case _:
            return speech.refuse("pyenv", arguments)
    return 0


def root() -> Path:
    return Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")


def install(folder: Path) -> None:
    """A script and no link: Python looks for its library beside itself."""
    program = folder / "bin" / "python"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    program.chmod(0o755)

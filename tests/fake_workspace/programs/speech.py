"""The output of a stand-in program, and its refusal of a call that MLflow doesn't make."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def say(*lines: str) -> None:
    """At once: what a program says next to its own children stays in order."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def refuse(program: str, arguments: Sequence[str]) -> int:
    """The exit code of a program that was called in a way that it doesn't know."""
    complain(f"{program}: this stand-in doesn't know: {' '.join(arguments)}")
    return 2

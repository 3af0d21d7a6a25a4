"""uv with one word changed: whatever Python an environment shall have, it is the one that runs this program."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tests.fake_workspace import environments


def main(arguments: Sequence[str]) -> int:
    fixed = [f"--python={sys.executable}" if word.startswith("--python=3") else word for word in arguments]
    program = environments.uv()
    os.execv(program, [program, *fixed])

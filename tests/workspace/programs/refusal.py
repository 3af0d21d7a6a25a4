"""How a stand-in says that it was asked for more than it knows."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def refuse(program: str, arguments: Sequence[str]) -> int:
    print(f"{program}: this stand-in doesn't know: {' '.join(arguments)}", file=sys.stderr)
    return 2

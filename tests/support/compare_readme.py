"""Whether the README shows what its first command prints.

`python tests/support/compare_readme.py FILE` compares it with FILE, which holds what was printed. The branch, the
repository's name, ids, hashes and numbers may be others; the words, the places and their order may not.
"""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
MARK = "<!-- ci: release -->"


def shown() -> str:
    """The README's second code block after the mark: the first is the command."""
    return README.read_text(encoding="utf-8").partition(MARK)[2].split("```\n")[3]


def compare(printed: str) -> str:
    """What differs, as a diff; what is printed after as many lines as the README shows does not count."""
    wanted = mask(shown()).splitlines()
    found = mask(printed).splitlines()[: len(wanted)]
    return "\n".join(difflib.unified_diff(wanted, found, "README.md", "printed", lineterm=""))


def mask(text: str) -> str:
    text = re.sub(r"(?<=/Shared/)[^/\s]+(/[^/\s]+/)[^/\s]+", r"<repository>\1<branch>", text)
    text = re.sub(r"(?<=/wheels/)[^/\s]+/[^/\s]+(?=[/\s])", "<repository>/<branch>", text)
    text = re.sub(r"\b(?:[0-9a-f]{32}|[0-9a-f]{16}|(?<=sha256 )[0-9a-f]{12})\b", "<hash>", text)
    return re.sub(r"\b\d+(?:\.\d+)*\b", "<number>", text)


if __name__ == "__main__":
    difference = compare(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.exit(f"the README does not show what its command prints:\n{difference}" if difference else 0)

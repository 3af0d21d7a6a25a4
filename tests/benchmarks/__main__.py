"""One table of what the tasks cost: `python -m tests.benchmarks [--pairs N] [--short] [WORD ...]`.

Each row is two commands run in turn. WORDs choose groups, and in them the rows whose names hold one of the others. The
exit code is 1 where a ratio is above its bound; with --short, of few rows and pairs and without the limits, above twice
its bound.
"""

from __future__ import annotations

import argparse
import compileall
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import mlops_tasks
from tests.benchmarks import builds, growth, pairs, releases, startup, uploads

GROUPS = {"startup": startup, "builds": builds, "uploads": uploads, "releases": releases, "growth": growth}
SHORT = ("startup", "builds", "inv ", "libraries: 1")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help=f"groups ({', '.join(GROUPS)}), and what the names of rows hold"
    )
    parser.add_argument("--pairs", type=int, help="how often each command is timed (default: 7, with --short 2)")
    parser.add_argument("--short", action="store_true", help="few rows, against twice their bounds")
    given = parser.parse_args()
    asked = SHORT if given.short else given.words
    groups, words = [each for each in asked if each in GROUPS], [each for each in asked if each not in GROUPS]
    number = given.pairs or (2 if given.short else 7)
    compileall.compile_dir(Path(mlops_tasks.__file__).parent, quiet=1)  # as pip does
    factor = 2 if given.short else 1
    results = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as work:
        for name, group in GROUPS.items():
            if groups and name not in groups:
                continue
            for row in group.rows(Path(work)):
                if not words or any(word in row.name for word in words):
                    shortened = replace(row, limit=None) if given.short else row
                    results.append(pairs.compare(shortened, number))
                    sys.stderr.write(f"{' | '.join(results[-1].cells())}\n")
    sys.stdout.write(f"{pairs.show([each.cells() for each in results])}\n")
    above = [each.row.name for each in results if each.ratio > factor * each.row.bound]
    if above:
        sys.stdout.write(f"\nabove {f'{factor} times ' if factor > 1 else ''}the bound: {', '.join(above)}\n")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())

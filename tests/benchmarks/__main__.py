"""One table of what the tasks cost: `python -m tests.benchmarks [--pairs N] [--short] [WORD ...]`.

Each row is two commands run in turn. WORDs choose the rows whose names hold one of them. The exit code is 1 where a
ratio is above its bound; with --short, few rows and pairs, above twice its bound.
"""

from __future__ import annotations

import argparse
import compileall
import sys
import tempfile
from pathlib import Path

import mlops_tasks
from tests.benchmarks import builds, growth, pairs, releases, startup, uploads

GROUPS = {"startup": startup, "builds": builds, "uploads": uploads, "releases": releases, "growth": growth}
SHORT = ("startup", "builds")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("words", nargs="*", metavar="WORD", help="rows whose group or name holds one of these")
    parser.add_argument("--pairs", type=int, default=7, help="how often each command is timed (default: 7)")
    parser.add_argument("--short", action="store_true", help=f"only {', '.join(SHORT)}, against twice their bounds")
    given = parser.parse_args()
    compileall.compile_dir(Path(mlops_tasks.__file__).parent, quiet=1)  # as pip does
    factor = 2 if given.short else 1
    results = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as work:
        for name, group in GROUPS.items():
            if (given.short and name not in SHORT) or (set(given.words) & GROUPS.keys() and name not in given.words):
                continue
            for row in group.rows(Path(work)):
                if not given.words or any(word in f"{name} {row.name}" for word in given.words):
                    results.append(pairs.compare(row, given.pairs))
                    sys.stderr.write(f"{' | '.join(results[-1].cells())}\n")
    sys.stdout.write(f"{pairs.show([each.cells() for each in results])}\n")
    above = [each.row.name for each in results if each.ratio > factor * each.row.bound]
    if above:
        sys.stdout.write(f"\nabove {f'{factor} times ' if factor > 1 else ''}the bound: {', '.join(above)}\n")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())

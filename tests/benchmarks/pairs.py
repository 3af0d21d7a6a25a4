"""Pairs of commands timed in turn, so that a machine whose speed drifts slows both sides alike, and their table."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

HEAD = ("", "ours", "other", "ratio", "bound", "limit", "ours, MB", "other, MB")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program in `cwd`, and what is put back before each time, which is not timed."""

    arguments: Sequence[str | Path]
    cwd: Path
    environ: Mapping[str, str] | None = None
    before: Callable[[], object] = lambda: None


@dataclass(frozen=True, kw_only=True)
class Row:
    """Ours and the other command. `bound` is for the ratio of their medians.

    `limit` is the least that the work can take: a command, or seconds.
    """

    name: str
    ours: Command
    other: Command
    bound: float
    limit: Command | float | None = None


class Timed(NamedTuple):
    """Seconds on the wall, and the most memory of one process of it in MB."""

    seconds: float
    memory: float


class Result(NamedTuple):
    row: Row
    ours: Timed
    other: Timed
    limit: float | None

    @property
    def ratio(self) -> float:
        return self.ours.seconds / self.other.seconds

    def cells(self) -> list[str]:
        limit = "" if self.limit is None else f"{self.limit:.2f} s"
        seconds = (f"{self.ours.seconds:.2f} s", f"{self.other.seconds:.2f} s", f"{self.ratio:.2f}")
        return [self.row.name, *seconds, str(self.row.bound), limit, *(f"{t.memory:.0f}" for t in self[1:3])]


def compare(row: Row, pairs: int) -> Result:
    """The medians of `pairs` times each, after one time of each that does not count."""
    sides = [row.ours, row.other, *([row.limit] if isinstance(row.limit, Command) else [])]
    for side in sides:
        take(side)
    times = [[take(side) for side in sides] for _ in range(pairs)]
    medians = [Timed(*map(statistics.median, zip(*column, strict=True))) for column in zip(*times, strict=True)]
    limit = row.limit if isinstance(row.limit, float) else medians[2].seconds if len(medians) > 2 else None
    return Result(row, medians[0], medians[1], limit)


TIMER = """\
import json, os, subprocess, sys, time
begun = time.perf_counter()
program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=2)
_, status, usage = os.wait4(program.pid, 0)
seconds = time.perf_counter() - begun
print(json.dumps([seconds, usage.ru_maxrss, os.waitstatus_to_exitcode(status)]))
"""
"""Times a program. Linux counts to a program's memory that of whoever started it, so a small one does."""


def take(command: Command) -> Timed:
    """Run it once. SystemExit with what it has said where it fails."""
    command.before()
    words = [str(word) for word in command.arguments]
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", TIMER, *words],
        cwd=command.cwd,
        env=None if command.environ is None else dict(command.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, memory, code = json.loads(done.stdout)
    if code:
        sys.exit(f"{' '.join(words)} ended with {code}:\n{done.stderr}")
    return Timed(seconds, memory / (1 << 20 if sys.platform == "darwin" else 1 << 10))


def show(rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    widths = [max(map(len, column)) for column in zip(HEAD, *rows, strict=True)]
    lines = [HEAD, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )

"""Console: a Report in a terminal, results on stdout and all else on stderr. The only module that imports rich."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from mlops_tasks.report import Report, write_line

if TYPE_CHECKING:
    import rich.console

STEP_WIDTH = 12
STEERING = re.compile(r"(?!\r?$)[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", re.MULTILINE)
"""What a terminal obeys, in a name or a value that is anybody's: escapes, and marks that turn the direction of text."""
LONG_TRANSFER = 10 << 20
"""Bytes from which a transfer is told where there is no screen to draw a bar on."""


class Console(Report):
    """A Report on two streams. rich is imported when a bar, a spinner or a table is first drawn, not before.

    `spell` rewrites the commands in each text (`inv deploy`) as the user would type them. `guard` goes over each line
    before it is written: in CI it keeps the system from taking a part of one for a command.
    """

    def __init__(
        self,
        *,
        out: TextIO,
        err: TextIO,
        environ: Mapping[str, str],
        quiet: bool = False,
        verbose: bool = False,
        results: bool = True,
        spell: Callable[[str], str] = str,
        guard: Callable[[str], str] = str,
    ) -> None:
        self._out, self._err = out, err
        self._guard = guard
        self._colours = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        self._quiet, self._verbose, self._results = quiet, verbose, results
        self._spell = spell
        self.shows_output = not quiet

    def step(self, name: str, made: str) -> None:
        if self._results:
            head, *rest = _plain(made).splitlines()
            self._write(self._out, f"{self._paint(self._out, '1;36', name.ljust(STEP_WIDTH))} {head}")
            for line in rest:
                self._write(self._out, f"{'':{STEP_WIDTH}} {line}")

    def detail(self, text: str) -> None:
        if not self._quiet:
            self._write(self._err, self._paint(self._err, "2", f"  {self._spell(_plain(text))}"))

    def warning(self, text: str) -> None:
        self._write(self._err, f"{self._paint(self._err, '33', 'warning:')} {self._spell(_plain(text))}")

    def debug(self, text: str) -> None:
        if self._verbose:
            self.detail(text)

    def output(self, line: str) -> None:
        if not self._quiet:
            self._write(self._err, line)

    def text(self, text: str) -> None:
        if self._results and text:
            self._write(self._out, _plain(text).rstrip("\n"))

    def data(self, made: Mapping[str, Any]) -> None:
        """A result for programs, as JSON; a # is escaped where the guard might look for a command."""
        self.text(json.dumps(dict(made), indent=2).replace("##", "#\\u0023"))

    def command(self, line: str) -> None:
        """A command to the CI system; it reads both streams, and stdout may be a file that somebody wants."""
        write_line(self._err, line)

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False
    ) -> None:
        if not self._results:
            return
        if title:
            self._write(self._out, f"\n{_plain(title)}")
        columns, *rows = ([_plain(cell) for cell in row] for row in (columns, *rows))
        for line in self._draw(columns, rows) if numbers else self._align(columns, rows):
            self._write(self._out, line.rstrip())

    def _draw(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
        """Columns of numbers: the last ones are left out, and … stands for them, where there is no room."""
        from rich import cells, table, text

        painter = self._rich(self._out)
        widths = [max(map(cells.cell_len, column)) for column in zip(columns, *rows, strict=True)]
        kept = len(columns)
        while kept > 2 and sum(widths[:kept]) + 2 * kept + 1 > painter.width:  # noqa: PLR2004 - one column stays
            kept -= 1
        if kept < len(columns):
            columns, rows = [*columns[:kept], "…"], [[*row[:kept], ""] for row in rows]
        drawn = table.Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for index, column in enumerate(columns):
            drawn.add_column(text.Text(column), justify="right" if index else "left")
        for row in rows:
            drawn.add_row(*(text.Text(cell) for cell in row))
        with painter.capture() as captured:
            painter.print(drawn)
        return captured.get().splitlines()

    def _align(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
        """Columns of texts. The last one is never folded: a folded path cannot be copied."""
        lines = [
            list(row)
            for each in rows
            for row in itertools.zip_longest(*(cell.split("\n") for cell in each), fillvalue="")
        ]
        widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)][:-1]
        for number, line in enumerate([columns, *lines]):
            *cells, last = line
            text = "  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), last])
            yield text if number else self._paint(self._out, "1", text)

    @contextmanager
    def board(self, columns: Sequence[str]) -> Iterator[Callable[[Sequence[Sequence[str]], str], None]]:
        if self._quiet or not self._err.isatty():
            with super().board(columns) as show:
                yield show
            return
        from rich import cells, live, table, text

        def show_rows(rows: Sequence[Sequence[str]], _news: str) -> None:
            """Where there is no room it is the last column that is cut short."""
            drawn = table.Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
            for place, column in enumerate(zip(columns, *rows, strict=True), start=1):
                width = max(map(cells.cell_len, column)) if place < len(columns) else None
                drawn.add_column(column[0], no_wrap=True, min_width=width)
            for row in rows:
                drawn.add_row(*(text.Text(cell) for cell in row))
            shown.update(drawn, refresh=True)

        with live.Live(console=self._rich(self._err), transient=True, auto_refresh=False) as shown:
            yield show_rows

    @contextmanager
    def transfer(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        if self._quiet or not self._err.isatty():
            from mlops_tasks import files

            (self.detail if total >= LONG_TRANSFER else self.debug)(f"{what} ({files.show_size(total)})")
            yield lambda _: None
            return
        from rich import progress

        described = progress.TextColumn("  {task.description}", markup=False)
        columns = (described, progress.BarColumn(), progress.DownloadColumn())
        with progress.Progress(*columns, console=self._rich(self._err), transient=True) as bar:
            task = bar.add_task(_plain(what), total=total)
            yield lambda size: bar.advance(task, size)

    @contextmanager
    def waiting(self, what: str, *, short: bool = False) -> Iterator[None]:
        if self._quiet or not self._err.isatty():
            (self.debug if short else self.detail)(what)
            yield
            return
        from rich import text

        with self._rich(self._err).status(text.Text(_plain(what))):
            yield

    def fail(self, text: str) -> None:
        self._write(self._err, f"{self._paint(self._err, '1;31', 'error:')} {_plain(text)}")

    def _rich(self, stream: TextIO) -> rich.console.Console:
        from rich import console

        width = None if stream.isatty() else 120
        colours: Literal["auto"] | None = "auto" if self._colours else None
        return console.Console(file=stream, color_system=colours, highlight=False, width=width)

    def _paint(self, stream: TextIO, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colours and stream.isatty() else text

    def _write(self, stream: TextIO, line: str) -> None:
        """A stream that takes no more (`inv status | head`, a full disk) is given up, and the work itself goes on."""
        try:
            write_line(stream, self._guard(line))
        except OSError as fault:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if stream is self._out and not isinstance(fault, BrokenPipeError):
                self.warning(f"stdout takes no more: {fault.strerror}; what was done stands, and is not shown")


def _plain(text: str) -> str:
    """`text` with a ? for each character that steers a terminal; line ends and tabs stay."""
    return STEERING.sub("?", text)


def open_streams() -> None:
    """Give a process without stdin, stdout or stderr (`>&-`, services) empty ones: files would take their numbers."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - stderr's number
        os.set_inheritable(number, True)  # noqa: FBT003 - its only argument
    os.close(number)
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as we live
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as we live


def standard(
    *, quiet: bool = False, verbose: bool = False, results: bool = True, spell: Callable[[str], str] = str
) -> Console:
    """The console on this process's own streams."""
    return Console(
        out=sys.stdout,
        err=sys.stderr,
        environ=os.environ,
        quiet=quiet,
        verbose=verbose,
        results=results,
        spell=spell,
        guard=_guard(),
    )


def _guard() -> Callable[[str], str]:
    """What keeps lines from being commands to the CI system of this process; nothing outside CI."""
    from mlops_tasks.checkout import ci

    if ci.find(os.environ) is None:
        return str
    from mlops_tasks.pipeline import ci_outputs

    return ci_outputs.neutralise

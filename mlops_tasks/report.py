"""Report: the messages of steps, without how they look. `tasks.console` shows them to a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO


class Report:
    """Takes the messages of a step, which never prints. This class is silent; it is the default from Python."""

    shows_output: bool = False
    """Whether somebody sees what `output` is given."""

    def step(self, name: str, made: str) -> None:
        """The result of step `name`: a line, or several."""

    def detail(self, text: str) -> None:
        """Something a person would want to know while the step works."""

    def warning(self, text: str) -> None:
        """Something that is probably a mistake; the step goes on."""

    def debug(self, text: str) -> None:
        """What is of interest only when things go wrong (`--verbose`)."""

    def output(self, line: str) -> None:
        """One line that an entry point printed, without its line end."""

    def text(self, text: str) -> None:
        """A result that is text in itself, such as a diff."""

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False
    ) -> None:
        """A result that is a table, of `numbers` in all columns but the first, or of text. `title` may be empty."""

    def begun(self, run_id: str) -> None:
        """A run has begun, or is followed again."""

    @contextmanager
    def board(self, columns: Sequence[str]) -> Iterator[Callable[[Sequence[Sequence[str]], str], None]]:
        """A table that changes while the block works.

        The callable takes the rows as they are now, and the news in a line: shown where no table can be drawn anew.
        """
        yield lambda _rows, news: self.detail(news) if news else None

    @contextmanager
    def transfer(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """A transfer of `total` bytes; the callable takes the bytes moved since it was last called."""
        yield lambda _: None

    @contextmanager
    def waiting(self, what: str, *, short: bool = False) -> Iterator[None]:
        """Work of unknown length; `short` is work of seconds, which only a person at a screen wants to see."""
        yield


class Kept(Report):
    """Keeps what work beside other work has to say, to be told in one piece once that is done."""

    def __init__(self) -> None:
        self._said: list[Callable[[Report], None]] = []

    def detail(self, text: str) -> None:
        self._said.append(lambda to: to.detail(text))

    def warning(self, text: str) -> None:
        self._said.append(lambda to: to.warning(text))

    def debug(self, text: str) -> None:
        self._said.append(lambda to: to.debug(text))

    def tell(self, to: Report) -> None:
        for say in self._said:
            say(to)


def write_line(stream: TextIO, line: str) -> None:
    """Write `line` in one piece; a character that the stream's encoding has no place for is shown escaped."""
    encoding = stream.encoding or "utf-8"
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()

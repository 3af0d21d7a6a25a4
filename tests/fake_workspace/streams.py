"""Bodies as they come off the wire: read once, counted, slowed down or cut off, and never whole in memory."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from tests.fake_workspace.exchange import Answer, Refused
from tests.fake_workspace.faults import Line

CHUNK = 1 << 16
KEPT = 1 << 16
"""Bytes of a body that the log of requests keeps."""


class CutOff(ConnectionError):
    """The body ended before its length."""


class Body(io.RawIOBase):
    """A request's body of `length` bytes, or in chunks where that is None; `cut` bytes of it arrive at most."""

    def __init__(self, source: BinaryIO, *, length: int | None, line: Line, cut: int | None = None) -> None:
        self.size = 0
        self.head = b""
        self._source = source
        self._chunked = length is None
        self._left = length or 0
        self._ended = length == 0
        self._line = line
        self._cut = cut

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast("bytearray", buffer))
        if self._chunked and not self._left and not self._ended:
            self._open_chunk()
        if self._ended:
            return 0
        data = self._take(min(len(view), self._left, CHUNK))
        view[: len(data)] = data
        return len(data)

    def drain(self) -> None:
        """Read what nobody wanted, for the next request on this connection comes after it."""
        while self.read(CHUNK):
            pass

    def _take(self, most: int) -> bytes:
        if self._cut is not None:
            most = min(most, self._cut - self.size)
        try:
            data = self._source.read(most)
        except OSError:
            data = b""
        if not data:
            raise CutOff(f"The request's body ended after {self.size} bytes")
        self._line.carry(len(data))
        self.size += len(data)
        self.head += data[: KEPT - len(self.head)]
        self._left -= len(data)
        if not self._left:
            self._close_chunk()
        return data

    def _open_chunk(self) -> None:
        self._left = int(self._source.readline().split(b";")[0] or b"0", 16)
        self._ended = not self._left
        while self._ended and self._source.readline().strip():
            pass  # trailers

    def _close_chunk(self) -> None:
        if self._chunked:
            self._source.readline()
        else:
            self._ended = True


@dataclass(frozen=True, kw_only=True)
class FileAnswer(Answer):
    """An answer whose body is a file, or `length` bytes of it from `offset` on."""

    file: Path
    offset: int = 0
    length: int

    def chunks(self) -> Iterator[bytes]:
        with self.file.open("rb") as stream:
            stream.seek(self.offset)
            left = self.length
            while left and (data := stream.read(min(CHUNK, left))):
                left -= len(data)
                yield data


@dataclass(frozen=True)
class Form:
    """A multipart form: its fields, and the file that came with it, if one did."""

    fields: dict[str, str]
    file: Path | None


def save(source: BinaryIO, target: Path) -> None:
    with target.open("wb") as stream:
        shutil.copyfileobj(source, stream, CHUNK)


def is_form(content_type: str) -> bool:
    return content_type.lower().startswith("multipart/form-data")


def read_form(source: BinaryIO, *, content_type: str, target: Path, fields: dict[str, str]) -> Form:
    """Read a multipart form; its file goes to `target`, and `fields` fill as they arrive, before what cuts it off."""
    parts = _Parts(source, _boundary(content_type))
    file = None
    for name, is_file in parts.heads():
        if is_file:
            file = target
            with target.open("wb") as stream:
                for data in parts.data():
                    stream.write(data)
        else:
            fields[name] = b"".join(parts.data()).decode()
    return Form(fields, file)


class _Parts:
    """The parts of a multipart body, one after the other: a head, then its data."""

    def __init__(self, source: BinaryIO, boundary: bytes) -> None:
        self._source = source
        self._end = b"\r\n--" + boundary
        self._held = b"\r\n"  # the first boundary has no line end before it

    def heads(self) -> Iterator[tuple[str, bool]]:
        """The name of each part and whether it is a file."""
        for _ in self.data():
            pass
        while self._until(b"\r\n") != b"--":
            head = self._until(b"\r\n\r\n").decode()
            yield _parameter(head, "name"), "filename" in head

    def data(self) -> Iterator[bytes]:
        """The data up to the next boundary, which is read too."""
        while (found := self._held.find(self._end)) < 0:
            keep = len(self._end) - 1
            if len(self._held) > keep:
                yield self._held[:-keep]
                self._held = self._held[-keep:]
            self._fill()
        yield self._held[:found]
        self._held = self._held[found + len(self._end) :]

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._held:
            self._fill()
        before, _, self._held = self._held.partition(mark)
        return before

    def _fill(self) -> None:
        data = self._source.read(CHUNK)
        if not data:
            raise Refused(400, "MALFORMED_REQUEST", "The multipart form has no end")
        self._held += data


def _boundary(content_type: str) -> bytes:
    return _parameter(content_type, "boundary").encode()


def _parameter(text: str, name: str) -> str:
    for piece in text.replace("\r\n", ";").split(";"):
        key, _, value = piece.strip().partition("=")
        if key == name:
            return value.strip('"')
    raise Refused(400, "MALFORMED_REQUEST", f"The multipart form has no {name}")

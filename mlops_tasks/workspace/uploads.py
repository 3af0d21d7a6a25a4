"""Bodies of uploads: a file read in blocks, whatever its size, with its progress."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

BLOCK = 1 << 16


class FileBody:
    """A request's body: `before`, the file, `after`. It cannot be rewound, so that no client repeats it by itself."""

    def __init__(
        self, stream: BinaryIO, moved: Callable[[int], None], *, before: bytes = b"", after: bytes = b""
    ) -> None:
        self.moved = 0
        self._stream, self._moved = stream, moved
        self._before, self._after = before, after
        self._length = len(before) + os.fstat(stream.fileno()).st_size + len(after)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        """Requests streams a body that can be iterated."""
        return iter(lambda: self.read(BLOCK), b"")

    def read(self, size: int = BLOCK) -> bytes:
        if self._before:
            block, self._before = self._before, b""
            return block
        block = self._stream.read(size)
        self.moved += len(block)
        self._moved(len(block))
        if not block:
            block, self._after = self._after, b""
        return block


@contextlib.contextmanager
def opened(path: Path, moved: Callable[[int], None], *, before: bytes = b"", after: bytes = b"") -> Iterator[FileBody]:
    """The body for one try; where the try fails, `moved` is called with the negative of its bytes."""
    with path.open("rb") as stream:
        body = FileBody(stream, moved, before=before, after=after)
        try:
            yield body
        except BaseException:
            moved(-body.moved)
            raise


@contextlib.contextmanager
def opened_form(
    path: Path, moved: Callable[[int], None], *, fields: Mapping[str, str], file_field: str
) -> Iterator[tuple[FileBody, dict[str, str]]]:
    """A multipart form with one file, and its headers: the clients' own forms hold the whole file in memory."""
    boundary = os.urandom(16).hex()
    head = "".join(_part(boundary, f'name="{key}"', value) + "\r\n" for key, value in fields.items())
    head += _part(boundary, f'name="{file_field}"; filename="{path.name}"', "")
    tail = f"\r\n--{boundary}--\r\n"
    with opened(path, moved, before=head.encode("utf-8"), after=tail.encode("ascii")) as body:
        yield body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def _part(boundary: str, disposition: str, value: str) -> str:
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{value}"

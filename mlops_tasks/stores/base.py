"""Store: where wheels are put, listed and verified, and what happens when a name is taken."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from mlops_tasks import files


class Stored(NamedTuple):
    """One file in a store: `size` in bytes, and its SHA-256 where the store finds it out cheaply."""

    size: int
    sha256: str | None = None

    def matches(self, size: int, sha256: str) -> bool:
        """Whether this is the file of that size and SHA-256, as far as the store can tell."""
        return self.size == size and self.sha256 in {None, sha256}


class Store(Protocol):
    """A place for wheels. Every folder in it is named by a URI below the store's own root.

    Each method raises WorkspaceError where the store refuses or cannot be reached.
    """

    display_name: str

    def list_files(self, folder: str) -> dict[str, Stored]:
        """The files directly in `folder` by name; empty where there is no such folder."""

    def make_folder(self, folder: str) -> None:
        """Make `folder` and its parents; fine where it exists."""

    def read(self, uri: str) -> bytes:
        """The file's bytes; ApiError that `is_missing` where a workspace has none of that name."""

    def write(self, source: Path, folder: str, moved: Callable[[int], None]) -> str:
        """Put `source` into `folder` under its own name, whole or not at all, and return its URI.

        `moved` is called with the number of bytes of each block that was sent.
        """


def holds(store: Store, source: Path, folder: str) -> bool:
    """Whether `store` has the file `source` in `folder` under its own name."""
    there = store.list_files(folder).get(source.name)
    sha256 = files.file_sha256(source) if there and there.sha256 else ""
    return there is not None and there.matches(source.stat().st_size, sha256)


@contextlib.contextmanager
def same_content_is_fine(store: Store, source: Path, folder: str) -> Iterator[None]:
    """An upload whose name is already taken is fine if the content is the same.

    An earlier try whose answer was lost has written it, or another release of the same wheel.
    """
    from mlops_tasks.workspace import faults

    try:
        yield
    except faults.ApiError as fault:
        if not (fault.is_taken and holds(store, source, folder)):
            raise


GRACE = 2.0
"""Seconds for the writes under way to notice that they are to end."""


class Stopped(Exception):
    """Raised in a write that is no longer wanted."""


def write_files(
    sources: Sequence[Path], folder: str, *, store: Store, parallel: int, moved: Callable[[int], None]
) -> None:
    """Write `sources` into `folder`, `parallel` at a time. The first error, or Ctrl-C, ends all of it.

    A write then ends at its next block. One that hangs in the network is left behind in a daemon thread: a thread
    pool's would hold up the end of the process.
    """
    import queue

    stopped = threading.Event()
    todo = deque(sources)
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def count(size: int) -> None:
        if not stopped.is_set():
            moved(size)
        elif size > 0:
            raise Stopped

    def work() -> None:
        with contextlib.suppress(IndexError):  # none is left to write
            while not stopped.is_set():
                ended.put(_write(todo.popleft(), folder, store, count))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(parallel, len(sources)))]
    try:
        for thread in threads:
            thread.start()
        for _ in sources:
            if (fault := ended.get()) is not None:
                raise fault
    finally:
        stopped.set()
        deadline = time.monotonic() + GRACE
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _write(source: Path, folder: str, store: Store, moved: Callable[[int], None]) -> BaseException | None:
    try:
        store.write(source, folder, moved)
    except BaseException as fault:  # noqa: BLE001 - raised by `write_files`
        return fault
    return None

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

    def write(
        self, source: Path, folder: str, moved: Callable[[int], None], arrived: Callable[[], object] = lambda: None
    ) -> str:
        """Put `source` into `folder` under its own name, whole or not at all, and return its URI.

        `moved` is called with the number of bytes of each block that was sent, and `arrived` where all of them have
        arrived and more is to be asked.
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


THREADS = 16
"""As many as a session keeps connections. There are more only where more uploads are asked for."""


def write_files(
    sources: Sequence[Path], folder: str, *, store: Store, parallel: int, moved: Callable[[int], None]
) -> None:
    """Write `sources` into `folder`, `parallel` at a time. The first error, or Ctrl-C, ends all of it.

    A file makes room for the next one when it has arrived, so that the line is in use while the store is asked what it
    has got. A write that is to end does so at its next block. One that hangs in the network is left behind in a daemon
    thread: a thread pool's would hold up the end of the process.
    """
    import queue

    line = _Line(parallel, moved)
    todo = deque(sources)
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        with contextlib.suppress(IndexError):  # none is left to write
            while not line.stopped.is_set():
                ended.put(line.find_fault(todo.popleft(), folder, store))

    number = min(max(parallel, THREADS), 2 * parallel, len(sources))
    threads = [threading.Thread(target=work, daemon=True) for _ in range(number)]
    try:
        for thread in threads:
            thread.start()
        for _ in sources:
            if (fault := ended.get()) is not None:
                raise fault
    finally:
        line.stopped.set()
        deadline = time.monotonic() + GRACE
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


class _Line:
    """Room for `parallel` files at a time; once it is `stopped` none of them goes on."""

    def __init__(self, parallel: int, moved: Callable[[int], None]) -> None:
        self.stopped = threading.Event()
        self._room = threading.Semaphore(parallel)
        self._moved = moved

    def find_fault(self, source: Path, folder: str, store: Store) -> BaseException | None:
        """Write the file: what went wrong, if anything did."""
        try:
            self._write(source, folder, store)
        except BaseException as fault:  # noqa: BLE001 - raised by `write_files`
            return fault
        return None

    def _write(self, source: Path, folder: str, store: Store) -> None:
        with contextlib.ExitStack() as sending:
            sending.enter_context(self._room)

            def count(size: int) -> None:
                if not self.stopped.is_set():
                    self._moved(size)
                elif size > 0:
                    raise Stopped

            if not self.stopped.is_set():
                store.write(source, folder, count, sending.close)

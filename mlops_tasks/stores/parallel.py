"""Write several files into one folder of a store at once."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mlops_tasks.stores.base import Store

GRACE = 2.0
"""Seconds for the writes under way to notice that they are to end."""


class Stopped(Exception):
    """Raised in a write that is no longer wanted."""


def write_files(
    sources: Sequence[Path], folder: str, *, store: Store, parallel: int, moved: Callable[[int], None]
) -> None:
    """Write `sources` into `folder`, `parallel` at a time. The first fault, or Ctrl-C, ends all of it.

    A write ends at its next block then. One that hangs in the network is left behind: its thread does not hold up
    the end of the process, which a thread pool's would.
    """
    batch = _Batch(sources, folder, store, moved)
    crew = [threading.Thread(target=batch.work, daemon=True) for _ in range(min(parallel, len(sources)))]
    try:
        for thread in crew:
            thread.start()
        for _ in sources:
            batch.await_one()
    finally:
        batch.stopped.set()
        deadline = time.monotonic() + GRACE
        for thread in crew:
            thread.join(max(0.0, deadline - time.monotonic()))


class _Batch:
    def __init__(self, sources: Sequence[Path], folder: str, store: Store, moved: Callable[[int], None]) -> None:
        self.stopped = threading.Event()
        self._folder, self._store, self._moved = folder, store, moved
        self._todo: queue.SimpleQueue[Path] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        for source in sources:
            self._todo.put(source)

    def work(self) -> None:
        """Write one file after the other, until there are none or this is to end."""
        while not self.stopped.is_set():
            try:
                source = self._todo.get_nowait()
            except queue.Empty:
                return
            self._ended.put(self._write(source))

    def await_one(self) -> None:
        """Wait for the next write to end, and raise what it ended with."""
        fault = self._ended.get()
        if fault is not None:
            raise fault

    def _write(self, source: Path) -> BaseException | None:
        try:
            self._store.write(source, self._folder, self._tell)
        except BaseException as fault:  # noqa: BLE001 - it is raised where it is waited for
            return fault
        return None

    def _tell(self, size: int) -> None:
        if not self.stopped.is_set():
            self._moved(size)
        elif size > 0:
            raise Stopped

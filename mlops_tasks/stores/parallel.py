"""Write several files into one folder of a store at once."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
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
    """Write `sources` into `folder`, `parallel` at a time. The first error, or Ctrl-C, ends all of it.

    A write then ends at its next block. One that hangs in the network is left behind in a daemon thread: a thread
    pool's would hold up the end of the process.
    """
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

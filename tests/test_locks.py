from __future__ import annotations

import concurrent.futures
import threading
from pathlib import Path

from mlops_tasks import locks


def test_a_lock_that_was_pruned_while_it_was_waited_for_is_taken_anew(tmp_path: Path) -> None:
    lock = tmp_path / "environment.lock"
    began = threading.Event()

    def take() -> bool:
        began.set()
        with locks.built_once(lock):
            return locks.is_held(lock)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with locks.built_once(lock):
            taken = pool.submit(take)
            began.wait()
            lock.unlink()
        assert taken.result(30)

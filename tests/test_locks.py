from __future__ import annotations

import concurrent.futures
import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from mlops_tasks import errors, locks


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


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS], ids=errno.errorcode.get)
def test_a_file_system_without_locks_is_named_wherever_something_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)

    for lock in (
        locks.held(tmp_path / "lock", "name"),
        locks.built_once(tmp_path / "lock"),
        locks.workplace(tmp_path),
        locks.lock_folder(tmp_path),
    ):
        with pytest.raises(errors.StepFailed, match="this file system has no locks") as caught, lock:
            raise AssertionError
        assert str(tmp_path) in caught.value.where
    locks.sweep(tmp_path)

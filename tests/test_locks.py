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


def test_a_lock_that_was_pruned_just_before_it_was_locked_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "attempt.lock"
    real = fcntl.flock

    def prune_first(handle: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        lock.unlink()
        real(handle, operation)

    monkeypatch.setattr(fcntl, "flock", prune_first)

    with locks.held(lock, "run"):
        assert locks.is_held(lock)


def test_what_is_built_is_used_by_several_at_once(tmp_path: Path) -> None:
    lock, built = tmp_path / "environment.lock", tmp_path / "built"

    with locks.built_once(lock, is_built=built.exists) as is_done:
        built.touch()
        is_done()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:

            def use() -> bool:
                with locks.built_once(lock, is_built=built.exists):
                    return True

            assert pool.submit(use).result(30)


@pytest.mark.parametrize(
    "number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO, errno.EACCES], ids=errno.errorcode.get
)
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


def test_a_lock_is_held_by_whoever_makes_it_and_before_that_by_nobody(tmp_path: Path) -> None:
    assert not locks.is_held(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()

    with locks.held(tmp_path / "a new record" / "lock", "name"):
        assert locks.is_held(tmp_path / "a new record" / "lock")


def test_a_lock_names_its_holder_alone_whoever_held_it_before(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("the much longer words of an earlier holder, " * 9)

    with locks.held(lock, "name"):
        assert locks.is_held(lock)
        with pytest.raises(errors.OutOfOrder) as caught, locks.held(lock, "deploy"):
            raise AssertionError
    assert not locks.is_held(lock)

    held_by = f"another command holds this release: name, process {os.getpid()} on {os.uname().nodename}, since "
    assert caught.value.what.startswith(held_by)
    assert len(caught.value.what) == len(held_by) + len("hh:mm:ss")


def test_a_workplace_is_swept_only_when_its_block_has_ended(tmp_path: Path) -> None:
    with locks.workplace(tmp_path / "new") as place:
        locks.sweep(place)
        assert place.is_dir()
    assert not place.exists()

    place.mkdir()
    locks.sweep(place)
    assert not place.exists()


def test_a_thing_that_is_used_is_not_removed(tmp_path: Path) -> None:
    lock, folder = tmp_path / "made.lock", tmp_path / "made"
    folder.mkdir()

    with locks.built_once(lock) as is_done:
        is_done()
        locks.remove_unused(folder, lock)
        assert folder.is_dir()
    locks.remove_unused(folder, lock)

    assert not folder.exists()
    assert not lock.exists()

"""Every lock on files and folders. The system frees a lock when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from mlops_tasks import errors

_OTHERS_HOLD = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOSPC)
"""What flock says where somebody else has the lock, or the disk is full; all else means that there are no locks."""


@contextlib.contextmanager
def held(
    path: Path, task: str, *, wait: Callable[[str], None] | None = None, cure: str = "wait until it has ended"
) -> Iterator[None]:
    """Hold the lock file `path` for `task`; OutOfOrder, with the holder's name in it, where another command does.

    With `wait` nothing is raised: `wait` is called with the same words, and the lock is waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+", encoding="utf-8") as stream:
            if not _take(stream, path):
                holder = path.read_text(encoding="utf-8").strip() or "a process that has just begun"
                busy = f"another command holds this release: {holder}"
                if wait is None:
                    raise errors.OutOfOrder(busy, where=path, cure=cure)
                wait(busy)
                _flock(stream.fileno(), fcntl.LOCK_EX, path)
            if not _is_at(stream, path):
                continue  # it was removed before it was locked
            # `task` stands without `inv`, which would be shown with the flags of whoever meets the lock
            since = datetime.now(timezone.utc).astimezone().strftime("%H:%M:%S")
            stream.truncate(0)
            stream.write(f"{task}, process {os.getpid()} on {os.uname().nodename}, since {since}")
            stream.flush()
            yield
            return


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock file `path`."""
    if not path.exists():
        return False
    with path.open("a") as stream:
        return not _take(stream, path)


def _take(stream: IO[str], path: Path) -> bool:
    """Lock the file unless somebody else has locked it, and return whether that is done."""
    try:
        _flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB, path)
    except BlockingIOError:
        return False
    return True


def _flock(handle: int, operation: int, path: Path) -> None:
    """Lock what `handle` has open, which is at `path`; StepFailed where the file system has no locks."""
    try:
        fcntl.flock(handle, operation)
    except OSError as fault:
        if fault.errno in _OTHERS_HOLD:
            raise
        raise errors.StepFailed(
            f"this file system has no locks: {fault.strerror}",
            where=path,
            cure="put the repository on a disk of this machine, or switch locks on where that disk is (NFS: lockd)",
        ) from fault


@contextlib.contextmanager
def built_once(path: Path, *, is_built: Callable[[], bool] = lambda: False) -> Iterator[Callable[[], None]]:
    """Hold the lock file `path` of something that one process builds and several may use.

    The block begins alone, unless the thing `is_built` already. It calls the function that it gets when the building
    is done: others may then begin, and `remove_unused` leaves the thing alone until the block ends.
    """
    while True:
        with path.open("a") as lock:
            _flock(lock.fileno(), fcntl.LOCK_SH, path)
            if not is_built():
                _flock(lock.fileno(), fcntl.LOCK_EX, path)  # which lets go of the shared lock first
            if _is_at(lock, path):  # else it was removed while it was waited for
                yield lambda: _flock(lock.fileno(), fcntl.LOCK_SH, path)
                return


def remove_unused(path: Path, lock_file: Path) -> None:
    """Remove a file or a folder that is used under the lock `lock_file` alone, with that, unless somebody holds it."""
    with lock_file.open("a") as lock:
        if _take(lock, lock_file):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            lock_file.unlink(missing_ok=True)


@contextlib.contextmanager
def workplace(parent: Path, *, prefix: str = ".new-") -> Iterator[Path]:
    """A new folder below `parent` for this block alone, removed at its end; a killed process leaves it to `sweep`."""
    parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as place,
        lock_folder(Path(place), fcntl.LOCK_SH),
    ):
        yield Path(place)


def sweep(place: Path) -> None:
    """Remove a `workplace`, unless its block is still running."""
    with contextlib.suppress(OSError, errors.StepFailed), lock_folder(place, fcntl.LOCK_EX | fcntl.LOCK_NB):
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def lock_folder(folder: Path, operation: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a lock on a `folder` that exists, by default alone: others that lock it wait until the block ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        _flock(handle, operation, folder)
        yield
    finally:
        os.close(handle)


def _is_at(stream: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False

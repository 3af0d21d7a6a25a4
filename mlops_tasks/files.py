"""Files and folders: written whole or not at all, walked, copied and hashed.

What is done for each of a project's files goes by `os`: pathlib takes longer than the file system does.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""How the system says that there is no room: a full disk, a quota, or the process's limit on file sizes."""


BLOCK = 1 << 20
"""The most bytes that are held of a file."""


@contextlib.contextmanager
def written_whole(path: Path, *, is_kept: bool = True) -> Iterator[BinaryIO]:
    """A file that takes the place of `path`, and its mode, when the block ends well; it leaves no trace when not.

    Unless it `is_kept` it may be gone after the machine has stopped.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            if is_kept:
                os.fsync(stream.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def copy_stream(source: Path, target: BinaryIO, moved: Callable[[int], None], block: int = BLOCK) -> None:
    """Copy `source` into `target` with bounded memory, calling `moved` with the bytes of each block."""
    with source.open("rb") as stream:
        while data := stream.read(block):
            target.write(data)
            moved(len(data))


def walk(
    folder: str | Path,
    *,
    skip: Callable[[os.DirEntry[str]], bool] | None = None,
    onerror: Callable[[OSError], None] | None = None,
) -> list[str]:
    """The files and links below `folder`, as sorted relative paths.

    Links to folders count as links and are not entered, nor is a folder that `skip` is true of. A folder that cannot
    be read is handed to `onerror`, or passed over.
    """
    found: list[str] = []
    folders = [("", os.fspath(folder))]
    while folders:
        around, path = folders.pop()
        try:
            with os.scandir(path) as listed:
                entries = list(listed)
        except OSError as fault:
            if onerror is not None:
                onerror(fault)
            continue
        for entry in entries:
            if skip is not None and skip(entry):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append((f"{around}{entry.name}/", entry.path))
            else:
                found.append(f"{around}{entry.name}")
    return sorted(found)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one."""
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry))


def is_environment(folder: str) -> bool:
    """Whether the folder is a virtual environment of Python's; one that cannot be looked into is none."""
    return os.path.exists(f"{folder}/pyvenv.cfg")


def copy(source: str | Path, target: str | Path, *, leads_to: Callable[[Path], str | Path] | None) -> None:
    """Copy a file, or a link as one that leads to `leads_to(source)`; with None the file behind the link is copied.

    The target's folder is made. Of pipes and the like nothing is copied. Of the mode only the owner's executable bit
    is kept (0755 or 0644): the others depend on the umask of whoever made the source.
    """
    status = os.stat(source) if leads_to is None else os.lstat(source)
    if leads_to is not None and stat.S_ISLNK(status.st_mode):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(leads_to(Path(source)), target)
        return
    if not stat.S_ISREG(status.st_mode):
        return
    read_from = os.open(source, os.O_RDONLY)
    try:
        written_to = _create(target, 0o755 if status.st_mode & stat.S_IXUSR else 0o644)
        try:
            if status.st_size <= BLOCK or not _copy_within_system(read_from, written_to, status.st_size):
                while block := os.read(read_from, min(BLOCK, status.st_size + 1)):
                    while block:
                        block = block[os.write(written_to, block) :]
        finally:
            os.close(written_to)
    finally:
        os.close(read_from)


def _copy_within_system(read_from: int, written_to: int, size: int) -> bool:
    """Copy by the system's own means, by reference where the file system can; False, and no byte copied, where not."""
    if not hasattr(os, "copy_file_range"):  # Linux alone has it
        return False
    left = size
    try:
        while left and (copied := os.copy_file_range(read_from, written_to, left)):
            left -= copied
    except OSError as fault:
        if is_full(fault) or fault.errno == errno.EIO:
            raise  # with any other it says, in one of many ways, that it cannot
    if not left:
        left = size - os.fstat(written_to).st_size
    if left:
        os.lseek(read_from, 0, os.SEEK_SET)
        os.lseek(written_to, 0, os.SEEK_SET)
        os.ftruncate(written_to, 0)
    return not left


def _create(path: str | Path, mode: int) -> int:
    """A handle to write to the file, which is emptied or made, its folder too."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        handle = os.open(path, flags)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle = os.open(path, flags)
    os.fchmod(handle, mode)  # whatever the umask is
    return handle


LAST_BYTES = 1 << 16


def last_lines(path: Path, number: int) -> list[str]:
    """The last lines of a text that are not blank at its end; none where there is no file."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - LAST_BYTES))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return []
    return text.rstrip().splitlines()[-number:]


def show_size(size: int) -> str:
    """`size` bytes for a person: `865 bytes`, `1.3 kB`, `64.0 MB`."""
    shown = float(size)
    for unit in ("bytes", "kB", "MB"):
        if shown < 1000:  # noqa: PLR2004 - a kB is 1000 bytes
            return f"{size} bytes" if unit == "bytes" else f"{shown:.1f} {unit}"
        shown /= 1000
    return f"{shown:.1f} GB"


def relative(path: Path, top: Path) -> str:
    """`path` as the record keeps it: relative to `top` where it lies below that, else absolute."""
    whole = path.resolve()
    return whole.relative_to(top).as_posix() if whole.is_relative_to(top) else str(whole)


def is_full(fault: OSError) -> bool:
    return fault.errno in FULL


def says_full(text: str) -> bool:
    """Whether a program's words are that there is no room, in the system's spelling or in SQLite's."""
    return "database or disk is full" in text or any(os.strerror(number) in text for number in FULL)


def is_writable(path: Path) -> bool:
    """Whether the file can be written to, and others made beside it: a read-only disk refuses its owner too."""
    try:
        os.close(os.open(path, os.O_WRONLY))
    except OSError:
        return False
    return os.access(path.parent, os.W_OK)


def find_gone(path: Path) -> Path | None:
    """The outermost folder on the way to `path` that is not there, or the path itself; None where all of it is."""
    return next((each for each in reversed([path, *path.parents]) if not os.path.lexists(each)), None)


_DIGESTED = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(inputs: Mapping[str, object]) -> str:
    """SHA-256 (hex) over `inputs` as JSON with sorted keys; texts may hold lone surrogates, tuples count as lists."""
    return sha256(_DIGESTED.encode(inputs).encode("ascii"))


def sha256(data: bytes) -> str:
    """SHA-256 (hex) of `data`."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: str | Path) -> str:
    """SHA-256 (hex) of a file's content, read in blocks."""
    return _sha256(path, os.stat(path).st_size)


def _sha256(path: str | Path, size: int) -> str:
    found = hashlib.sha256()
    handle = os.open(path, os.O_RDONLY)
    try:
        while block := os.read(handle, min(BLOCK, size + 1)):
            found.update(block)
    finally:
        os.close(handle)
    return found.hexdigest()


def fingerprint(path: str | Path) -> tuple[str, str]:
    """`link` and where it leads, `program` (executable) or `file` and its SHA-256 (hex).

    Two empty texts for pipes and the like: reading one waits for ever.
    """
    return _fingerprint(path, os.lstat(path))


def _fingerprint(path: str | Path, status: os.stat_result) -> tuple[str, str]:
    if stat.S_ISLNK(status.st_mode):
        return "link", os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return "", ""
    return "program" if status.st_mode & stat.S_IXUSR else "file", _sha256(path, status.st_size)


CLOCK_STEP = 2.0
"""Seconds by which the times of two writes may differ and still be told as one: what FAT keeps, the coarsest."""


class Fingerprints:
    """The `fingerprint` of each file, taken once for as long as the file's inode, size and times stay as they were."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], tuple[str, str]]] = {}

    def __call__(self, path: str) -> tuple[str, str]:
        status = os.lstat(path)
        known = self._recall(path, status)
        if known is not None:
            return known
        looked_at = time.time()
        found = _fingerprint(path, status)
        if max(status.st_mtime, status.st_ctime) + CLOCK_STEP < looked_at:  # else a write could leave no trace
            self._known[path] = _state(status), found
        return found

    def copy(self, source: str, target: str, *, leads_to: Callable[[Path], str | Path]) -> tuple[str, str]:
        """Do as `copy` does; the answer is the fingerprint of what was copied, and two empty texts of pipes."""
        before = self._recall(source, os.lstat(source))
        copy(source, target, leads_to=leads_to)
        if before is not None and before == self._recall(source, os.lstat(source)):
            return before
        return fingerprint(target) if os.path.lexists(target) else ("", "")

    def _recall(self, path: str, status: os.stat_result) -> tuple[str, str] | None:
        state, found = self._known.get(path, (None, ("", "")))
        return found if state == _state(status) else None


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns

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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""How the system says that there is no room: a full disk, a quota, or the process's limit on file sizes."""


BLOCK = 1 << 20
"""The most bytes that are held of a file."""


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path`, and its mode, when the block ends well; it leaves no trace when not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
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
    folder: Path,
    *,
    skip: Callable[[Path], bool] | None = None,
    onerror: Callable[[OSError], None] | None = None,
) -> list[str]:
    """The files and links below `folder`, as sorted relative paths.

    Links to folders count as links and are not entered, nor is a folder that `skip` is true of. A folder that cannot
    be read is handed to `onerror`, or passed over.
    """

    def is_in(base: str, name: str) -> bool:
        return skip is None or not skip(Path(base, name))

    found: list[str] = []
    for base, folders, names in os.walk(folder, onerror=onerror):
        links = {name for name in folders if os.path.islink(f"{base}/{name}")}
        folders[:] = [name for name in folders if name not in links and is_in(base, name)]
        inside = Path(base).relative_to(folder).as_posix()
        around = "" if inside == "." else f"{inside}/"
        found += [f"{around}{name}" for name in (*names, *links) if is_in(base, name)]
    return sorted(found)


def copy(source: str | Path, target: str | Path, *, leads_to: Callable[[Path], Path] | None) -> tuple[str, str]:
    """Copy a file, or a link as one that leads to `leads_to(source)`; with None the file behind the link is copied.

    Returns the `fingerprint` of what was copied, taken on the way. The target's folder is made. Of the mode only the
    owner's executable bit is kept (0755 or 0644): the others depend on the umask of whoever made the source.
    """
    if not os.path.isdir(os.path.dirname(target)):
        Path(target).parent.mkdir(parents=True, exist_ok=True)
    if leads_to is not None and os.path.islink(source):
        Path(target).symlink_to(leads_to(Path(source)))
        return "link", os.readlink(source)
    found = hashlib.sha256()
    with _opened(source) as read_from, _opened(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as written_to:
        is_program = bool(os.fstat(read_from).st_mode & stat.S_IXUSR)
        for block in _blocks(read_from):
            found.update(block)
            left = block
            while left:
                left = left[os.write(written_to, left) :]
        os.fchmod(written_to, 0o755 if is_program else 0o644)
    return "program" if is_program else "file", found.hexdigest()


@contextlib.contextmanager
def _opened(path: str | Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    handle = os.open(path, flags)
    try:
        yield handle
    finally:
        os.close(handle)


def _blocks(handle: int) -> Iterator[bytes]:
    size = min(BLOCK, os.fstat(handle).st_size + 1)
    while block := os.read(handle, size):
        yield block


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


def digest(inputs: Mapping[str, object]) -> str:
    """SHA-256 (hex) over `inputs` as JSON with sorted keys; texts may hold lone surrogates, tuples count as lists."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode("ascii"))


def sha256(data: bytes) -> str:
    """SHA-256 (hex) of `data`."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: str | Path) -> str:
    """SHA-256 (hex) of a file's content, read in blocks."""
    found = hashlib.sha256()
    with _opened(path) as handle:
        for block in _blocks(handle):
            found.update(block)
    return found.hexdigest()


def fingerprint(path: str | Path) -> tuple[str, str]:
    """`link` and where it leads, `program` (executable) or `file` and its SHA-256 (hex).

    Two empty texts for pipes and the like: reading one waits for ever.
    """
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return "link", os.readlink(path)
    if not stat.S_ISREG(mode):
        return "", ""
    return "program" if mode & stat.S_IXUSR else "file", file_sha256(path)

"""FolderStore: wheels in a folder of this machine, by paths relative to the top folder where they lie below it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlops_tasks import errors, files
from mlops_tasks.stores import base


class FolderStore:
    display_name = "folder"

    def __init__(self, *, top: Path) -> None:
        self._top = top

    def list_files(self, folder: str) -> dict[str, base.Stored]:
        path = self._top / folder
        try:
            entries = [entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith(".")]
            return {
                entry.name: base.Stored(size=entry.stat().st_size, sha256=files.file_sha256(entry)) for entry in entries
            }
        except FileNotFoundError:
            return {}
        except OSError as fault:
            raise _refused("cannot be read", path, fault) from fault

    def make_folder(self, folder: str) -> None:
        path = self._top / folder
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise _refused("cannot be made", path, fault) from fault

    def read(self, uri: str) -> bytes:
        path = self._top / uri
        try:
            return path.read_bytes()
        except OSError as fault:
            raise _refused("cannot be read", path, fault) from fault

    def write(
        self, source: Path, folder: str, moved: Callable[[int], None], arrived: Callable[[], object] = lambda: None
    ) -> str:
        path = self._top / folder / source.name
        try:
            if path.exists() and files.file_sha256(path) != files.file_sha256(source):
                raise errors.WorkspaceError(
                    "another wheel has that name", where=path, cure="find out who put it there, and move it away"
                )
            with files.written_whole(path) as target:
                files.copy_stream(source, target, moved)
        except OSError as fault:
            raise _refused("cannot be written", path, fault) from fault
        return f"{folder}/{source.name}"


def _refused(what: str, path: Path, fault: OSError) -> errors.WorkspaceError:
    why, cure = fault.strerror, "correct that, or set wheel_root to another folder"
    if files.is_full(fault):
        why, cure = f"no room ({fault.strerror})", "make room, then `inv deploy`"
    elif isinstance(fault, FileExistsError | NotADirectoryError):
        why = "a file stands where a folder should be"
        cure = "move that file away, or set wheel_root to another folder"
    return errors.WorkspaceError(f"the wheel store {what}: {why}", where=path, cure=cure)

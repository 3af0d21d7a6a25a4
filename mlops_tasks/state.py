"""The folder `.mlops`: everything that we write, and where in it."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlops_tasks import errors, files, locks

KEPT = 10
"""How many staged copies, run logs, environments, wheels and fetched projects survive a pruning, of each kind."""
KEPT_RECORDS = 50
"""How many records of runs do: they are small, and a run is found by its id."""
RECENT = 3600
"""Seconds for which whatever was used stays: somebody may be at work with it who has not recorded it yet."""

HALF = r"\..*\.part"
"""Files that `files.written_whole` did not come to the end of: those of wheels go with the folder that they are in."""


class StateFolder:
    """`.mlops` below the top folder. It ignores itself, so that git never sees it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.folder = top / ".mlops"
        self.wheels = self.folder / "wheels"
        self.fetched = self.folder / "fetched"
        self.store = self.folder / "workspace" / "wheels"
        self.environments = self.folder / "environments"
        self.artifacts = self.folder / "artifacts"
        self.database = self.folder / "mlflow.db"

    def record_folder(self, project_slug: str, target: str) -> Path:
        return self.folder / project_slug / target

    def create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        ignore = self.folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")

    @contextlib.contextmanager
    def usable(self) -> Iterator[None]:
        """Raise StepFailed for whatever the file system refuses below this folder.

        That a disk is full is known without a file's name, too: a failing write has none.
        """
        try:
            yield
        except OSError as fault:
            names = [name for name in (fault.filename, fault.filename2) if isinstance(name, str)]
            ours = [name for name in names if Path(name).is_relative_to(self.folder)]
            if not ours and not files.is_full(fault):
                raise
            raise errors.StepFailed(
                f"the state of this release cannot be kept: {fault.strerror}",
                where=ours[0] if ours else self.folder,
                cure="make room where it is full, move away what stands in the way, or make it writable; then repeat",
            ) from fault

    def prune(self, record_folder: Path, *, keep: Path | None = None) -> None:
        """Let go of all but the newest of whatever grows with each release, and of what killed processes left.

        What the current records name stays, such as an attempt that can still be resumed; so do deployed wheels that
        the record of an earlier run names, and `keep` (the staged copy in use).
        """
        staged, runs = record_folder / "staged", record_folder / "runs"
        for old in (*_oldest(runs, r".*\.log"), *_oldest(runs, r".*\.json", kept=KEPT_RECORDS)):
            old.unlink(missing_ok=True)
        for left in (*_oldest(record_folder, HALF, kept=0), *_oldest(runs, HALF, kept=0)):
            left.unlink(missing_ok=True)
        for folder in (staged, self.wheels, *self.fetched.glob("*")):
            self._prune_folders(folder, keep=keep, records=("*/*/release.json",))
            for left in _oldest(folder, r"\.(new|run)-.*", kept=0):
                locks.sweep(left)
        self._prune_folders(record_folder / "attempts", keep=keep, records=("*/*/release.json",), kept=0)
        for folder in self.store.glob("*"):
            self._prune_folders(folder, keep=keep, records=("*/*/release.json", "*/*/runs/*.json"))

    def _prune_folders(self, folder: Path, *, keep: Path | None, records: Iterable[str], kept: int = KEPT) -> None:
        """Folders go by a hash or an attempt's id, which a record that names one holds as it is."""
        if not (old := _oldest(folder, r"[0-9a-f]{16,64}", kept=kept)):
            return
        named = "".join(_read(path) for pattern in records for path in self.folder.glob(pattern))
        for path in old:
            if path.name not in named and not (keep and keep.is_relative_to(path)):
                shutil.rmtree(path, ignore_errors=True)


def last_used(path: Path) -> float:
    """When `path` was last changed or touched (seconds since 1970); 0 for what somebody else has just pruned."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0


def _oldest(folder: Path, pattern: str, *, kept: int = KEPT) -> list[Path]:
    if not folder.is_dir():
        return []
    used = {path: last_used(path) for path in folder.iterdir() if re.fullmatch(pattern, path.name)}
    beyond = sorted(used, key=used.__getitem__, reverse=True)[kept:]
    return [path for path in beyond if used[path] < time.time() - RECENT]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""

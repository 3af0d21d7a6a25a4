"""The folder `.mlops`: everything that we write, and where in it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from mlops_tasks import errors, files

KEPT = 10
"""How many staged copies, run logs and environments survive a pruning."""


class StateFolder:
    """`.mlops` below the top folder. It ignores itself, so that git never sees it."""

    def __init__(self, top: Path) -> None:
        self.folder = top / ".mlops"
        self.wheels = self.folder / "wheels"
        self.fetched = self.folder / "fetched"
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

    def prune(self, record_folder: Path, *, keep: Path) -> None:
        """Let go of all but the newest staged copies and run logs; `keep` (the staged copy in use) always stays."""
        for old in _oldest(record_folder / "staged", pattern=r"[0-9a-f]{16}"):
            if not keep.is_relative_to(old):
                shutil.rmtree(old, ignore_errors=True)
        for old in _oldest(record_folder / "runs", pattern=r".*\.log"):
            old.unlink(missing_ok=True)


def _oldest(folder: Path, *, pattern: str) -> list[Path]:
    if not folder.is_dir():
        return []
    entries = [Path(entry.path) for entry in os.scandir(folder) if re.fullmatch(pattern, entry.name)]
    return sorted(entries, key=lambda entry: entry.stat().st_mtime, reverse=True)[KEPT:]

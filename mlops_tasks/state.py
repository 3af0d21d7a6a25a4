"""The folder `.mlops`: the place of every file that is written, and which of them may be removed."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mlops_tasks import errors, files, locks

KEPT = 10
"""How many staged copies, run logs, environments, wheels and fetched projects are kept, of each kind."""
KEPT_RECORDS = 50
"""How many records of runs, and of branches, are kept: they are small, and a run is found by its id."""
RECENT = 3600
"""Seconds for which a used file is kept: the command that uses it may not have recorded it yet."""

BRANCHES = "*/*/branches/*"
"""Where the branches' folders are below `.mlops`: one for each project, environment and branch."""
RECORDS = f"{BRANCHES}/release.json"
RUNS = "*/*/runs/*.json"
CURRENT = (RECORDS, f"{BRANCHES}/attempts/*.json", f"{BRANCHES}/sweeps/*.json")
"""Where the current records are: of each branch, and of each of its attempts and sweeps that have not ended."""
HALF = r"\..*\.part"
"""Leftovers of interrupted writes; those of wheels go with their folder."""


class StateFolder:
    """`.mlops` below the top folder. It ignores itself, so that git never sees it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.folder = top / ".mlops"
        self.wheels = self.folder / "wheels"
        self.fetched = self.folder / "fetched"
        self.store = self.folder / "workspace" / "wheels"
        self.environments = self.folder / "environments"
        self.logs = self.folder / "logs"
        self.series = self.folder / "series"
        self.artifacts = self.folder / "artifacts"
        self.database = self.folder / "mlflow.db"

    def release_folder(self, project: str, environment: str) -> Path:
        """The folder of a project's releases to one environment, both as slugs.

        What is named by content or by run serves all branches.
        """
        return self.folder / project / environment

    def record_folder(self, project: str, environment: str, branch: str) -> Path:
        return self.release_folder(project, environment) / "branches" / branch

    def branch_folders(self) -> list[Path]:
        """The folders with the records of all projects, environments and branches."""
        return sorted(self.folder.glob(BRANCHES))

    def run_records(self) -> list[Path]:
        """The records of all runs that have ended, the last one first; each is called by its run's id."""
        return sorted(self.folder.glob(RUNS), key=last_used, reverse=True)

    def records(self) -> list[Path]:
        """The records of all projects, environments and branches, the last used first."""
        return sorted(self.folder.glob(RECORDS), key=last_used, reverse=True)

    def create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        ignore = self.folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")

    def complete(self, environ: Mapping[str, str]) -> dict[str, str]:
        """`environ` for programs: where the user has no home, or none for uv's cache to be in, with one below here."""
        home = environ.get("HOME") or _home_on_record()
        found = dict(environ)
        if not home:
            found["HOME"] = str(self.folder / "home")
        cache = Path(environ.get("XDG_CACHE_HOME") or Path(home or "/") / ".cache") / "uv"
        if "UV_CACHE_DIR" not in environ and not _can_be_made(cache):
            found["UV_CACHE_DIR"] = str(self.folder / "cache")
        return found

    @contextlib.contextmanager
    def usable(self) -> Iterator[None]:
        """Raise StepFailed for an OSError below this folder, and for a full disk, whose error may name no file."""
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

    def prune(self, release_folder: Path, *, keep: Path | None = None) -> None:
        """Remove all but the newest staged copies, logs, records and wheels, and the leftovers of killed processes.

        Kept are folders that a current record names, deployed wheels that the record of an earlier run names, and
        `keep` (the staged copy in use).
        """
        staged, runs, branches = (release_folder / each for each in ("staged", "runs", "branches"))
        for folder in branches.glob("*/attempts"):
            _prune_attempts(folder)
        for sweeps in branches.glob("*/sweeps"):
            for lock in _oldest(sweeps, r".*\.lock"):
                locks.remove_unused(lock.with_suffix(".json"), lock)
        for branch in _oldest(branches, r"[a-z0-9-]+", kept=KEPT_RECORDS):
            _forget(branch)
        old = [*_oldest(runs, r".*\.log"), *_oldest(runs, r".*\.json", kept=KEPT_RECORDS)]
        old += [each for folder in self.series.glob("*") for each in _oldest(folder, r".*\.json", kept=KEPT_RECORDS)]
        half = (
            _oldest(folder, HALF, kept=0)
            for folder in (runs, *branches.glob("*"), *branches.glob("*/*/"), *self.series.glob("*"))
        )
        for path in (*old, *itertools.chain.from_iterable(half)):
            path.unlink(missing_ok=True)
        for folder in (staged, self.wheels, *self.fetched.glob("*")):
            self._prune_folders(folder, keep=keep, records=CURRENT)
            for left in _oldest(folder, r"\.(new|run)-.*", kept=0):
                locks.sweep(left)
        self._prune_folders(release_folder / "attempts", keep=keep, records=CURRENT, kept=0)
        for folder in self.store.glob("*/*"):
            self._prune_folders(folder, keep=keep, records=(*CURRENT, RUNS))

    def _prune_folders(self, folder: Path, *, keep: Path | None, records: Iterable[str], kept: int = KEPT) -> None:
        """Remove old folders that no record names: each is called by a hash or an attempt's id."""
        if not (old := _oldest(folder, r"[0-9a-f]{16,64}", kept=kept)):
            return
        named = "".join(_read(path) for pattern in records for path in self.folder.glob(pattern))
        for path in old:
            if path.name not in named and not (keep and keep.is_relative_to(path)):
                shutil.rmtree(path, ignore_errors=True)


def _home_on_record() -> str:
    """The home that the system has on record for this user; a container's user may have none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def _can_be_made(folder: Path) -> bool:
    """Whether `folder` can be written to, or made."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def last_used(path: Path) -> float:
    """When `path` was last changed or touched (seconds since 1970); 0 where another command has just removed it."""
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


def _prune_attempts(folder: Path) -> None:
    """Remove the locks of attempts that have ended, and attempts that were never sent: no run can be theirs."""
    for lock in _oldest(folder, r".*\.lock", kept=0):
        path = lock.with_suffix(".json")
        if not path.exists() or '"sent": false' in _read(path):
            locks.remove_unused(path, lock)


def _forget(branch: Path) -> None:
    """Remove a branch's record, unless a command is at work on it or one of its runs may still go on."""
    if '"ended": false' in _read(branch / "release.json") or any(branch.glob("attempts/*.json")):
        return
    if not any(locks.is_held(each) for each in (branch / "lock", *branch.glob("attempts/*.lock"))):
        shutil.rmtree(branch, ignore_errors=True)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""

"""The record: a Release's only home between tasks. One file, written whole, locked from load to save."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from mlops_tasks import errors, files, locks
from mlops_tasks.release import VERSION, Release


class Record(Protocol):
    def begin(self) -> None:
        """Called before a whole release: it starts from what is really recorded."""

    def load(self) -> Release | None:
        """The release as it was last saved; None before the first step."""

    def save(self, release: Release) -> None: ...

    @contextlib.contextmanager
    def locked(self, task: str, *, wait: Callable[[str], None] | None = None) -> Iterator[None]:
        """Keep everybody else from loading and saving; OutOfOrder says who is at it.

        `wait`, where given, is told that instead, and the lock is waited for.
        """
        yield


class RecordFile:
    """`release.json` in `folder`, with a copy by run id of every release that ended in a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "release.json"

    def begin(self) -> None:
        """Nothing to do: what is here is what is really recorded."""

    def load(self) -> Release | None:
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as fault:
            raise self._unreadable("is cut off or not JSON") from fault
        if not isinstance(data, dict) or data.get("version") != VERSION:
            raise self._unreadable("was written by another version of mlops_tasks")
        try:
            return Release.from_dict(data)
        except (KeyError, TypeError, ValueError) as fault:
            raise self._unreadable("does not hold what this version writes") from fault

    def save(self, release: Release) -> None:
        text = json.dumps(release.to_dict(), indent=2, ensure_ascii=True) + "\n"
        if not (self.path.exists() and self.path.read_text(encoding="utf-8") == text):
            self._write(self.path, text)
        if release.run is not None:
            self._write(self.folder / "runs" / f"{release.run.run_id}.json", text)

    @contextlib.contextmanager
    def locked(self, task: str, *, wait: Callable[[str], None] | None = None) -> Iterator[None]:
        with locks.held(self.folder / "lock", task, wait=wait):
            yield

    def _write(self, path: Path, text: str) -> None:
        try:
            with files.written_whole(path) as stream:
                stream.write(text.encode("utf-8"))
        except OSError as fault:
            raise errors.StepFailed(
                f"the record cannot be written: {fault.strerror}", where=path, cure="make room there, then repeat"
            ) from fault

    def _unreadable(self, why: str) -> errors.OutOfOrder:
        return errors.OutOfOrder(
            f"the record of this release {why}", where=self.path, cure=f"rm '{self.path}', then `inv name`"
        )


class ScratchRecord:
    """A dry run's copy of the record: dry steps of one process build on each other, until a step is really taken.

    Each copy is kept with the record that it started from: one that has changed since makes the copy worthless.
    """

    _copies: dict[Path, tuple[Release | None, Release]] = {}  # noqa: RUF012 - `inv --dry name deploy` makes two objects

    def __init__(self, real: RecordFile) -> None:
        self._real = real

    def begin(self) -> None:
        self._copies.pop(self._real.path, None)

    def load(self) -> Release | None:
        real = self._real.load()
        start, copy = self._copies.get(self._real.path, (None, None))
        return real if copy is None or start != real else copy

    def save(self, release: Release) -> None:
        self._copies[self._real.path] = (self._real.load(), release)

    @contextlib.contextmanager
    def locked(self, task: str, *, wait: Callable[[str], None] | None = None) -> Iterator[None]:
        yield

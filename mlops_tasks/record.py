"""The record of a release: the file that keeps it between two commands, written whole and locked from load to save."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from mlops_tasks import errors, files, locks
from mlops_tasks.release import VERSION, Attempt, Release, Run

GATE_NOT_MET = "gate not met"


class RunState(NamedTuple):
    """How a run of a sweep stands, in the end or until then: a word for it, and why it did not finish, in one line."""

    run_id: str
    state: str
    because: str = ""

    @classmethod
    def of(cls, run: Run) -> RunState:
        """That of a run that has ended."""
        if run.unmet:
            return cls(run.run_id, GATE_NOT_MET, "; ".join(each.because for each in run.unmet))
        return cls(run.run_id, run.status, run.reason)


class Record:
    """A branch's `release.json` in `folder`, with its last attempt at a run, and the releases of all its runs.

    As long as an attempt has not ended, its release has a file of its own in `attempts`, called by the attempt's job.
    Once it has ended in a run, that release is in `runs`, by the run's id.
    """

    def __init__(self, folder: Path, *, runs: Path | None = None) -> None:
        self.folder = folder
        self.attempts = folder / "attempts"
        self.runs = runs or folder / "runs"
        self.path = folder / "release.json"
        self._known: tuple[tuple[int, ...], bytes] | None = None
        """The file's state and its bytes as last read or written here: an unchanged file is not read again."""

    def begin(self) -> None:
        """Forget the dry steps that were taken before: a whole release starts from the real record."""

    def load(self) -> Release | None:
        """The release as it was last saved; None before the first step."""
        text = self._read()
        return None if text is None else parse(text, path=self.path)

    def save(self, release: Release) -> None:
        text = _dump(release)
        if self._read() != text:
            self._write(self.path, text)
            self._known = (self._state(), text)

    def attempt_path(self, attempt: Attempt) -> Path:
        """The attempt's own file, which is there until the attempt has ended."""
        return self.attempts / f"{attempt.key}.json"

    def attempt_lock(self, attempt: Attempt) -> Path:
        """The file that is locked for as long as a command is at the attempt."""
        return self.attempts / f"{attempt.key}.lock"

    def load_attempt(self, attempt: Attempt) -> Release | None:
        """The release of the attempt, or of another one at the same job; None where none is open."""
        path = self.attempt_path(attempt)
        try:
            return parse(path.read_bytes(), path=path)
        except FileNotFoundError:
            return None

    def open_attempts(self) -> list[Release]:
        """The release of each attempt that has not ended: of those with a file, and of the record's own one."""
        found = []
        for path in sorted(self.attempts.glob("*.json")):
            with contextlib.suppress(FileNotFoundError):  # it has just ended
                found.append(parse(path.read_bytes(), path=path))
        last = self.load()
        if last is not None and last.attempt is not None and not last.attempt.ended:
            found += [last] if last.attempt.id not in {each.attempt.id for each in found if each.attempt} else []
        return found

    def save_attempt(self, release: Release) -> None:
        """Save an attempt with its run, in the branch's record too where that has the same attempt."""
        attempt, run = release.attempt, release.run
        if attempt is None:
            raise ValueError("a release without an attempt")
        path = self.attempt_path(attempt)
        if not attempt.ended:
            self._write(path, _dump(release))
        elif run is not None:
            self._write(self.runs / f"{run.run_id}.json", _dump(release))
        last = self.load()
        if last is not None and last.attempt is not None and last.attempt.id == attempt.id:
            self.save(replace(last, attempt=attempt, run=run))
        if attempt.ended:
            self._add_to_sweep(attempt, run)
            there = self.load_attempt(attempt)
            if there is not None and there.attempt is not None and there.attempt.id == attempt.id:
                path.unlink(missing_ok=True)  # else the job is being run anew

    def sweep_path(self, sweep: str) -> Path:
        """The file of a sweep, which is there until all of its runs have ended."""
        return self.folder / "sweeps" / f"{sweep}.json"

    def begin_sweep(self, sweep: str, release: Release) -> dict[str, RunState]:
        """The ends of the runs of a sweep of `release` by their values: of one that was cut off there are some."""
        path = self.sweep_path(sweep)
        if not path.exists():
            self._write(path, _encode({"version": VERSION, "release": release.to_dict(), "runs": {}}))
        return self.load_sweep(sweep)

    def load_sweep(self, sweep: str) -> dict[str, RunState]:
        """The runs of the sweep that have ended by now, but for those that somebody has stopped."""
        path = self.sweep_path(sweep)
        try:
            found = json.loads(path.read_bytes())["runs"]
            return {value: RunState(**each) for value, each in found.items()}
        except (KeyError, TypeError, ValueError) as fault:
            raise _unreadable("is not what this version writes", path) from fault

    def end_sweep(self, sweep: str) -> None:
        self.sweep_path(sweep).unlink(missing_ok=True)

    def _add_to_sweep(self, attempt: Attempt, run: Run | None) -> None:
        path = self.sweep_path(attempt.sweep)
        is_over = run is not None and (run.status != "KILLED" or run.timed_out)
        if run is None or not is_over or not attempt.sweep or not path.exists():
            return
        known = json.loads(path.read_bytes())
        known["runs"][attempt.value] = RunState.of(run)._asdict()
        self._write(path, _encode(known))

    def locked(
        self, task: str, *, wait: Callable[[str], None] | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """Keep other commands from loading and saving while the block runs, as `locks.held` does."""
        return locks.held(self.folder / "lock", task, wait=wait)

    def _state(self) -> tuple[int, ...]:
        """Another one after every write: each writes a new file."""
        status = self.path.stat()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self) -> bytes | None:
        try:
            state = self._state()
            if self._known is None or self._known[0] != state:
                self._known = (state, self.path.read_bytes())
        except FileNotFoundError:
            return None
        return self._known[1]

    def _write(self, path: Path, text: bytes) -> None:
        try:
            with files.written_whole(path) as stream:
                stream.write(text)
        except OSError as fault:
            raise errors.StepFailed(
                f"the record cannot be written: {fault.strerror}", where=path, cure="make room there, then repeat"
            ) from fault


def _dump(release: Release) -> bytes:
    return _encode(release.to_dict())


def _encode(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=2, ensure_ascii=True) + "\n").encode("ascii")


def parse(text: bytes, *, path: Path) -> Release:
    """The release that the record at `path` holds as `text`; OutOfOrder for what this version has not written."""
    try:
        data = json.loads(text)
    except ValueError as fault:
        raise _unreadable("is cut off or not JSON", path) from fault
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise _unreadable("was written by another version of mlops_tasks", path)
    try:
        return Release.from_dict(data)
    except (KeyError, TypeError, ValueError) as fault:
        raise _unreadable("does not hold what this version writes", path) from fault


def _unreadable(why: str, path: Path) -> errors.OutOfOrder:
    cure = f"{errors.typed('rm', path)}, then `inv name`"
    return errors.OutOfOrder(f"the record of this release {why}", where=path, cure=cure)


class ScratchRecord(Record):
    """The record of dry runs: dry steps of one process build on each other, until a step is really taken.

    Each copy is kept with the record that it started from, and counts only while that record is unchanged.
    """

    _copies: dict[Path, tuple[Release | None, Release]] = {}  # noqa: RUF012 - `inv --dry name deploy` makes two objects

    def begin(self) -> None:
        self._copies.pop(self.path, None)

    def load(self) -> Release | None:
        real = super().load()
        start, copy = self._copies.get(self.path, (None, None))
        return real if copy is None or start != real else copy

    def save(self, release: Release) -> None:
        self._copies[self.path] = (super().load(), release)

    def locked(
        self, task: str, *, wait: Callable[[str], None] | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """Nothing to lock: no other process sees the copies."""
        return contextlib.nullcontext()

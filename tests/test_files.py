"""Files are hashed once for each state they are in, and walked without following links."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mlops_tasks import files


def wait_out_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let so much time pass that a write would show in a file's times."""
    later = time.time() + 2 * files.CLOCK_STEP
    monkeypatch.setattr(time, "time", lambda: later)


def test_a_file_that_stayed_as_it_was_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"1,2\n")
    wait_out_the_clock(monkeypatch)
    look = files.Fingerprints()
    first = look(str(path))
    with monkeypatch.context() as patched:
        patched.delattr(os, "open")
        again = look(str(path))
    assert first == again == files.fingerprint(path)


def test_a_change_that_keeps_size_and_modification_time_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"1,2\n")
    before = path.stat()
    wait_out_the_clock(monkeypatch)
    look = files.Fingerprints()
    first = look(str(path))
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(b"2,1\n")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert look(str(path)) == files.fingerprint(path) != first


def test_a_file_that_was_just_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"1,2\n")
    look = files.Fingerprints()
    first = look(str(path))
    path.write_bytes(b"2,1\n")  # within one step of the clock, maybe
    assert look(str(path)) == files.fingerprint(path) != first


def test_a_walk_enters_no_link_and_is_not_stopped_by_one_that_leads_to_itself(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").symlink_to("in")
    assert files.walk(tmp_path, skip=files.is_folder) == ["loop"]
    assert files.walk(tmp_path) == ["folder", "in/deep/file", "loop"]


def test_a_walk_that_cannot_judge_an_entry_drops_no_other(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"")

    def judge(entry: os.DirEntry[str]) -> bool:
        if entry.name == "b":
            raise PermissionError(entry.path)
        return False

    with pytest.raises(PermissionError):
        files.walk(tmp_path, skip=judge, onerror=lambda fault: None)

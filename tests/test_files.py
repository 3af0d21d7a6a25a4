"""Files are copied whole, hashed once for each state they are in, and walked without following links."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

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


LARGE = bytes(range(256)) * (1 + files.BLOCK // 256)


def lead_nowhere(link: Path) -> Path:
    raise AssertionError(link)


def refuse_to_copy(*arguments: object) -> int:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def stop_half_way(read_from: int, written_to: int, size: int) -> int:
    return os.write(written_to, os.read(read_from, 1000)) if size == len(LARGE) else 0


@pytest.mark.parametrize("copy_file_range", [None, refuse_to_copy, stop_half_way, "missing"])
def test_a_large_file_is_copied_whole_whatever_the_system_can_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copy_file_range: Any
) -> None:
    (tmp_path / "model.bin").write_bytes(LARGE)
    if copy_file_range == "missing":
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    elif copy_file_range is not None:
        monkeypatch.setattr(os, "copy_file_range", copy_file_range, raising=False)

    files.copy(tmp_path / "model.bin", tmp_path / "in" / "copy.bin", leads_to=lead_nowhere)

    assert (tmp_path / "in" / "copy.bin").read_bytes() == LARGE


def test_a_fault_of_the_disk_is_raised_and_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.bin").write_bytes(LARGE)

    def be_full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "copy_file_range", be_full, raising=False)

    with pytest.raises(OSError, match="No space left"):
        files.copy(tmp_path / "model.bin", tmp_path / "copy.bin", leads_to=lead_nowhere)


def test_a_known_file_is_copied_without_being_read_for_its_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = str(tmp_path / "data.csv"), str(tmp_path / "copy.csv")
    Path(source).write_bytes(b"1,2\n")
    wait_out_the_clock(monkeypatch)
    look = files.Fingerprints()
    known = look(source)
    monkeypatch.setattr(files, "fingerprint", lead_nowhere)

    assert look.copy(source, target, leads_to=lead_nowhere) == known
    assert Path(target).read_bytes() == b"1,2\n"


@pytest.mark.parametrize("is_known", [True, False])
def test_what_was_copied_of_a_file_that_changes_is_what_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_known: bool
) -> None:
    source, target = tmp_path / "data.csv", tmp_path / "copy.csv"
    source.write_bytes(b"1,2\n")
    wait_out_the_clock(monkeypatch)
    look = files.Fingerprints()
    if is_known:
        look(str(source))
    copy = files.copy

    def change_and_copy(*arguments: Any, **named: Any) -> None:
        source.write_bytes(b"another\n")
        copy(*arguments, **named)

    monkeypatch.setattr(files, "copy", change_and_copy)

    assert look.copy(str(source), str(target), leads_to=lead_nowhere) == files.fingerprint(target)
    assert target.read_bytes() == b"another\n"

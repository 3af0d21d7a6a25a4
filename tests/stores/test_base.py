from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_tasks.stores import base, folder

WITHIN = 30
"""Seconds for what another thread does at once."""


class Watched(folder.FolderStore):
    """A store that tells of each file that is on its way, and waits after it has arrived until it may go on."""

    def __init__(self, top: Path, expected: int = 0) -> None:
        super().__init__(top=top)
        self.expected = expected
        self.may_end = threading.Event()
        self.sending = 0
        self.most = 0
        self.begun: list[str] = []
        self.all_begun = threading.Event()
        self._lock = threading.Lock()

    def write(
        self, source: Path, folder: str, moved: Callable[[int], None], arrived: Callable[[], object] = lambda: None
    ) -> str:
        with self._lock:
            self.begun.append(source.name)
            self.sending += 1
            self.most = max(self.most, self.sending)
        moved(source.stat().st_size)
        with self._lock:
            self.sending -= 1
        arrived()
        if len(self.begun) == self.expected:
            self.all_begun.set()
        assert self.may_end.wait(WITHIN)
        return f"{folder}/{source.name}"


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    made = [tmp_path / name for name in ("a", "b", "c")]
    for each in made:
        each.write_bytes(b"1234")
    return made


@pytest.mark.parametrize("parallel", [1, 2])
def test_a_file_makes_room_for_the_next_when_it_has_arrived(tmp_path: Path, sources: list[Path], parallel: int) -> None:
    sources = sources[: 2 * parallel]
    store = Watched(tmp_path, expected=len(sources))
    counted: list[int] = []
    writing = threading.Thread(
        target=base.write_files,
        args=(sources, "f"),
        kwargs={"store": store, "parallel": parallel, "moved": counted.append},
    )
    writing.start()

    assert store.all_begun.wait(WITHIN)  # none has ended yet

    store.may_end.set()
    writing.join(WITHIN)
    assert not writing.is_alive()
    assert store.most <= parallel
    assert sum(counted) == 4 * len(sources)


def test_a_file_that_the_store_says_nothing_of_makes_room_when_it_is_written(
    tmp_path: Path, sources: list[Path]
) -> None:
    base.write_files(sources, "f", store=folder.FolderStore(top=tmp_path), parallel=1, moved=lambda size: None)

    assert sorted(each.name for each in (tmp_path / "f").iterdir()) == ["a", "b", "c"]


def test_a_file_that_fails_makes_room_too_and_is_told(tmp_path: Path, sources: list[Path]) -> None:
    sources[0].unlink()

    with pytest.raises(FileNotFoundError):
        base.write_files(sources[:1], "f", store=Watched(tmp_path), parallel=1, moved=lambda size: None)

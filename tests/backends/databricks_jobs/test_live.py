from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_tasks.backends.databricks_jobs.live import LiveOutput
from mlops_tasks.report import Report
from mlops_tasks.stores.base import Stored
from mlops_tasks.workspace import faults

FOLDER = "/Volumes/c/s/v/runs/5f0c"


class Store:
    """A store in memory: `files` by their URIs; each call of a kind in `broken` fails that many times."""

    display_name = "memory"

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.listed: dict[str, int] = {}
        self.faults: list[faults.ApiError] = []

    def put(self, number: int, text: bytes, *, listed: int | None = None) -> None:
        name = f"{FOLDER}/output/{number:06}-{len(text)}.txt"
        self.files[name] = text
        if listed is not None:
            self.listed[name] = listed

    def list_files(self, folder: str) -> dict[str, Stored]:
        if self.faults:
            raise self.faults.pop()
        inside = {uri: data for uri, data in self.files.items() if uri.rpartition("/")[0] == folder}
        return {uri.rpartition("/")[2]: Stored(self.listed.get(uri, len(data))) for uri, data in inside.items()}

    def read(self, uri: str) -> bytes:
        if uri not in self.files:
            raise faults.ApiError("no such file", where=uri, cure="none", status=404)
        return self.files[uri]

    def make_folder(self, folder: str) -> None: ...

    def write(
        self, source: Path, folder: str, moved: Callable[[int], None], arrived: Callable[[], object] = lambda: None
    ) -> str:
        raise NotImplementedError


class Lines(Report):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.details: list[str] = []

    def output(self, line: str) -> None:
        self.lines.append(line)

    def detail(self, text: str) -> None:
        self.details.append(text)


class Live:
    """A store, what is shown of it, and the log."""

    def __init__(self, folder: Path) -> None:
        self.store, self.report, self.log = Store(), Lines(), folder / "runs" / "run.log"
        self.waits: list[float] = []
        self.output = LiveOutput(self.store, FOLDER, log=self.log, report=self.report, pause=self.waits.append)

    def end(self, **changed: object) -> None:
        output = {"files": len([each for each in self.store.files if "/output/" in each]), "truncated": False}
        result = {"exit_code": 0, "error": "", "trace": "", "output": {**output, "kept": True}, **changed}
        self.store.files[f"{FOLDER}/result.json"] = json.dumps(result).encode()


@pytest.fixture
def live(tmp_path: Path) -> Live:
    return Live(tmp_path)


def test_each_line_is_shown_once_and_in_order_though_files_end_within_it(live: Live) -> None:
    text = "one\ntwo é\nthree".encode()
    live.store.put(1, text[:9])
    live.output.look()
    live.output.look()
    assert live.report.lines == ["one"]

    live.store.put(2, text[9:])
    live.output.look()
    live.end()
    result = live.output.end()

    assert live.report.lines == ["one", "two é", "three"]
    assert live.log.read_bytes() == text
    assert result is not None
    assert (result.exit_code, live.output.shown, live.waits) == (0, 2, [])


def test_a_file_that_is_not_whole_yet_is_left_for_the_next_look(live: Live) -> None:
    live.store.put(1, b"half of it\n", listed=4)
    live.store.put(2, b"later\n")
    live.output.look()
    assert live.report.lines == []

    live.store.listed.clear()
    live.output.look()

    assert live.report.lines == ["half of it", "later"]


def test_a_file_that_is_listed_late_is_waited_for_at_the_end(live: Live) -> None:
    live.store.put(1, b"one\n")
    live.end(output={"files": 2, "truncated": False, "kept": True})

    result = live.output.end()

    assert live.waits == [1] * 5
    assert (result.files if result else 0, live.output.shown) == (2, 1)


def test_a_store_that_cannot_be_read_is_told_once(live: Live) -> None:
    live.store.faults = [faults.ApiError("forbidden", where="x", cure="ask", status=403)] * 2

    live.output.look()
    live.output.look()

    assert live.output.end() is None
    assert live.waits == []
    assert len(live.report.details) == 1
    assert "cannot be read before its end: forbidden" in live.report.details[0]


def test_a_look_that_fails_for_a_moment_is_made_again(live: Live) -> None:
    live.store.put(1, b"one\n")
    live.store.faults = [faults.ApiError("busy", where="x", cure="wait", status=503)]

    live.output.look()
    live.output.look()

    assert live.report.lines == ["one"]
    assert live.report.details == []


def test_of_a_progress_bar_the_last_state_is_shown(live: Live) -> None:
    live.store.put(1, b"10 %\r50 %\r100 %\ndone\r\n")
    live.output.look()

    assert live.report.lines == ["100 %", "done"]


def test_a_run_that_wrote_nothing_has_no_result(live: Live) -> None:
    assert live.output.end() is None
    assert live.waits == []


def test_a_log_begins_anew_with_the_first_file(live: Live) -> None:
    live.log.parent.mkdir(parents=True)
    live.log.write_text("of a command that was cut off\n")
    live.store.put(1, b"one\n")
    live.output.look()
    live.output.add("Traceback")

    assert live.log.read_text() == "one\nTraceback\n"

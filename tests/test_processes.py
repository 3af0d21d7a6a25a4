from __future__ import annotations

import contextlib
import errno
import gc
import http.client
import itertools
import os
import signal
import socket
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks import errors, processes


def follow(tmp_path: Path, code: str, *, timeout: float | None = 60, message: str = "hello") -> tuple[int, list[str]]:
    lines: list[str] = []
    exit_code = processes.follow(
        [sys.executable, "-u", "-c", code],
        env=os.environ,
        message=message,
        log=tmp_path / "runs" / "run.log",
        show=lines.append,
        unkept=lambda fault: lines.append(str(fault)),
        timeout=timeout,
    )
    return exit_code, lines


def is_alive(pid: int) -> bool:
    """A process that has ended but was not yet reaped by init is not alive."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(pid: int) -> bool:
    give_up = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < give_up:
        threading.Event().wait(0.05)
    return not is_alive(pid)


def test_output_and_errors_are_shown_line_by_line_and_kept(tmp_path: Path) -> None:
    code, lines = follow(tmp_path, "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)")

    assert code == 3
    assert lines == ["one", "two"]
    assert (tmp_path / "runs" / "run.log").read_text() == "one\ntwo\n"


def test_the_message_is_the_first_line_of_the_input(tmp_path: Path) -> None:
    _, lines = follow(tmp_path, "print(input())", message="grüße 'x'")

    assert lines == ["grüße 'x'"]


def test_bytes_that_are_no_text_are_kept_as_they_are(tmp_path: Path) -> None:
    follow(tmp_path, "import sys; sys.stdout.buffer.write(b'\\xff\\n')")

    assert (tmp_path / "runs" / "run.log").read_bytes() == b"\xff\n"


def test_output_is_mended_in_whole_lines_however_it_comes(tmp_path: Path) -> None:
    pieces: list[bytes] = []

    def mend(data: bytes) -> bytes:
        pieces.append(data)
        return data.replace(b"staged", b"yours")

    processes.follow(
        [sys.executable, "-c", "print('staged\\n' * 30_000 + 'staged', end='')"],
        env=os.environ,
        message="",
        log=tmp_path / "log",
        show=lambda _: None,
        unkept=lambda fault: pytest.fail(str(fault)),
        timeout=60,
        mend=mend,
    )

    assert len(pieces) > 2  # more than a pipe holds
    assert all(each.endswith(b"\n") for each in pieces[:-1] if each)
    assert (tmp_path / "log").read_bytes().split() == [b"yours"] * 30_001


@pytest.mark.slow
def test_time_that_is_up_ends_the_child_and_all_that_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(inner.pid)\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(processes.TimedOut):
        follow(tmp_path, code, timeout=5)

    inner = int((tmp_path / "runs" / "run.log").read_text())
    assert wait_until_gone(inner)


def test_what_a_child_leaves_running_is_ended_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\nprint(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid)\n"
    )

    exit_code, lines = follow(tmp_path, code)

    assert exit_code == 0
    assert wait_until_gone(int(lines[0]))


def test_a_child_that_never_reads_its_message_is_judged_by_its_exit_code(tmp_path: Path) -> None:
    code, _ = follow(tmp_path, "import os; os._exit(4)", message="x" * 1_000_000)

    assert code == 4


@pytest.mark.parametrize("log", ["file/run.log", "/dev/full"], ids=["no folder", "no room"])
def test_a_log_that_cannot_be_kept_is_told_once_and_ends_nothing(tmp_path: Path, log: str) -> None:
    (tmp_path / "file").write_text("")
    shown: list[str] = []
    unkept: list[OSError] = []

    code = processes.follow(
        [sys.executable, "-u", "-c", "print('one'); print('two')"],
        env=os.environ,
        message="",
        log=tmp_path / log,
        show=shown.append,
        unkept=unkept.append,
        timeout=60,
    )

    assert (code, shown) == (0, ["one", "two"])
    (fault,) = unkept
    assert fault.errno in {errno.ENOTDIR, errno.EEXIST, errno.ENOSPC}


def show(*pieces: bytes, step: float = 0) -> list[str]:
    """What is shown of the pieces, between which `step` seconds pass."""
    shown: list[str] = []
    now = itertools.count(0, step).__next__ if step else lambda: 0.0
    lines = processes.Lines(shown.append, clock=now)
    for piece in pieces:
        lines.add(piece)
    lines.flush()
    return shown


@pytest.mark.parametrize(
    ("pieces", "step", "shown"),
    [
        pytest.param([b"one\ntw", b"o\r\n\nthree"], 0, ["one", "two", "", "three"], id="lines"),
        pytest.param([b"\r 0%", b"\r50%", b"\r100%\n"], 9, [" 0%", "50%", "100%"], id="a slow bar"),
        pytest.param([b"\r 0%", b"\r50%", b"\r75%", b"\r100%\n"], 0, [" 0%", "100%"], id="a quick bar"),
        pytest.param([b"10%\r", b"20%\r", b"\n"], 9, ["10%", "20%"], id="a return before the line's end"),
        pytest.param([b"caf\xc3", b"\xa9\r\xff"], 9, ["caf\u00e9", "\ufffd"], id="half a letter"),
        pytest.param([b"x" * 700_000, b"y" * 700_000], 0, ["x" * 700_000 + "y" * 700_000], id="a line without an end"),
    ],
)
def test_a_bars_states_are_shown_one_a_second_and_its_last_one_always(
    pieces: list[bytes], step: float, shown: list[str]
) -> None:
    assert show(*pieces, step=step) == shown


def test_what_has_no_end_is_shown_once_nothing_more_comes_and_its_end_is_no_line_of_its_own() -> None:
    shown: list[str] = []
    lines = processes.Lines(shown.append)

    lines.add(b"\r40%")
    lines.flush()
    lines.flush()
    lines.add(b"\n\nloading")
    lines.flush()
    lines.add(b" done\n")

    assert shown == ["40%", "", "loading", " done"]


@given(st.lists(st.text("ab\n"), max_size=8))
def test_whatever_the_pieces_no_line_is_lost(pieces: list[str]) -> None:
    assert show(*(piece.encode() for piece in pieces)) == "".join(pieces).splitlines()


@pytest.mark.parametrize(
    ("given_to", "whole"),
    [
        ({}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "example.org, localhost"}, "example.org,localhost,127.0.0.1,::1"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, "a,localhost,127.0.0.1,::1"),
        ({"no_proxy": "*"}, "*,localhost,127.0.0.1,::1"),
    ],
)
def test_no_proxy_is_between_this_machine_and_itself(given_to: dict[str, str], whole: str) -> None:
    assert processes.beside_proxies(given_to) == {"no_proxy": whole, "NO_PROXY": whole}


def test_a_response_that_python_cannot_let_go_of_is_passed_over_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda fault: told.append(fault.object))
    ours, theirs = socket.socketpair()

    with ours, theirs, contextlib.closing(http.client.HTTPResponse(ours)) as response:
        with processes.signals_raise():
            sys.unraisablehook(SimpleNamespace(object=response))
            sys.unraisablehook(SimpleNamespace(object="another"))
        assert told == ["another"]

        sys.unraisablehook(SimpleNamespace(object=response))
        assert told == ["another", response]


def test_a_response_that_a_signal_has_cut_off_closes_itself_after_the_block_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http.client.HTTPResponse, "fp", None, raising=False)
    monkeypatch.delattr(http.client.HTTPResponse, "fp")
    half_made = http.client.HTTPResponse.__new__(http.client.HTTPResponse)
    with pytest.raises(AttributeError):
        half_made.close()

    with pytest.raises(errors.Terminated), processes.signals_raise():
        os.kill(os.getpid(), signal.SIGTERM)

    half_made.close()


def test_calls_side_by_side_work_at_once_and_answer_in_order() -> None:
    met = threading.Barrier(2, timeout=60)

    def call(name: str) -> str:
        met.wait()
        return name

    assert processes.side_by_side([partial(call, "a"), partial(call, "b")], at_once=2) == ["a", "b"]


def test_one_at_a_time_is_what_one_at_once_means() -> None:
    working: list[str] = []

    def call(name: str) -> int:
        working.append(name)
        found = len(working)
        working.remove(name)
        return found

    assert processes.side_by_side([partial(call, name) for name in "abc"], at_once=1) == [1, 1, 1]


@pytest.mark.parametrize("is_begun", [True, False])
def test_a_fault_ends_the_programs_of_the_calls_beside_it(tmp_path: Path, is_begun: bool) -> None:
    """That of a call which comes to start its program only then, too."""
    os.mkfifo(tmp_path / "begun")
    met, failed, ended = threading.Barrier(2, timeout=60), threading.Event(), []
    child = "__import__('subprocess').Popen(['sleep', '600'])"  # which holds the output open
    say = f"open({str(tmp_path / 'begun')!r}, 'w').close()" if is_begun else "None"
    program = f"import time; {child}; {say}; time.sleep(600)"

    def fail() -> None:
        met.wait()
        if is_begun:
            (tmp_path / "begun").read_text()
        failed.set()
        raise LookupError

    def run() -> None:
        met.wait()
        assert is_begun or failed.wait(60)
        ended.append(processes.run_command([sys.executable, "-c", program]).returncode)

    with pytest.raises(LookupError):
        processes.side_by_side([fail, run], at_once=2)
    assert ended == [-signal.SIGKILL]


def test_python_has_found_out_its_paths_before_a_second_thread_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread finds them out, uv.find in another one was handed a None for a part of a file's name."""
    done: list[str] = []
    monkeypatch.setattr(sysconfig, "get_config_vars", lambda: done.append("paths"))

    processes.begin_import(lambda: done.append("import"))()

    assert done == ["paths", "import"]


@pytest.fixture
def collecting() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


def test_no_garbage_is_looked_for_during_an_import_and_afterwards_it_is(collecting: None) -> None:
    with processes.importing():
        assert not gc.isenabled()

    assert gc.isenabled()


def test_who_looks_for_no_garbage_does_not_after_the_import_either(collecting: None) -> None:
    gc.disable()

    with processes.importing():
        pass

    assert not gc.isenabled()


def test_an_import_that_fails_leaves_garbage_to_be_looked_for(collecting: None) -> None:
    with pytest.raises(ImportError), processes.importing():
        raise ImportError

    assert gc.isenabled()


def test_what_was_imported_is_not_looked_through_again(collecting: None) -> None:
    before = gc.get_freeze_count()

    with processes.importing():
        made: list[list[int]] = [[] for _ in range(1000)]

    assert gc.get_freeze_count() >= before + len(made)

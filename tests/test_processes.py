from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from mlops_tasks import processes


def follow(tmp_path: Path, code: str, *, timeout: float | None = 60, message: str = "hello") -> tuple[int, list[str]]:
    lines: list[str] = []
    exit_code = processes.follow(
        [sys.executable, "-u", "-c", code],
        env=os.environ,
        message=message,
        log=tmp_path / "runs" / "run.log",
        show=lines.append,
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

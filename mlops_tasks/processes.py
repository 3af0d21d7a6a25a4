"""Every program that is started: run to its end, followed line by line, or served until Ctrl-C."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any, Protocol, TypeVar, cast

from mlops_tasks import errors

Completed = subprocess.CompletedProcess[str]
T = TypeVar("T")

ENDINGS = (signal.SIGTERM, signal.SIGHUP)
GRACE = 10.0
"""Seconds between asking a process group to end (SIGTERM) and ending it (SIGKILL)."""


class TimedOut(Exception):
    """The program was stopped because its time was up."""


class Runner(Protocol):
    """Passed to whoever runs programs, so that a test can hand in a function."""

    def __call__(
        self, command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Completed:
        """Run `command` (never through a shell) to its end, with its output captured as text.

        `env` is the whole environment, not an addition to this process's. A program that does not exist raises
        FileNotFoundError; an exit code other than 0 does not raise.
        """


def run_command(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Completed:
    """The Runner that really runs programs. Output that is not UTF-8 is kept, with surrogates for the odd bytes."""
    stopped: threading.Event | None = getattr(_BESIDE, "stopped", None)
    with subprocess.Popen(
        list(command),
        cwd=cwd,
        env=dict(env) if env is not None else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
        start_new_session=stopped is not None,  # to be ended with all that it started, which holds its output open
    ) as child:
        _RUNNING[child] = stopped
        try:
            if stopped is not None and stopped.is_set():
                _kill_group(child)
            out, err = child.communicate()
        except BaseException:
            child.kill()
            raise
        finally:
            del _RUNNING[child]
    return Completed(child.args, child.returncode, out, err)


_BESIDE = threading.local()
"""In the threads of `side_by_side`: `stopped`, an event."""
_RUNNING: dict[subprocess.Popen[str], threading.Event | None] = {}
"""The programs that `run_command` waits for, each with the event that stops it."""


def side_by_side(calls: Sequence[Callable[[], T]], *, at_once: int) -> list[T]:
    """The results of the calls in their order, which are made in threads, `at_once` of them.

    The first fault in that order is raised, or what cuts the waiting off, once the programs that the other calls wait
    for are ended.
    """
    from concurrent import futures

    stopped = threading.Event()
    with futures.ThreadPoolExecutor(at_once, initializer=lambda: setattr(_BESIDE, "stopped", stopped)) as pool:
        made = [pool.submit(call) for call in calls]
        try:
            return [each.result() for each in made]
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for child in [child for child, event in dict(_RUNNING).items() if event is stopped]:
                _kill_group(child)
            raise


def _kill_group(child: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def begin(call: Callable[[], T], *, is_awaited: bool = True) -> Callable[[], T]:
    """Make `call` in a thread, beside what follows. The answer waits for its result, and raises what it has raised.

    Unless it `is_awaited` the process may end before it, as where it waits for a network.
    """
    results: list[T] = []
    raised: list[BaseException] = []

    def make() -> None:
        try:
            results.append(call())
        except BaseException as fault:  # noqa: BLE001 - raised for who waits
            raised.append(fault)

    thread = threading.Thread(target=make, daemon=not is_awaited)
    thread.start()

    def wait() -> T:
        thread.join()
        for fault in raised:
            raise fault
        return results[0]

    return wait


def begin_import(load: Callable[[], T], *, is_awaited: bool = True) -> Callable[[], T]:
    """Do as `begin` does with a call that imports modules.

    Python finds out its own paths first: while one thread does so, some versions hand another one half of them.
    """
    import sysconfig

    sysconfig.get_config_vars()
    return begin(load, is_awaited=is_awaited)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Look for no garbage in a block that imports a large package, nor later among what that brings.

    It takes a fifth of MLflow's import, and a tenth of databricks-sdk's.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


LOOPBACK = ("localhost", "127.0.0.1", "::1")


def beside_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that keep a proxy out of what this machine says to itself, in both spellings that are read."""
    given = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    names = [name for name in (each.strip() for each in given.split(",")) if name]
    whole = ",".join(dict.fromkeys([*names, *LOOPBACK]))
    return {"no_proxy": whole, "NO_PROXY": whole}


def describe_failure(done: Completed) -> str:
    """The error output of a program that failed, or its exit code where it wrote none."""
    return done.stderr.strip() or f"exit code {done.returncode}"


def ran_full(done: Completed) -> bool:
    """Whether a program failed because there is no room: it says so, or a limit on file sizes has killed it."""
    from mlops_tasks import files

    return done.returncode == -signal.SIGXFSZ or files.says_full(done.stdout + done.stderr)


def follow(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    message: str,
    log: Path,
    show: Callable[[str], None],
    unkept: Callable[[OSError], None],
    timeout: float | None,
    mend: Callable[[bytes], bytes] = bytes,
) -> int:
    """Run `command` in a process group of its own, wait for its end, and return its exit code.

    `message` is its first line of input. The input stays open after that: its end shows the program that nobody
    follows any more. Output and errors go to `log` as they are and to `show` line by line, both by way of `mend`, which
    gets whole lines; what keeps them from the log goes to `unkept`, and stops nothing. Raises TimedOut after `timeout`
    seconds. However the wait ends, no process of the group is left.
    """
    child = _start(command, env, errors_to=subprocess.STDOUT)
    reader = threading.Thread(target=_copy, args=(child.stdout, log, show, unkept, mend), daemon=True)
    reader.start()
    try:
        _tell(child, message)
        return child.wait(timeout)
    except subprocess.TimeoutExpired as fault:
        raise TimedOut from fault
    finally:
        _end_group(child)
        reader.join(GRACE)
        with contextlib.suppress(OSError):
            cast("IO[bytes]", child.stdin).close()


def _start(command: Sequence[str], env: Mapping[str, str], *, errors_to: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """The program in a process group of its own, with pipes for its input and its output."""
    return subprocess.Popen(
        list(command),
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors_to,
        start_new_session=True,
    )


def _tell(child: subprocess.Popen[bytes], message: str) -> None:
    """Write the first line of the program's input, which stays open."""
    stdin = cast("IO[bytes]", child.stdin)
    with contextlib.suppress(BrokenPipeError, ValueError):  # a child that is gone already shows that by its exit code
        stdin.write(message.encode() + b"\n")
        stdin.flush()


class Beside:
    """A program at work beside this process, in a process group of its own.

    `message` is its first line of input. The input stays open after that, as for `follow`. In a thread `say` gets each
    line of its output, and in the end `end` its exit code and what it has written as errors.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        message: str,
        say: Callable[[str], None],
        end: Callable[[int, str], None],
    ) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the program works
        self._child = _start(command, env, errors_to=self._errors)
        threading.Thread(target=self._read, args=(say, end), daemon=True).start()
        _tell(self._child, message)

    def ask_to_end(self) -> None:
        self._child.terminate()

    def _read(self, say: Callable[[str], None], end: Callable[[int, str], None]) -> None:
        with self._errors, self._child:
            for line in cast("IO[bytes]", self._child.stdout):
                say(line.decode("utf-8", "replace"))
            code = self._child.wait()
            self._errors.seek(0)
            said = self._errors.read().decode("utf-8", "replace")
        end(code, said)


class Lines:
    """Bytes as they come, shown as lines; of a progress bar's states, ended by carriage returns, one a second."""

    def __init__(self, show: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._show, self._clock = show, clock
        self._rest = b""
        self._shown_at = clock() - 1
        self._is_cut = False
        """Whether the last line was shown without its end."""

    def add(self, data: bytes) -> None:
        *whole, self._rest = _ENDS.split(self._rest + data)
        for line in whole:
            is_end_alone = self._is_cut and line in {b"\n", b"\r\n"}
            if line.endswith(b"\n") or (line.strip() and self._clock() >= self._shown_at + 1):
                if not is_end_alone:
                    self._show_line(line)
                self._is_cut = False
        if len(self._rest) > LONGEST:
            self.flush()

    def flush(self) -> None:
        """Show what has no end yet, as when nothing more has come for a while."""
        if self._rest.strip():
            self._show_line(self._rest)
            self._rest, self._is_cut = b"", True

    def _show_line(self, line: bytes) -> None:
        self._shown_at = self._clock()
        self._show(line.decode("utf-8", "replace").rstrip("\r\n"))


_ENDS = re.compile(rb"(?<=\n)|(?<=\r)(?!\n|\Z)")
LONGEST = 1 << 20
"""Bytes after which a line is shown though it has no end."""


def _copy(
    stream: IO[bytes],
    log: Path,
    show: Callable[[str], None],
    unkept: Callable[[OSError], None],
    mend: Callable[[bytes], bytes],
) -> None:
    """Read to the end whatever happens: a program whose output nobody takes dies of it."""
    lines = Lines(show)
    with stream, contextlib.ExitStack() as stack:
        keep = _open_log(log, stack)
        for data in map(mend, _read_lines(stream)):
            if not data:
                lines.flush()
                continue
            try:
                keep(data)
            except OSError as fault:
                unkept(fault)
                keep = len
            lines.add(data)
        lines.flush()


def _read_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """What comes, in whole lines; after a second in which nothing has come what there is of one, and then nothing."""
    rest = b""
    while True:
        while not select.select([stream], [], [], 1)[0]:
            yield from (rest, b"") if rest else (b"",)
            rest = b""
        data = rest + cast("io.BufferedReader", stream).read1()
        if data == rest:
            break
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1 if len(data) <= LONGEST else len(data)
        rest = data[end:]
        if end:
            yield data[:end]
    if rest:
        yield rest


def _open_log(log: Path, stack: contextlib.ExitStack) -> Callable[[bytes], object]:
    """The function that appends to the file, which is there from the first byte on."""
    opened: list[IO[bytes]] = []

    def keep(data: bytes) -> None:
        if not opened:
            log.parent.mkdir(parents=True, exist_ok=True)
            opened.append(stack.enter_context(log.open("ab", buffering=0)))
        opened[0].write(data)

    return keep


def _end_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def serve(command: Sequence[str], *, env: Mapping[str, str], quiet: bool) -> int:
    """Run a server until it ends or Ctrl-C is pressed, and return its exit code, 0 after Ctrl-C.

    All that it prints goes to stderr, or nowhere with `quiet`. Its process group, a new one, is ended with it: a
    server may leave its workers to whoever ends it.
    """
    out, err = (subprocess.DEVNULL, subprocess.DEVNULL) if quiet else (2, None)
    with subprocess.Popen(list(command), env=dict(env), stdout=out, stderr=err, start_new_session=True) as server:
        try:
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """SIGTERM (a CI system) and SIGHUP (a closed terminal) raise Terminated: what is under way is stopped and marked.

    A signal that is ignored (nohup) or handled already is left alone, and so are all of them outside the main thread.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise errors.Terminated

    def pass_over(fault: Any) -> None:
        if type(fault.object).__name__ != "HTTPResponse":  # one that is cut off while it is made cannot close itself
            before(fault)

    is_main = threading.current_thread() is threading.main_thread()
    taken = [each for each in ENDINGS if is_main and signal.getsignal(each) is signal.SIG_DFL]
    for each in taken:
        signal.signal(each, stop)
    sys.unraisablehook, before = pass_over, sys.unraisablehook
    try:
        yield
    except BaseException:
        if "http.client" in sys.modules:  # one may go as late as Python itself, when no hook is asked any more
            sys.modules["http.client"].HTTPResponse.fp = None
        raise
    finally:
        sys.unraisablehook = before
        for each in taken:
            signal.signal(each, signal.SIG_DFL)

"""A wheel built from a library by its own build backend, in an environment of its own, which uv installs."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from mlops_tasks import errors, files, processes, redaction, uv
from mlops_tasks.report import Report
from mlops_tasks.wheels import copying, ignored, needs, sources, surroundings

UNDER_UMASK = ("sh", "-c", 'umask 022; exec "$@"', "sh")
"""Before a backend's command: setuptools keeps the modes of the files that it writes on the way."""

LAST_WORDS = 8
"""Lines of the backend's log that a failure shows."""
SHOWN = 5
"""Warnings of the backend that are shown."""
_WARNING = re.compile(r"\w+Warning:|^\s*WARNING\b")
"""In small letters setuptools and compilers warn of nothing: patterns without a match, unused variables."""
_FILE = re.compile(r"^\S+\.py:\d+: ")
_WRONG_VERSION = re.compile(r"(?:invalid version:?|version number) ['\"`]([^'\"`]+)['\"`]", re.IGNORECASE)
_UNSET = re.compile(r"""os(?:\.py)?>?", line \d+, in __getitem__\n(?:[ \t]+.*\n)*KeyError: b?'(\w+)'\Z""")
"""A program took a variable from os.environ that is not there, and ended by that."""
_NONE = ignored.Ignored()


class _Ended(Exception):
    """The build has failed. `said` is the output of the program that did; `is_full` says that there was no room.

    `lacks_tools` says that what the backend asks for cannot be installed.
    """

    def __init__(self, said: str, *, is_full: bool = False, lacks_tools: bool = False) -> None:
        super().__init__(said)
        self.said, self.is_full, self.lacks_tools = said, is_full, lacks_tools


class Environments:
    """Environments for build backends, each made once for all the libraries that ask for the same.

    `environ` is that of `environment`; the backends get it too.
    """

    def __init__(self, folder: Path, *, environ: Mapping[str, str], run: processes.Runner) -> None:
        self.environ, self.run = environ, run
        self._folder = folder
        self._made: dict[frozenset[str], Future[Path]] = {}
        self._lock = threading.Lock()

    def providing(self, requirements: frozenset[str], *, say: Callable[[str], None]) -> Path:
        """The environment that has these requirements. Raises _Ended where they cannot be installed."""
        with self._lock:
            is_first = requirements not in self._made
            made = self._made.setdefault(requirements, Future())
            path = self._folder / str(len(self._made))
        if is_first:
            try:
                made.set_result(self._make(path, requirements, say))
            except BaseException as fault:  # noqa: BLE001 - raised for all who wait
                made.set_exception(fault)
        return made.result()

    def _make(self, path: Path, requirements: frozenset[str], say: Callable[[str], None]) -> Path:
        listed = path.with_suffix(".txt")
        listed.write_text("\n".join([*uv.pip_lines(self.environ), *sorted(requirements)]), encoding="utf-8")
        commands = [["venv", "--python", sys.executable, str(path)]]
        if requirements:
            commands.append(["pip", "install", "--python", str(path / "bin" / "python"), "-r", str(listed)])
        for command in commands:
            whole = [str(uv.find()), "--quiet", *command]
            done = uv.run_reaching(whole, cwd=self._folder, env=self.environ, run=self.run, say=say)
            if done.returncode:
                said = (done.stdout + done.stderr).replace(f"{self._folder}/", "")
                raise _Ended(said, is_full=processes.ran_full(done), lacks_tools="install" in command)
        return path


@contextlib.contextmanager
def environments(environ: Mapping[str, str], *, run: processes.Runner) -> Iterator[Environments]:
    """Environments for the builds in the block, which are removed after it; `environ` is that of `environment`."""
    import build
    import pyproject_hooks

    for category in (build.TypoWarning, getattr(pyproject_hooks, "BuildBackendWarning", build.TypoWarning)):
        warnings.filterwarnings("always", category=category)
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *more: Any, **named: Any) -> None:
        said: list[str] | None = getattr(_BUILD, "said", None)
        if said is None:
            before(message, category, *more, **named)
        else:
            said.append(f"{category.__name__}: {message}\n")

    warnings.showwarning = show
    try:
        with tempfile.TemporaryDirectory(prefix="mlops-", ignore_cleanup_errors=True) as folder:
            yield Environments(Path(folder), environ=environ, run=run)
    finally:
        warnings.showwarning = before


_BUILD = threading.local()
"""In a thread that builds: `said`, the parts of the library's log so far. `build` warns by Python's own warnings."""


@contextlib.contextmanager
def built(
    library: Path, *, top: Path, beside: Environments, report: Report, log_file: Path, left: ignored.Ignored = _NONE
) -> Iterator[Path]:
    """The wheel of `library`, in a folder that is removed after the block.

    `left` are its files that git ignores. Warnings of the build backend are reported. Raises StepFailed with the last
    cause in its log, which is then kept in `log_file`.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = tempfile.TemporaryDirectory(prefix="mlops-", ignore_cleanup_errors=True)
            work = Path(stack.enter_context(folder))
            place = copying.copy_library(library, work / "sources", top=top, run=beside.run, brought=left.brought)
            out = work / "wheel"
            out.mkdir()
        except OSError as fault:
            raise not_copied("the sources", fault, where=library) from fault
        said, ended = _run_backend(place, out, beside, report.detail)
        log = _without_copy(redaction.mask(said), work / "sources", place, library)
        if ended is not None:
            told = _keep(log, log_file, report)
            raise _failed("cannot be built", library, log, left, told=told, ended=ended)
        _show(log, library, report)
        found = list(out.glob("*.whl"))
        if len(found) != 1:
            what, told = f"made {len(found)} wheels instead of one", _keep(log, log_file, report)
            raise _failed(what, library, log, left, told=told)
        yield found[0]


def _run_backend(place: Path, out: Path, beside: Environments, say: Callable[[str], None]) -> tuple[str, _Ended | None]:
    """Have the library's build backend make its wheel in `out`: all that is said, and how it failed, if it did."""
    import build

    said: list[str] = []
    environment = Path()

    def call(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        path = os.pathsep.join([str(environment / "bin"), beside.environ.get("PATH", os.defpath)])
        env = {**beside.environ, "PATH": path, "PYTHONPATH": "", **(extra_environ or {})}
        # the builder names an interpreter before it has read what has to be installed for it
        command = [*UNDER_UMASK, str(environment / "bin" / "python"), *cmd[1:]]
        done = beside.run(command, cwd=Path(cwd or place), env=env)
        said.append(done.stdout + done.stderr)
        if done.returncode:
            raise _Ended("", is_full=processes.ran_full(done))

    _BUILD.said = said
    try:
        builder = build.ProjectBuilder(place, runner=call)
        requirements = frozenset(builder.build_system_requires)
        environment = beside.providing(requirements, say=say)
        more = builder.get_requires_for_build("wheel")
        environment = beside.providing(requirements | more, say=say)
        builder.build("wheel", out)
    except (_Ended, build.BuildException, build.BuildBackendException, ValueError) as fault:
        cause = getattr(fault, "exception", fault)  # `build` wraps what its runner has raised
        ended = cause if isinstance(cause, _Ended) else _Ended(f"{getattr(cause, 'traceback', '')}\nERROR {fault}\n")
        return "".join([*said, ended.said]), ended
    finally:
        _BUILD.said = None
    return "".join(said), None


def _keep(log: str, path: Path, report: Report) -> str:
    """Show the whole log where `--verbose` asks for it, keep it at `path`, and return where it is, in words."""
    for line in log.splitlines():
        report.debug(line)
    try:
        with files.written_whole(path) as stream:
            stream.write(log.encode("utf-8", "replace"))
    except OSError:
        return ""
    return f"\n  the whole log: {path}"


def _last_cause(log: str) -> str:
    """The line that says why: the last that names an error, else the last; one of `build` itself where it is alone."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("* ")]
    said = [line for line in lines if not line.startswith(("ERROR ", "TIP "))]
    named = (line for line in reversed(said) if re.match(r"[\w.]*(?:[Ee]rror|Exception|Exit)\b", line))
    return next(named, (said or lines or ["it said nothing"])[-1]).removeprefix("ERROR ")


def _without_copy(log: str, copy: Path, place: Path, library: Path) -> str:
    """The log with the user's own folders in the places of the copy's; `place` is the library's in the copy."""
    depth = len(place.relative_to(copy).parts)
    around = [library, *library.parents][depth]
    for each in dict.fromkeys((str(copy.resolve()), str(copy))):
        log = log.replace(each, str(around))
    return log


def _show(log: str, library: Path, report: Report) -> None:
    lines = log.splitlines()
    for line in lines:
        report.debug(line)
    said = (_FILE.sub("", line.strip()) for line in lines if _WARNING.search(line))
    warnings = list(dict.fromkeys(said))
    for line in warnings[:SHOWN]:
        report.warning(f"{library.name}: the build says {line}")
    if len(warnings) > SHOWN:
        report.warning(f"{library.name}: the build has {len(warnings) - SHOWN} more warnings (`--verbose` shows them)")


def not_copied(what: str, fault: OSError, *, where: Path) -> errors.StepFailed:
    """The error for `what` (such as "the wheel") that cannot be copied from or to `where`."""
    cure = (
        "make room, then `inv build-wheel`"
        if files.is_full(fault)
        else "make it readable and writable, then `inv build-wheel`"
    )
    return errors.StepFailed(f"{what} cannot be copied: {fault}", where=where, cure=cure)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for the builds; to be made once and not in each thread, since Python finds out paths in it."""
    kept = uv.environment({key: value for key, value in environ.items() if key not in surroundings.STRAYS})
    # what builds a wheel is installed here as any package is: both kinds of constraints hold for it
    limits = " ".join(kept[name] for name in ("UV_CONSTRAINT", "UV_BUILD_CONSTRAINT") if kept.get(name))
    return {
        **kept,
        **({"UV_CONSTRAINT": limits} if limits else {}),
        "SOURCE_DATE_EPOCH": surroundings.SOURCE_DATE_EPOCH,
        "NO_COLOR": "1",
    }


def _wrong_version(library: Path, log: str) -> str | None:
    """The version that no build takes: the settings have it, or else the log names it."""
    written = sources.read_version(library)
    try:
        Version("0" if written is None else written)
    except InvalidVersion:
        return written
    found = _WRONG_VERSION.search(log)
    return found[1] if found else None


def _failed(
    what: str, library: Path, log: str, left: ignored.Ignored, *, told: str, ended: _Ended | None = None
) -> errors.ReleaseError:
    """The error with the last cause first; `told` is where the whole log is."""
    if (version := _wrong_version(library, log)) is not None:
        return needs.wrong_version(library, version)
    lines = "".join(f"\n  | {line}" for line in log.rstrip().splitlines()[-LAST_WORDS:])
    said = f" {_last_cause(log)}{lines}{told}"
    first, where = "correct what the build backend says", str(library)
    if unset := _UNSET.search(log.rpartition("KeyError: ")[0] + _last_cause(log)):
        where = sources.find_variable(library, unset[1])
        what, first = f"{what}: it asks for the variable {unset[1]}, which is not set", f"set {unset[1]}"
    named = [name for name in (*left.missed, *left.others) if re.search(rf"\b{re.escape(Path(name).name)}\b", log)]
    if named:  # the build has a clean copy
        first = f"name {named[0]}, which git ignores, in the setting `include` (or `git add --force` it)"
    if fault := uv.explain(log):
        what, said, first = f"{what}: {fault.what}", f"\n{uv.last_cause(log)}{told}", fault.cure
    elif ended and ended.lacks_tools:
        what, said = f"{what}: what builds it cannot be installed", f"\n{uv.last_cause(log)}{told}"
        first = "correct `requires` under [build-system] in its pyproject.toml"
    first = "make room" if ended and ended.is_full else first
    return errors.StepFailed(
        f"the library {library.name} {what}:{said}", where=where, cure=f"{first}, then `inv build-wheel`"
    )

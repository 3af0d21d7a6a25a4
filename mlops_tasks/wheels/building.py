"""A wheel built from a library: PEP 517 through `build`, isolated, with uv as its installer."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from packaging.version import InvalidVersion, Version

from mlops_tasks import errors, files, processes, redaction, uv
from mlops_tasks.checkout import git
from mlops_tasks.report import Report
from mlops_tasks.wheels import ignored, needs, sources, surroundings

LARGE = 1 << 20
"""Files of more bytes than this, outside the library (data sets), are linked and not copied."""

_CARRIED = r"^(core\.(filemode|symlinks|autocrlf|eol|ignorecase|precomposeunicode)|filter\.)"
"""The repository's own settings that decide which files git takes for changed: none of them holds a password."""


def copy_library(library: Path, into: Path, *, top: Path, run: processes.Runner, brought: Sequence[str] = ()) -> Path:
    """Copy the repository around `library` to `into`, without what git ignores: the library's folder in the copy.

    The whole repository is copied, since a readme, a path dependency or the version may come from outside the
    library's folder. Without git everything below `top` is. `brought` are files of the library that come along
    although git ignores them.
    """
    around = git.top(library)
    listed = git.list_all(around, runner=run) if around else None
    tracked = None if listed is None else listed.files
    if around is None or tracked is None:
        around = top.resolve() if library.is_relative_to(top.resolve()) else library
    names = files.walk(around, skip=sources.is_junk) if tracked is None else tracked
    # git takes a symbolic link in the place of a file for a change; a hard link needs the same file system
    link = os.symlink if tracked is None else os.link
    inner = library.relative_to(around)
    own = {name for name in names if Path(name).is_relative_to(inner)}
    if own.isdisjoint((inner / mark).as_posix() for mark in sources.MARKS):  # git ignores the library itself
        own = {(inner / name).as_posix() for name in sources.walk(library)}
    own |= {(inner / name).as_posix() for name in brought}
    for name in sorted({*names, *own}):
        # somebody else's file in the clone that cannot be read is not missed
        with contextlib.suppress(*([] if name in own else [PermissionError])):
            _copy(around / name, into / name, around=around, link=None if name in own else link)
    if listed is not None:
        for name in listed.submodules:  # git takes a missing folder for a change
            (into / name).mkdir(parents=True, exist_ok=True)
        _copy_history(around, into, run)
    return into / inner


def _copy(source: Path, target: Path, *, around: Path, link: Callable[[Path, Path], None] | None) -> None:
    def leads_to(link: Path) -> Path:
        end = Path(os.path.realpath(link))
        return link.readlink() if end.is_relative_to(around) else end

    status = source.lstat()
    if link is not None and stat.S_ISREG(status.st_mode) and status.st_size > LARGE:
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            link(source, target)
            return
    files.copy(source, target, leads_to=leads_to)


def _copy_history(top: Path, copy: Path, run: processes.Runner) -> None:
    """Make a git directory in the copy with the original's HEAD, branches, tags and index, on the original's objects.

    The original does not change, and no remote's URL (with its password) gets into the copy.
    """
    copied = ("index", "shallow", "info/attributes")
    # a linked work tree has some of these files of its own and shares others
    paths = [argument for name in ("objects", *copied) for argument in ("--git-path", name)]
    form, objects, *found = _ask(run, top, "rev-parse", "--show-object-format", *paths).splitlines()
    own = copy / ".git"
    # references in another form than files would leave those below unread
    _ask(run, copy, "-c", "init.defaultRefFormat=files", "init", "--quiet", "--template=", f"--object-format={form}")
    (own / "objects" / "info").mkdir(exist_ok=True)
    (own / "objects" / "info" / "alternates").write_bytes(os.fsencode(f"{(top / objects).resolve()}\n"))
    originals = {name: (top / path).resolve() for name, path in zip(copied, found, strict=True)}
    originals |= {path.name: path for path in originals["index"].parent.glob("sharedindex.*")}  # parts of a split index
    for name, path in originals.items():
        if path.exists():
            (own / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, own / name)
    listed = _ask(run, top, "for-each-ref", "--format=%(objectname) %(refname) %(HEAD)", "refs/heads", "refs/tags")
    refs = [line.rstrip(" *") for line in listed.split("\n") if line]
    (own / "packed-refs").write_bytes(os.fsencode("".join(f"{ref}\n" for ref in refs)))
    branch = next((line.split(" ")[1] for line in listed.split("\n") if line.endswith("*")), "")
    # a branch is not listed before its first commit; a detached HEAD has none
    branch = branch or git.call("symbolic-ref", "--quiet", "HEAD", run=run, cwd=top).stdout.strip()
    head = f"ref: {branch}" if branch else _ask(run, top, "rev-parse", "HEAD")
    (own / "HEAD").write_bytes(os.fsencode(f"{head}\n"))
    # git exits with 1 where there are none of these settings
    settings = git.call("config", "--local", "-z", "--get-regexp", _CARRIED, run=run, cwd=top).stdout
    with (own / "config").open("ab") as stream:
        stream.writelines(os.fsencode(_spell(entry)) for entry in settings.split("\0") if entry)


def _spell(setting: str) -> str:
    """A setting as git's files have it, from the key, the line end and the value that `git config -z` lists."""
    key, has_value, value = setting.partition("\n")
    section, _, rest = key.partition(".")
    inner, _, name = rest.rpartition(".")
    return f"[{section}{inner and f' {_quote(inner)}'}]\n\t{name} = {_quote(value) if has_value else 'true'}\n"


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _ask(run: processes.Runner, folder: Path, *arguments: str) -> str:
    done = git.call(*arguments, run=run, cwd=folder)
    if done.returncode:
        raise git.refused("git cannot prepare a clean copy of the sources", done, where=folder)
    return done.stdout.strip()


BUILD = "import os, runpy; os.umask(0o022); runpy.run_module('build', run_name='__main__', alter_sys=True)"
"""`python -m build` under a fixed umask: setuptools keeps the modes of the files that it writes on the way."""

LAST_WORDS = 8
"""Lines of the backend's log that a failure shows."""
SHOWN = 5
"""Warnings of the backend that are shown."""
_WARNING = re.compile(r"\w+Warning:|^\s*WARNING\b")
"""In small letters setuptools and compilers warn of nothing: patterns without a match, unused variables."""
_FILE = re.compile(r"^\S+\.py:\d+: ")
_WRONG_VERSION = re.compile(r"(?:invalid version:?|version number) ['\"`]([^'\"`]+)['\"`]", re.IGNORECASE)
_NONE = ignored.Ignored()


@contextlib.contextmanager
def built(
    library: Path,
    *,
    top: Path,
    environ: Mapping[str, str],
    run: processes.Runner,
    report: Report,
    log_file: Path,
    left: ignored.Ignored = _NONE,
) -> Iterator[Path]:
    """The wheel of `library`, in a folder that is removed after the block.

    `environ` is that of `environment`. `left` are its files that git ignores. Warnings of the build backend are
    reported. Raises StepFailed with the last cause in its log, which is then kept in `log_file`.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = tempfile.TemporaryDirectory(prefix="mlops-", ignore_cleanup_errors=True)
            work = Path(stack.enter_context(folder))
            place = copy_library(library, work / "sources", top=top, run=run, brought=left.brought)
            out = work / "wheel"
            out.mkdir()
        except OSError as fault:
            raise not_copied("the sources", fault, where=library) from fault
        command = [sys.executable, "-c", BUILD, "--wheel", "--installer", "uv", "--outdir", str(out), str(place)]
        done = uv.run_reaching(command, cwd=out, env=environ, run=run, say=report.detail)
        log = _without_copy(redaction.mask(done.stdout + done.stderr), work / "sources", place, library)
        if done.returncode:
            told = _keep(log, log_file, report)
            raise _failed("cannot be built", library, log, left, told=told, is_full=processes.ran_full(done))
        _show(log, library, report)
        found = list(out.glob("*.whl"))
        if len(found) != 1:
            what, told = f"made {len(found)} wheels instead of one", _keep(log, log_file, report)
            raise _failed(what, library, log, left, told=told, is_full=False)
        yield found[0]


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
        "PATH": os.pathsep.join([str(uv.find().parent), environ.get("PATH", os.defpath)]),
        "SOURCE_DATE_EPOCH": surroundings.SOURCE_DATE_EPOCH,
        "NO_COLOR": "1",
    }


def _wrong_version(library: Path, log: str) -> str:
    """The version that no build takes: the settings have it, or else the log names it."""
    written = sources.read_version(library)
    try:
        Version(written or "0")
    except InvalidVersion:
        return written
    found = _WRONG_VERSION.search(log)
    return found[1] if found else ""


def _failed(
    what: str, library: Path, log: str, left: ignored.Ignored, *, told: str, is_full: bool
) -> errors.ReleaseError:
    """The error with the last cause first; `told` is where the whole log is."""
    if version := _wrong_version(library, log):
        return needs.wrong_version(library, version)
    lines = "".join(f"\n  | {line}" for line in log.rstrip().splitlines()[-LAST_WORDS:])
    said = f" {_last_cause(log)}{lines}{told}"
    first = "correct what the build backend says"
    named = [name for name in (*left.missed, *left.others) if re.search(rf"\b{re.escape(Path(name).name)}\b", log)]
    if named:  # the build has a clean copy
        first = f"name {named[0]}, which git ignores, in the setting `include` (or `git add --force` it)"
    if fault := uv.explain(log):
        what, said, first = f"{what}: {fault.what}", f"\n{uv.last_cause(log)}{told}", fault.cure
    elif uv.NO_SOLUTION in log:
        what, said = f"{what}: what builds it cannot be installed", f"\n{uv.last_cause(log)}{told}"
        first = "correct `requires` under [build-system] in its pyproject.toml"
    first = "make room" if is_full else first
    return errors.StepFailed(
        f"the library {library.name} {what}:{said}", where=library, cure=f"{first}, then `inv build-wheel`"
    )

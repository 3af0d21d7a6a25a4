"""A wheel built from a library: PEP 517 through `build`, isolated, with uv as its installer."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mlops_tasks import errors, files, processes, redaction, uv
from mlops_tasks.checkout import git
from mlops_tasks.report import Report
from mlops_tasks.wheels import sources

LARGE = 1 << 20
"""Files of more bytes than this, outside the library (data sets), are linked and not copied."""

_CARRIED = r"^(core\.(filemode|symlinks|autocrlf|eol|ignorecase|precomposeunicode)|filter\.)"
"""The repository's own settings that decide which files git takes for changed: none of them holds a password."""


def copy_library(library: Path, into: Path, *, top: Path, run: processes.Runner) -> Path:
    """Copy the repository around `library` to `into`, without what git ignores: the library's folder in the copy.

    The whole repository is copied, since a readme, a path dependency or the version may come from outside the
    library's folder. Without git everything below `top` is.
    """
    around = git.top(library)
    tracked = git.list_files(around, runner=run) if around else None
    if around is None or tracked is None:
        around = top.resolve() if library.is_relative_to(top.resolve()) else library
    names = sources.walk(around) if tracked is None else tracked
    # git takes a symbolic link in the place of a file for a change; a hard link needs the same file system
    link = os.symlink if tracked is None else os.link
    inner = library.relative_to(around)
    own = {name for name in names if Path(name).is_relative_to(inner)}
    if own.isdisjoint((inner / mark).as_posix() for mark in sources.MARKS):  # git ignores the library itself
        own = {(inner / name).as_posix() for name in sources.walk(library)}
    for name in sorted({*names, *own}):
        _copy(around / name, into / name, around=around, link=None if name in own else link)
    if tracked is not None:
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
    for key, has_value, value in (entry.partition("\n") for entry in settings.split("\0") if entry):
        _ask(run, own, "config", "--file", str(own / "config"), key, value if has_value else "true")


def _ask(run: processes.Runner, folder: Path, *arguments: str) -> str:
    done = git.call(*arguments, run=run, cwd=folder)
    if done.returncode:
        raise git.refused("git cannot prepare a clean copy of the sources", done, where=folder)
    return done.stdout.strip()


SOURCE_DATE_EPOCH = "315532800"
"""1980-01-01, the first time that a zip file can hold: always the same, so that the wheel's bytes are."""

BUILD = "import os, runpy; os.umask(0o022); runpy.run_module('build', run_name='__main__', alter_sys=True)"
"""`python -m build` under a fixed umask: setuptools keeps the modes of the files that it writes on the way."""

STRAYS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", *git.STRAYS)
"""Variables that would let another environment into the isolated build, or the user's repository."""

LAST_WORDS = 30
"""Lines of the backend's log that a failure shows."""


@contextlib.contextmanager
def built(
    library: Path, *, top: Path, environ: Mapping[str, str], run: processes.Runner, report: Report
) -> Iterator[Path]:
    """The wheel of `library`, in a folder that is removed after the block.

    Raises StepFailed with the last lines of the build backend's log.
    """
    build_environ = _environ(environ)
    with contextlib.ExitStack() as stack:
        try:
            folder = tempfile.TemporaryDirectory(prefix="mlops-", ignore_cleanup_errors=True)
            work = Path(stack.enter_context(folder))
            place = copy_library(library, work / "sources", top=top, run=run)
            out = work / "wheel"
            out.mkdir()
        except OSError as fault:
            raise not_copied("the sources", fault, where=library) from fault
        command = [sys.executable, "-c", BUILD, "--wheel", "--installer", "uv", "--outdir", str(out), str(place)]
        with report.waiting(f"building {library.name}"):
            done = uv.run_reaching(command, cwd=out, env=build_environ, run=run)
        log = redaction.mask(done.stdout + done.stderr)
        if done.returncode:
            raise _failed("cannot be built", library, log, is_full=processes.ran_full(done))
        for line in log.splitlines():
            report.debug(line)
        found = list(out.glob("*.whl"))
        if len(found) != 1:
            raise _failed(f"made {len(found)} wheels instead of one", library, log, is_full=False)
        yield found[0]


def not_copied(what: str, fault: OSError, *, where: Path) -> errors.StepFailed:
    """The error for `what` (such as "the wheel") that cannot be copied from or to `where`."""
    cure = (
        "make room, then `inv build-wheel`"
        if files.is_full(fault)
        else "make it readable and writable, then `inv build-wheel`"
    )
    return errors.StepFailed(f"{what} cannot be copied: {fault}", where=where, cure=cure)


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    kept = uv.environment({key: value for key, value in environ.items() if key not in STRAYS})
    # what builds a wheel is installed here as any package is: both kinds of constraints hold for it
    limits = " ".join(kept[name] for name in ("UV_CONSTRAINT", "UV_BUILD_CONSTRAINT") if kept.get(name))
    return {
        **kept,
        **({"UV_CONSTRAINT": limits} if limits else {}),
        "PATH": os.pathsep.join([str(uv.find().parent), environ.get("PATH", os.defpath)]),
        "SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH,
        "NO_COLOR": "1",
    }


def _failed(what: str, library: Path, log: str, *, is_full: bool) -> errors.StepFailed:
    said = "".join(f"\n  | {line}" for line in log.rstrip().splitlines()[-LAST_WORDS:])
    fault = uv.explain(log)
    if fault is not None:
        what, said = f"{what}: {fault.what}", f"\n{uv.last_cause(log)}"
    first = "make room" if is_full else fault.cure if fault is not None else "correct what the build backend says"
    return errors.StepFailed(
        f"the library {library.name} {what}:{said}", where=library, cure=f"{first}, then `inv build-wheel`"
    )

"""A clean copy of a library's sources to build from, in which git answers as it does in the original."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

from mlops_tasks import errors, git, runner
from mlops_tasks.wheels import sources

LARGE = 1 << 20
"""Files of more bytes than this, outside the library (data sets), are linked and not copied."""


def copy_library(library: Path, into: Path, *, top: Path, run: runner.Runner) -> Path:
    """Copy the repository around `library` to `into`, without what git ignores: the library's place in the copy.

    The whole repository, since a readme, a path dependency or the version may come from outside the library's
    folder. Without git it is everything below `top`.
    """
    tree = git.read(library, runner=run)
    around = tree.top.resolve() if tree else top.resolve()
    if not library.is_relative_to(around):
        around = library
    names = git.list_files(around, runner=run) if tree else sources.walk(around)
    inner = library.relative_to(around)
    own = {(inner / name).as_posix() for name in sources.list_files(library, run=run)}
    for name in sorted({*names, *own}):
        _copy(around / name, into / name, may_link=name not in own)
    if tree is not None:
        _copy_history(around, into, run)
    return into / inner


def _copy(source: Path, target: Path, *, may_link: bool) -> None:
    """Modes are normalised: a wheel keeps them, and they depend on the umask of whoever checked the sources out."""
    target.parent.mkdir(parents=True, exist_ok=True)
    status = source.lstat()
    if stat.S_ISLNK(status.st_mode):
        target.symlink_to(source.readlink())
        return
    if not stat.S_ISREG(status.st_mode):
        return
    if may_link and status.st_size > LARGE:
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copyfile(source, target)
    target.chmod(0o755 if status.st_mode & stat.S_IXUSR else 0o644)


def _copy_history(top: Path, copy: Path, run: runner.Runner) -> None:
    """A git directory of the copy's own on the original's objects: same HEAD, branches, tags, and same index.

    The user's repository is not touched, and no remote's URL (with its password) gets into the copy.
    """
    form = _ask(run, top, "rev-parse", "--show-object-format")
    _ask(run, copy, "init", "--quiet", "--template=", f"--object-format={form}", ".")
    objects = (top / _ask(run, top, "rev-parse", "--git-path", "objects")).resolve()
    own = copy / ".git"
    (own / "objects" / "info").mkdir(parents=True, exist_ok=True)
    (own / "objects" / "info" / "alternates").write_text(f"{objects}\n", encoding="utf-8")
    for name in ("HEAD", "index", "shallow"):
        path = top / _ask(run, top, "rev-parse", "--git-path", name)
        if path.exists():
            shutil.copyfile(path, own / name)
    refs = _ask(run, top, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
    (own / "packed-refs").write_text(f"{refs}\n" if refs else "", encoding="utf-8")


def _ask(run: runner.Runner, folder: Path, *arguments: str) -> str:
    done = run(["git", "--no-optional-locks", *arguments], cwd=folder)
    if done.returncode:
        raise errors.StepFailed(
            f"git cannot prepare a clean copy of the sources: {done.stderr.strip()}",
            where=folder,
            cure="do what git says",
        )
    return done.stdout.strip()

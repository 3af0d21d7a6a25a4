"""A clean copy of a library's sources to build from, in which git answers as it does in the original."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from mlops_tasks import processes
from mlops_tasks.checkout import git
from mlops_tasks.wheels import sources

LARGE = 1 << 20
"""Files of more bytes than this, outside the library (data sets), are linked and not copied."""

_CARRIED = r"^(core\.(filemode|symlinks|autocrlf|eol|ignorecase|precomposeunicode)|filter\.)"
"""The repository's own settings that decide which files git takes for changed: none of them holds a password."""


def copy_library(library: Path, into: Path, *, top: Path, run: processes.Runner) -> Path:
    """Copy the repository around `library` to `into`, without what git ignores: the library's place in the copy.

    The whole repository, since a readme, a path dependency or the version may come from outside the library's
    folder. Without git it is everything below `top`.
    """
    tree = git.read(library, runner=run)
    around = tree.top.resolve() if tree else top.resolve()
    if not library.is_relative_to(around):
        around = library
    names = git.list_files(around, runner=run) if tree else sources.walk(around)
    # git takes a symbolic link in the place of a file for a change; a hard link needs the same file system
    link = os.link if tree else os.symlink
    inner = library.relative_to(around)
    own = {(inner / name).as_posix() for name in sources.list_files(library, run=run)}
    for name in sorted({*names, *own}):
        _copy(around / name, into / name, around=around, link=None if name in own else link)
    if tree is not None:
        _copy_history(around, into, run)
    return into / inner


def _copy(source: Path, target: Path, *, around: Path, link: Callable[[Path, Path], None] | None) -> None:
    """Modes are normalised: a wheel keeps them, and they depend on the umask of whoever checked the sources out."""
    target.parent.mkdir(parents=True, exist_ok=True)
    status = source.lstat()
    if stat.S_ISLNK(status.st_mode):
        end = Path(os.path.realpath(source))
        target.symlink_to(source.readlink() if end.is_relative_to(around) else end)
        return
    if link is not None and status.st_size > LARGE:
        with contextlib.suppress(OSError):
            link(source, target)
            return
    shutil.copyfile(source, target)
    target.chmod(0o755 if status.st_mode & stat.S_IXUSR else 0o644)


def _copy_history(top: Path, copy: Path, run: processes.Runner) -> None:
    """A git directory of the copy's own on the original's objects: same HEAD, branches, tags, and same index.

    The user's repository is not touched, and no remote's URL (with its password) gets into the copy.
    """
    form = _ask(run, top, "rev-parse", "--show-object-format")
    own = copy / ".git"
    # references in another form than files would leave those below unread
    new = ("-c", "init.defaultRefFormat=files", "init", "--quiet", "--template=", f"--object-format={form}")
    _ask(run, copy, *new)
    (objects,) = _find(run, top, "objects")
    (own / "objects" / "info").mkdir(exist_ok=True)
    (own / "objects" / "info" / "alternates").write_bytes(os.fsencode(f"{objects}\n"))
    _copy_git_files(top, own, run)
    refs = _ask(run, top, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
    (own / "packed-refs").write_bytes(os.fsencode(f"{refs}\n" if refs else ""))
    (own / "HEAD").write_bytes(os.fsencode(_head(top, run)))
    _copy_settings(top, own / "config", run)


def _copy_git_files(top: Path, own: Path, run: processes.Runner) -> None:
    names = ("index", "shallow", "info/attributes")
    found = dict(zip(names, _find(run, top, *names), strict=True))
    found |= {path.name: path for path in found["index"].parent.glob("sharedindex.*")}  # the rest of a split index
    for name, path in found.items():
        if path.exists():
            (own / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, own / name)


def _head(top: Path, run: processes.Runner) -> str:
    branch = git.call("symbolic-ref", "--quiet", "HEAD", run=run, cwd=top).stdout.strip()
    return f"ref: {branch}\n" if branch else f"{_ask(run, top, 'rev-parse', 'HEAD')}\n"


def _copy_settings(top: Path, config: Path, run: processes.Runner) -> None:
    """An exit code of 1 means that there are none of these settings."""
    found = git.call("config", "--local", "-z", "--get-regexp", _CARRIED, run=run, cwd=top).stdout
    for key, has_value, value in (entry.partition("\n") for entry in found.split("\0") if entry):
        _ask(run, config.parent, "config", "--file", str(config), key, value if has_value else "true")


def _find(run: processes.Runner, top: Path, *names: str) -> list[Path]:
    """Where git keeps each of `names`: a linked work tree has some of its own and shares others."""
    arguments = [argument for name in names for argument in ("--git-path", name)]
    return [(top / line).resolve() for line in _ask(run, top, "rev-parse", *arguments).splitlines()]


def _ask(run: processes.Runner, folder: Path, *arguments: str) -> str:
    done = git.call(*arguments, run=run, cwd=folder)
    if done.returncode:
        raise git.refused("git cannot prepare a clean copy of the sources", done, where=folder)
    return done.stdout.strip()

"""A clean copy of the repository around a library, to build in: its history comes along, what git ignores stays."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from mlops_tasks import files, processes
from mlops_tasks.checkout import git
from mlops_tasks.wheels import sources

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

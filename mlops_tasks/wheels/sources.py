"""The libraries of a repository: their folders, the files of each, and a digest that moves with them."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from mlops_tasks import errors, files, processes
from mlops_tasks.checkout import git

MARKS = ("pyproject.toml", "setup.py")
_JUNK = {"__pycache__", ".git", ".hg", ".mlops", ".tox", ".nox", ".venv", ".mypy_cache", ".pytest_cache"}
_BUILT = {"build", "dist"}
"""Junk only beside a pyproject.toml or setup.py: deeper down these are packages of that name."""
_FROM_GIT = re.compile(
    r"scm|hatch-vcs|vcs-versioning|versioningit|git-versioning|dynamic-versioning|dunamai|versioneer|\bpbr\b"
)
"""Build plugins that take a version from git; a chance match means no more than a needless build after a commit."""
_OUTSIDE = re.compile(r"""\.\./[^"'\0\n,;\]}]+""")


def find_libraries(patterns: Sequence[str], *, base: Path) -> tuple[Path, ...]:
    """The library folders that `patterns` (folders and globs, relative to `base`) name, each once.

    Other matches of a glob are ignored. Raises BadInput for a named folder without a pyproject.toml or setup.py, and
    where no library is found.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        is_glob = glob.has_magic(pattern)
        # pathlib's own globs take no absolute patterns; a sign of `base` itself is no pattern
        whole = str(Path(glob.escape(str(base)), pattern))
        names = sorted(glob.glob(whole, recursive=True)) if is_glob else [base / pattern]  # noqa: PTH207
        for path in map(Path, names):
            if _is_library(path):
                found[path.resolve()] = None
            elif not is_glob:
                raise errors.BadInput(
                    f"no library found: {pattern} has neither pyproject.toml nor setup.py",
                    where=path,
                    cure=f"correct the setting `libraries` ({pattern}/* means the folders in it)",
                )
    if not found:
        said = f"nothing with a pyproject.toml matches {', '.join(patterns)}" if patterns else "`libraries` is empty"
        raise errors.BadInput(
            f"no library found: {said}", where=base, cure="set `libraries` to the folders to build wheels from"
        )
    return tuple(found)


def list_files(library: Path, *, run: processes.Runner) -> list[str]:
    """The library's files, sorted: those that git tracks or would track, without git all but what tools make."""
    names = git.list_files(library, runner=run) or []
    return names if any(name in MARKS for name in names) else walk(library)


def walk(folder: Path) -> list[str]:
    """The files and links below `folder`, sorted, but for what tools make. Links to folders are not entered."""
    return files.walk(folder, skip=_is_junk)


def library_digest(library: Path, *, run: processes.Runner) -> str:
    """The digest of the sources of a wheel of `library`: contents, paths and executable bits, never times.

    Files outside the folder that its settings name or its links lead to count too, and the commit, where the version
    comes from git. Raises StepFailed for a file that cannot be read.
    """
    try:
        names, settings = list_files(library, run=run), _settings(library)
        described = _describe(library, run) if _FROM_GIT.search(settings) else ""
        own = _hash_all(library, names)
        outside = {name: _hash_outside(library, name, run) for name in _outside(library, names, settings)}
        return files.digest({"files": own, "outside": outside, "git": described})
    except OSError as fault:
        raise errors.StepFailed(
            f"a file of the library cannot be read: {fault.strerror}",
            where=fault.filename or library,
            cure="make it readable, or have git ignore it",
        ) from fault


def list_outside(library: Path, *, run: processes.Runner) -> list[str]:
    """The files and folders outside of the library that a wheel of it is made of, relative to its folder."""
    found = _outside(library, list_files(library, run=run), _settings(library))
    paths = [Path(os.path.realpath(library / name)) for name in found]
    return [os.path.relpath(each, library.resolve()) for each in paths if each.exists() and not _holds(each, library)]


def _settings(library: Path) -> str:
    paths = [library / name for name in (*MARKS, "setup.cfg")]
    return "".join(path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file())


def _outside(library: Path, names: Iterable[str], settings: str) -> list[str]:
    """The links among the library's files, and what its settings name outside the folder, sorted."""
    links = [name for name in names if (library / name).is_symlink()]
    return sorted({*links, *(name.strip() for name in _OUTSIDE.findall(settings))})


def _is_library(path: Path) -> bool:
    return any((path / mark).is_file() for mark in MARKS)


def _is_junk(path: Path) -> bool:
    if not path.is_dir():
        # pipes and sockets: reading one waits for ever
        return path.name.endswith(".pyc") or not (path.is_symlink() or path.is_file())
    if path.name in _BUILT:
        return _is_library(path.parent)
    return path.name in _JUNK or path.name.endswith(".egg-info") or (path / "pyvenv.cfg").exists()


def _hash_all(folder: Path, names: Iterable[str]) -> dict[str, tuple[str, str]]:
    return {name: files.fingerprint(folder / name) for name in names}


def _hash_outside(library: Path, name: str, run: processes.Runner) -> object:
    """The fingerprint of the file, or of all files of the folder, at `name`; none of a folder around the library."""
    path = Path(os.path.realpath(library / name))
    try:
        mode = path.stat().st_mode
    except OSError:  # a sentence in the settings can look like a path
        return None
    if stat.S_ISREG(mode):
        return files.fingerprint(path)
    if not stat.S_ISDIR(mode) or _holds(path, library):
        return None
    return _hash_all(path, git.list_files(path, runner=run) or walk(path))


def _holds(path: Path, library: Path) -> bool:
    """Whether `path` is around the library, as git's root is."""
    return library.resolve().is_relative_to(path)


def _describe(library: Path, run: processes.Runner) -> str:
    tree = git.read(library, runner=run)
    if tree is None or tree.commit is None:
        return ""
    described = git.call("describe", "--tags", "--long", "--always", "--dirty", run=run, cwd=library)
    return f"{tree.commit} {described.stdout.strip()}"

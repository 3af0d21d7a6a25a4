"""Libraries as their sources: which folders they are, which files belong to one, and the digest of those."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from mlops_tasks import digests, errors, git, runner

MARKS = ("pyproject.toml", "setup.py")
_JUNK = {
    "build",
    "dist",
    "__pycache__",
    ".git",
    ".hg",
    ".mlops",
    ".tox",
    ".nox",
    ".venv",
    ".mypy_cache",
    ".pytest_cache",
}
_FROM_GIT = re.compile(
    r"scm|hatch-vcs|vcs-versioning|versioningit|git-versioning|dynamic-versioning|dunamai|versioneer"
)
"""The build plugins that take a version from git; a chance match only means that a commit makes a wheel stale."""
_OUTSIDE = re.compile(r"""\.\./[^"'\s,;\]}]+""")


def find_libraries(patterns: Sequence[str], *, base: Path) -> tuple[Path, ...]:
    """The library folders that `patterns` (folders and globs, relative to `base`) name, each once.

    What else a glob matches is passed over. Raises BadInput for a folder without a pyproject.toml or setup.py, and
    where no library is found at all.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        for path in _expand(base, pattern):
            if _is_library(path):
                found[path.resolve()] = None
            elif not glob.has_magic(pattern):
                raise errors.BadInput(
                    f"no library found: {pattern} has neither pyproject.toml nor setup.py",
                    where=path,
                    cure="correct the setting `libraries`",
                )
    if not found:
        said = f"nothing with a pyproject.toml matches {', '.join(patterns)}" if patterns else "`libraries` is empty"
        raise errors.BadInput(
            f"no library found: {said}", where=base, cure="set `libraries` to the folders to build wheels from"
        )
    return tuple(found)


def list_files(library: Path, *, run: runner.Runner) -> list[str]:
    """The files of the library, sorted: what git tracks or would track, or without git all but what tools make."""
    if git.read(library, runner=run) is not None:
        names = git.list_files(library, runner=run)
        if any(name in MARKS for name in names):
            return names
    return walk(library)


def walk(folder: Path) -> list[str]:
    found = []
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_junk(Path(base, name))]
        found += [Path(base, name).relative_to(folder).as_posix() for name in names if not name.endswith(".pyc")]
    return sorted(found)


def library_digest(library: Path, *, run: runner.Runner) -> str:
    """The digest of what a wheel of `library` is made of: contents, paths and executable bits, never times.

    Files that its settings name outside the folder count too; so does the commit, where the version comes from git.
    """
    inputs = {name: _hash(library / name) for name in list_files(library, run=run)}
    settings = "".join(_read(library / name) for name in (*MARKS, "setup.cfg"))
    outside = {
        name: _hash(library / name) for name in sorted(set(_OUTSIDE.findall(settings))) if (library / name).is_file()
    }
    described = _describe(library, run) if _FROM_GIT.search(settings) else ""
    return digests.digest({"files": inputs, "outside": outside, "git": described})


def _expand(base: Path, pattern: str) -> list[Path]:
    """What `pattern` matches, sorted; pathlib's own globs know no absolute patterns."""
    if not glob.has_magic(pattern):
        return [base / pattern]
    return [Path(path) for path in sorted(glob.glob(str(base / pattern), recursive=True))]  # noqa: PTH207


def _is_library(path: Path) -> bool:
    return any((path / mark).is_file() for mark in MARKS)


def _is_junk(path: Path) -> bool:
    return path.name in _JUNK or path.name.endswith(".egg-info") or (path / "pyvenv.cfg").exists()


def _hash(path: Path) -> list[str]:
    if path.is_symlink():
        return ["link", str(path.readlink())]
    return ["program" if os.access(path, os.X_OK) else "file", digests.file_sha256(path)]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _describe(library: Path, run: runner.Runner) -> str:
    tree = git.read(library, runner=run)
    if tree is None or tree.commit is None:
        return ""
    command = ["git", "--no-optional-locks", "describe", "--tags", "--long", "--always", "--dirty"]
    return f"{tree.commit} {run(command, cwd=library).stdout.strip()}"

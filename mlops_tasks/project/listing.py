"""The files of a project's folder that are staged: not those that git ignores, nor secrets and environments."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from mlops_tasks import errors, files, processes
from mlops_tasks.checkout import git
from mlops_tasks.report import Report

LEFT_OUT = {".git", ".mlops", ".env", ".venv", "__pycache__", "mlruns"}
"""Files and folders of these names (secrets, environments, results) are not staged even where git tracks them."""


def list_files(
    folder: Path, *, include: Sequence[str], needed: Iterable[str], run: processes.Runner, report: Report
) -> tuple[str, ...]:
    """The files (and symbolic links) below `folder` to be staged, as sorted relative paths.

    `include` are globs of files to stage nevertheless; `needed` are files that are staged in any case. Raises BadInput
    for a glob that leads out of the folder, StepFailed for a folder that cannot be read.
    """
    listed = git.list_files(folder, runner=run)
    if listed is not None and not any(name.lower() == "mlproject" for name in listed):
        report.warning(f"git ignores the project's folder itself, so all of it is staged: {folder}")
        listed = None
    if listed is None:
        found = files.walk(folder, skip=_is_left_out, onerror=_refuse)
    else:
        found = [name for name in listed if not _stays_behind(folder, name)]
    brought = [name for pattern in include for name in _expand(folder, pattern, report)]
    return tuple(sorted({*found, *brought, *needed}))


def name_inside(path: Path, folder: Path) -> str:
    """`path` relative to `folder`, with links to folders followed; empty where it does not lie in it."""
    name = os.path.relpath(path.parent.resolve() / path.name, folder.resolve())
    return "" if name.startswith("..") else Path(name).as_posix()


def _stays_behind(folder: Path, name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(_is_left_out(folder.joinpath(*parts[:count])) for count in range(1, len(parts) + 1))


def _is_left_out(path: Path) -> bool:
    return path.name in LEFT_OUT or path.name.endswith(".egg-info") or (path / "pyvenv.cfg").exists()


def _expand(folder: Path, pattern: str, report: Report) -> list[str]:
    if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
        raise errors.BadInput(
            f"{pattern!r} leads out of the project's folder", where="include", cure="give globs relative to that folder"
        )
    names = [name for path in folder.glob(pattern) for name in _files_of(path, folder)]
    if not names:
        report.warning(f"include: nothing in the project matches {pattern!r}")
    return names


def _files_of(path: Path, folder: Path) -> list[str]:
    """`path` or, of a folder, the files in it; where a link leads to `path`, that link alone."""
    name = path.relative_to(folder)
    on_the_way = [*reversed(name.parents), name][1:]
    link = next((each for each in on_the_way if (folder / each).is_symlink()), None)
    if link is None and path.is_dir():
        return [(name / each).as_posix() for each in files.walk(path, onerror=_refuse)]
    return [(link or name).as_posix()]


def _refuse(fault: OSError) -> None:
    raise errors.StepFailed(
        f"the project's folder cannot be read: {fault.strerror}", where=fault.filename, cure="make it readable"
    ) from fault

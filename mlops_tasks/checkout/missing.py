"""What a folder of a checkout lacks: submodules, what a sparse checkout leaves out, the data behind a pointer."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mlops_tasks.checkout import git

_LFS, _ANNEX = b"version https://git-lfs.github.com/spec/v1", b"/annex/objects/"
_SMALL = 1024
"""Bytes that a pointer has at most."""
_CURES = {
    "a Git LFS pointer": "`git lfs pull`",
    "a git-annex pointer": "`git annex get`",
    "a DVC pointer whose data is not there": "`dvc pull`",
}


class Missing(NamedTuple):
    what: str
    cure: str

    def __str__(self) -> str:
        return f"{self.what}: {self.cure}"


def find(
    folder: Path, names: Iterable[str], *, tree: git.WorkTree | None, shown: str = "", beside: Sequence[Path] = ()
) -> list[Missing]:
    """What is missing of the `names` below `folder`, and of the folders `beside` it. `shown` is the folder's name."""
    places = [each.resolve() for each in (folder, *beside)]
    found = [] if tree is None else [*_find_submodules(places, tree), *_find_left_out(places, tree)]
    pointers: dict[str, list[str]] = {}
    for name in names:
        if kind := _pointer(f"{folder}/{name}"):
            pointers.setdefault(kind, []).append(PurePosixPath(shown, name).as_posix())
    return found + [Missing(_say(kind, each), _CURES[kind]) for kind, each in pointers.items()]


def find_pointer(path: Path) -> Missing | None:
    """Which pointer stands in the file's place."""
    kind = _pointer(str(path))
    return Missing(f"this is {kind}, not the file itself", _CURES[kind]) if kind else None


def find_submodule(path: Path, tree: git.WorkTree | None) -> Missing | None:
    """The submodule that is not checked out and that `path` is, or lies in."""
    for name in tree.submodules if tree is not None else ():
        if tree is not None and path.is_relative_to(tree.top / name):
            return not_checked_out(name, tree)
    return None


def _find_submodules(places: Sequence[Path], tree: git.WorkTree) -> list[Missing]:
    inside = [name for name in tree.submodules if any((tree.top / name).is_relative_to(each) for each in places)]
    return [not_checked_out(name, tree) for name in inside]


def not_checked_out(name: str, tree: git.WorkTree) -> Missing:
    """The submodule `name`, with the command that brings it."""
    cure = git.typed(tree.top, "submodule", "update", "--init", name)
    return Missing(f"{name} is a submodule that is not checked out", f"`{cure}`")


def _find_left_out(places: Sequence[Path], tree: git.WorkTree) -> list[Missing]:
    inside = [name for name in tree.left_out if any((tree.top / name).is_relative_to(each) for each in places)]
    if not inside:
        return []
    more = f" and {len(inside) - 1} more" if len(inside) > 1 else ""
    # where it goes by patterns, one of a folder does not bring what another leaves out of that folder
    brings = Path(inside[0]).parent if tree.has_cones else f"/{inside[0]}"
    add = git.typed(tree.top, "sparse-checkout", "add", brings)
    return [Missing(f"a sparse checkout leaves out {inside[0]}{more}", f"`{add}`")]


def _pointer(path: str) -> str:
    """What kind of pointer the file is; empty for a file that is itself."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            is_annex = "annex/objects" in os.readlink(path) and not os.path.exists(path)  # noqa: PTH110, PTH115
            return "a git-annex pointer" if is_annex else ""
        name, suffix = os.path.splitext(path)  # noqa: PTH122 - there may be tens of thousands of files
        if suffix == ".dvc" and not os.path.exists(name):  # noqa: PTH110
            return "a DVC pointer whose data is not there"
        if not stat.S_ISREG(status.st_mode) or not len(_ANNEX) < status.st_size <= _SMALL:
            return ""
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123
            begin = stream.read(len(_LFS))
    except OSError:  # whoever reads the file says so
        return ""
    if begin == _LFS:
        return "a Git LFS pointer"
    return "a git-annex pointer" if begin.startswith(_ANNEX) else ""


def _say(kind: str, names: Sequence[str]) -> str:
    return f"{names[0]} is {kind}" + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")

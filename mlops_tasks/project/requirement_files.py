"""Requirement lines that name other files of requirements, and those files' lines in their place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlops_tasks import errors
from mlops_tasks.project.text import source as texts

_NAMED = re.compile(r"(?P<flag>-r|--requirement|-c|--constraint)(?:\s*=\s*|\s*)(?P<name>\S.*)")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def expand(lines: Iterable[str], folder: Path, *, inside: tuple[Path, ...] = ()) -> Iterator[str]:
    """`lines` with the lines of each file that a `-r` names in its place.

    Names count from `folder`, where the lines stand. Constraint files keep their line, with an absolute path. Raises
    BadInput for a file that cannot be read, and for one that names itself.
    """
    for line in lines:
        named = _NAMED.fullmatch(line.strip())
        if named is None or _URL.match(named["name"]):
            yield line
            continue
        path = folder / _unquoted(named["name"])
        if named["flag"] in {"-c", "--constraint"}:
            yield f"-c {path}"
            continue
        if path.resolve() in inside:
            raise errors.BadInput("the file names itself, directly or not", where=path, cure="take that `-r` line out")
        yield from expand(_lines(path), path.parent, inside=(*inside, path.resolve()))


def _lines(path: Path) -> list[str]:
    """The file's lines as pip reads them: a backslash at the end joins two, and what follows ` #` is a comment."""
    joined = re.sub(r"\\\r?\n", "", texts.read(path).removeprefix(texts.BOM))
    stripped = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in stripped if line]


def _unquoted(name: str) -> str:
    bare = re.sub(r"\s#.*$", "", name).strip()
    return bare[1:-1] if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "'\"" else bare

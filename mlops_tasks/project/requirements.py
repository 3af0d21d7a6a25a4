"""Requirement lines: read and written where they name a wheel, and expanded where they name files of more lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging import utils
from packaging.requirements import InvalidRequirement, Requirement

from mlops_tasks import errors
from mlops_tasks.project.text import source as texts
from mlops_tasks.stores import uris

_NAME = r"(?:(?P<name>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(?:\[(?P<named_extras>[^]]*)\])?\s*@\s*)?"
_TAIL = r"(?:\[(?P<extras>[^]]*)\])?(?:#\S*)?(?:\s+--hash[= ]\S+)*(?:\s*;\s*(?P<marker>.+?))?(?:\s+#.*)?"
_CONDA = re.compile(r"([\w.-]+)\s*=\s*([\w.*!+]+)(?:=[\w.*]+)?")
_OTHER_FILE = re.compile(r"(?P<flag>-r|--requirement|-c|--constraint)(?:\s*=\s*|\s*)(?P<name>\S.*)")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True, kw_only=True)
class WheelEntry:
    """`path` is a path or a URL; it ends in the placeholder (`stands_for_all`) or in a wheel's file name.

    `distribution` is normalised, and empty where a placeholder leaves it open. `extras` are without brackets.
    A hash is left out: it belongs to the file that was there before.
    """

    path: str
    distribution: str
    extras: str
    marker: str
    stands_for_all: bool


def parse(line: str) -> Requirement | None:
    """The requirement in `line`, without a comment after ` #`; None for paths, pip's options and what is no line."""
    try:
        return Requirement(line.split(" #", maxsplit=1)[0].strip())
    except InvalidRequirement:
        return None


def read_wheel(entry: str, *, placeholder: str) -> WheelEntry | None:
    """The wheel that `entry` (a requirement or a library's URI) names; None where it names none."""
    if entry.startswith("-") or not entry.isprintable():
        return None
    pattern = rf"{_NAME}(?P<path>.*?(?:\.(?i:whl)|{re.escape(placeholder)})){_TAIL}"
    match = re.fullmatch(pattern, entry)
    if match is None:
        return None
    path = match["path"]
    stands_for_all = path.endswith(placeholder)
    file_name = re.split(r"[/\\]", path)[-1]
    named = match["name"] or ("" if stands_for_all else file_name.split("-")[0])
    return WheelEntry(
        path=path,
        distribution=utils.canonicalize_name(named),
        extras=(match["extras"] or match["named_extras"] or "").strip(),
        marker=(match["marker"] or "").strip(),
        stands_for_all=stands_for_all and not named,
    )


def write_wheel(uri: str, distribution: str, *, extras: str = "", marker: str = "") -> str:
    """A line that pip and uv can install: a path where the URI is one on the cluster, else `name @ URI`.

    `extras` are without brackets (`plots,ml`).
    """
    bracketed = f"[{extras}]" if extras else ""
    tail = f" ; {marker}" if marker else ""
    path = uris.to_cluster(uri)
    return f"{path}{bracketed}{tail}" if path.startswith("/") else f"{distribution}{bracketed} @ {uri}{tail}"


def from_conda(package: str) -> str:
    """A conda package specification as a requirement line: `numpy=1.26` means any 1.26 there."""
    name = package.rsplit("::", maxsplit=1)[-1].strip()
    exact = _CONDA.fullmatch(name)
    if not exact:
        return name
    version = exact[2] if exact[2].endswith("*") else f"{exact[2]}.*"
    return f"{exact[1]}=={version}"


def expand(lines: Iterable[str], folder: Path, *, inside: tuple[Path, ...] = ()) -> Iterator[str]:
    """`lines` with each `-r FILE` replaced by the lines of that file.

    File names are relative to `folder`, where the lines stand. Constraint files keep their line, with an absolute
    path. Raises BadInput for a file that cannot be read, and for one that includes itself.
    """
    for line in lines:
        named = _OTHER_FILE.fullmatch(line.strip())
        if named is None or _URL.match(named["name"]):
            yield line
            continue
        name = re.sub(r"\s#.*$", "", named["name"]).strip()
        is_quoted = len(name) > 1 and name[0] == name[-1] and name[0] in "'\""
        path = folder / (name[1:-1] if is_quoted else name)
        if named["flag"] in {"-c", "--constraint"}:
            yield f"-c {path}"
            continue
        if path.resolve() in inside:
            raise errors.BadInput("the file names itself, directly or not", where=path, cure="take that `-r` line out")
        # as pip reads a file: a backslash at the end joins two lines, and what follows ` #` is a comment
        joined = re.sub(r"\\\r?\n", "", texts.read(path).removeprefix(texts.BOM))
        stripped = (re.sub(r"(^|\s)#.*$", "", each).strip() for each in joined.splitlines())
        yield from expand(filter(None, stripped), path.parent, inside=(*inside, path.resolve()))

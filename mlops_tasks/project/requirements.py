"""Requirement lines: read and written where they name a wheel, and expanded where they name files of more lines."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from packaging import utils
from packaging.requirements import InvalidRequirement, Requirement

from mlops_tasks import errors
from mlops_tasks.project.text import source as texts
from mlops_tasks.stores import uris

_NAME = r"(?:(?P<name>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(?:\[(?P<named_extras>[^]]*)\])?\s*@\s*)?"
_TAIL = r"(?:\[(?P<extras>[^]]*)\])?(?:#\S*)?(?:\s+--hash[= ]\S+)*(?:\s*;\s*(?P<marker>.+?))?(?:\s+#.*)?"
_OTHER_FILE = re.compile(r"(?P<flag>-r|--requirement|-c|--constraint)(?:\s*=\s*|\s*)(?P<name>\S.*)")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_PATH_OPTION = re.compile(
    r"(?P<flag>-e|--editable|-f|--find-links|-i|--index-url|--extra-index-url)(?:\s*=\s*|\s*)(?P<value>\S.*)"
)
_LOCAL = re.compile(r"(?P<path>[^\s\[;#](?:[^\[;#]*[^\s\[;#])?)(?P<rest>(?:\[[^]]*\])?(?:\s*;.*|\s+[-#].*)?)")
_DECIDES = re.compile(r"[;$@'\"\\]|\s-")
_PATH = re.compile(r"\.{1,2}(?:/|$)|[^@]*/|[^@]*\.(?:whl|zip|tar\.gz)$")


_MEANT = re.compile(r"[A-Za-z0-9][\w.-]*\s*(?:\[[^]]*\])?\s*[=<>!~]")
_COMMENT_OR_HASH = re.compile(r"(?:\s+--hash[= ]\S+)+|(?:^|\s)#.*$")
_WHOLE_PATH = re.compile(r"(?:^|[\s=@])((?:file:)?/[^\s;\[\]#]+)")
_FOLDER = re.compile(
    r"(?:(?:-e|--editable)(?:\s*=\s*|\s+))?(?P<path>[^\s;\[\]-][^;\[\]]*?)"
    r"(?:\[(?P<extras>[^]]*)\])?(?:\s+;\s*(?P<marker>.+))?"
)


@dataclass(frozen=True, kw_only=True)
class WheelEntry:
    """`path` is a path or a URL; it ends in the placeholder (`stands_for_all`) or in a wheel's file name.

    `distribution` is normalised, and empty where a placeholder leaves it open. `extras` are without brackets.
    A hash is left out: it belongs to the file that was there before. `specifier` has the versions that a line without
    a path asks for.
    """

    path: str
    distribution: str
    extras: str
    marker: str
    stands_for_all: bool = False
    specifier: str = ""


class Line(NamedTuple):
    """One line of requirements, and the file that it stands in."""

    text: str
    source: Path

    @property
    def place(self) -> str:
        """The file, with the number of the line where it is there as one."""
        lines = texts.read(self.source).splitlines()
        for part in (self.text, self.text.partition(" ")[0]):
            for number, line in enumerate(lines, start=1):
                if part in line:
                    return f"{self.source}:{number}"
        return str(self.source)


def parse(line: str) -> Requirement | None:
    """The requirement in `line`, its name normalised; None for paths, pip's options and what is no requirement.

    Options that may follow it, such as hashes, are left out.
    """
    try:
        found = Requirement(re.split(r" #| +--\w", line, maxsplit=1)[0].strip())
    except InvalidRequirement:
        return None
    found.name = utils.canonicalize_name(found.name)
    return found


def without_comment(line: str) -> str:
    """`line` up to what pip takes for a comment, without white space around it."""
    return re.sub(r"(^|\s)#.*$", "", line).strip()


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


def read_library(line: str, folder: Path, libraries: Mapping[str, Path | None]) -> WheelEntry | None:
    """The library of `libraries` that `line` asks for by its name or by its folder; None where it asks for none.

    `libraries` has the folder of each normalised name, where it is known. Paths in the line count from `folder`.
    """
    bare = _COMMENT_OR_HASH.sub("", line).strip()
    found = parse(bare)
    if found is not None and found.name in libraries:
        extras, marker = ",".join(sorted(found.extras)), str(found.marker or "")
        return WheelEntry(
            path="", distribution=found.name, extras=extras, marker=marker, specifier=str(found.specifier)
        )
    named = _FOLDER.fullmatch(bare)
    if found is not None or named is None:
        return None
    place = os.path.realpath(folder / uris.to_path(named["path"]))
    name = next((name for name, each in libraries.items() if each is not None and os.path.realpath(each) == place), "")
    if not name:
        return None
    extras, marker = named["extras"] or "", named["marker"] or ""
    return WheelEntry(path="", distribution=name, extras=extras.strip(), marker=marker)


def is_elsewhere(line: str) -> bool:
    """Whether `line` names a wheel in a workspace, and no file of this machine."""
    parts = read_wheel(line, placeholder="\0")
    return parts is not None and not uris.is_here(parts.path) and _is_in_workspace(parts.path)


def _is_in_workspace(path: str) -> bool:
    return uris.kind_of(uris.from_cluster(path)) != "folder" and not uris.to_path(path).is_file()


def names_path_here(line: str) -> bool:
    """Whether `line` names a file or folder of this machine by its whole path, which no other machine has."""
    return any(uris.to_path(path).exists() for path in find_paths_here(line))


def find_paths_here(line: str) -> list[str]:
    """The whole paths in `line` that are no places in a workspace, there or not."""
    return [path for path in _WHOLE_PATH.findall(_COMMENT_OR_HASH.sub("", line)) if uris.is_here(path)]


def write_wheel(uri: str, distribution: str, *, extras: str = "", marker: str = "") -> str:
    """A line that pip and uv can install: a path where the URI is one on the cluster, else `name @ URI`.

    `extras` are without brackets (`plots,ml`).
    """
    bracketed = f"[{extras}]" if extras else ""
    tail = f" ; {marker}" if marker else ""
    path = uris.to_cluster(uri)
    return f"{path}{bracketed}{tail}" if path.startswith("/") else f"{distribution}{bracketed} @ {uri}{tail}"


def expand(lines: Iterable[str], source: Path, *, inside: tuple[Path, ...] = ()) -> Iterator[Line]:
    """The `lines` of the file `source`, with each `-r FILE` replaced by the lines of that file.

    File names count from the folder of the file that they stand in. Constraint files keep their line, with an
    absolute path. Raises BadInput for a file that cannot be read, and for one that includes itself.
    """
    for line in lines:
        named = _other_file(line, source.parent)
        if named is None:
            yield Line(line, source)
        elif named.is_constraint:
            yield Line(f"-c {named.path}", source)
        elif named.path.resolve() in inside:
            raise errors.BadInput(
                "the file names itself, directly or not", where=named.path, cure="take that `-r` line out"
            )
        else:
            yield from expand(_lines(named.path), named.path, inside=(*inside, named.path.resolve()))


def located(line: Line, *, base: Path) -> str:
    """The line's text with a relative path in it (`-e .`, `./lib[extra]`, `--find-links wheels`) as a file's URL.

    It counts from the folder of the file that the line stands in. pip itself counts what it installs from the folder
    that it works in, `base`: that one is taken where the other has nothing of that name. Raises BadInput for what is
    meant as a requirement and is none.
    """
    text = line.text.strip()
    if _MEANT.match(text) and parse(text) is None and not {"/", "$"} & set(text):
        raise errors.BadInput(
            f"pip cannot read this requirement: {text}", where=line.place, cure="write it as name==version, say"
        )
    found = _read_local(text, [line.source.parent, base])
    if found is None:
        return text
    return f"{found.flag + ' ' if found.flag else ''}{found.path.as_uri()}{found.rest}"


def find_lost(line: Line, *, base: Path) -> Path | None:
    """Where the line's relative path leads to (as `located` reads it) if nothing is there to be installed.

    None for a line of which more than the path decides: a marker, a variable, pip's options.
    """
    text = line.text.strip()
    found = _read_local(text, [line.source.parent, base])
    if found is None or not found.is_package or found.path.exists():
        return None
    return None if _DECIDES.search(text.removeprefix(found.flag).strip()) else found.path


class _Local(NamedTuple):
    """A relative path in a line, as a whole one, between the option before it and what follows it."""

    flag: str
    path: Path
    rest: str

    @property
    def is_package(self) -> bool:
        return self.flag in {"", "-e", "--editable"}


def _read_local(text: str, folders: Iterable[Path]) -> _Local | None:
    """The path from the first of `folders` that has it, else from the first one; None where `text` has none."""
    option = _PATH_OPTION.fullmatch(text)
    value = option["value"] if option else text
    local = _LOCAL.fullmatch(value)
    if (
        local is None
        or _URL.match(value)
        or value.startswith(("/", "-"))
        or (not option and not _PATH.match(local["path"]))
    ):
        return None
    flag = option["flag"] if option else ""
    found = [_Local(flag, Path(os.path.normpath(each / local["path"])), local["rest"]) for each in folders]
    return next((each for each in found if _is_usable(each.path, is_package=each.is_package)), found[0])


def _is_usable(path: Path, *, is_package: bool) -> bool:
    """Whether pip could install from there: a package is a file, or a folder with what builds it."""
    if not is_package or path.is_file():
        return path.exists()
    return any((path / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg"))


def find_other_files(lines: Iterable[str], folder: Path) -> list[Path]:
    """Every file that `-r` and `-c` name in `lines`, directly or in such a file, each once."""
    found: list[Path] = []
    left = [(line, folder) for line in lines]
    while left:
        named = _other_file(*left.pop())
        path = named.path.resolve() if named is not None else None  # one file may be named in ever longer ways
        if path is not None and path not in found:
            found.append(path)
            left += [(line, path.parent) for line in _lines(path)]
    return found


def place_of(packages: Iterable[str], source: Path) -> str:
    """`source` with the number of its first line that names one of `packages`, or alone where none does."""
    lines = texts.read(source).splitlines() if source.is_file() else []
    for package in packages:
        spelt = "[-_.]+".join(map(re.escape, utils.canonicalize_name(package).split("-")))
        word = re.compile(rf"(?<![\w.-]){spelt}(?![\w-])", re.IGNORECASE)
        for number, line in enumerate(lines, start=1):
            if word.search(line.partition("#")[0]):
                return f"{source}:{number}"
    return str(source)


class _OtherFile(NamedTuple):
    path: Path
    is_constraint: bool


def _other_file(line: str, folder: Path) -> _OtherFile | None:
    """The file of requirements or constraints that `line` names; None for any other line, and for a URL."""
    named = _OTHER_FILE.fullmatch(line.strip())
    if named is None or _URL.match(named["name"]):
        return None
    name = re.sub(r"\s#.*$", "", named["name"]).strip()
    is_quoted = len(name) > 1 and name[0] == name[-1] and name[0] in "'\""
    return _OtherFile(folder / (name[1:-1] if is_quoted else name), named["flag"] in {"-c", "--constraint"})


def _lines(path: Path) -> list[str]:
    """The lines of a file as pip reads them: a backslash at the end joins two, and what follows ` #` is a comment."""
    joined = re.sub(r"\\\r?\n", "", texts.read(path).removeprefix(texts.BOM))
    return [line for each in joined.splitlines() if (line := without_comment(each))]

"""The files of a library that git ignores: those that come along to a build, and those that one may miss in its wheel.

A build in the library's own folder finds them all, a build from a clean copy none.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mlops_tasks import files

_HEADER = re.compile(r"^\[+([^\]\n]+)\]+[^\n]*\n", re.MULTILINE)
_BUILDS = re.compile(
    r"project|build-system|options|tool\.(?:hatch|setuptools|poetry|pdm|flit|uv\.build|maturin|scikit)"
)
"""The tables of pyproject.toml and setup.cfg that a build reads; those of other tools name files too."""
_LISTS = re.compile(r"\b(?:artifacts|includes?|package[-_]data)\s*=\s*(\[[^\]]*\]|\{[^}]*\})")
_FORCED = re.compile(r"force-include|shared-(?:data|scripts)")
_MODULES = re.compile(r"py[-_]modules\s*=\s*(\[[^\]]*\]|[^=\[]*)")
_MANIFEST = "MANIFEST.in"
_MANIFEST_LINE = re.compile(r"^\s*(?:#|(?:global-|recursive-)?exclude|prune).*|^\s*[\w-]+(?=\s)", re.MULTILINE)
"""A line that leaves files out, or the command of another."""
_QUOTED = re.compile(r"""["']([^"'\n]+)["']""")
_SIGNS = re.compile(r"""[\s,=:"'\[\]{}]+""")
_WRITTEN = re.compile(r"""(?:write[-_]to|version[-_]?file\w*)\s*[=:]\s*["']?([^"'\s,}]+)""")
"""Files that a plugin writes during the build."""
_ASIDE = {"tests", "test", "docs", "doc", "examples", "notebooks", "scripts", "tools", "benchmarks"}
_NOISE = re.compile(r".*(\.(log|tmp|bak|orig|rej|swp|o|c|cpp|so|pyd|dylib|pyc|pyo|html)|~)")
"""Leavings of editors and compilers: a build compiles anew."""


class Ignored(NamedTuple):
    """Relative paths: `brought` come along, `missed` lie in a package and stay behind, as `others` do."""

    brought: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def _packages(names: Iterable[str]) -> set[PurePosixPath]:
    """The folders of Python files, but for those of tests and the like, which are in no wheel."""
    paths = [PurePosixPath(name) for name in names]
    return {path.parent for path in paths if path.suffix == ".py" and path.parts[0] not in _ASIDE and path.parent.name}


class Folders:
    """The folders of a library in which files may be missed: those of its own files, and all in its packages.

    The others (data, an environment, what a tool has downloaded) may be large, and are not looked into.
    """

    def __init__(self, library: Path, names: Iterable[str]) -> None:
        known = [library / name for name in names]
        self._own = {parent for path in known for parent in path.parents}
        self._packages = {library / folder for folder in _packages(names)}

    def is_beside(self, folder: Path) -> bool:
        return folder not in self._own and self._packages.isdisjoint(folder.parents)


def sort(
    library: Path, *, names: Sequence[str], everything: Iterable[str], texts: Mapping[str, str], include: Sequence[str]
) -> Ignored:
    """The files of `everything` that are not among the `names` that git knows; `texts` are its settings by file.

    Those come along that the globs of `include` name, or that the library's own settings ship by name: hatch's
    `artifacts`, `include`, package data.
    """
    parts = [part for name, text in texts.items() for part in _split(name, text)]
    written = {name.removeprefix("./") for _, text in parts for name in _WRITTEN.findall(text)}
    literal = {name for _, text in parts for name in _QUOTED.findall(text)}
    patterns = [each.strip("/") for header, text in parts for each in _patterns(header, text)]
    anchored = [each for each in patterns if "/" in each and "**" not in each]
    asked = {name for pattern in (*include, *anchored) for name in expand(library, pattern)}
    packages = set(map(str, _packages(names)))
    modules = {word for _, text in parts for each in _MODULES.findall(text) for word in re.findall(r"\w+", each)}

    def is_written(name: str) -> bool:
        """Whether a plugin writes it, whose paths may count from a package or from the repository's top."""
        return any(f"/{name}".endswith(f"/{each}") or each.endswith(f"/{name}") for each in written)

    def comes(name: str) -> bool:
        is_shipped = name in literal or any(_matches(name, each) for each in patterns)
        return name in asked or (is_shipped and not is_written(name))

    def is_missed(name: str) -> bool:
        path = PurePosixPath(name)
        is_noise = _NOISE.fullmatch(name) or any(part.startswith(".") for part in path.parts)
        is_module = path.suffix == ".py" and path.stem in modules
        in_wheel = is_module or any(str(each) in packages for each in path.parents)
        return in_wheel and not (is_noise or is_written(name))

    left = sorted({*everything, *asked} - set(names))
    brought = list(filter(comes, left))
    rest = sorted(set(left).difference(brought))
    missed = list(filter(is_missed, rest))
    return Ignored(tuple(brought), tuple(missed), tuple(sorted(set(rest).difference(missed))))


def expand(folder: Path, pattern: str) -> list[str]:
    """The files that a glob names in `folder`, and those in the folders that it names; none for a way out of it."""
    if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
        return []
    found: list[Path] = []
    with contextlib.suppress(ValueError):  # no glob at all
        for each in folder.glob(pattern):
            found += [each / name for name in files.walk(each)] if each.is_dir() else [each]
    return [path.relative_to(folder).as_posix() for path in found if path.suffix != ".pyc"]


def _split(name: str, text: str) -> list[tuple[str, str]]:
    """The tables of a file of settings that a build reads, each with its header; a program is one without."""
    if name.endswith(".py"):
        return [("", text)]
    if name == _MANIFEST:
        return [(name, _MANIFEST_LINE.sub("", text))]
    headers = list(_HEADER.finditer(f"{text}\n"))
    ends = [*(each.start() for each in headers[1:]), len(text)]
    found = [(each[1], text[each.end() : end]) for each, end in zip(headers, ends, strict=True)] if headers else []
    return [(header, inner) for header, inner in found if _BUILDS.match(header)]


def _patterns(header: str, text: str) -> list[str]:
    """The globs of files that a table ships, without those that mean everything, and names of packages."""
    whole = [text] if re.search(r"package[-_]data|MANIFEST", header) else []
    found = [each for part in [*_LISTS.findall(text), *whole] for each in _SIGNS.split(part)]
    forced = [f"./{each}" for each in _SIGNS.split(text)] if _FORCED.search(header) else []
    return [each for each in [*found, *forced] if any(map(str.isalnum, each)) and {".", "/"} & set(each)]


def _matches(name: str, pattern: str) -> bool:
    return fnmatch(name, pattern) or PurePosixPath(name).match(pattern) or f"/{pattern}/" in f"/{name}"

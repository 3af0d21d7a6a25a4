"""The metadata of wheels: name, version, needs and generator; an order by need, and a name for a set of them."""

from __future__ import annotations

import email.message
import email.parser
import graphlib
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from packaging import utils
from packaging.requirements import Requirement
from packaging.version import Version

from mlops_tasks import errors, files
from mlops_tasks.checkout import missing
from mlops_tasks.project import requirements
from mlops_tasks.release import Wheel

CONTENT_LENGTH = 16

_FAULTS = (OSError, EOFError, KeyError, ValueError, RuntimeError, zlib.error, zipfile.BadZipFile)
"""Raised by zipfile and packaging for damaged files: ValueError for a wrong name or version, RuntimeError for what
zipfile cannot decompress or decrypt."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """`distribution` is spelt as in METADATA; `requires` has the normalised names that it depends on without extras.

    `requires_python` is empty where any Python does. `by_path` are those of the names that it asks for by a path of the
    machine that built it; one that `is_empty` has nothing but what is said about it.
    """

    distribution: str
    version: str
    requires: frozenset[str]
    requires_python: str
    generator: str
    by_path: frozenset[str] = frozenset()
    is_empty: bool = False


def read(path: Path) -> Metadata:
    """The metadata of the wheel at `path`. Raises BadInput for what is no wheel by its name, format or content."""
    if pointer := missing.find_pointer(path):
        raise errors.BadInput(pointer.what, where=path, cure=pointer.cure)
    if not path.is_file():
        raise errors.BadInput("there is no such file", where=path, cure="give the path of a wheel file")
    try:
        distribution, version, _, _ = utils.parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            about, made = _parse(archive, "METADATA"), _parse(archive, "WHEEL")
            is_empty = all(".dist-info/" in each for each in archive.namelist())
        if (utils.canonicalize_name(str(about["Name"])), Version(str(about["Version"]))) != (distribution, version):
            raise ValueError(f"its METADATA names {about['Name']} {about['Version']}")
    except _FAULTS as fault:
        raise errors.BadInput(f"not a wheel: {fault}", where=path, cure="give the path of a wheel file") from fault
    lines = map(str, about.get_all("Requires-Dist", []))
    parsed = [each for line in lines if (each := requirements.parse(line)) is not None]
    # the needs of an extra do not count: the tests of two libraries may well need each other
    needed = [each.name for each in parsed if "extra" not in str(each.marker)]
    return Metadata(
        distribution=str(about["Name"]),
        version=str(about["Version"]),
        requires=frozenset(map(utils.canonicalize_name, needed)),
        by_path=frozenset(utils.canonicalize_name(each.name) for each in parsed if is_path(each)),
        requires_python=str(about.get("Requires-Python", "")),
        generator=str(made.get("Generator", "")),
        is_empty=is_empty,
    )


def read_version(path: Path) -> str:
    """The version in the wheel's METADATA, in whatever form; empty where it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return str(_parse(archive, "METADATA")["Version"])
    except _FAULTS:
        return ""


def is_path(need: Requirement) -> bool:
    """Whether the need names a place on this machine: `common @ file:///home/ada/libs/common`."""
    scheme = urlsplit(need.url or "https:").scheme
    return scheme in {"", "file"} or scheme.endswith("+file")


def order_by_dependency(wheels: Sequence[Wheel], requires: dict[str, frozenset[str]]) -> tuple[Wheel, ...]:
    """Each wheel after those that it needs; otherwise, and where wheels need each other, by name.

    `requires` has for each normalised distribution name the names that it depends on.
    """
    named = {utils.canonicalize_name(wheel.distribution): wheel for wheel in wheels}
    graph = {name: sorted(requires.get(name, frozenset()) & named.keys() - {name}) for name in sorted(named)}
    try:
        order = list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError:
        order = sorted(named)
    return tuple(named[utils.canonicalize_name(name)] for name in order)


def content(wheels: Sequence[Wheel]) -> str:
    """16 hex digits of a hash over the wheels' names and SHA-256s: the name of their folder."""
    lines = sorted(f"{Path(wheel.file).name} {wheel.sha256}\n" for wheel in wheels)
    return files.sha256("".join(lines).encode())[:CONTENT_LENGTH]


def _parse(archive: zipfile.ZipFile, name: str) -> email.message.Message:
    inner = [each for each in archive.namelist() if each.count("/") == 1 and each.endswith(f".dist-info/{name}")]
    if not inner:
        raise KeyError(f"it has no {name}")
    return email.parser.Parser().parsestr(archive.read(inner[0]).decode("utf-8", "replace"))

"""What an installer would not take of a built wheel: needs with a path of this machine, a version unknown to it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from packaging.version import InvalidVersion, Version

from mlops_tasks import errors
from mlops_tasks.project import requirements
from mlops_tasks.wheels import metadata, rewriting, sources

_NEED = re.compile(rb"^(Requires-Dist:[ \t]*)([^\r\n]+)", re.IGNORECASE | re.MULTILINE)


def ask_by_name(path: Path) -> None:
    """Rewrite the wheel at `path` in its place: a need with a path of this machine becomes the distribution's name.

    Extras and markers stay. The path would be that of a temporary copy, and other bytes at each build.
    """

    def name_alone(found: re.Match[bytes]) -> bytes:
        need = requirements.parse(found[2].decode("utf-8", "surrogateescape"))
        if need is None or not metadata.is_path(need):
            return found[0]
        need.url = None
        return found[1] + str(need).encode("utf-8", "surrogateescape")

    rewriting.rewrite(path, lambda text: rewriting.edit_header(text, lambda header: _NEED.sub(name_alone, header)))


def refuse_paths(library: Path, missing: Iterable[str]) -> None:
    """Raise BadInput where `missing` names what the library's wheel needs by a path and no wheel beside it is."""
    for name in missing:
        raise errors.BadInput(
            f"the library {library.name} needs {name} by a path of this machine, which no other machine has",
            where=sources.find_need(library, name),
            cure=f"name its folder in the setting `libraries`, or write a version in the path's place: {name}>=1.0",
        )


def read_built(library: Path, wheel: Path) -> metadata.Metadata:
    """The metadata of the wheel that was built; BadInput where no installer would take it, as with such a version."""
    try:
        return metadata.read(wheel)
    except errors.BadInput as fault:
        version = metadata.read_version(wheel)
        try:
            Version(version or "0")
        except InvalidVersion:
            raise wrong_version(library, version) from fault
        raise errors.BadInput(
            f"the build of the library {library.name} gives {wheel.name}, which no installer takes: {fault.what}",
            where=library,
            cure="correct its name and its version, then `inv build-wheel`",
        ) from fault


def wrong_version(library: Path, version: str) -> errors.BadInput:
    """The error for a library that gives itself the `version`, with one like it that would do."""
    begin = re.match(r"v?[0-9]+(?:\.[0-9]+)*(?:(?:a|b|rc)[0-9]+)?", version)
    rest = re.sub(r"[^A-Za-z0-9]+", ".", version[begin.end() if begin else 0 :]).strip(".").lower()
    local = f"+{rest}" if rest else ""
    return errors.BadInput(
        f"the library {library.name} gives itself the version {version!r}, and pip takes only those of PEP 440",
        where=sources.find_version(library, version),
        cure=f"write {begin[0] if begin else '0'}{local}, or a plain version and set `local_version: true`",
    )

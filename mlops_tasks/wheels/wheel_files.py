"""Wheels as the steps know them: those that are built, those that the user gives by their files or by URIs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from packaging import utils

from mlops_tasks import errors, files, redaction
from mlops_tasks.release import Wheel
from mlops_tasks.stores import uris
from mlops_tasks.wheels import metadata


def read_given(paths: Sequence[Path], *, top: Path) -> tuple[Wheel, ...]:
    """Wheels that the user built, in dependency order; BadInput for a file that is no wheel, or no other machine's."""
    for path in paths:
        for name in sorted(metadata.read(path).by_path):
            raise errors.BadInput(
                f"the wheel needs {name} by a path of this machine, which no other machine has",
                where=path,
                cure=f"build it with a version in the path's place ({name}>=1.0), or let `inv build-wheel` build it",
            )
    return order([read(path, top=top, library=None, digest=None) for path in paths], top)


def read_distribution(uri: str, *, where: str) -> str:
    """The distribution of the wheel that `uri` names. Raises BadInput, which names `where`, for what is no wheel."""
    fault = None if uris.to_path(uri).is_file() else uris.find_fault(uri)  # macOS has its disks below /Volumes
    if fault is not None:
        what, cure = map(redaction.mask, fault)
        raise errors.BadInput(f"{what} ({uris.name_of(uri)})", where=where, cure=cure)
    if redaction.strip(uri) != uri:
        raise errors.BadInput(
            "a login stands in the URI, and what names a wheel is staged and recorded",
            where=f"{where} {redaction.mask(uri)}",
            cure="leave the login out: pip and uv take it from ~/.netrc or a keyring",
        )
    try:
        return utils.parse_wheel_filename(uris.name_of(uri))[0]
    except utils.InvalidWheelFilename as fault:
        raise errors.BadInput(f"{fault}", where=f"{where} {uri}", cure="give the URI of a wheel file") from fault


def read(path: Path, *, top: Path, library: str | None, digest: str | None) -> Wheel:
    about = metadata.read(path)
    return Wheel(
        distribution=about.distribution,
        version=about.version,
        file=files.relative(path, top),
        sha256=files.file_sha256(path),
        size=path.stat().st_size,
        generator=about.generator,
        library=library,
        sources=digest,
    )


def order(wheels: Sequence[Wheel], top: Path) -> tuple[Wheel, ...]:
    seen: dict[str, Wheel] = {}
    for wheel in wheels:
        name = utils.canonicalize_name(wheel.distribution)
        if name in seen:
            one, other = (each.library or each.file for each in (seen[name], wheel))
            raise errors.BadInput(
                f"two libraries are the distribution {name}",
                where=f"{one} and {other}",
                cure="rename one of them, or leave it out of `libraries`",
            )
        seen[name] = wheel
    requires = {name: metadata.read(top / wheel.file).requires for name, wheel in seen.items()}
    return metadata.order_by_dependency(wheels, requires)

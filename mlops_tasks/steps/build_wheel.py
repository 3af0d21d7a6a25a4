"""build-wheel: wheels of the libraries that changed; the others stay as they are recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging import utils

from mlops_tasks import errors, files, processes
from mlops_tasks.release import Release, Wheel
from mlops_tasks.report import Report
from mlops_tasks.wheels import building, metadata, sources, versions


class _Made(NamedTuple):
    """What a wheel is made of, as a digest, and the local version that moves with it: empty where none is wanted."""

    digest: str
    local: str = ""


def build_digest(libraries: Sequence[Path], *, local_version: bool, top: Path, runner: processes.Runner) -> str:
    """The digest over the libraries: where each is, what a wheel of it is made of, and its local version."""
    return _combine({files.relative(each, top): _look_at(each, local_version, runner).digest for each in libraries})


def build_wheels(
    release: Release,
    *,
    libraries: Sequence[Path],
    local_version: bool,
    top: Path,
    wheelhouse: Path,
    environ: Mapping[str, str],
    runner: processes.Runner,
    report: Report,
) -> Release:
    """A release with one wheel for each library, in dependency order, kept in `wheelhouse` by content.

    Raises StepFailed where a build fails, BadInput where two libraries are one distribution.
    """
    recorded = {wheel.library: wheel for wheel in release.wheels or ()}
    found: dict[str, Wheel] = {}
    for library in libraries:
        name, made = files.relative(library, top), _look_at(library, local_version, runner)
        old = recorded.get(name)
        if old is not None and old.sources == made.digest and _is_whole(old, top):
            report.detail(f"{old.distribution} {old.version} is up to date ({name})")
            found[name] = old
            continue
        with building.built(library, top=top, environ=environ, run=runner, report=report) as path:
            found[name] = _keep(path, wheelhouse, top=top, library=name, made=made)
        report.detail(f"{found[name].distribution} {found[name].version} built from {name}")
    wheels = _order(list(found.values()), top)
    report.step("build-wheel", _describe(wheels))
    return release.with_step(
        "build-wheel", _combine({name: str(wheel.sources) for name, wheel in found.items()}), wheels=wheels
    )


def read_given(paths: Sequence[Path], *, top: Path) -> tuple[Wheel, ...]:
    """Wheels that the user built, in dependency order; BadInput for what is none."""
    return _order([_read(path, top=top, library=None, digest=None) for path in paths], top)


def _combine(library_digests: Mapping[str, str]) -> str:
    return files.digest({"libraries": library_digests})


def _look_at(library: Path, local_version: bool, run: processes.Runner) -> _Made:  # noqa: FBT001
    digest = sources.library_digest(library, run=run)
    if not local_version:
        return _Made(digest)
    local = versions.choose_local(library, sources.list_outside(library, run=run), digest=digest, run=run)
    return _Made(files.digest({"sources": digest, "local": local}), local)


def _keep(path: Path, wheelhouse: Path, *, top: Path, library: str, made: _Made) -> Wheel:
    try:
        path = _localise(path, made.local) if made.local else path
        kept = wheelhouse / files.file_sha256(path)[:16] / path.name
        with files.written_whole(kept) as target:
            files.copy_stream(path, target, lambda _: None)
    except OSError as fault:
        raise building.not_copied("the wheel", fault, where=wheelhouse) from fault
    return _read(kept, top=top, library=library, digest=made.digest)


def _localise(path: Path, local: str) -> Path:
    return versions.with_version(path, versions.append_local(metadata.read(path).version, local))


def _read(path: Path, *, top: Path, library: str | None, digest: str | None) -> Wheel:
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


def _order(wheels: Sequence[Wheel], top: Path) -> tuple[Wheel, ...]:
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
    requires: dict[str, frozenset[str]] = {
        name: metadata.read(top / wheel.file).requires for name, wheel in seen.items()
    }
    return metadata.order_by_dependency(wheels, requires)


def _is_whole(wheel: Wheel, top: Path) -> bool:
    path = top / wheel.file
    return path.is_file() and files.file_sha256(path) == wheel.sha256


def _describe(wheels: Sequence[Wheel]) -> str:
    return "\n".join(
        f"{Path(wheel.file).name} ({files.show_size(wheel.size)}, sha256 {wheel.sha256[:12]})" for wheel in wheels
    )

"""Take the step build-wheel: a wheel of each library that changed; the others keep the wheel that is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging import utils

from mlops_tasks import errors, files
from mlops_tasks.release import Release, Wheel
from mlops_tasks.steps.context import Context, LibraryState
from mlops_tasks.wheels import building, metadata, sources, versions


def build_digest(context: Context) -> str:
    """The digest over the libraries: where each is, what a wheel of it is made of, and its local version."""
    return _combine({context.relative(each): _look_at(context, each).digest for each in context.libraries})


def build_wheels(context: Context, release: Release) -> Release:
    """A release with one wheel for each library, in dependency order, kept below `.mlops/wheels` by content.

    Raises StepFailed where a build fails, BadInput where two libraries are one distribution.
    """
    recorded = {wheel.library: wheel for wheel in release.wheels or ()}
    found: dict[str, Wheel] = {}
    for library in context.libraries:
        name, state = context.relative(library), _look_at(context, library)
        old = recorded.get(name)
        if old is not None and old.sources == state.digest and _is_whole(old, context.top):
            context.report.detail(f"{old.distribution} {old.version} is up to date ({name})")
            found[name] = old
            continue
        found[name] = _build(context, library, name, state)
        context.library_states.clear()  # a build can write into any sources: the next step looks again
        context.report.detail(f"{found[name].distribution} {found[name].version} built from {name}")
    wheels = _order(list(found.values()), context.top)
    made = (f"{Path(wheel.file).name} ({files.show_size(wheel.size)}, sha256 {wheel.sha256[:12]})" for wheel in wheels)
    context.report.step("build-wheel", "\n".join(made) or "nothing to build: `libraries` is empty")
    digest = _combine({name: str(wheel.sources) for name, wheel in found.items()})
    return release.with_step("build-wheel", digest, wheels=wheels)


def read_given(paths: Sequence[Path], *, top: Path) -> tuple[Wheel, ...]:
    """Wheels that the user built, in dependency order; BadInput for a file that is no wheel."""
    return _order([_read(path, top=top, library=None, digest=None) for path in paths], top)


def _combine(library_digests: Mapping[str, str]) -> str:
    return files.digest({"libraries": library_digests})


def _look_at(context: Context, library: Path) -> LibraryState:
    if library not in context.library_states:
        digest, local = sources.library_digest(library, run=context.run), ""
        if context.settings.local_version:
            outside = sources.list_outside(library, run=context.run)
            local = versions.choose_local(library, outside, digest=digest, run=context.run)
            digest = files.digest({"sources": digest, "local": local})
        context.library_states[library] = LibraryState(digest, local)
    return context.library_states[library]


def _build(context: Context, library: Path, name: str, state: LibraryState) -> Wheel:
    wheelhouse = context.places.wheels
    with building.built(
        library, top=context.top, environ=context.environ, run=context.run, report=context.report
    ) as path:
        try:
            made = path
            if state.local:
                made = versions.with_version(path, versions.append_local(metadata.read(path).version, state.local))
            kept = wheelhouse / files.file_sha256(made)[:16] / made.name
            with files.written_whole(kept) as target:
                files.copy_stream(made, target, lambda _: None)
        except OSError as fault:
            raise building.not_copied("the wheel", fault, where=wheelhouse) from fault
    return _read(kept, top=context.top, library=name, digest=state.digest)


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
    requires = {name: metadata.read(top / wheel.file).requires for name, wheel in seen.items()}
    return metadata.order_by_dependency(wheels, requires)


def _is_whole(wheel: Wheel, top: Path) -> bool:
    path = top / wheel.file
    return path.is_file() and files.file_sha256(path) == wheel.sha256

"""Take the step build-wheel: a wheel of each library that changed; the others keep one that was built of the same."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_tasks import errors, files, processes, slugs
from mlops_tasks.checkout import git, missing
from mlops_tasks.checkout.missing import Missing
from mlops_tasks.release import Release, Wheel
from mlops_tasks.report import Kept, Report
from mlops_tasks.steps.context import Context, LibraryState, Lost
from mlops_tasks.wheels import sources, surroundings

if TYPE_CHECKING:
    from mlops_tasks.wheels import building


def build_digest(context: Context, release: Release) -> str:
    """The digest over the libraries: where each is, what decides a wheel of it, and its local version.

    Another one where a recorded wheel is gone from this machine, or cannot be installed where the project runs here.
    """
    for wheel in release.wheels or ():
        path = context.top / wheel.file
        is_there = path.is_file() and path.stat().st_size == wheel.size
        if not is_there or not (context.target.is_remote or surroundings.fits_here(path.name)):
            context.decided_by["build-wheel"] = {wheel.file: Lost("of another platform" if is_there else "gone")}
            return "gone"
    states = {context.relative(each): _look_at(context, each) for each in context.libraries}
    context.decided_by["build-wheel"] = _parts(states)
    return _combine({name: state.digest for name, state in states.items()})


def build_wheels(context: Context, release: Release) -> Release:
    """A release with one wheel for each library, in dependency order, kept below `.mlops/wheels` by content.

    Raises StepFailed where a build fails, BadInput where two libraries are one distribution, where a wheel needs what
    is not beside it by a path of this machine, and where a module does not compile here, if it runs here.
    """
    looked = {library: _look_at(context, library) for library in context.libraries}
    for library in looked:
        for each in find_missing(context, library):
            context.warn_once(str(each))
    old = {
        library: _find_built(context, release, context.relative(library), state) for library, state in looked.items()
    }
    built = _build_all(context, {library: looked[library] for library, wheel in old.items() if wheel is None})
    found = {library: wheel or built[library][0] for library, wheel in old.items()}
    for library, wheel in found.items():
        # of a remote target the doctor asks, by the cluster's Python
        if not context.target.is_remote and wheel not in (release.wheels or ()):
            _refuse_fault(library, context.top / wheel.file)
    wheels = _order(found, {library: asked for library, (_, asked) in built.items()}, context.top)
    _report(wheels, {context.relative(library) for library in built}, context.report)
    states = {context.relative(library): state for library, state in looked.items()}
    context.decided_by["build-wheel"] = _parts(states)
    digest = _combine({name: state.digest for name, state in states.items()})
    return release.with_step("build-wheel", digest, wheels=wheels)


def _order(wheels: Mapping[Path, Wheel], asked: Mapping[Path, frozenset[str]], top: Path) -> tuple[Wheel, ...]:
    """The wheels in dependency order. What a library has `asked` for by a path must be among them."""
    if len(wheels) <= 1 and not any(asked.values()):
        return tuple(wheels.values())  # one needs no order, and to import what reads a wheel takes 20 ms
    from packaging import utils

    from mlops_tasks.wheels import needs, wheel_files

    ordered = wheel_files.order(list(wheels.values()), top)
    beside = {utils.canonicalize_name(wheel.distribution) for wheel in ordered}
    for library, names in asked.items():
        needs.refuse_paths(library, sorted(names - beside))
    return ordered


def _find_built(context: Context, release: Release, name: str, state: LibraryState) -> Wheel | None:
    """The wheel of the library as it is, of this release or of other branches', targets' and projects'."""
    wheels = (wheel for each in _releases(context, release) for wheel in each.wheels or () if wheel.library == name)
    return next((each for each in wheels if _is_current(each, state.digest, context)), None)


def _releases(context: Context, release: Release) -> Iterator[Release]:
    yield release
    yield from context.other_releases


def _report(wheels: Sequence[Wheel], built: Container[str | None], report: Report) -> None:
    for wheel in wheels:
        report.debug(f"{Path(wheel.file).name} of {wheel.library}: sha256 {wheel.sha256}")
    made = {wheel: "built" if wheel.library in built else "up to date" for wheel in wheels}
    lines = (f"{Path(each.file).name} ({files.show_size(each.size)}, {said})" for each, said in made.items())
    report.step("build-wheel", "\n".join(lines) or "nothing to build: `libraries` is empty")


def _combine(library_digests: Mapping[str, str]) -> str:
    return files.digest({"libraries": library_digests})


def _parts(states: Mapping[str, LibraryState]) -> dict[str, object]:
    parts: dict[str, object] = {}
    for name, state in states.items():
        parts |= {os.path.normpath(f"{name}/{file}"): value for file, value in state.sources.files.items()}
        parts |= {f"{word} (for {name})": value for word, value in state.sources.told.items()}
        parts[f"the local version of {name}"] = state.local.version if state.local else None
    return parts


def _look_at(context: Context, library: Path) -> LibraryState:
    if library not in context.library_states:
        include, tree = context.settings.include, None if context.has_taken_time else context.facts.tree
        found = sources.look_at(library, environ=context.environ, run=context.run, include=include, tree=tree)
        digest, local = found.digest, None
        if context.settings.local_version:
            from mlops_tasks.wheels import versions

            local = versions.of_digest(digest)
            if not found.varies:
                local = versions.choose_local(library, list(found.outside), digest=digest, run=context.run)
            digest = files.digest({"sources": digest, "local": local.version})
        context.library_states[library] = LibraryState(digest, local, found)
    return context.library_states[library]


def find_missing(context: Context, library: Path) -> Iterator[Missing]:
    """What makes another wheel than the library's author would build: what is missing, ignored, or cut off."""
    state, name = _look_at(context, library), context.relative(library)
    found, local = state.sources, state.local
    beside = [library / each for each in found.outside]
    yield from missing.find(library, found.names, tree=context.facts.tree, shown=name, beside=beside)
    if left := found.ignored.missed:
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        cure = f"`include: [{left[0]}]` in the settings (it counts from {name}), or `git add --force` it"
        yield Missing(f"git ignores {name}/{left[0]}{more}, so the wheel has no such file", cure)
    for folder in found.unreadable:
        said = f"{context.relative(Path(folder))} cannot be read, and nothing in it comes along"
        yield Missing(said, "make it readable, or have git ignore it")
    whole = "`git fetch --unshallow` (in CI a checkout of the whole history, as by `fetch-depth: 0`)"
    if local is not None and local.why:
        yield Missing(f"{name}: {local.why}, so its version ends in +{local.version}", whole)
    elif found.asks_git and git.cut_at(library, runner=context.run):
        yield Missing(f"{name} takes its version from git, and the clone is shallow, without older tags", whole)
    elif found.lacks_tags:
        said = f"{name} counts its version from a tag of git, and none is behind the commit that is checked out"
        yield Missing(said, "`git fetch --tags`, or tag a first release")


Built = tuple[Wheel, frozenset[str]]
"""A wheel, and the names that it would have needed by a path."""


MOST = 4
"""How many libraries are built at once at most: each build has a copy of the repository of its own."""


def _at_once() -> int:
    """As many as this process may use cores, where the system says so."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, MOST)


def _build_all(context: Context, states: Mapping[Path, LibraryState]) -> dict[Path, Built]:
    """Build the libraries side by side."""
    if not states:
        return {}
    from mlops_tasks.wheels import building

    told = {library: Kept() for library in states}
    try:
        with (
            building.environments(building.environment(context.programs_environ), run=context.run) as beside,
            context.report.waiting(f"building {', '.join(library.name for library in states)}"),
        ):
            calls = [partial(_build, context, each, state, beside, told[each]) for each, state in states.items()]
            made = processes.side_by_side(calls, at_once=_at_once())
    finally:
        for each in told.values():
            each.tell(context.report)
    context.has_taken_time.append("a build")
    context.library_states.clear()  # a build can write into any sources: the next step looks again
    return dict(zip(states, made, strict=True))


def _build(
    context: Context, library: Path, state: LibraryState, beside: building.Environments, report: Report
) -> Built:
    from mlops_tasks.wheels import building, needs, versions, wheel_files

    name, wheelhouse, digest = context.relative(library), context.places.wheels, state.digest
    with building.built(
        library,
        top=context.top,
        beside=beside,
        report=report,
        log_file=context.places.logs / f"build-{slugs.slug(name)}.log",
        left=state.sources.ignored,
    ) as path:
        try:
            made, about = path, needs.read_built(library, path)
            if about.is_empty and any(file.endswith(".py") for file in set(state.sources.names) - {"setup.py"}):
                report.warning(
                    f"{path.name} has none of the modules of {name}: say in its pyproject.toml where its packages are"
                )
            if about.by_path:
                needs.ask_by_name(path)
                digest = _beside(context, digest)
                listed = ", ".join(sorted(about.by_path))
                report.detail(f"{about.distribution} asks for {listed} by name: a path holds on this machine only")
            if state.local:
                made = versions.with_version(path, versions.append_local(about.version, state.local.version))
            kept = wheelhouse / files.file_sha256(made)[:16] / made.name
            with files.written_whole(kept) as target:
                files.copy_stream(made, target, lambda _: None)
        except OSError as fault:
            raise building.not_copied("the wheel", fault, where=wheelhouse) from fault
    return wheel_files.read(kept, top=context.top, library=name, digest=digest), about.by_path


def _refuse_fault(library: Path, wheel: Path) -> None:
    from mlops_tasks.wheels import syntax

    if fault := syntax.find_fault(wheel):
        raise errors.BadInput(
            f"a module of the library {library.name} does not compile: {fault.what}",
            where=fault.find_place(library),
            cure="correct it (or leave it out of the wheel), then `inv build-wheel`",
        )


def _beside(context: Context, digest: str) -> str:
    """The digest of a wheel that needs others of the same release by name: they must be built with it."""
    return files.digest({"sources": digest, "beside": sorted(map(context.relative, context.libraries))})


def _is_current(wheel: Wheel, digest: str, context: Context) -> bool:
    """Whether the recorded wheel is the one that a build would give now."""
    path = context.top / wheel.file
    is_same = wheel.sources in {digest, _beside(context, digest)} and surroundings.fits_here(path.name)
    return is_same and path.is_file() and files.file_sha256(path) == wheel.sha256

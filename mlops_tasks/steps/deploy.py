"""Take the step deploy: the wheels in the branch's folder of the store, each verified after it was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mlops_tasks import errors, files
from mlops_tasks.release import Deployed, Release, Wheel
from mlops_tasks.steps.context import Context, Lost
from mlops_tasks.stores import base as stores
from mlops_tasks.stores import uris
from mlops_tasks.stores.base import Stored
from mlops_tasks.wheels import wheel_files


def deploy_digest(context: Context, release: Release, folder: str) -> str:
    """The digest over the wheels and their folder; another one where a wheel is gone from the folder.

    A run would otherwise fail late, or use what a cache remembers.
    """
    wheels = release.wheels or ()
    there = context.store.list_files(folder) if wheels else {}
    digest = _digest(context, wheels, folder)
    if context.dry_run or all(_is_there(each, there) for each in wheels):
        return digest
    if digest == release.digests.get("deploy"):  # else they never were there
        lost = [Path(each.file).name for each in wheels if not _is_there(each, there)]
        context.decided_by["deploy"] = {f"{folder}/{name}": Lost("" if name in there else "gone") for name in lost}
    return "gone"


def deploy_wheels(
    context: Context, release: Release, folder: str, *, before_writing: Callable[[], object] = lambda: None
) -> Release:
    """A release with its wheels in `folder` of the store; a wheel that is there already is left alone.

    `before_writing` is called where there is something to write, before the first byte.
    Raises OutOfOrder for a wheel that is gone or changed, and WorkspaceError where the store refuses, where it holds
    other content under a wheel's name, and where it does not hold afterwards what was written.
    """
    wheels = release.wheels or ()
    if not wheels:
        context.report.step("deploy", "nothing to deploy: there are no wheels")
        return release.with_step("deploy", _digest(context, wheels, folder), deployed=())
    missing = _find_missing(context, wheels, folder)
    for wheel in missing:
        _check_source(wheel, context.top / wheel.file)
    if missing:
        before_writing()
    if missing and not context.dry_run:
        _write(context, missing, folder)
    counts = {"to write" if context.dry_run else "new": len(missing), "kept": len(wheels) - len(missing)}
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    context.report.step("deploy", f"{folder} ({said})")
    return release.with_step("deploy", _digest(context, wheels, folder), deployed=name_deployed(wheels, folder))


def name_deployed(wheels: Sequence[Wheel], folder: str) -> tuple[Deployed, ...]:
    """The wheels as they are deployed to `folder`."""
    return tuple(Deployed(each.distribution, f"{folder}/{Path(each.file).name}", each.sha256) for each in wheels)


def name_given(context: Context, release: Release, given: Sequence[str]) -> tuple[Deployed, ...]:
    """Wheels that are in place already, by the URIs or paths that the user gave; BadInput for what is no wheel.

    The SHA-256 of a wheel that is not on this machine is unknown, and empty.
    """
    deployed = []
    for uri in map(uris.from_cluster, given):
        distribution = wheel_files.read_distribution(uri, where="--wheel-uri")
        place, sha256, path = uri, "", uris.given_path(uri)
        if uris.is_here(uri):
            place, sha256 = context.relative(path.resolve()), _hash_given(path.absolute())
        steps = "deploy" if release.names else "name deploy"
        context.target.check_given(uri, instead=f"`inv {steps} --wheel {errors.typed(path)}`")
        deployed.append(Deployed(distribution=distribution, uri=place, sha256=sha256))
    return tuple(deployed)


def _hash_given(path: Path) -> str:
    try:
        return files.file_sha256(path)
    except OSError as fault:
        raise errors.BadInput(
            f"there is no such wheel that can be read: {fault.strerror}",
            where=path,
            cure="give the URI of a wheel that exists",
        ) from fault


def _digest(context: Context, wheels: Sequence[Wheel], folder: str) -> str:
    named = {f"the wheel of {each.distribution}": each.sha256 for each in wheels}
    context.decided_by["deploy"] = {"the wheel folder": folder.rpartition("/")[0], **named}
    return files.digest({"wheels": [wheel.sha256 for wheel in wheels], "folder": folder})


def _is_there(wheel: Wheel, there: Mapping[str, Stored]) -> bool:
    """Whether a folder with the files `there` holds that wheel."""
    stored = there.get(Path(wheel.file).name)
    return stored is not None and stored.matches(wheel.size, wheel.sha256)


def _find_missing(context: Context, wheels: Sequence[Wheel], folder: str) -> list[Wheel]:
    there = context.store.list_files(folder)
    missing = []
    for wheel in wheels:
        name = Path(wheel.file).name
        if name not in there:
            context.report.debug(f"to write   {name} ({files.show_size(wheel.size)})")
            missing.append(wheel)
        elif not _is_there(wheel, there):
            raise errors.WorkspaceError(
                f"{name} is there already with other content, and is not overwritten under a running job",
                where=folder,
                cure="find out who changed it, remove that folder, then `inv deploy`",
            )
        else:
            context.report.debug(f"unchanged  {name}")
    return missing


def _check_source(wheel: Wheel, source: Path) -> None:
    """A folder is named by its wheels' content: a file with other content would block that name for ever."""
    try:
        found = files.file_sha256(source)
    except OSError as fault:
        raise errors.OutOfOrder(
            f"the wheel cannot be read: {fault.strerror}", where=source, cure="`inv build-wheel`, then `inv deploy`"
        ) from fault
    if found != wheel.sha256:
        raise errors.OutOfOrder(
            "the wheel is not the one that was recorded", where=source, cure="`inv build-wheel`, then `inv deploy`"
        )


def _write(context: Context, wheels: Sequence[Wheel], folder: str) -> None:
    store, paths = context.store, [context.top / wheel.file for wheel in wheels]
    store.make_folder(folder)
    with context.report.transfer(f"writing to {folder}", sum(wheel.size for wheel in wheels)) as moved:
        stores.write_files(paths, folder, store=store, parallel=context.settings.parallel_uploads, moved=moved)
    there = store.list_files(folder)
    for wheel in wheels:
        if not _is_there(wheel, there):
            raise errors.WorkspaceError(
                f"{Path(wheel.file).name} does not hold what was written",
                where=folder,
                cure=f"look at it in the {store.display_name} store and remove it, then `inv deploy`",
            )

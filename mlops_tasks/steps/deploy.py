"""deploy: the wheels into the branch's folder of the store, each verified after it was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mlops_tasks import errors, files
from mlops_tasks.release import Deployed, Release, Wheel
from mlops_tasks.report import Report
from mlops_tasks.stores import parallel as in_parallel
from mlops_tasks.stores.base import Store, Stored


def deploy_digest(wheels: Sequence[Wheel], folder: str) -> str:
    return files.digest({"wheels": [wheel.sha256 for wheel in wheels], "folder": folder})


def is_there(wheel: Wheel, there: Mapping[str, Stored]) -> bool:
    """Whether the folder `there` holds that wheel, as far as its store can tell."""
    stored = there.get(Path(wheel.file).name)
    return stored is not None and stored.size == wheel.size and stored.sha256 in {None, wheel.sha256}


def deploy_wheels(
    release: Release,
    *,
    wheels: Sequence[Wheel],
    folder: str,
    store: Store,
    top: Path,
    parallel: int,
    report: Report,
    dry_run: bool,
) -> Release:
    """A release with `wheels` (files relative to `top`) in `folder` of `store`, written `parallel` at a time.

    What is there already is left alone. Raises OutOfOrder for a wheel that is gone or changed, and WorkspaceError
    where the store refuses, where it holds other content under a wheel's name, and where it does not hold afterwards
    what was written.
    """
    missing = _plan(wheels, store.list_files(folder), folder=folder, report=report)
    for wheel in missing:
        _check_source(wheel, top / wheel.file)
    if missing and not dry_run:
        _write(missing, folder=folder, store=store, top=top, parallel=parallel, report=report)
        _verify(missing, folder=folder, store=store)
    report.step("deploy", _describe(wheels, missing, folder=folder, dry_run=dry_run))
    deployed = tuple(
        Deployed(distribution=wheel.distribution, uri=f"{folder}/{Path(wheel.file).name}", sha256=wheel.sha256)
        for wheel in wheels
    )
    return release.with_step("deploy", deploy_digest(wheels, folder), deployed=deployed)


def _plan(wheels: Sequence[Wheel], there: dict[str, Stored], *, folder: str, report: Report) -> list[Wheel]:
    missing = []
    for wheel in wheels:
        name = Path(wheel.file).name
        if name not in there:
            report.detail(f"to write   {name} ({files.show_size(wheel.size)})")
            missing.append(wheel)
        elif not is_there(wheel, there):
            raise errors.WorkspaceError(
                f"{name} is there already with other content, and is not overwritten under a running job",
                where=folder,
                cure="find out who changed it, remove that folder, then `inv deploy`",
            )
        else:
            report.detail(f"unchanged  {name}")
    return missing


def _check_source(wheel: Wheel, source: Path) -> None:
    """A folder is named after its wheels' content: anything else in it would stand in the way for ever."""
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


def _write(wheels: Sequence[Wheel], *, folder: str, store: Store, top: Path, parallel: int, report: Report) -> None:
    store.make_folder(folder)
    sources = [top / wheel.file for wheel in wheels]
    with report.transfer(f"writing to {folder}", sum(wheel.size for wheel in wheels)) as moved:
        in_parallel.write_files(sources, folder, store=store, parallel=parallel, moved=moved)


def _verify(wheels: Sequence[Wheel], *, folder: str, store: Store) -> None:
    there = store.list_files(folder)
    for wheel in wheels:
        if not is_there(wheel, there):
            raise errors.WorkspaceError(
                f"{Path(wheel.file).name} does not hold what was written",
                where=folder,
                cure=f"look at it in the {store.display_name} store and remove it, then `inv deploy`",
            )


def _describe(wheels: Sequence[Wheel], missing: Sequence[Wheel], *, folder: str, dry_run: bool) -> str:
    verb = "to write" if dry_run else "written"
    return f"{folder} ({len(missing)} {verb}, {len(wheels) - len(missing)} unchanged)"

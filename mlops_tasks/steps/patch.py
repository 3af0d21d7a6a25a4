"""patch: a staged copy of the project whose YAML and JSON name the deployed wheels."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_tasks import errors, files, processes
from mlops_tasks.project import cluster as clusters
from mlops_tasks.project import environment, fetching, listing, mlproject, references, reshape, staging
from mlops_tasks.project.text import source as texts
from mlops_tasks.release import Deployed, Patched, Reference, Release
from mlops_tasks.report import Report

_PATH = re.compile(r"(?![A-Za-z][A-Za-z0-9+.-]*:)[^/].*")


@dataclass(frozen=True, kw_only=True)
class _Source:
    """The project before it is patched: its files' names, and its cluster spec, inside the folder or outside.

    `needed` are the names of those that are read and patched here.
    """

    project: mlproject.Project
    names: tuple[str, ...]
    needed: tuple[str, ...]
    cluster: Path | None


def patch_digest(
    project: mlproject.Project,
    *,
    deployed: Sequence[Deployed],
    placeholder: str,
    include: Sequence[str],
    workers: bool,
    cluster: Path | None,
    runner: processes.Runner,
) -> str:
    """The digest of all that decides how the patched project looks."""
    found = _read_source(project, include=include, cluster=cluster, run=runner, report=Report())
    return _digest(found, deployed=deployed, placeholder=placeholder, workers=workers)


def patch_project(  # noqa: PLR0913 - each is an input of this step, and the pipeline names them all
    release: Release,
    *,
    project: mlproject.Project,
    deployed: Sequence[Deployed],
    staged_root: Path,
    top: Path,
    placeholder: str,
    include: Sequence[str],
    workers: bool,
    cluster: Path | None,
    in_place: bool,
    dry_run: bool,
    diff: bool,
    reachable: Callable[[str], bool],
    report: Report,
    runner: processes.Runner,
) -> Release:
    """A release with the project's patched copy below `staged_root`, or with the project itself patched `in_place`.

    `deployed` has absolute URIs, in dependency order. `cluster` None means the project's own cluster.json, if any.
    `reachable` tells of a path or URL whether the wheel there can be had at run time. Raises BadInput where nothing
    refers to a deployed wheel, where a placeholder is left, and for a wheel that nobody built.
    """
    found = _read_source(project, include=include, cluster=cluster, run=runner, report=report)
    wheels = references.Wheels(deployed=deployed, is_reachable=reachable, placeholder=placeholder)
    if in_place:
        _check_own(release)
        changes = _patch_sources(found, wheels=wheels, workers=workers, dry_run=dry_run, diff=diff, report=report)
        folder = project.folder
    else:
        staging.separate_from_git(staged_root, run=runner)
        with staging.copied(
            project.folder, found.names, plain=found.needed, staged_root=staged_root, report=report
        ) as copy:
            changes = _patch_copy(found, copy, wheels=wheels, workers=workers, diff=diff, report=report)
            folder = staging.settle(copy, staged_root=staged_root)
    # taken at the end: sources that were patched in place are what a later step compares with
    digest = _digest(found, deployed=deployed, placeholder=placeholder, workers=workers)
    patched = Patched(project_dir=Path(os.path.relpath(folder, top)).as_posix(), references=tuple(changes))
    _say(patched, report)
    return release.with_step("patch", digest, patched=patched)


def _read_source(
    project: mlproject.Project, *, include: Sequence[str], cluster: Path | None, run: processes.Runner, report: Report
) -> _Source:
    """Whatever git ignores, the MLproject file, the environment and the cluster spec belong to the project."""
    spec = clusters.find(cluster, project.folder)
    parts = (project.folder / project.mlproject, project.environment_file, spec)
    needed = [name for part in parts if part is not None and (name := listing.name_inside(part, project.folder))]
    names = listing.list_files(project.folder, include=include, needed=needed, run=run, report=report)
    return _Source(project=project, names=names, needed=tuple(needed), cluster=spec)


def _digest(found: _Source, *, deployed: Sequence[Deployed], placeholder: str, workers: bool) -> str:
    return files.digest(
        {
            "files": staging.hash_files(found.project.folder, found.names),
            "deployed": [each.uri for each in deployed],
            "placeholder": placeholder,
            "workers": workers,
            "cluster": texts.read(found.cluster) if found.cluster is not None else "",
        }
    )


def _patch_sources(
    found: _Source, *, wheels: references.Wheels, workers: bool, dry_run: bool, diff: bool, report: Report
) -> list[Reference]:
    """Patch the sources themselves: nothing is written before every file is known to come out well."""
    if workers:
        report.warning("--in-place changes no more than references: `workers` needs a staged copy")
    folder = found.project.folder
    patches = _patch_documents(
        references.find_documents(found.project, folder, spec=found.cluster, original=found.cluster), folder, wheels
    )
    changes = [change for each in patches for change in each.references()]
    _check_used(changes, patches, wheels, report)
    if not dry_run:
        references.write(patches)
    if diff:
        report.text(texts.unified_diff((each.document.name, each.old, each.new) for each in patches))
    return changes


def _patch_copy(
    found: _Source, copy: Path, *, wheels: references.Wheels, workers: bool, diff: bool, report: Report
) -> list[Reference]:
    _check_environment(found.project)
    spec = _bring_cluster(found, copy)
    patches = _patch_documents(
        references.find_documents(found.project, copy, spec=spec, original=found.cluster), copy, wheels
    )
    references.write(patches)
    added = reshape.reshape(mlproject.load(copy), spec, patches=patches, wheels=wheels, workers=workers, report=report)
    changes = [*(change for each in patches for change in each.references()), *added]
    _check_used(changes, patches, wheels, report)
    _warn_of_drivers(found.project, changes, patches, report)
    _warn_of_misspelt(patches, wheels.placeholder, report)
    _warn_of_ways_out(found.project, copy, report)
    if diff:
        documents = [each.document for each in patches]
        report.text(
            texts.unified_diff((each.name, texts.read(each.original), texts.read(each.path)) for each in documents)
        )
    return changes


def _patch_documents(
    found: Sequence[references.Document], folder: Path, wheels: references.Wheels
) -> list[references.Patch]:
    """Patch each; a wheel that is named by a relative path has to lie in the project itself."""

    def is_there(entry: str) -> bool:
        return (folder / entry).is_file() if _PATH.fullmatch(entry) else wheels.is_reachable(entry)

    near = references.Wheels(deployed=wheels.deployed, is_reachable=is_there, placeholder=wheels.placeholder)
    return [references.patch(each, near) for each in found]


def _bring_cluster(found: _Source, copy: Path) -> Path | None:
    """The copy's own spec: one from outside the project comes in as its cluster.json."""
    if found.cluster is None:
        return None
    name = listing.name_inside(found.cluster, found.project.folder)
    if not name:
        brought = copy / clusters.FILE_NAME
        brought.unlink(missing_ok=True)  # a link there would lead the copy into somebody's file
        shutil.copyfile(found.cluster, brought)
    return copy / (name or clusters.FILE_NAME)


def _check_own(release: Release) -> None:
    if fetching.is_uri(release.project):
        raise errors.BadInput(
            "a project at a git URI has no sources here that could be patched",
            where="--in-place",
            cure="leave --in-place out, or set `project` to a folder",
        )


def _check_environment(project: mlproject.Project) -> None:
    if project.environment_file is not None and not listing.name_inside(project.environment_file, project.folder):
        raise errors.BadInput(
            f"the environment {os.path.relpath(project.environment_file, project.folder)} lies outside the project's "
            "folder, and only that folder is released",
            where=project.folder / project.mlproject,
            cure="move it into the folder",
        )


def _check_used(
    changes: Sequence[Reference], patches: Sequence[references.Patch], wheels: references.Wheels, report: Report
) -> None:
    if wheels.deployed and not changes:
        raise errors.BadInput(
            "nothing in the project refers to a deployed wheel, so a run would not use what was deployed",
            where=", ".join(each.document.name for each in patches),
            cure=f"write an entry `{wheels.placeholder}` (or the wheel's own path) into {references.WHERE}",
        )
    everything = " ".join(change.new for change in changes)
    for each in wheels.deployed:
        if each.uri.rsplit("/", 1)[-1] not in everything:
            report.warning(f"nothing in the project refers to the wheel of {each.distribution}")


def _warn_of_drivers(
    project: mlproject.Project, changes: Sequence[Reference], patches: Sequence[references.Patch], report: Report
) -> None:
    """MLflow runs an entry point in the environment of the YAML alone: it sees nothing of the cluster's libraries."""
    specs = {each.document.name for each in patches if each.document.role == "cluster"}
    elsewhere = {change.new.rsplit("/", 1)[-1] for change in changes if change.file not in specs}
    for change in changes:
        name = change.new.rsplit("/", 1)[-1]
        if project.spark_job is None and change.file in specs and name not in elsewhere:
            where = project.environment_file.name if project.environment_file else "an environment YAML"
            report.warning(
                f"only {change.file} names {name}: the workers get it, but the entry point cannot import it; "
                f"write {change.old or 'an entry'} into {where} too"
            )


def _warn_of_misspelt(patches: Sequence[references.Patch], placeholder: str, report: Report) -> None:
    for each in patches:
        for place, entry in references.find_misspelt(each, placeholder):
            report.warning(f"{place}: {entry} stays as it is; is {placeholder} meant?")


def _warn_of_ways_out(project: mlproject.Project, copy: Path, report: Report) -> None:
    """Say what will not be found: only the folder itself travels."""
    lines = [(project.mlproject, each.command) for each in project.entry_points.values()]
    if project.environment_file is not None:
        name = listing.name_inside(project.environment_file, project.folder)
        lines += [(name, line) for line in environment.load(copy / name, kind=project.kind).pip]
    for name, line in lines:
        if "../" in line:
            report.warning(f"{name}: {line!r} leads out of the project's folder, and only that folder is released")


def _say(patched: Patched, report: Report) -> None:
    for each in patched.references:
        report.detail(f"{each.file}: {each.old or '(new)'} -> {each.new}")
    names = ", ".join(dict.fromkeys(each.file for each in patched.references))
    count = len(patched.references)
    said = f"{count} reference{'' if count == 1 else 's'} in {names}" if names else "no references"
    report.step("patch", f"{said} -> {patched.project_dir}")

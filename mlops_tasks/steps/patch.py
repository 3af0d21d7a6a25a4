"""Take the step patch: a staged copy of the project whose YAML and JSON files name the deployed wheels."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlops_tasks import errors, files
from mlops_tasks.checkout import missing
from mlops_tasks.project import cluster as clusters
from mlops_tasks.project import environment, fetching, mlproject, references, reshape, staging
from mlops_tasks.project.text import source as texts
from mlops_tasks.release import Patched, Reference, Release
from mlops_tasks.report import Report
from mlops_tasks.steps.context import Context, Lost
from mlops_tasks.wheels import ignored

_PATH = re.compile(r"(?![A-Za-z][A-Za-z0-9+.-]*:)[^/].*")


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """Everything that decides how the patched project looks.

    `names` are the project's files, and `needed` those of them that are read and patched here. The cluster spec may
    lie outside the project's folder. The wheels have absolute URIs.
    """

    project: mlproject.Project
    names: tuple[str, ...]
    needed: tuple[str, ...]
    cluster: Path | None
    wheels: references.Wheels
    workers: bool

    def named(self) -> dict[str, object]:
        """All inputs but the project's files, by what a person calls them."""
        return {
            "the place of the deployed wheels": [each.uri for each in self.wheels.deployed],
            "the setting placeholder": self.wheels.placeholder,
            "the setting workers": self.workers,
            "the cluster spec": texts.read(self.cluster) if self.cluster is not None else "",
        }


def patch_digest(context: Context, release: Release) -> str:
    """The digest over everything that decides how the patched project looks; another one where its copy has changed."""
    copy = context.top / release.patched.project_dir if release.patched else None
    is_staged = copy is not None and copy.is_relative_to(context.staged_root)
    if not context.dry_run and copy is not None and is_staged and not staging.is_as_settled(copy):
        context.decided_by["patch"] = {context.relative(copy): Lost("" if copy.is_dir() else "gone")}
        return "changed"
    return _digest(context, _read_inputs(context, release, report=Report()))


def _digest(context: Context, inputs: _Inputs) -> str:
    """The digest over the inputs, with the files as they are now."""
    hashed, named = staging.hash_files(inputs.project.folder, inputs.names), inputs.named()
    context.decided_by["patch"] = {**{f"{context.project_name}/{name}": each for name, each in hashed.items()}, **named}
    return files.digest({"files": hashed, **named})


def patch_project(context: Context, release: Release, *, in_place: bool = False, diff: bool = False) -> Release:
    """A release with the project's patched copy below `staged_root`, or with the project itself patched `in_place`.

    Raises BadInput where nothing refers to a deployed wheel, where a placeholder is left, and for a wheel that nobody
    built.
    """
    inputs = _read_inputs(context, release, report=context.report)
    folder = inputs.project.folder
    tree, shown = (None, "") if context.is_fetched else (context.facts.tree, context.relative(folder))
    for each in missing.find(folder, inputs.names, tree=tree, shown=shown):
        context.warn_once(str(each))
    if in_place:
        if fetching.is_uri(release.project):
            raise errors.BadInput(
                "a project at a git URI has no sources here that could be patched",
                where="--in-place",
                cure="leave --in-place out, or set `project` to a folder",
            )
        changes = _patch_sources(context, inputs, diff=diff)
    else:
        staged_root = context.staged_root
        staging.separate_from_git(staged_root, run=context.run)
        with staging.copied(
            folder, inputs.names, plain=inputs.needed, staged_root=staged_root, report=context.report
        ) as copy:
            changes = _patch_copy(context, inputs, copy, diff=diff)
            folder = staging.settle(copy, staged_root=staged_root)
    digest = _digest(context, inputs)  # at the end: a later step compares with the sources as --in-place leaves them
    patched = Patched(project_dir=Path(os.path.relpath(folder, context.top)).as_posix(), references=tuple(changes))
    _report(patched, context.report)
    return release.with_step("patch", digest, patched=patched)


def _read_inputs(context: Context, release: Release, *, report: Report) -> _Inputs:
    """Whatever git ignores, the MLproject file, the environment and the cluster spec belong to the project."""
    project, settings, target = context.project, context.settings, context.target
    spec = clusters.find(context.cluster, project.folder)
    parts = (project.folder / project.mlproject, project.environment_file, spec)
    needed = [name for part in parts if part is not None and (name := staging.name_inside(part, project.folder))]
    deployed = [each._replace(uri=target.absolute_uri(each.uri)) for each in release.deployed or ()]
    return _Inputs(
        project=project,
        names=staging.list_files(
            project.folder, include=_own_globs(context, project.folder), needed=needed, run=context.run, report=report
        ),
        needed=tuple(needed),
        cluster=spec,
        wheels=references.Wheels(deployed=deployed, is_reachable=target.is_reachable, placeholder=settings.placeholder),
        workers=settings.workers,
    )


def _own_globs(context: Context, folder: Path) -> list[str]:
    """The globs of `include` without those that a library answers alone."""
    libraries: tuple[Path, ...] = ()
    if context.settings.include:
        with contextlib.suppress(errors.ReleaseError):  # there may be no libraries, as beside --wheel-uri
            libraries = context.libraries

    def is_librarys(pattern: str) -> bool:
        return any(ignored.expand(each, pattern) for each in libraries) and not ignored.expand(folder, pattern)

    return [each for each in context.settings.include if not is_librarys(each)]


def _patch_sources(context: Context, inputs: _Inputs, *, diff: bool) -> list[Reference]:
    """Patch the sources themselves; nothing is written before all files are known to come out well."""
    if inputs.workers:
        context.report.warning("--in-place changes no more than references: `workers` needs a staged copy")
    patches = _patch_documents(inputs, inputs.project.folder, inputs.cluster)
    changes = [change for each in patches for change in each.references()]
    _check_used(changes, patches, inputs.wheels, context.report)
    if not context.dry_run:
        references.write(patches)
    if diff:
        context.report.text(texts.unified_diff((each.document.name, each.old, each.new) for each in patches))
    return changes


def _patch_copy(context: Context, inputs: _Inputs, copy: Path, *, diff: bool) -> list[Reference]:
    report, wheels = context.report, inputs.wheels
    _check_environment(inputs.project)
    spec = _bring_cluster(inputs, copy)
    patches = _patch_documents(inputs, copy, spec)
    references.write(patches)
    added = reshape.reshape(
        mlproject.load(copy), spec, patches=patches, wheels=wheels, workers=inputs.workers, report=report
    )
    changes = [*(change for each in patches for change in each.references()), *added]
    _check_used(changes, patches, wheels, report)
    _warn_of_drivers(inputs.project, changes, patches, report)
    for each in patches:
        for place, entry in references.find_misspelt(each, wheels.placeholder):
            report.warning(f"{place}: {entry} stays as it is; is {wheels.placeholder} meant?")
    _warn_of_ways_out(inputs.project, copy, report)
    if diff:
        documents = [each.document for each in patches]
        report.text(
            texts.unified_diff((each.name, texts.read(each.original), texts.read(each.path)) for each in documents)
        )
    return changes


def _patch_documents(inputs: _Inputs, folder: Path, spec: Path | None) -> list[references.Patch]:
    """Patch the files below `folder` and `spec`; a wheel that is named by a relative path has to lie in `folder`."""

    def is_there(entry: str) -> bool:
        return (folder / entry).is_file() if _PATH.fullmatch(entry) else inputs.wheels.is_reachable(entry)

    near = replace(inputs.wheels, is_reachable=is_there)
    documents = references.find_documents(inputs.project, folder, spec=spec, original=inputs.cluster)
    return [references.patch(each, near) for each in documents]


def _bring_cluster(inputs: _Inputs, copy: Path) -> Path | None:
    """The copy's own spec: one from outside the project comes in as its cluster.json."""
    if inputs.cluster is None:
        return None
    name = staging.name_inside(inputs.cluster, inputs.project.folder)
    if not name:
        brought = copy / clusters.FILE_NAME
        brought.unlink(missing_ok=True)  # a link there would lead the copy into somebody's file
        shutil.copyfile(inputs.cluster, brought)
    return copy / (name or clusters.FILE_NAME)


def _check_environment(project: mlproject.Project) -> None:
    if project.environment_file is not None and not staging.name_inside(project.environment_file, project.folder):
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
    """Warn of wheels that the cluster spec alone names: MLflow runs an entry point in the YAML's environment."""
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


def _warn_of_ways_out(project: mlproject.Project, copy: Path, report: Report) -> None:
    """Warn of paths that lead out of the project's folder: a run has that folder alone."""
    lines = [(project.mlproject, each.command) for each in project.entry_points.values()]
    if project.environment_file is not None:
        name = staging.name_inside(project.environment_file, project.folder)
        lines += [(name, line) for line in environment.load(copy / name, kind=project.kind).pip]
    for name, line in lines:
        if "../" in line:
            report.warning(f"{name}: {line!r} leads out of the project's folder, and only that folder is released")


def _report(patched: Patched, report: Report) -> None:
    for each in patched.references:
        report.detail(f"{each.file}: {each.old or '(new)'} -> {each.new}")
    names = ", ".join(dict.fromkeys(each.file for each in patched.references))
    count = len(patched.references)
    said = f"{count} reference{'' if count == 1 else 's'} in {names}" if names else "no references"
    report.step("patch", f"{said} -> {patched.project_dir}")

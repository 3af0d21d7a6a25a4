"""Take the step patch: a staged copy of the project whose YAML and JSON files name the deployed wheels."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging import utils

from mlops_tasks import errors, files
from mlops_tasks.checkout import missing
from mlops_tasks.checkout.missing import Missing
from mlops_tasks.project import addition, environment, fetching, mlproject, references, reshape, staging
from mlops_tasks.project import cluster as clusters
from mlops_tasks.project.text import source as texts
from mlops_tasks.release import Patched, Reference, Release
from mlops_tasks.report import Report
from mlops_tasks.steps.context import Context, Lost
from mlops_tasks.stores import uris
from mlops_tasks.targets import databricks
from mlops_tasks.wheels import ignored, sources

_PATH = re.compile(r"(?![A-Za-z][A-Za-z0-9+.-]*:)[^/].*")


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """Everything that decides how the patched project looks.

    `names` are the project's files, and `needed` those of them that are read and patched here. The cluster spec may
    lie outside the project's folder. The wheels have absolute URIs; the backend `brings_wheels` where a run gets them
    whether or not the project's files name them. `is_rehearsal` is for a run on this machine, which has no cluster.
    """

    project: mlproject.Project
    names: tuple[str, ...]
    needed: tuple[str, ...]
    cluster: Path | None
    wheels: references.Wheels
    workers: bool
    add_wheels: bool
    brings_wheels: bool
    is_rehearsal: bool

    def named(self) -> dict[str, object]:
        """All inputs but the project's files, by what a person calls them."""
        return {
            "the place of the deployed wheels": [each.uri for each in self.wheels.deployed],
            "the setting placeholder": self.wheels.placeholder,
            "the setting workers": self.workers,
            "the setting add_wheels": self.add_wheels,
            "the backend": self.brings_wheels,
            "the cluster spec": texts.read(self.cluster) if self.cluster is not None else "",
        }


def patch_digest(context: Context, release: Release) -> str:
    """The digest over everything that decides how the patched project looks; another one where its copy has changed."""
    copy = context.top / release.patched.project_dir if release.patched else None
    is_staged = copy is not None and copy.is_relative_to(context.staged_root)
    if copy is not None and is_staged and not staging.is_as_settled(copy, look=context.fingerprints):
        context.decided_by["patch"] = {context.relative(copy): Lost("" if copy.is_dir() else "gone")}
        return "changed"
    return _digest(context, _read_inputs(context, release, report=Report()))


def _digest(context: Context, inputs: _Inputs) -> str:
    """The digest over the inputs, with the files as they are now."""
    hashed, named = _hash(context, inputs), inputs.named()
    context.decided_by["patch"] = {**{f"{context.project_name}/{name}": each for name, each in hashed.items()}, **named}
    return files.digest({"files": hashed, **named})


def _hash(context: Context, inputs: _Inputs) -> dict[str, str]:
    folder = inputs.project.folder
    if folder not in context.project_hashes:
        context.project_hashes[folder] = staging.hash_files(folder, inputs.names, look=context.fingerprints)
    return context.project_hashes[folder]


def patch_project(context: Context, release: Release, *, in_place: bool = False, diff: bool = False) -> Release:
    """A release with the project's patched copy below `staged_root`, or with the project itself patched `in_place`.

    Raises BadInput where nothing refers to a deployed wheel, where a placeholder is left, and for a wheel that nobody
    built.
    """
    inputs = _read_inputs(context, release, report=context.report)
    folder = inputs.project.folder
    _check_sources(inputs)
    for each in find_missing(context, inputs.names):
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
        with staging.drafted(folder, inputs.needed, staged_root=staged_root) as draft:
            changes = _patch_copy(context, inputs, draft, diff=diff)
            hashes = _hash(context, inputs)
            folder = staging.settle(
                draft,
                folder,
                hashes,
                staged_root=staged_root,
                report=context.report,
                look=context.fingerprints,
            )
        _say_left_behind(inputs, context.report)
    digest = _digest(context, inputs)  # at the end: a later step compares with the sources as --in-place leaves them
    patched = Patched(project_dir=Path(os.path.relpath(folder, context.top)).as_posix(), references=tuple(changes))
    _report(patched, context.report)
    return release.with_step("patch", digest, patched=patched)


def check_misspelt(context: Context) -> None:
    """Raise what the step would refuse as nearly the placeholder, before there are wheels."""
    project, spec, placeholder = context.project, context.cluster_spec, context.settings.placeholder
    documents = references.find_documents(project, project.folder, spec=spec, original=spec)
    names: dict[str, Path | None] = {
        utils.canonicalize_name(sources.read_name(each)): each for each in context.libraries
    }
    are_unnamed = (
        bool(names) and not _brings_wheels(context) and not references.names_any(documents, names, placeholder)
    )
    references.check_misspelt(documents, placeholder, are_unnamed=are_unnamed)


def find_missing(context: Context, names: Sequence[str]) -> list[Missing]:
    """What is missing of the project's files `names`; one at a git URI has come with its submodules."""
    folder = context.project.folder
    tree, shown = (None, "") if context.is_fetched else (context.facts.tree, context.relative(folder))
    return missing.find(folder, names, tree=tree, shown=shown)


def _read_inputs(context: Context, release: Release, *, report: Report) -> _Inputs:
    """Whatever git ignores, the MLproject file, the environment and the cluster spec belong to the project."""
    project, settings, target = context.project, context.settings, context.target
    spec = clusters.find(context.cluster, project.folder)
    parts = (project.folder / project.mlproject, project.environment_file, spec)
    needed = [name for part in parts if part is not None and (name := staging.name_inside(part, project.folder))]
    deployed = [each._replace(uri=target.absolute_uri(each.uri)) for each in release.deployed or ()]
    hashed = context.project_hashes.get(project.folder)
    return _Inputs(
        project=project,
        names=staging.list_files(
            project.folder, include=_own_globs(context, project.folder), needed=needed, run=context.run, report=report
        )
        if hashed is None
        else tuple(hashed),
        needed=tuple(needed),
        cluster=spec,
        wheels=references.Wheels(
            deployed=deployed,
            is_reachable=target.is_reachable,
            placeholder=settings.placeholder,
            folders={each.distribution: context.top / each.library for each in release.wheels or () if each.library},
            has_libraries=bool(settings.libraries or deployed),
        ),
        workers=settings.workers,
        add_wheels=settings.add_wheels,
        brings_wheels=_brings_wheels(context),
        is_rehearsal=not target.is_databricks,
    )


def _brings_wheels(context: Context) -> bool:
    return context.target.is_databricks and context.backend == databricks.OWN_BACKEND


def _check_sources(inputs: _Inputs) -> None:
    """Raise what is wrong with the files before they are copied: messages name the user's own."""
    project = inputs.project
    if project.environment_file is not None:
        environment.load(project.environment_file, kind=project.kind)
    if inputs.cluster is not None:
        clusters.read(inputs.cluster)
    for path in mlproject.find_unread(project):
        references.check_unread(path, inputs.wheels.placeholder, cure=f"write `conda_env: {path.name}` into MLproject")


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
    patches = _patch_documents(context, inputs, inputs.project.folder, inputs.cluster)
    changes = [change for each in patches for change in each.references()]
    _check_named(inputs, patches)
    _warn_of_unnamed(changes, inputs.wheels, context.report)
    if not context.dry_run:
        references.write(patches)
        context.project_hashes.clear()
    if diff:
        context.report.text(texts.unified_diff((each.document.name, each.old, each.new) for each in patches))
    return changes


def _patch_copy(context: Context, inputs: _Inputs, copy: Path, *, diff: bool) -> list[Reference]:
    report, wheels = context.report, inputs.wheels
    _check_environment(inputs.project)
    spec = _bring_cluster(inputs, copy)
    patches = _patch_documents(context, inputs, copy, spec)
    references.write(patches)
    added: list[Reference] = []
    if not inputs.brings_wheels:
        added = _give_form(inputs, patches, copy, spec, report)
    staged = mlproject.load(copy)
    changes = [*(change for each in patches for change in each.references()), *added]
    if not inputs.brings_wheels:
        _warn_of_unnamed(changes, wheels, report)
        _warn_of_drivers(inputs.project, changes, patches, report)
    for place, entry in _check_misspelt(inputs, patches, are_unnamed=False):
        report.warning(f"{place}: {entry} stays as it is; is {wheels.placeholder} meant?")
    _warn_of_ways_out(inputs.project, copy, report)
    _warn_of_unread(inputs.project, report)
    if diff:
        report.text(texts.unified_diff(_differences(inputs, patches, staged)))
    return changes


def _give_form(
    inputs: _Inputs, patches: Sequence[references.Patch], copy: Path, spec: Path | None, report: Report
) -> list[Reference]:
    """Give the project in `copy` the form that MLflow's Databricks backend needs, with the wheels in it."""
    added = _add_wheels(inputs, patches, copy, report)
    staged = mlproject.load(copy)
    workers = inputs.workers and not (added and staged.spark_job is not None)
    return added + reshape.reshape(
        staged,
        spec,
        patches=patches,
        wheels=inputs.wheels,
        workers=workers,
        is_rehearsal=inputs.is_rehearsal,
        report=report,
    )


def _add_wheels(inputs: _Inputs, patches: Sequence[references.Patch], copy: Path, report: Report) -> list[Reference]:
    """Add the wheels to the project in `copy` where nothing refers to them; BadInput where that is not wanted."""
    deployed = inputs.wheels.deployed
    if not deployed or any(each.changes for each in patches):
        return []
    _check_misspelt(inputs, patches, are_unnamed=True)
    if not inputs.add_wheels:
        _check_named(inputs, patches)
    added = addition.add(mlproject.load(copy), deployed)
    names = ", ".join(each.distribution for each in deployed)
    report.detail(f"nothing in the project refers to the wheels: {names} added to {added[0].file}")
    return added


def _say_left_behind(inputs: _Inputs, report: Report) -> None:
    left = staging.find_left_behind(inputs.project.folder, inputs.names)
    if left:
        shown = staging.describe_left_behind(left, inputs.names)
        report.detail(f"left behind (git ignores them, or they are secrets or results): {shown}; `include` brings them")


def _differences(
    inputs: _Inputs, patches: Sequence[references.Patch], staged: mlproject.Project
) -> Iterator[tuple[str, str, str]]:
    for each in (patch.document for patch in patches):
        yield each.name, texts.read(each.original), texts.read(each.path)
    if inputs.project.environment_file is None and staged.environment_file is not None:
        yield staged.environment_file.name, "", texts.read(staged.environment_file)


def _patch_documents(context: Context, inputs: _Inputs, folder: Path, spec: Path | None) -> list[references.Patch]:
    """Patch the files below `folder` and `spec`; a wheel that is named by a relative path has to be in the project.

    Where no cluster is at hand, what it would install from a workspace is left to it.
    """
    source = inputs.project.folder

    def is_there(entry: str) -> bool:
        if not _PATH.fullmatch(entry):
            return inputs.wheels.is_reachable(entry)
        return (source / entry).is_file() and (folder == source or posixpath.normpath(entry) in inputs.names)

    def is_left_or_there(entry: str) -> bool:
        if is_there(entry):
            return True
        if is_left := not uris.is_here(entry):
            context.report.detail(f"{entry} is left to the cluster: nothing on this machine installs it")
        return is_left

    near, far = replace(inputs.wheels, is_reachable=is_there), replace(inputs.wheels, is_reachable=is_left_or_there)
    documents = references.find_documents(inputs.project, folder, spec=spec, original=inputs.cluster)
    if not context.target.is_databricks:
        return [references.patch(each, far if each.role in {"cluster", "mlproject"} else near) for each in documents]
    patches = [references.patch(each, near) for each in documents]
    for each in patches:
        references.check_paths(each)
    return patches


def _bring_cluster(inputs: _Inputs, copy: Path) -> Path | None:
    """The copy's own spec: one from outside the project comes in as its cluster.json."""
    if inputs.cluster is None:
        return None
    name = staging.name_inside(inputs.cluster, inputs.project.folder)
    if not name:
        shutil.copyfile(inputs.cluster, copy / clusters.FILE_NAME)
    return copy / (name or clusters.FILE_NAME)


def _check_environment(project: mlproject.Project) -> None:
    if project.environment_file is not None and not staging.name_inside(project.environment_file, project.folder):
        raise errors.BadInput(
            f"the environment {os.path.relpath(project.environment_file, project.folder)} lies outside the project's "
            "folder, and only that folder is released",
            where=project.folder / project.mlproject,
            cure="move it into the folder",
        )


def _check_named(inputs: _Inputs, patches: Sequence[references.Patch]) -> None:
    wheels = inputs.wheels
    if wheels.deployed and not any(each.changes for each in patches):
        _check_misspelt(inputs, patches, are_unnamed=True)
        raise errors.BadInput(
            "nothing in the project refers to a deployed wheel, so a run would not use what was deployed",
            where=", ".join(each.document.name for each in patches),
            cure=f"write an entry `{wheels.placeholder}` (or the wheel's own path) into {references.WHERE}",
        )


def _check_misspelt(
    inputs: _Inputs, patches: Sequence[references.Patch], *, are_unnamed: bool
) -> list[tuple[str, str]]:
    documents = [each.document for each in patches]
    return references.check_misspelt(documents, inputs.wheels.placeholder, are_unnamed=are_unnamed)


def _warn_of_unnamed(changes: Sequence[Reference], wheels: references.Wheels, report: Report) -> None:
    everything = " ".join(change.new for change in changes)
    for each in wheels.deployed:
        if changes and each.uri.rsplit("/", 1)[-1] not in everything:
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
    lines = [(project.mlproject, each.command, "") for each in project.entry_points.values()]
    if project.environment_file is not None:
        name = staging.name_inside(project.environment_file, project.folder)
        pip = environment.load(copy / name, kind=project.kind).pip
        lines += [(name, line, posixpath.dirname(name)) for line in pip]
    for name, line, folder in lines:
        if any(_leads_out(folder, word) for word in re.split(r"[\s='\"]+", line)):
            report.warning(f"{name}: {line!r} leads out of the project's folder, and only that folder is released")


def _leads_out(folder: str, word: str) -> bool:
    return posixpath.normpath(posixpath.join(folder, word)).split("/")[0] == ".."


def _warn_of_unread(project: mlproject.Project, report: Report) -> None:
    for path in mlproject.find_unread(project):
        report.warning(
            f"{path.name} is not read: the project names no environment, and MLflow's own names are python_env.yaml "
            f"and conda.yaml; write `conda_env: {path.name}` into {project.mlproject}"
        )


def _report(patched: Patched, report: Report) -> None:
    for each in patched.references:
        report.debug(f"{each.file}: {each.old or '(new)'} -> {each.new}")
    names = ", ".join(dict.fromkeys(each.file for each in patched.references))
    count = len(patched.references)
    said = f"{count} reference{'' if count == 1 else 's'} in {names}" if names else "no references"
    report.debug(f"the project is staged in {patched.project_dir}")
    report.step("patch", said)

"""The Subject of a release, read from its Context and record, and the findings of all checks on it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, TypeVar

from packaging import utils

from mlops_tasks import errors, processes
from mlops_tasks.backends.databricks_jobs import backend as databricks_jobs
from mlops_tasks.backends.databricks_jobs import compute as computes
from mlops_tasks.backends.databricks_jobs.compute import Compute
from mlops_tasks.checkout.missing import Missing
from mlops_tasks.doctor import checklist
from mlops_tasks.doctor.findings import Findings
from mlops_tasks.doctor.subject import BuiltWheel, Questions, Subject, Text
from mlops_tasks.project import cluster, entry_points, environment, mlproject, references, staging
from mlops_tasks.project.text import source as texts
from mlops_tasks.release import Release
from mlops_tasks.report import Report
from mlops_tasks.settings import Settings
from mlops_tasks.steps import build_wheel, patch
from mlops_tasks.steps.context import Context
from mlops_tasks.stores import uris
from mlops_tasks.targets import databricks
from mlops_tasks.targets.databricks import MLFLOW_BACKEND, OWN_BACKEND
from mlops_tasks.tracking import bounds
from mlops_tasks.wheels import fitting, metadata, sources

T = TypeVar("T")


class Choice(NamedTuple):
    """The fields of a Subject that say which backend runs the project, and why."""

    backend: str
    reason: str = ""
    is_chosen: bool = False
    compute: Compute | None = None
    refused: errors.BadInput | None = None


def look_ahead(context: Context, release: Release, *, force: bool) -> None:
    """Report what may not work on Databricks; raises BadInput for what will not, unless `force` is given.

    One look a command is enough, however many of its steps send something.
    """
    if context.target.is_databricks and release.wheels not in context.preflighted:
        context.preflighted.append(release.wheels)
        checklist.insist(examine(context, release), context.report, warned=context.warned, force=force)


def examine(context: Context, release: Release | None, *, login: bool = False) -> Findings:
    """The findings of all checks, the login's first if `login` is set. No target but Databricks is asked anything."""
    target = context.target
    refused = _find_refusal(context) if login and target.is_databricks else None
    subject = read_subject(context, release, is_signed_in=refused is None)
    if login:  # in a release the steps themselves say it
        subject = replace(subject, missing=tuple(_find_missing(context)))
    if target.is_databricks:

        def log_in() -> None:
            if refused is not None:
                raise refused

        asks = subject.spark_version is not None and refused is None
        ask = Questions(
            log_in=log_in if login else None,
            has_volume=target.has_volume,
            has_file=target.is_reachable,
            runtimes=processes.begin(target.runtimes, is_awaited=False) if asks else target.runtimes,
            node_types=target.node_types,
            cluster=target.find_cluster,
        )
        subject = replace(subject, ask=ask)
    return checklist.check(subject)


def _find_refusal(context: Context) -> errors.ReleaseError | None:
    try:
        context.target.check()
    except errors.ReleaseError as fault:
        return fault
    return None


def read_subject(context: Context, release: Release | None, *, is_signed_in: bool = False) -> Subject:
    """Everything known at this point; the workspace is asked for the user's own folder alone, by who `is_signed_in`."""
    settings, names = context.settings, release.names if release else None
    faults: list[errors.BadInput] = []

    def tried(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except errors.BadInput as fault:
            if str(fault) not in map(str, faults):  # whoever chooses the backend reads the cluster spec too
                faults.append(fault)
            return None

    project = tried(lambda: context.project)
    spec_file = tried(lambda: cluster.find(context.cluster, context.project_folder))
    environment_file = project.environment_file if project is not None else None
    kind = project.kind if project is not None else ""
    spec = tried(lambda: cluster.read(spec_file) if spec_file is not None else None)
    asked = replace(settings, backend="auto") if settings.backend == "local" else settings
    choice = tried(lambda: choose(asked, spec_file)) or Choice(MLFLOW_BACKEND)
    if str(choice.refused) in map(str, faults):
        choice = choice._replace(refused=None)  # the spec cannot be read at all
    if choice.backend == OWN_BACKEND and context.target.is_databricks:  # elsewhere it is set for the rehearsal
        tried(lambda: databricks_jobs.check_env_manager(settings.env_manager))
    entry_point = project.entry_points.get(settings.entry_point) if project is not None else None
    if project is not None and entry_point is not None and project.spark_job is None:  # a Spark job has its own check
        tried(lambda: entry_points.check_command(project, settings.entry_point, entry_point))
    built = tuple(_built_wheels(context, release))
    ours = _own_names(context, built)
    listed = tried(lambda: environment.load(environment_file, kind=kind) if environment_file else None)
    if listed is not None and environment_file is not None:
        source, placeholder = environment_file, settings.placeholder
        tried(lambda: references.check_other_files(listed.pip, source, names=ours, placeholder=placeholder))
    return Subject(
        today=datetime.now(timezone.utc).date(),
        wheel_root=_wheel_root(context, choice.backend, is_signed_in=is_signed_in),
        project=project,
        project_text=_text(project.folder / project.mlproject) if project is not None else None,
        cluster=spec,
        cluster_text=_text(spec_file),
        environment=listed,
        environment_text=_text(environment_file),
        wheels=built,
        ours=ours,
        experiment=names.experiment if names else uris.without_workspace(settings.experiment),
        entry_point=settings.entry_point,
        has_root=settings.wheel_root is not None and uris.kind_of(settings.wheel_root) != "folder",
        driver_root=settings.driver_root,
        mlflow=bounds.read_client(),
        workers=settings.workers,
        add_wheels=settings.add_wheels,
        placeholder=settings.placeholder,
        commit=context.facts.commit,
        scripts=tuple(text for path in _find_scripts(project) if (text := _text(path)) is not None),
        unreadable=tuple(faults),
        **choice._asdict(),
    )


def choose(settings: Settings, spec: Path | None) -> Choice:
    """The backend for the user's cluster spec. Raises BadInput where the settings name one that there is not."""
    is_chosen, refused, there = settings.backend == "auto", None, None
    try:
        version = settings.environment_version
        there = computes.read(spec, compute=settings.compute, environment_version=version)
    except errors.BadInput as fault:
        refused = fault
    name, reason = OWN_BACKEND, "where it is to run is not known yet"
    if refused is None or not is_chosen:
        name, reason = databricks.choose_backend(settings, spec)
    if name != OWN_BACKEND:
        return Choice(name, reason, is_chosen)
    return Choice(name, reason, is_chosen, there, refused)


def _find_scripts(project: mlproject.Project | None) -> list[Path]:
    """The Python files that the project runs: those directly in its folder, and those that a command names."""
    if project is None:
        return []
    words = (word.strip("'\"") for each in project.entry_points.values() for word in each.command.split())
    named = (project.folder / word for word in words if word.endswith(".py"))
    return sorted({*project.folder.glob("*.py"), *(path for path in named if path.is_file())})


def _text(path: Path | None) -> Text | None:
    """The file's text; None where it cannot be read, which the reader of its data reports."""
    if path is None:
        return None
    with contextlib.suppress(errors.BadInput):
        return Text(path, texts.read(path))
    return None


def _wheel_root(context: Context, backend: str, *, is_signed_in: bool) -> str:
    """The place for wheels on Databricks: its default there while the settings name none or a local folder."""
    root = context.settings.wheel_root
    if context.target.is_databricks and root is not None and not context.has_root_of_another_target:
        return context.wheel_root
    if context.target.is_databricks and is_signed_in:
        with contextlib.suppress(errors.BadInput):  # no backend is known: a fault of the cluster spec, told as that
            return context.wheel_root
    if root is not None and uris.kind_of(root) != "folder":
        return root
    return databricks.DBFS_ROOT if backend == MLFLOW_BACKEND else f"{uris.home_of('you')}/.mlops/wheels"


def _built_wheels(context: Context, release: Release | None) -> Iterator[BuiltWheel]:
    """The recorded wheels that are still there: `build-wheel` replaces missing and damaged ones."""
    for each in (release.wheels if release is not None else None) or ():
        path = context.top / each.file
        with contextlib.suppress(errors.BadInput):
            about = metadata.read(path)
            yield BuiltWheel(
                distribution=about.distribution,
                version=about.version,
                file_name=path.name,
                tags=fitting.parse_tags(path.name),
                requires_python=about.requires_python,
                path=path,
                library=context.top / each.library if each.library else None,
            )


def _find_missing(context: Context) -> Iterator[Missing]:
    with contextlib.suppress(errors.ReleaseError):  # whoever needs the folder says what is wrong with it
        for library in context.libraries:
            yield from build_wheel.find_missing(context, library)
    with contextlib.suppress(errors.ReleaseError):
        folder, include = context.project.folder, context.settings.include
        listed = staging.list_files(folder, include=include, needed=(), run=context.run, report=Report())
        yield from patch.find_missing(context, listed)


def _own_names(context: Context, built: tuple[BuiltWheel, ...]) -> dict[str, Path | None]:
    """The names of our distributions, with their libraries' folders; before they are built, as their settings say."""
    names: dict[str, Path | None] = {each.distribution: each.library for each in built}
    with contextlib.suppress(errors.ReleaseError):  # `build-wheel` reports what is wrong with the libraries
        names = names or {sources.read_name(each): each for each in context.libraries}
    return {utils.canonicalize_name(name): folder for name, folder in names.items()}

"""From a Context and what is recorded of its release to a Subject."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from importlib import metadata as installed
from pathlib import Path
from typing import TypeVar

from packaging import utils

from mlops_tasks import errors
from mlops_tasks.doctor import rules, subject
from mlops_tasks.doctor.checks import wheels
from mlops_tasks.doctor.findings import Findings
from mlops_tasks.project import cluster, environment
from mlops_tasks.project.text import source as texts
from mlops_tasks.release import Release
from mlops_tasks.steps.context import Context
from mlops_tasks.stores import uris
from mlops_tasks.targets import databricks
from mlops_tasks.wheels import metadata

T = TypeVar("T")
NOTHING = subject.Questions()


def look_ahead(context: Context, release: Release, *, force: bool) -> None:
    """Before anything is sent: BadInput for what will not work there, but with `force`."""
    if context.target.is_remote:
        rules.insist(examine(context, release), context.report, warned=context.warned, force=force)


def examine(context: Context, release: Release | None, *, login: bool = False) -> Findings:
    """All that the checks find; `login` has them begin with the login itself."""
    target = context.target
    ask = subject.Questions(
        log_in=target.check if login else None, has_volume=target.has_volume, has_file=target.is_reachable
    )
    return rules.check(read_subject(context, release, ask=ask if target.is_remote else subject.Questions()))


def read_subject(context: Context, release: Release | None, *, ask: subject.Questions = NOTHING) -> subject.Subject:
    """All that is known at this point. A record of another branch counts for nothing.

    `ask` are the questions that only a workspace can answer.
    """
    own = release if release is not None and release.branch == context.facts.branch else None
    faults: list[errors.BadInput] = []
    project = _tried(lambda: context.project, faults)
    spec_file = _tried(lambda: cluster.find(context.cluster, context.project_folder), faults)
    environment_file = project.environment_file if project is not None else None
    kind = project.kind if project is not None else ""
    if project is not None and context.target.is_remote:
        _tried(lambda: context.target.choose_backend(context.settings.backend, project), faults)
    built = tuple(_built_wheels(context, own))
    return subject.Subject(
        today=datetime.now(timezone.utc).date(),
        wheel_root=_wheel_root(context),
        project=project,
        project_text=_text(project.folder / project.mlproject) if project is not None else None,
        cluster=_tried(lambda: cluster.read(spec_file) if spec_file is not None else None, faults),
        cluster_text=_text(spec_file),
        environment=_tried(
            lambda: environment.load(environment_file, kind=kind) if environment_file is not None else None, faults
        ),
        environment_text=_text(environment_file),
        wheels=built,
        ours=frozenset(_own_names(context, built)),
        experiment=_experiment(context, own),
        entry_point=context.settings.entry_point,
        backend=context.settings.backend
        if context.settings.backend not in {"auto", "local"}
        else subject.MLFLOW_BACKEND,
        mlflow=read_client(),
        workers=context.settings.workers,
        placeholder=context.settings.placeholder,
        commit=context.facts.commit,
        scripts=tuple(_scripts(project.folder)) if project is not None else (),
        unreadable=tuple(faults),
        ask=ask,
    )


def read_client() -> subject.Client | None:
    """The installed MLflow, by its metadata alone: to import it takes seconds."""
    for name in ("mlflow", "mlflow-skinny"):
        try:
            about = installed.metadata(name)
        except installed.PackageNotFoundError:
            continue
        return subject.Client(version=str(about["Version"]), requires_python=str(about["Requires-Python"] or ""))
    return None


def _tried(read: Callable[[], T], faults: list[errors.BadInput]) -> T | None:
    try:
        return read()
    except errors.BadInput as fault:
        faults.append(fault)
        return None


def _text(path: Path | None) -> subject.Text | None:
    if path is None:
        return None
    try:
        return subject.Text(path, texts.read(path))
    except errors.BadInput:
        return None  # whoever reads its data has said so


def _wheel_root(context: Context) -> str:
    """Where wheels go on Databricks, also while the settings name no place there."""
    if context.target.is_remote:
        return context.wheel_root
    root = context.settings.wheel_root or context.wheel_root
    return root if uris.kind_of(root) != "folder" else databricks.DatabricksTarget.wheel_root


def _built_wheels(context: Context, release: Release | None) -> Iterator[subject.BuiltWheel]:
    """The recorded wheels that are still there."""
    for each in (release.wheels if release is not None else None) or ():
        with contextlib.suppress(errors.BadInput):  # `build-wheel` makes anew what is gone or damaged
            yield _read_wheel(context.top / each.file)


def _read_wheel(path: Path) -> subject.BuiltWheel:
    about = metadata.read(path)
    return subject.BuiltWheel(
        distribution=about.distribution,
        version=about.version,
        file_name=path.name,
        tags=wheels.parse_tags(path.name),
        requires_python=about.requires_python,
    )


def _own_names(context: Context, built: tuple[subject.BuiltWheel, ...]) -> Iterator[str]:
    """Before anything is built, the libraries' folders have to tell: they mostly bear the distribution's name."""
    names = [each.distribution for each in built]
    try:
        names = names or [each.name for each in context.libraries]
    except errors.ReleaseError:
        return  # `build-wheel` says what is wrong with the libraries
    yield from (utils.canonicalize_name(each) for each in names)


def _experiment(context: Context, release: Release | None) -> str | None:
    """What `name` made of the template, else the template without the prefix that `name` takes off."""
    if release is not None and release.names is not None:
        return release.names.experiment
    return uris.without_workspace(context.settings.experiment)


def _scripts(folder: Path) -> Iterator[subject.Text]:
    """The Python files directly in the project's folder: what it runs, not what it may carry along."""
    for path in sorted(folder.glob("*.py")):
        found = _text(path)
        if found is not None:
            yield found

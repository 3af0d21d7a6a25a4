"""Checks of the workspace: the login, the experiment's name, and the place for the wheels."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_tasks import errors
from mlops_tasks.doctor import findings
from mlops_tasks.doctor.subject import Subject
from mlops_tasks.stores import uris

EXPERIMENT_NAMES = findings.Evidence("documented", "https://github.com/mlflow/mlflow/issues/8269")
EXPERIMENT_PREFIX = findings.Evidence("documented", "https://github.com/mlflow/mlflow/issues/11077")


def check_experiment(subject: Subject) -> Iterator[findings.Finding]:
    name = subject.experiment
    if name is None:
        return
    if not name.startswith("/"):
        yield EXPERIMENT_NAMES.error(
            f"the experiment's name {name!r} is not an absolute workspace path",
            where="experiment",
            cure=f"write /Shared/{name} or /Users/<you>/{name}",
        )
    if f"{name}/".startswith(uris.WORKSPACE):
        yield EXPERIMENT_PREFIX.error(
            f"the experiment's name {name} begins with /Workspace: Databricks stores it without that prefix, so MLflow "
            "creates it once and never finds it again",
            where="experiment",
            cure=f"write {name.removeprefix('/Workspace') or '/Shared/...'}",
        )


def check_wheel_root(subject: Subject) -> Iterator[findings.Finding]:
    try:
        kind = uris.check_remote(subject.wheel_root)
    except errors.BadInput as fault:
        yield findings.READERS.error(fault.what, where=fault.where, cure=fault.cure)
        return
    volume = uris.volume_of(subject.wheel_root)
    if kind == "volume" and subject.ask.has_volume is not None and not subject.ask.has_volume(volume):
        yield findings.WORKSPACE.error(
            f"there is no volume {volume}, or this login may not see into it",
            where="wheel_root",
            cure="create it (CREATE VOLUME), ask for the right to use it, or correct wheel_root",
        )


def check_login(subject: Subject) -> Iterator[findings.Finding]:
    try:
        if subject.ask.log_in is not None:
            subject.ask.log_in()
    except errors.ReleaseError as fault:
        local = findings.Evidence("seen", "the variables and the login file here")
        evidence = findings.WORKSPACE if isinstance(fault, errors.WorkspaceError) else local
        yield evidence.error(fault.what, where=fault.where, cure=fault.cure)._replace(kind=type(fault))

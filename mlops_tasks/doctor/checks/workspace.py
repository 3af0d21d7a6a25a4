"""Checks of the workspace: the login, the experiment's name, and the place for the wheels."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_tasks import errors
from mlops_tasks.doctor import findings
from mlops_tasks.doctor.subject import Subject
from mlops_tasks.stores import uris

EXPERIMENT_NAMES = "https://github.com/mlflow/mlflow/issues/8269"
EXPERIMENT_PREFIX = "https://github.com/mlflow/mlflow/issues/11077"


def check_experiment(subject: Subject) -> Iterator[findings.Finding]:
    name = subject.experiment
    if name is None:
        return
    if not name.startswith("/"):
        yield findings.error(
            f"the experiment's name {name!r} is not an absolute workspace path",
            where="experiment",
            cure=f"write /Shared/{name} or /Users/<you>/{name}",
            basis="documented",
            source=EXPERIMENT_NAMES,
        )
    if f"{name}/".startswith(uris.WORKSPACE):
        yield findings.error(
            f"the experiment's name {name} begins with /Workspace: Databricks stores it without that prefix, so MLflow "
            "creates it once and never finds it again",
            where="experiment",
            cure=f"write {name.removeprefix('/Workspace') or '/Shared/...'}",
            basis="documented",
            source=EXPERIMENT_PREFIX,
        )


def check_wheel_root(subject: Subject) -> Iterator[findings.Finding]:
    try:
        kind = uris.check_remote(subject.wheel_root)
    except errors.BadInput as fault:
        yield findings.error(fault.what, where=fault.where, cure=fault.cure, basis="seen", source=findings.READERS)
        return
    volume = uris.volume_of(subject.wheel_root)
    if kind == "volume" and subject.ask.has_volume is not None and not subject.ask.has_volume(volume):
        yield findings.error(
            f"there is no volume {volume}, or this login may not see into it",
            where="wheel_root",
            cure="create it (CREATE VOLUME), ask for the right to use it, or correct wheel_root",
            basis="seen",
            source=findings.WORKSPACE,
        )


def check_login(subject: Subject) -> Iterator[findings.Finding]:
    if subject.ask.log_in is None:
        return
    try:
        subject.ask.log_in()
    except errors.ReleaseError as fault:
        is_told = isinstance(fault, errors.WorkspaceError)
        source = findings.WORKSPACE if is_told else "the variables and the login file here"
        found = findings.error(fault.what, where=fault.where, cure=fault.cure, basis="seen", source=source)
        yield found._replace(kind=type(fault))

"""Names in the workspace: the experiment's, and the wheel root's."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_tasks import errors
from mlops_tasks.doctor import findings, sources
from mlops_tasks.doctor.subject import Plan
from mlops_tasks.stores import uris


def check_experiment(plan: Plan) -> Iterator[findings.Finding]:
    name = plan.experiment
    if name is None:
        return
    if not name.startswith("/"):
        yield findings.error(
            f"the experiment's name {name!r} is no absolute path of the workspace",
            where="experiment",
            cure=f"write /Shared/{name} or /Users/<you>/{name}",
            basis="documented",
            source=sources.EXPERIMENT_NAMES,
        )
    if f"{name}/".startswith(uris.WORKSPACE):
        yield findings.error(
            f"the experiment's name {name} begins with /Workspace: Databricks keeps it without, so MLflow makes it "
            "once and never finds it again",
            where="experiment",
            cure=f"write {name.removeprefix('/Workspace') or '/Shared/...'}",
            basis="documented",
            source=sources.EXPERIMENT_PREFIX,
        )


def check_wheel_root(plan: Plan) -> Iterator[findings.Finding]:
    try:
        kind = uris.check_remote(plan.wheel_root)
    except errors.BadInput as fault:
        yield findings.error(fault.what, where=fault.where, cure=fault.cure, basis="seen", source=sources.READERS)
        return
    volume = uris.volume_of(plan.wheel_root)
    if kind == "volume" and plan.ask.has_volume is not None and not plan.ask.has_volume(volume):
        yield findings.error(
            f"there is no volume {volume}, or nothing in it may be seen with this login",
            where="wheel_root",
            cure="create it (CREATE VOLUME), ask for the right to use it, or correct wheel_root",
            basis="seen",
            source="the workspace itself",
        )

"""The cluster's access mode: which of /dbfs, /Volumes and /Workspace there are."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_tasks.doctor import findings, sources
from mlops_tasks.doctor.subject import Plan
from mlops_tasks.stores import uris
from mlops_tasks.workspace import runtimes

STANDARD = {"USER_ISOLATION", "DATA_SECURITY_MODE_STANDARD"}
WITHOUT_CATALOG = {"NONE", "LEGACY_TABLE_ACL", "LEGACY_PASSTHROUGH", "LEGACY_SINGLE_USER"}
"""A job cluster that names no mode is a dedicated one, and has Unity Catalog."""


def check_dbfs_mount(plan: Plan) -> Iterator[findings.Finding]:
    if plan.uses_mlflow_backend and _mode(plan) in STANDARD:
        yield findings.error(
            f"{_mode(plan)} (standard access mode) has no /dbfs, and MLflow's backend reads the project from there",
            where=plan.place_of("data_security_mode"),
            cure="set data_security_mode to SINGLE_USER",
            basis="documented",
            source=sources.ACCESS_MODES,
        )


def check_machine_learning(plan: Plan) -> Iterator[findings.Finding]:
    runtime = plan.runtime
    if _mode(plan) in STANDARD and runtime is not None and (runtime.is_ml or runtime.is_gpu):
        yield findings.error(
            f"{_mode(plan)} (standard access mode) has neither ML runtimes nor GPUs",
            where=plan.place_of("data_security_mode"),
            cure="set data_security_mode to SINGLE_USER, or choose a runtime without -ml-",
            basis="documented",
            source=sources.ACCESS_MODES,
        )


def check_volumes(plan: Plan) -> Iterator[findings.Finding]:
    named = [uri for uri, _ in plan.cluster_wheels() if uri.startswith(uris.VOLUMES)]
    if plan.cluster is None or (plan.store_kind != "volume" and not named):
        return
    runtime = plan.runtime
    if runtime is not None and runtime.version < runtimes.VOLUMES_BEGIN:
        yield findings.error(
            f"{runtime} has no volumes: they begin with {runtimes.VOLUMES_BEGIN}",
            where=plan.place_of("spark_version"),
            cure=plan.newer_or(runtimes.VOLUMES_BEGIN, "set wheel_root to dbfs:/..."),
            basis="documented",
            source=sources.VOLUMES,
        )
    elif _mode(plan) in WITHOUT_CATALOG:
        yield findings.error(
            f"data_security_mode {_mode(plan)} has no Unity Catalog, so there is no {(named or [plan.wheel_root])[0]}",
            where=plan.place_of("data_security_mode"),
            cure="set data_security_mode to SINGLE_USER, or wheel_root to /Workspace/...",
            basis="assumed",
            source=sources.VOLUMES,
        )


def check_workspace_files(plan: Plan) -> Iterator[findings.Finding]:
    runtime = plan.runtime
    if plan.store_kind == "workspace" and runtime and runtime.version < runtimes.WORKSPACE_FILES_BEGIN:
        yield findings.error(
            f"{runtime} does not see {plan.wheel_root}: workspace files begin with {runtimes.WORKSPACE_FILES_BEGIN}",
            where=plan.place_of("spark_version"),
            cure=plan.newer_or(runtimes.WORKSPACE_FILES_BEGIN, "set wheel_root to dbfs:/..."),
            basis="documented",
            source=sources.WORKSPACE_FILES,
        )


def _mode(plan: Plan) -> str:
    return str(plan.described_cluster.get("data_security_mode", ""))

"""The cluster spec itself: what Databricks needs in it, and what MLflow refuses or drops without a word."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_tasks.doctor import findings, sources
from mlops_tasks.doctor.subject import Plan

JOB_KEYS = {
    "access_control_list",
    "email_notifications",
    "git_source",
    "health",
    "idempotency_token",
    "max_retries",
    "notification_settings",
    "queue",
    "run_name",
    "schedule",
    "tags",
    "tasks",
    "timeout_seconds",
    "webhook_notifications",
}
"""Keys of a job, which are no cluster's."""
CURES = {
    "run_name": "the setting `run_name`",
    "timeout_seconds": "the setting `timeout`",
    "tags": "the setting `tags`",
}


def check_there(plan: Plan) -> Iterator[findings.Finding]:
    if plan.cluster is None and plan.project is not None and plan.uses_mlflow_backend and not plan.unreadable:
        yield findings.error(
            "there is no cluster spec, and MLflow starts nothing on Databricks without one",
            where=plan.project.folder,
            cure="write cluster.json beside the MLproject file, or name one by the setting `cluster`",
            basis="seen",
            source=sources.MLFLOW_BACKEND,
        )


def check_new_cluster(plan: Plan) -> Iterator[findings.Finding]:
    """MLflow refuses an existing cluster at the top, and does not notice one further in."""
    if not plan.uses_mlflow_backend or plan.existing_cluster is None:
        return
    nested = plan.cluster is not None and "existing_cluster_id" in plan.cluster.cluster
    said = "MLflow does not notice it there, and Databricks has no such key" if nested else "MLflow refuses it"
    yield findings.error(
        f"existing_cluster_id is set: {said}",
        where=plan.place_of("existing_cluster_id"),
        cure="take it out" if _describes_another(plan) else "describe a new_cluster in its place",
        basis="seen",
        source=sources.MLFLOW_BACKEND,
    )


def _describes_another(plan: Plan) -> bool:
    return plan.cluster is not None and "spark_version" in {**plan.cluster.others, **plan.cluster.cluster}


def check_complete(plan: Plan) -> Iterator[findings.Finding]:
    """A cluster policy may fill what is missing."""
    spec = plan.described_cluster
    if plan.cluster is None or plan.existing_cluster is not None or "policy_id" in spec:
        return
    needed = {
        "spark_version": {"spark_version"},
        "node_type_id (or instance_pool_id)": {"node_type_id", "instance_pool_id", "node_type_flexibility"},
        "num_workers (or autoscale)": {"num_workers", "autoscale", "is_single_node"},
    }
    for name, keys in needed.items():
        if spec.keys().isdisjoint(keys):
            yield findings.error(
                f"the cluster spec has no {name}",
                where=plan.cluster_text.path if plan.cluster_text is not None else "",
                cure=f"add {name.split(' ')[0]} to the cluster, or a policy_id whose policy sets it",
                basis="documented",
                source=sources.CLUSTER_SIZE,
            )


def check_single_node(plan: Plan) -> Iterator[findings.Finding]:
    spec = plan.described_cluster
    settings = spec.get("spark_conf")
    profile = settings.get("spark.databricks.cluster.profile") if isinstance(settings, dict) else None
    if spec.get("num_workers") == 0 and profile != "singleNode" and "is_single_node" not in spec:
        yield findings.warning(
            "num_workers is 0 and the cluster is not described as a single node: Spark finds nobody to work",
            where=plan.place_of("num_workers"),
            cure='add spark_conf {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"} and '
            'custom_tags {"ResourceClass": "SingleNode"}',
            basis="documented",
            source=sources.SINGLE_NODE,
        )


def check_photon(plan: Plan) -> Iterator[findings.Finding]:
    runtime = plan.runtime
    if runtime is not None and runtime.is_photon and plan.described_cluster.get("runtime_engine") == "PHOTON":
        yield findings.error(
            "runtime_engine PHOTON does not go with a spark_version that holds -photon-",
            where=plan.place_of("runtime_engine"),
            cure="leave -photon- out of spark_version",
            basis="documented",
            source=sources.CLUSTERS,
        )


def check_dropped(plan: Plan) -> Iterator[findings.Finding]:
    if plan.cluster is None or not plan.uses_mlflow_backend:
        return
    if "existing_cluster_id" in plan.cluster.others:
        return  # MLflow refuses the whole of it
    beside = list(plan.cluster.others)
    inside = [key for key in plan.cluster.cluster if key in JOB_KEYS]
    for key in [*beside, *inside]:
        yield findings.warning(
            f"{key} is lost: {_lost(key, beside)}",
            where=plan.place_of(key),
            cure=f"use {CURES[key]}, and take it out" if key in CURES else "take it out",
            basis="seen" if key in beside else "assumed",
            source=sources.MLFLOW_BACKEND,
        )


def _lost(key: str, beside: list[str]) -> str:
    if key in beside:
        return "MLflow takes no more than new_cluster and libraries of a spec, and says nothing"
    return "it belongs to a job, and MLflow sends it as a part of the cluster"


def check_form(plan: Plan) -> Iterator[findings.Finding]:
    """Patch writes the other form; who runs the project without it should know."""
    if plan.cluster is None or not plan.uses_mlflow_backend or plan.existing_cluster is not None:
        return
    if plan.is_classic and not plan.cluster.is_wrapped and plan.cluster.libraries:
        yield _mended(plan, "libraries", "MLflow loses the libraries of a flat spec; patch wraps the staged one")
    if plan.is_spark_job and (plan.cluster.is_wrapped or plan.cluster.libraries):
        key = "new_cluster" if plan.cluster.is_wrapped else "libraries"
        said = "MLflow sends a Spark job's whole spec as the cluster; patch makes the staged one flat, and moves its "
        yield _mended(plan, key, f"{said}libraries to python_libraries")


def _mended(plan: Plan, key: str, what: str) -> findings.Finding:
    return findings.note(
        what,
        where=plan.place_of(key),
        cure="nothing, where the project is released with `inv patch`",
        basis="seen",
        source=sources.MLFLOW_BACKEND,
    )

"""Checks of the cluster spec: keys Databricks needs, keys MLflow refuses or drops, and the access mode."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_tasks.doctor import findings
from mlops_tasks.doctor.subject import Subject
from mlops_tasks.stores import uris
from mlops_tasks.workspace import runtimes

ACCESS_MODES = findings.Evidence(
    "documented", "https://learn.microsoft.com/azure/databricks/compute/standard-limitations"
)
CLUSTER_SIZE = findings.Evidence("documented", "https://github.com/mlflow/mlflow/issues/1842")
SINGLE_NODE = findings.Evidence("documented", "https://github.com/databricks/terraform-provider-databricks/issues/3632")
VOLUMES = findings.Evidence("documented", "https://docs.databricks.com/en/volumes.html")
WORKSPACE_FILES = findings.Evidence("documented", "https://learn.microsoft.com/azure/databricks/files/workspace")

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
"""Keys of a job, which a cluster does not have."""
SETTINGS = {"run_name": "run_name", "timeout_seconds": "timeout", "tags": "tags"}
"""The settings that stand for some of them."""
STANDARD = {"USER_ISOLATION", "DATA_SECURITY_MODE_STANDARD"}
WITHOUT_CATALOG = {"NONE", "LEGACY_TABLE_ACL", "LEGACY_PASSTHROUGH", "LEGACY_SINGLE_USER"}
"""Modes without Unity Catalog. A job cluster that names no mode is a dedicated one, which has it."""


def check_there(subject: Subject) -> Iterator[findings.Finding]:
    project = subject.project
    if subject.cluster is None and project is not None and subject.uses_mlflow_backend and not subject.unreadable:
        yield findings.MLFLOW_BACKEND.error(
            "there is no cluster spec, and MLflow starts nothing on Databricks without one",
            where=project.folder,
            cure="write cluster.json beside the MLproject file, or name one by the setting `cluster`",
        )


def check_new_cluster(subject: Subject) -> Iterator[findings.Finding]:
    """MLflow refuses an existing cluster at the top, and does not notice one inside `new_cluster`."""
    if not subject.uses_mlflow_backend or subject.existing_cluster is None:
        return
    nested = "existing_cluster_id" in subject.described_cluster
    others = subject.cluster.others if subject.cluster is not None else {}
    describes_another = "spark_version" in {**others, **subject.described_cluster}
    said = "MLflow does not notice it there, and Databricks has no such key" if nested else "MLflow refuses it"
    yield findings.MLFLOW_BACKEND.error(
        f"existing_cluster_id is set: {said}",
        where=subject.place_of("existing_cluster_id"),
        cure="remove it" if describes_another else "describe a new_cluster in its place",
    )


def check_complete(subject: Subject) -> Iterator[findings.Finding]:
    """A cluster policy may fill in missing keys."""
    spec = subject.described_cluster
    if subject.cluster is None or subject.existing_cluster is not None or "policy_id" in spec:
        return
    needed = {
        "spark_version": {"spark_version"},
        "node_type_id (or instance_pool_id)": {"node_type_id", "instance_pool_id", "node_type_flexibility"},
        "num_workers (or autoscale)": {"num_workers", "autoscale", "is_single_node"},
    }
    for name, keys in needed.items():
        if spec.keys().isdisjoint(keys):
            yield CLUSTER_SIZE.error(
                f"the cluster spec has no {name}",
                where=subject.cluster_text.path if subject.cluster_text is not None else "",
                cure=f"add {name.split(' ')[0]} to the cluster, or a policy_id whose policy sets it",
            )


def check_single_node(subject: Subject) -> Iterator[findings.Finding]:
    spec = subject.described_cluster
    settings = spec.get("spark_conf")
    profile = settings.get("spark.databricks.cluster.profile") if isinstance(settings, dict) else None
    if spec.get("num_workers") == 0 and profile != "singleNode" and "is_single_node" not in spec:
        yield SINGLE_NODE.warning(
            "num_workers is 0, and the cluster is not described as a single node: Spark has no worker to run on",
            where=subject.place_of("num_workers"),
            cure='add spark_conf {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"} and '
            'custom_tags {"ResourceClass": "SingleNode"}',
        )


def check_photon(subject: Subject) -> Iterator[findings.Finding]:
    runtime = subject.runtime
    if runtime is not None and runtime.is_photon and subject.described_cluster.get("runtime_engine") == "PHOTON":
        yield findings.CLUSTERS.error(
            "runtime_engine PHOTON cannot be combined with a spark_version that contains -photon-",
            where=subject.place_of("runtime_engine"),
            cure="remove -photon- from spark_version",
        )


def check_dropped(subject: Subject) -> Iterator[findings.Finding]:
    if subject.cluster is None or not subject.uses_mlflow_backend:
        return
    beside = subject.cluster.others
    if "existing_cluster_id" in beside:
        return  # MLflow refuses the whole spec
    for key in [*beside, *(key for key in subject.cluster.cluster if key in JOB_KEYS)]:
        reason = (
            "MLflow takes only new_cluster and libraries from a cluster spec, and drops other keys without a message"
            if key in beside
            else "it belongs to a job, and MLflow sends it as a part of the cluster"
        )
        yield findings.MLFLOW_BACKEND.assumed(when=key not in beside).warning(
            f"{key} is lost: {reason}",
            where=subject.place_of(key),
            cure=f"use the setting `{SETTINGS[key]}`, and remove it here" if key in SETTINGS else "remove it",
        )


def check_form(subject: Subject) -> Iterator[findings.Finding]:
    """Patch stages the form that MLflow takes; a project that is run without patch keeps the wrong one."""
    spec = subject.cluster
    if spec is None or not subject.uses_mlflow_backend or subject.existing_cluster is not None:
        return
    if subject.is_classic and not spec.is_wrapped and spec.libraries:
        key, what = "libraries", "MLflow drops the libraries of a flat cluster spec; patch wraps the staged copy"
    elif subject.is_spark_job and not spec.is_flat:
        key = "new_cluster" if spec.is_wrapped else "libraries"
        what = (
            "MLflow sends a Spark job's whole spec as the cluster; patch makes the staged copy flat, and moves its "
            "libraries to python_libraries"
        )
    else:
        return
    yield findings.MLFLOW_BACKEND.note(
        what, where=subject.place_of(key), cure="nothing, if the project is released with `inv patch`"
    )


def check_dbfs_mount(subject: Subject) -> Iterator[findings.Finding]:
    if subject.uses_mlflow_backend and _mode(subject) in STANDARD:
        yield ACCESS_MODES.error(
            f"{_mode(subject)} (standard access mode) has no /dbfs, and MLflow's backend reads the project from there",
            where=subject.place_of("data_security_mode"),
            cure="set data_security_mode to SINGLE_USER",
        )


def check_machine_learning(subject: Subject) -> Iterator[findings.Finding]:
    runtime = subject.runtime
    if _mode(subject) in STANDARD and runtime is not None and (runtime.is_ml or runtime.is_gpu):
        yield ACCESS_MODES.error(
            f"{_mode(subject)} (standard access mode) supports neither ML runtimes nor GPUs",
            where=subject.place_of("data_security_mode"),
            cure="set data_security_mode to SINGLE_USER, or choose a runtime without -ml-",
        )


def check_volumes(subject: Subject) -> Iterator[findings.Finding]:
    named = [uri for uri, _ in subject.cluster_wheels() if uri.startswith(uris.VOLUMES)]
    if subject.cluster is None or (subject.store_kind != "volume" and not named):
        return
    runtime = subject.runtime
    if runtime is not None and runtime.version < runtimes.VOLUMES_BEGIN:
        yield VOLUMES.error(
            f"{runtime} has no volumes: they need runtime {runtimes.VOLUMES_BEGIN} or newer",
            where=subject.place_of("spark_version"),
            cure=subject.newer_or(runtimes.VOLUMES_BEGIN, "set wheel_root to dbfs:/..."),
        )
    elif _mode(subject) in WITHOUT_CATALOG:
        yield VOLUMES.assumed().error(
            f"data_security_mode {_mode(subject)} has no Unity Catalog, and cannot read "
            f"{(named or [subject.wheel_root])[0]}",
            where=subject.place_of("data_security_mode"),
            cure="set data_security_mode to SINGLE_USER, or wheel_root to /Workspace/...",
        )


def check_workspace_files(subject: Subject) -> Iterator[findings.Finding]:
    runtime = subject.runtime
    if subject.store_kind == "workspace" and runtime and runtime.version < runtimes.WORKSPACE_FILES_BEGIN:
        yield WORKSPACE_FILES.error(
            f"{runtime} cannot read {subject.wheel_root}: workspace files need runtime "
            f"{runtimes.WORKSPACE_FILES_BEGIN} or newer",
            where=subject.place_of("spark_version"),
            cure=subject.newer_or(runtimes.WORKSPACE_FILES_BEGIN, "set wheel_root to dbfs:/..."),
        )


def _mode(subject: Subject) -> str:
    return str(subject.described_cluster.get("data_security_mode", ""))

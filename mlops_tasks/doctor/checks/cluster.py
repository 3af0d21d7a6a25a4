"""Checks of the cluster spec: keys Databricks needs, keys MLflow refuses or drops, and the access mode."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator

from mlops_tasks import errors
from mlops_tasks.doctor import cures, findings
from mlops_tasks.doctor.subject import Subject
from mlops_tasks.project import cluster
from mlops_tasks.stores import uris
from mlops_tasks.workspace import runtimes

ACCESS_MODES = findings.Evidence(
    "documented", "https://learn.microsoft.com/azure/databricks/compute/standard-limitations"
)
CLUSTER_SIZE = findings.Evidence("documented", "https://github.com/mlflow/mlflow/issues/1842")
SINGLE_NODE = findings.Evidence("documented", "https://github.com/databricks/terraform-provider-databricks/issues/3632")
SINGLE_TAGS = findings.Evidence("documented", "https://github.com/databricks/terraform-provider-databricks/issues/525")
EXPORTS = findings.Evidence("assumed", "https://github.com/databricks/terraform-provider-databricks/issues/3641")
VOLUMES = findings.Evidence("documented", "https://docs.databricks.com/en/volumes.html")
WORKSPACE_FILES = findings.Evidence("documented", "https://learn.microsoft.com/azure/databricks/files/workspace")

SETTINGS = {"run_name": "run_name", "timeout_seconds": "timeout", "tags": "tags"}
"""The settings that stand for some of them."""
_READ = {"existing_cluster_id"}
"""What stands beside `new_cluster`, and has a check of its own."""
SINGLE_PROFILE = {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"}
SINGLE_TAG = {"ResourceClass": "SingleNode"}


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
    nested = subject.cluster is not None and "existing_cluster_id" in subject.cluster.cluster
    said = "MLflow does not notice it there, and Databricks has no such key" if nested else "MLflow refuses it"
    yield findings.MLFLOW_BACKEND.error(
        f"existing_cluster_id is set: {said}",
        where=subject.place_of("existing_cluster_id"),
        cure="remove existing_cluster_id" if _describes(subject) else cures.GO_AUTO,
    )


def _describes(subject: Subject) -> bool:
    """Whether a cluster to be made is described, beside an existing one or without."""
    return bool(subject.described_cluster.keys() - {"existing_cluster_id"})


def check_complete(subject: Subject) -> Iterator[findings.Finding]:
    """A cluster policy may fill in missing keys."""
    spec = subject.described_cluster
    if subject.uses_mlflow_backend:
        is_made = subject.existing_cluster is None or _describes(subject)
    else:
        is_made = subject.compute is not None and subject.compute.kind == "new"
    if subject.cluster is None or not is_made or "policy_id" in spec:
        return
    deeper = cluster.find_deeper(spec) if subject.spark_version is None else None
    if deeper is not None:
        yield findings.MLFLOW_BACKEND.error(
            f"the cluster is described under {'.'.join(deeper)}, and only what is under new_cluster, or at the top, is "
            "read",
            where=subject.place_of(deeper[0]),
            cure='write that object itself as {"new_cluster": {...}}, and leave the rest out',
        )
        return
    needed = {
        "spark_version": {"spark_version"},
        "node_type_id (or instance_pool_id)": {"node_type_id", "instance_pool_id", "node_type_flexibility"},
        "num_workers (or autoscale)": {"num_workers", "autoscale", "is_single_node"},
    }
    for name, keys in needed.items():
        if all(spec.get(key) in (None, "") for key in keys):
            yield CLUSTER_SIZE.error(
                f"the cluster spec has no {name}",
                where=subject.cluster_text.path if subject.cluster_text is not None else "",
                cure=cures.move(subject)
                if name == "spark_version"
                else f"add {name.split(' ')[0]} to the cluster, or a policy_id whose policy sets it",
            )


def check_single_node(subject: Subject) -> Iterator[findings.Finding]:
    """Three settings make a single node: without one of them Spark waits for workers, or the cluster is refused."""
    spec = subject.described_cluster
    if spec.get("num_workers") != 0 or "is_single_node" in spec:
        return
    conf, tags = (
        {**each} if isinstance(each, dict) else {} for each in (spec.get("spark_conf"), spec.get("custom_tags"))
    )
    missing = [
        f"{name} {json.dumps(wanted)}"
        for name, found, wanted in (("spark_conf", conf, SINGLE_PROFILE), ("custom_tags", tags, SINGLE_TAG))
        if any(_begins_otherwise(found.get(key), value) for key, value in wanted.items())
    ]
    if missing:
        profiled = conf.get("spark.databricks.cluster.profile") == "singleNode"
        evidence = SINGLE_TAGS.assumed() if profiled else SINGLE_NODE
        yield evidence.warning(
            "num_workers is 0, and the cluster is not wholly described as a single node: it may be refused, or have no "
            "worker for Spark to run on",
            where=subject.place_of("num_workers"),
            cure=f"add {' and '.join(missing)}",
        )


def _begins_otherwise(found: object, wanted: str) -> bool:
    """`local[*, 4]` is as good a master as `local[*]`."""
    return not str(found).startswith(wanted.rstrip("*]"))


def check_node_types(subject: Subject) -> Iterator[findings.Finding]:
    """The workspace's own word: each cloud has node types of its own, and a region some of them."""
    named = {key: subject.described_cluster.get(key) for key in ("node_type_id", "driver_node_type_id")}
    try:
        offered = subject.ask.node_types() if subject.ask.node_types is not None and any(named.values()) else ()
    except errors.WorkspaceError:
        return  # who may run jobs on a policy's cluster need not be allowed to see what there is
    for key, name in named.items():
        if isinstance(name, str) and offered and name not in offered:
            near = difflib.get_close_matches(name, offered, n=1, cutoff=0) or sorted(offered)
            yield findings.WORKSPACE.error(
                f"the workspace has no node type {name}",
                where=subject.place_of(key),
                cure=f"set {key} to one that it has, such as {near[0]}",
            )


def check_exported(subject: Subject) -> Iterator[findings.Finding]:
    """What was copied from a cluster's page describes that cluster, beside what a new one needs.

    This package's own backend leaves it out, and says so.
    """
    keys = [key for key in subject.described_cluster if key in cluster.EXPORTED]
    if keys:
        judge = EXPORTS.warning if "autotermination_minutes" in keys else EXPORTS.note
        yield judge(
            f"{', '.join(keys)}: that is said of a cluster that is there, and a job's new cluster has no such thing",
            where=subject.place_of(keys[0]),
            cure=f"remove {', '.join(keys)}",
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
    own = subject.described_cluster
    beside = () if own is subject.cluster.others else [key for key in subject.cluster.others if key not in _READ]
    for key in [*beside, *(key for key in own if key in cluster.JOB_KEYS)]:
        reason = (
            "MLflow takes only new_cluster and libraries from a cluster spec, and drops other keys without a message"
            if key in beside
            else "it belongs to a job, and MLflow sends it as a part of the cluster"
        )
        yield findings.MLFLOW_BACKEND.assumed(when=key not in beside).warning(
            f"{key} is lost: {reason}",
            where=subject.place_of(key),
            cure=f"use the setting `{SETTINGS[key]}`, and remove {key} here" if key in SETTINGS else f"remove {key}",
        )


def check_form(subject: Subject) -> Iterator[findings.Finding]:
    """Patch stages the form that MLflow takes; a project that is run without patch keeps the wrong one."""
    spec = subject.cluster
    if spec is None or not subject.uses_mlflow_backend or subject.existing_cluster is not None:
        return
    if spec.form == "cluster_spec":
        key, what = (
            cluster.WRAPPER,
            "MLflow does not read cluster_spec; patch writes the staged copy as MLflow takes it",
        )
    elif subject.is_classic and not spec.is_wrapped and spec.libraries:
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
    if subject.uses_mlflow_backend and subject.access_mode in cluster.STANDARD:
        yield ACCESS_MODES.error(
            f"{subject.access_mode} (standard access mode) has no /dbfs, and MLflow's backend reads the project from "
            "there",
            where=subject.place_of("data_security_mode"),
            cure="set data_security_mode to SINGLE_USER",
        )


def check_machine_learning(subject: Subject) -> Iterator[findings.Finding]:
    runtime = subject.runtime
    if subject.access_mode in cluster.STANDARD and runtime is not None and (runtime.is_ml or runtime.is_gpu):
        yield ACCESS_MODES.error(
            f"{subject.access_mode} (standard access mode) supports neither ML runtimes nor GPUs",
            where=subject.place_of("data_security_mode"),
            cure="set data_security_mode to SINGLE_USER",
        )


def check_volumes(subject: Subject) -> Iterator[findings.Finding]:
    named = [uri for uri, _ in subject.cluster_wheels() if uri.startswith(uris.VOLUMES)]
    named += [subject.wheel_root] if subject.store_kind == "volume" else []
    runtime = subject.runtime
    for uri in dict.fromkeys(named) if subject.cluster is not None else ():
        if runtime is not None and runtime.version < runtimes.VOLUMES_BEGIN:
            yield VOLUMES.error(
                f"{runtime} has no volumes ({uri}): they need runtime {runtimes.VOLUMES_BEGIN} or newer",
                where=subject.place_of("spark_version"),
                cure=f"{cures.keep_on_dbfs(subject, uri)}, or {cures.move(subject)}",
            )
        elif subject.lacks_catalog:
            elsewhere = ", or set wheel_root to /Workspace/Shared/wheels" if uri == subject.wheel_root else ""
            yield VOLUMES.assumed().error(
                f"data_security_mode {subject.access_mode} has no Unity Catalog, and cannot read {uri}",
                where=subject.place_of("data_security_mode"),
                cure=f"set data_security_mode to SINGLE_USER{elsewhere}",
            )


def check_workspace_files(subject: Subject) -> Iterator[findings.Finding]:
    runtime = subject.runtime
    if subject.store_kind == "workspace" and runtime and runtime.version < runtimes.WORKSPACE_FILES_BEGIN:
        yield WORKSPACE_FILES.error(
            f"{runtime} cannot read {subject.wheel_root}: workspace files need runtime "
            f"{runtimes.WORKSPACE_FILES_BEGIN} or newer",
            where=subject.place_of("spark_version"),
            cure=f"{cures.keep_on_dbfs(subject, subject.wheel_root)}, or {cures.move(subject)}",
        )

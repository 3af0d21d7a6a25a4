"""Checks of a job before there is a run of it, and the errors that a submit answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.fake_workspace import runtimes, serverless
from tests.fake_workspace.compute import Compute
from tests.fake_workspace.exchange import Refused
from tests.fake_workspace.refusals import invalid

TOKEN_LENGTH = 64
PARAMETERS = 10_000
"""Bytes of a Python file's parameters as JSON: one report of production, and the documents of 2.0."""

TASKS = 100
_SIZES = ("num_workers", "autoscale")
_KEY = re.compile(r"[A-Za-z0-9_-]{1,100}")
_CLOUDS = ("dbfs:/", "s3:/", "abfss:/", "gs:/", "wasbs:/")
_FOLDERS = ("/Workspace/", "/Repos/")
_IDENTITIES = {"user_name", "service_principal_name", "group_name"}
_NO_COMPUTE = "One of job_cluster_key, new_cluster, or existing_cluster_id must be specified."


class Checked(NamedTuple):
    """One task as it was sent, and the environment that it names: the `spec` of one of `environments`."""

    spec: Mapping[str, Any]
    environment: Mapping[str, Any] | None = None


def number(data: Mapping[str, Any], key: str, default: int) -> int:
    """A whole number of a body or, where it is a word, of a query."""
    given = data.get(key)
    try:
        return default if given in (None, "") else int(given)
    except (TypeError, ValueError) as fault:
        raise invalid(f"{key} must be a number: {given!r}") from fault


def check(body: Mapping[str, Any], compute: Compute, *, several: bool) -> list[Checked]:
    """The tasks in `body`, which is a single task itself where it isn't a list of `several`.

    Keys that nobody knows are let through, in a body as in a task or a cluster: `job_clusters`, `parameters` and
    `tags`, which only a stored job has, go unheard.
    """
    if len(str(body.get("idempotency_token") or "")) > TOKEN_LENGTH:
        raise invalid(f"idempotency_token must be at most {TOKEN_LENGTH} characters long.")
    if not several:
        _check_task(body, {"shell_command_task", "spark_python_task"})
        if body.get("new_cluster") is None and not body.get("existing_cluster_id"):
            raise invalid("Either new_cluster or existing_cluster_id must be specified.")
        return [_on_cluster(body, {}, compute)]
    tasks = body.get("tasks")
    if not isinstance(tasks, list) or not tasks:
        raise invalid(_NO_COMPUTE)
    _check_keys(tasks)
    environments = serverless.check(body.get("environments"))
    for task in tasks:
        _check_task(task, {"spark_python_task"})
    return [_place(task, environments, compute) for task in tasks]


def check_identity(body: Mapping[str, Any], user: str, knows: Callable[[str], bool]) -> str:
    """Whose the run is: the name in `run_as`, or the `user` who submits it. The refusals are assumed."""
    run_as = body.get("run_as")
    if run_as is None:
        return user
    if not isinstance(run_as, dict) or len(run_as) != 1 or set(run_as) - _IDENTITIES:
        raise invalid("Exactly one of user_name, service_principal_name, group_name must be specified in run_as.")
    kind, name = next(iter(run_as.items()))
    if kind == "user_name" and name != user:
        raise Refused(403, "PERMISSION_DENIED", f"User {user} does not have permission to run jobs as {name}.")
    if not knows(str(name)):
        raise invalid(f"Principal {name} does not exist.")
    return str(name)


def _check_keys(tasks: list[Mapping[str, Any]]) -> None:
    keys = [str(task.get("task_key") or "") for task in tasks]
    if not all(map(_KEY.fullmatch, keys)) or len(set(keys)) != len(keys):
        raise invalid("Every task needs a task_key of its own: 1 to 100 letters, digits, - and _.")
    if len(keys) > TASKS:
        raise invalid(f"A run must have at most {TASKS} tasks.")
    for number, task in enumerate(tasks):
        unknown = {each["task_key"] for each in task.get("depends_on") or []} - set(keys[:number])
        if unknown:
            raise invalid(f"Task {keys[number]} depends on {sorted(unknown)}, which must stand before it.")


def _check_task(task: Mapping[str, Any], kinds: set[str]) -> None:
    kind = next((kind for kind in sorted(kinds) if task.get(kind)), None)
    if kind is None:
        raise invalid(f"One of {', '.join(sorted(kinds))} must be specified.")
    if kind == "shell_command_task":
        command = task[kind].get("command")
        if not isinstance(command, list) or not command:
            raise invalid("Missing required field: shell_command_task.command")
        return
    _check_file(task[kind])
    parameters = task[kind].get("parameters") or []
    if not isinstance(parameters, list) or not all(isinstance(word, str) for word in parameters):
        raise invalid("spark_python_task.parameters must be strings.")
    if len(json.dumps(parameters)) > PARAMETERS:
        raise invalid(f"spark_python_task.parameters must be at most {PARAMETERS} bytes of JSON.")


def _check_file(task: Mapping[str, Any]) -> None:
    """A file in a volume is named by no document: examples have it without `source`, with one it is assumed refused."""
    file, source = str(task.get("python_file", "")), task.get("source")
    if source not in {None, "WORKSPACE", "GIT"}:
        raise invalid(f"spark_python_task.source must be one of WORKSPACE, GIT: {source!r}")
    if source == "GIT":
        raise invalid("git_source must be specified for a task whose source is GIT.")
    places = _CLOUDS + _FOLDERS if source else (*_CLOUDS, *_FOLDERS, "/Volumes/")
    if not file.startswith(places):
        guide = "Please visit the Databricks user guide for supported python references"
        raise invalid(f"Invalid python file reference: {file}. {guide}")


def _place(task: Mapping[str, Any], environments: serverless.Environments, compute: Compute) -> Checked:
    """One of many tasks where it will run; what makes a task serverless is that it names no cluster."""
    if task.get("new_cluster") is not None or task.get("existing_cluster_id"):
        return _on_cluster(task, environments, compute)
    if task.get("job_cluster_key"):
        raise invalid(_NO_COMPUTE)
    if not task.get("environment_key"):
        hint = "Please define one using `environments` and `environment_key`."
        raise invalid(f"An environment is required for serverless task {task['task_key']}. {hint}")
    if task.get("libraries"):
        hint = "please specify libraries in environment."
        raise invalid(f"Libraries field is not supported for serverless task, {hint}")
    environment = serverless.choose(task, environments)
    if compute.early:
        _check_version(environment, compute)
    return Checked(task, environment)


def _check_version(environment: Mapping[str, Any], compute: Compute) -> None:
    try:
        compute.check_environment(environment)
    except serverless.NotLaunched as fault:
        raise invalid(str(fault)) from fault


def _on_cluster(task: Mapping[str, Any], environments: serverless.Environments, compute: Compute) -> Checked:
    _check_libraries(task.get("libraries") or [])
    spec, existing = task.get("new_cluster"), task.get("existing_cluster_id")
    if spec is not None:
        spec = compute.with_policy(_spec(spec))
        _check_cluster(spec)
        task = {**task, "new_cluster": spec}
    if existing:
        if spec is not None:
            raise invalid("Only one of job_cluster_key, new_cluster, or existing_cluster_id may be specified.")
        compute.find(str(existing))
    elif compute.only_serverless:
        raise invalid("Only serverless compute is supported in the workspace.")
    return _with_environment(task, spec or {}, environments, compute)


def _with_environment(
    task: Mapping[str, Any], spec: Mapping[str, Any], environments: serverless.Environments, compute: Compute
) -> Checked:
    """From runtime 19 on a cluster in standard mode can have its dependencies as serverless has them: all assumed."""
    if not runtimes.uses_environments(spec, by_itself=compute.environments_by_itself):
        if task.get("environment_key"):
            raise invalid(f"environment_key is not supported for task {task.get('task_key')} on a cluster.")
        return Checked(task)
    if task.get("libraries"):
        hint = "please specify libraries in environment."
        raise invalid(f"Libraries field is not supported in dependency mode DEPENDENCY_MODE_ENVIRONMENTS, {hint}")
    return Checked(task, serverless.choose(task, environments) if task.get("environment_key") else None)


def _spec(spec: object) -> Mapping[str, Any]:
    if not isinstance(spec, dict):
        raise invalid("new_cluster must be an object.")
    return spec


def _check_cluster(spec: Mapping[str, Any]) -> None:
    """Keys that nobody knows are let through: MLflow has sent some for years."""
    if all(spec.get(name) is None for name in _SIZES):
        raise invalid("Cluster validation error: Missing required field: settings.cluster_spec.new_cluster.size")
    if not spec.get("spark_version"):
        raise invalid("Missing required field: settings.cluster_spec.new_cluster.spark_version")
    if not any(spec.get(name) for name in ("node_type_id", "instance_pool_id", "policy_id")):
        raise invalid("Missing required field: settings.cluster_spec.new_cluster.node_type_id")


def _check_libraries(libraries: object) -> None:
    """The form alone; whether they can be had shows on the cluster."""
    if not isinstance(libraries, list) or not all(isinstance(each, dict) and len(each) == 1 for each in libraries):
        raise invalid("libraries must be a list of objects with one kind each.")
    for each in libraries:
        kind, value = next(iter(each.items()))
        if kind == "pypi" and not (isinstance(value, dict) and value.get("package")):
            raise invalid("Missing required field: libraries.pypi.package")

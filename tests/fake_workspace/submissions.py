"""Checks of a job before there is a run of it, and the errors that a submit answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.fake_workspace.exchange import Refused

TOKEN_LENGTH = 64
_SIZES = ("num_workers", "autoscale")
_PLACES = ("dbfs:/", "s3:/", "abfss:/", "gs:/", "wasbs:/", "/Workspace/", "/Repos/", "/Volumes/")


def invalid(message: str) -> Refused:
    return Refused(400, "INVALID_PARAMETER_VALUE", message)


def number(data: Mapping[str, Any], key: str, default: int) -> int:
    """A whole number of a body or, where it is a word, of a query."""
    given = data.get(key)
    try:
        return default if given in (None, "") else int(given)
    except (TypeError, ValueError) as fault:
        raise invalid(f"{key} must be a number: {given!r}") from fault


def check(body: Mapping[str, Any], *, several: bool) -> list[Mapping[str, Any]]:
    """The tasks in `body`, which is a single task itself where it isn't a list of `several`."""
    if len(str(body.get("idempotency_token") or "")) > TOKEN_LENGTH:
        raise invalid(f"idempotency_token must be at most {TOKEN_LENGTH} characters long.")
    if not several:
        _check_task(body, {"shell_command_task", "spark_python_task"})
        _check_compute(body)
        return [body]
    tasks = body.get("tasks")
    if not isinstance(tasks, list) or not tasks:
        raise invalid("Missing required field: tasks.")
    _check_keys(tasks)
    for task in tasks:
        _check_task(task, {"spark_python_task"})
        _check_compute(task) if "new_cluster" in task else _check_environment(task, body)
    return [_with_dependencies(task, body) for task in tasks]


def _check_keys(tasks: list[Mapping[str, Any]]) -> None:
    keys = [task.get("task_key") for task in tasks]
    if not all(keys) or len(set(keys)) != len(keys):
        raise invalid("Every task needs a task_key of its own.")
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
    file = str(task[kind].get("python_file", ""))
    if not file.startswith(_PLACES):
        guide = "Please visit the Databricks user guide for supported python references"
        raise invalid(f"Invalid python file reference: {file}. {guide}")
    if not all(isinstance(word, str) for word in task[kind].get("parameters") or []):
        raise invalid("spark_python_task.parameters must be strings.")


def _check_compute(task: Mapping[str, Any]) -> None:
    """Keys that nobody knows are let through: MLflow has sent some for years."""
    spec = task.get("new_cluster")
    if task.get("existing_cluster_id"):
        raise Refused(400, "INVALID_PARAMETER_VALUE", f"Cluster {task['existing_cluster_id']} does not exist")
    _check_libraries(task.get("libraries") or [])
    if not isinstance(spec, dict):
        raise invalid("Either new_cluster or existing_cluster_id must be specified.")
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


def _check_environment(task: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """What makes a task serverless is that it names no cluster."""
    key, wanted = task["task_key"], task.get("environment_key")
    if task.get("existing_cluster_id"):
        _check_compute(task)
    if not wanted:
        hint = "Please define one using `environments` and `environment_key`."
        raise invalid(f"An environment is required for serverless task {key}. {hint}")
    if wanted not in {each.get("environment_key") for each in body.get("environments") or []}:
        raise invalid(f"Job environment '{wanted}' used by task {key} is not defined in field 'environments'.")
    if task.get("libraries"):
        hint = "please specify libraries in environment."
        raise invalid(f"Libraries field is not supported for serverless task, {hint}")


def _with_dependencies(task: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A serverless task with the requirement lines of its environment, as libraries to install."""
    if "new_cluster" in task:
        return task
    for environment in body["environments"]:
        if environment["environment_key"] == task["environment_key"]:
            lines = (environment.get("spec") or {}).get("dependencies") or []
            return {**task, "libraries": [{"pypi": {"package": line}} for line in lines]}
    return task

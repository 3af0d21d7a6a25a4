"""Serverless compute: what `environments` must look like, and what each version of an environment brings.

The versions are those of Databricks' release notes; how a wrong one is refused is a report.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.fake_workspace.obstacles import Obstacle
from tests.fake_workspace.refusals import invalid

Environments = Mapping[str, Mapping[str, Any]]
"""The `spec` of each environment, by its key."""

MOST = 10


class Version(NamedTuple):
    """`mlflow` is the distribution of MLflow that an environment of this version has, if it has one."""

    python: str
    mlflow: str = ""


VERSIONS = {
    "1": Version("3.10"),
    "2": Version("3.11"),
    "3": Version("3.12"),
    "4": Version("3.12", "mlflow-skinny"),
    "5": Version("3.12", "mlflow"),
    "6": Version("3.12", "mlflow"),
}


class NotLaunched(Obstacle):
    """An environment that this workspace doesn't have; the words are a report's."""

    code = "INVALID_RUN_CONFIGURATION"

    def __init__(self, version: str) -> None:
        channel = f"Invalid platform channel Client-{version}. Workspace doesn't support Client-{version} channel"
        super().__init__(f"Cannot launch the cluster. Cause: {channel} for REPL. INVALID_PARAMETER_VALUE.")


def check(listed: object) -> Environments:
    """`environments` as sent, by key; all but the texts of submissions.py is assumed of the words here."""
    listed = listed or []
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise invalid("environments must be a list of objects.")
    if len(listed) > MOST:
        raise invalid(f"environments must have at most {MOST} elements.")
    found = {str(each.get("environment_key") or ""): each.get("spec") for each in listed}
    if len(found) != len(listed) or "" in found:
        raise invalid("Every environment needs an environment_key of its own.")
    return {key: _check_spec(key, spec) for key, spec in found.items()}


def _check_spec(key: str, spec: object) -> Mapping[str, Any]:
    if not isinstance(spec, dict) or not any(
        spec.get(name) for name in ("environment_version", "client", "base_environment")
    ):
        needed = "One of environment_version, base_environment must be specified"
        raise invalid(f"{needed} in the spec of environment '{key}'.")
    for name in ("environment_version", "client", "base_environment"):
        if not isinstance(spec.get(name, ""), str):
            raise invalid(f"{name} of environment '{key}' must be a string.")
    lines = spec.get("dependencies") or []
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise invalid(f"dependencies of environment '{key}' must be a list of strings.")
    return spec


def choose(task: Mapping[str, Any], environments: Environments) -> Mapping[str, Any]:
    """The environment that a task names."""
    wanted, key = task["environment_key"], task["task_key"]
    if wanted not in environments:
        raise invalid(f"Job environment '{wanted}' used by task {key} is not defined in field 'environments'.")
    return environments[wanted]


def version_of(environment: Mapping[str, Any]) -> str:
    """The version that a spec asks for; one with a base alone has the newest."""
    return str(environment.get("environment_version") or environment.get("client") or max(VERSIONS))

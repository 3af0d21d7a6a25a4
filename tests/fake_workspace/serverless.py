"""Serverless compute: what `environments` must look like, and what each version of an environment brings.

The versions are those of Databricks' release notes; how a wrong one is refused is a report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.fake_workspace import runtimes
from tests.fake_workspace.obstacles import Obstacle
from tests.fake_workspace.refusals import invalid

Environments = Mapping[str, Mapping[str, Any]]
"""The `spec` of each environment, by its key."""

MOST = 10
_BREAKING = {"pyspark", "databricks-connect"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class NotLaunched(Obstacle):
    """A version that this workspace doesn't have; the words are a report's."""

    code = "INVALID_RUN_CONFIGURATION"

    def __init__(self, version: str) -> None:
        channel = f"Invalid platform channel Client-{version}. Workspace doesn't support Client-{version} channel"
        super().__init__(f"Cannot launch the cluster. Cause: {channel} for REPL. INVALID_PARAMETER_VALUE.")


class BadEnvironment(Obstacle):
    """An environment that can't be used as it is."""

    code = "RUN_EXECUTION_ERROR"


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
    return str(environment.get("environment_version") or environment.get("client") or max(runtimes.ENVIRONMENTS))


def resolve(environment: Mapping[str, Any], disk: Path) -> Mapping[str, Any]:
    """A spec with what its base says, a YAML in the workspace or a volume, whose dependencies come first."""
    base = str(environment.get("base_environment") or "")
    if not base:
        return environment
    file = disk / base.lstrip("/")
    if not file.is_file():
        raise BadEnvironment(f"The base environment {base} does not exist.")
    found = yaml.safe_load(file.read_text()) or {}
    lines = [*(found.get("dependencies") or []), *(environment.get("dependencies") or [])]
    said = {key: value for key, value in environment.items() if value}
    return {**found, **said, "dependencies": lines}


def check_lines(lines: Iterable[str]) -> None:
    """A Spark of one's own in place of the one that is there breaks a task: how it shows is assumed."""
    for line in lines:
        name = _NAME.match(line.strip())
        if name and name[0].lower() in _BREAKING:
            raise BadEnvironment(f"{name[0]} is part of the environment and cannot be one of its dependencies: {line}")

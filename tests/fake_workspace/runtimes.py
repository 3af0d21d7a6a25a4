"""Databricks Runtimes: what a cluster's version and access mode allow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.fake_workspace.obstacles import Obstacle

_VERSION = re.compile(r"(?P<major>\d+)\.(?P<minor>\d+)\.x(-[a-z0-9]+)*-scala2\.1[23]")
_ALIASES = {
    "DATA_SECURITY_MODE_STANDARD": "USER_ISOLATION",
    "DATA_SECURITY_MODE_DEDICATED": "SINGLE_USER",
    "DATA_SECURITY_MODE_AUTO": "SINGLE_USER",
}
_UNITY_CATALOG = {"SINGLE_USER", "USER_ISOLATION"}


class Runtime(NamedTuple):
    """`version` as numbers; `mode` is one of the API's data_security_mode, older names."""

    version: tuple[int, int]
    mode: str = "SINGLE_USER"
    machine_learning: bool = False
    serverless: bool = False

    @property
    def number(self) -> str:
        """As DATABRICKS_RUNTIME_VERSION has it."""
        return "client.1.13" if self.serverless else f"{self.version[0]}.{self.version[1]}"

    @property
    def mounts(self) -> tuple[str, ...]:
        """The workspace's folders that a task finds under the root of its machine."""
        allowed = {
            "dbfs": self.mode != "USER_ISOLATION" and not self.serverless,
            "Volumes": self.mode in _UNITY_CATALOG and self.version >= (13, 3),
            "Workspace": self.version >= (11, 2),
        }
        return tuple(name for name, there in allowed.items() if there)

    @property
    def dbfs_libraries(self) -> bool:
        return self.version < (15, 0) and "dbfs" in self.mounts

    @property
    def works_in_files_folder(self) -> bool:
        """Since 14.0 a Python file runs in its own folder."""
        return self.version >= (14, 0)


SERVERLESS = Runtime((99, 0), serverless=True)


class ClusterFailed(Obstacle):
    """A cluster that can't be had."""

    code = "INVALID_CLUSTER_REQUEST"

    def __init__(self, cause: str) -> None:
        super().__init__(f"Unexpected user error while preparing the cluster for the job. Cause: {cause}")


def read_runtime(spec: Mapping[str, Any]) -> Runtime:
    """A wrong version is accepted when a job is submitted, and fails when its cluster is made."""
    text = str(spec.get("spark_version", ""))
    found = _VERSION.fullmatch(text)
    if not found:
        raise ClusterFailed(f"BAD_REQUEST: INVALID_PARAMETER_VALUE: Invalid spark version {text}.")
    mode = str(spec.get("data_security_mode") or "SINGLE_USER")
    return Runtime((int(found["major"]), int(found["minor"])), _ALIASES.get(mode, mode), "-ml-" in text)

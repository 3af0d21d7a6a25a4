"""Databricks Runtimes: what a cluster's version and access mode allow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.fake_workspace.obstacles import Obstacle
from tests.fake_workspace.refusals import invalid

_VERSION = re.compile(r"(?P<major>\d+)\.(?:(?P<minor>\d+)\.)?x(-[a-z0-9]+)*-scala2\.1[23]")
_NUMBERS = {
    "2.12": ("9.1", "10.4", "11.3", "12.2", "13.0", "13.3", "14.3", "15.0", "15.4", "16.4"),
    "2.13": ("16.4", "17.3", "18.0", "18", "19"),
}
VERSIONS = frozenset(
    f"{number}.x-{flavour}scala{scala}"
    for scala, numbers in _NUMBERS.items()
    for number in numbers
    for flavour in ("", "cpu-ml-", "gpu-ml-", "photon-", "aarch64-")
)
"""Every `spark_version` that there is, by Databricks' release notes: those of 18 and 19 have no minor number."""

NODE_TYPES = ("Standard_DS3_v2", "Standard_D4s_v5", "i3.xlarge", "m5.large", "m5.xlarge")
"""Of two clouds, so that any project of the tests finds its own. A real workspace has hundreds, of one cloud."""
_ALIASES = {
    "DATA_SECURITY_MODE_STANDARD": "USER_ISOLATION",
    "DATA_SECURITY_MODE_DEDICATED": "SINGLE_USER",
    "DATA_SECURITY_MODE_AUTO": "SINGLE_USER",
}
_UNITY_CATALOG = {"SINGLE_USER", "USER_ISOLATION"}


class Environment(NamedTuple):
    """A version of serverless; `mlflow` is the distribution of MLflow that it has, if it has one."""

    python: str
    mlflow: str = ""


ENVIRONMENTS = {
    "1": Environment("3.10"),
    "2": Environment("3.11"),
    "3": Environment("3.12"),
    "4": Environment("3.12", "mlflow-skinny"),
    "5": Environment("3.12", "mlflow"),
    "6": Environment("3.12", "mlflow"),
}
"""By Databricks' release notes."""


class Runtime(NamedTuple):
    """`version` as numbers; `mode` is one of the API's data_security_mode, older names; `dbfs` is off in some
    workspaces. `environment` is the version of serverless, nothing on a cluster."""

    version: tuple[int, int]
    mode: str = "SINGLE_USER"
    machine_learning: bool = False
    environment: str = ""
    dbfs: bool = True

    @property
    def number(self) -> str:
        """As DATABRICKS_RUNTIME_VERSION has it."""
        return f"client.{self.environment}.13" if self.environment else f"{self.version[0]}.{self.version[1]}"

    @property
    def serverless(self) -> bool:
        return bool(self.environment)

    @property
    def mlflow(self) -> str:
        """The distribution of MLflow that is there before anything is installed, if one is."""
        if self.serverless:
            return ENVIRONMENTS[self.environment].mlflow
        if self.machine_learning:
            return "mlflow"
        return "mlflow-skinny" if self.version >= (15, 4) else ""

    @property
    def python(self) -> str:
        """Its Python, where it has to be that one: clusters have the one that runs this workspace."""
        return ENVIRONMENTS[self.environment].python if self.serverless else ""

    @property
    def mounts(self) -> tuple[str, ...]:
        """The workspace's folders that a task finds under the root of its machine."""
        allowed = {
            "dbfs": self.dbfs and self.mode != "USER_ISOLATION" and not self.serverless,
            "Volumes": self.mode in _UNITY_CATALOG and self.version >= (13, 3),
            "Workspace": self.version >= (11, 2),
        }
        return tuple(name for name, there in allowed.items() if there)

    @property
    def dbfs_libraries(self) -> bool:
        return self.version < (15, 0) and "dbfs" in self.mounts

    @property
    def works_in_files_folder(self) -> bool:
        """Since 14.0 a Python file runs in its own folder; serverless promises none."""
        return self.version >= (14, 0) and not self.serverless

    @property
    def entry_point(self) -> bool:
        """Whether the kernel's dbutils has an entry_point, without which MLflow 2 isn't logged in.

        It is gone in version 6 of serverless and in late builds of 5. Before 10.3 MLflow takes the login itself from
        there, which isn't played.
        """
        return self.version >= (10, 3) and self.environment not in {"5", "6"}


DEPENDENCY_MODES = {f"DEPENDENCY_MODE_{name}" for name in ("AUTO", "ENVIRONMENTS", "CLUSTER_LIBRARIES")}


class ClusterFailed(Obstacle):
    """A cluster that can't be had."""

    code = "INVALID_CLUSTER_REQUEST"

    def __init__(self, cause: str) -> None:
        super().__init__(f"Unexpected user error while preparing the cluster for the job. Cause: {cause}")


def serverless(version: str) -> Runtime:
    return Runtime((99, 0), environment=version)


def uses_environments(spec: Mapping[str, Any], *, by_itself: bool) -> bool:
    """Whether a cluster has its dependencies from environments, as it says or, by default, as it comes."""
    said = spec.get("dependency_mode") or "DEPENDENCY_MODE_AUTO"
    if said not in DEPENDENCY_MODES:
        raise invalid(f"dependency_mode must be one of {', '.join(sorted(DEPENDENCY_MODES))}: {said}")
    mode = str(spec.get("data_security_mode") or "")
    major = re.match(r"\d+", str(spec.get("spark_version", "")))
    can = _ALIASES.get(mode, mode) == "USER_ISOLATION" and major is not None and int(major[0]) >= 19
    if said == "DEPENDENCY_MODE_ENVIRONMENTS" and not can:
        raise invalid(f"{said} needs Databricks Runtime 19 and standard access mode.")
    obstacles = ("docker_image", "spark_env_vars", "init_scripts")
    automatic = said == "DEPENDENCY_MODE_AUTO" and by_itself and not any(spec.get(name) for name in obstacles)
    return can and (automatic or said == "DEPENDENCY_MODE_ENVIRONMENTS")


def read_runtime(spec: Mapping[str, Any], *, dbfs: bool = True) -> Runtime:
    """A wrong version or node type is accepted when a job is submitted, and fails when its cluster is made.

    Where `dbfs` is off runtimes before 13.3 are blocked, says Databricks; in which words is assumed. The words about a
    version are those of a field report (databrickslabs/dbx#782), those about a node type assumed.
    """
    text = str(spec.get("spark_version", ""))
    found = _VERSION.fullmatch(text)
    if not found or text not in VERSIONS:
        raise ClusterFailed(f"BAD_REQUEST: INVALID_PARAMETER_VALUE: Invalid spark version {text}.")
    for key in ("node_type_id", "driver_node_type_id"):
        if spec.get(key) and spec[key] not in NODE_TYPES:
            raise ClusterFailed(f"BAD_REQUEST: INVALID_PARAMETER_VALUE: Node type {spec[key]} is not supported.")
    mode = str(spec.get("data_security_mode") or "SINGLE_USER")
    version = (int(found["major"]), int(found["minor"] or 0))
    if not dbfs and version < (13, 3):
        raise ClusterFailed(f"BAD_REQUEST: INVALID_PARAMETER_VALUE: {text} is blocked, as legacy DBFS is disabled.")
    return Runtime(version, _ALIASES.get(mode, mode), "-ml-" in text, dbfs=dbfs)

"""The one table of how a project's requirements, our own wheels and MLflow reach each kind of compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from mlops_tasks.project import cluster
from mlops_tasks.workspace import runtimes
from mlops_tasks.workspace.runtimes import Basis, Version

BACKEND = "databricks-jobs"
ENVIRONMENTS_MODE = "DEPENDENCY_MODE_ENVIRONMENTS"
LIBRARIES_MODE = "DEPENDENCY_MODE_CLUSTER_LIBRARIES"

Kind = Literal["new", "existing", "serverless"]
Way = Literal["file", "pypi", "whl", "dependencies", "driver", "mlflow", "none"]
WAYS: Mapping[Way, str] = {
    "file": "one `requirements` library, a file in the store",
    "pypi": "a `pypi` library for each line; a line with pip's options is refused",
    "whl": "`whl` libraries, last, each after those that it needs",
    "dependencies": "`dependencies` of the job's environment, ours last",
    "driver": "installed by the driver program, into a folder of the run's own",
    "mlflow": "MLflow builds the project's environment on the driver",
    "none": "by nothing",
}
"""How something gets there, as the documents say it."""

_MAY_BE_STANDARD = cluster.STANDARD | {"DATA_SECURITY_MODE_AUTO"}


class Rule(NamedTuple):
    """How requirements and our own wheels reach one kind of compute, from the runtime `first` on.

    `mlflow` says when an MLflow is added to the requirements of a project that asks for none. `is_standard` is for the
    standard access mode alone, and `mode` the `dependency_mode` that the cluster has or gets.
    """

    compute: str
    kind: Kind
    first: Version
    requirements: Way
    wheels: Way
    mlflow: str
    basis: Basis
    backend: str = BACKEND
    is_standard: bool = False
    mode: str = ""

    def holds(self, kind: Kind, version: Version, spec: Mapping[str, Any], *, has_environment: bool) -> bool:
        return (
            self.kind == kind
            and version >= self.first
            and (not self.is_standard or str(spec.get("data_security_mode")) in _MAY_BE_STANDARD)
            and (self.mode != ENVIRONMENTS_MODE or has_environment)
        )


RULES = (
    Rule(
        "a new cluster, runtime below 13",
        "new",
        Version(0, 0),
        "mlflow",
        "mlflow",
        "always, in the client's version",
        "seen",
        "databricks",
    ),
    Rule(
        "a new cluster, runtime 13 and 14, or one that is not known",
        "new",
        runtimes.PROJECTS_END,
        "pypi",
        "whl",
        "yes, but for ML runtimes",
        "documented",
    ),
    Rule(
        "a new cluster, runtime 15 and newer",
        "new",
        runtimes.REQUIREMENTS_BEGIN,
        "file",
        "whl",
        "below 15.4, but for ML runtimes",
        "seen",
    ),
    Rule(
        "the same from runtime 19 on in standard access mode, with `dependency_mode` said",
        "new",
        Version(19, 0),
        "file",
        "whl",
        "no",
        "documented",
        is_standard=True,
        mode=LIBRARIES_MODE,
    ),
    Rule(
        f"a new cluster whose spec says {ENVIRONMENTS_MODE}",
        "new",
        runtimes.PROJECTS_END,
        "dependencies",
        "dependencies",
        "up to environment 3",
        "documented",
        mode=ENVIRONMENTS_MODE,
    ),
    Rule(
        "an existing cluster, runtime below 13",
        "existing",
        Version(0, 0),
        "none",
        "none",
        "no: MLflow's own backend refuses existing clusters",
        "seen",
        "none",
    ),
    Rule(
        "an existing cluster, runtime 13 and newer",
        "existing",
        runtimes.PROJECTS_END,
        "driver",
        "driver",
        "where the cluster is known to have none",
        "seen",
    ),
    Rule(
        "serverless compute",
        "serverless",
        Version(0, 0),
        "dependencies",
        "dependencies",
        "up to environment 3",
        "seen",
    ),
)
"""Of those that hold for a compute, the last is its own."""


def find(kind: Kind, version: Version | None, spec: Mapping[str, Any], *, has_environment: bool) -> Rule:
    """The rule for a compute of that runtime (None where it is not known) whose cluster is `spec`."""
    known = version or runtimes.PROJECTS_END
    return next(each for each in reversed(RULES) if each.holds(kind, known, spec, has_environment=has_environment))

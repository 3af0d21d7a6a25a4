"""What a cluster can be made of: the APIs that list runtimes and node types (databricks-sdk: service/compute.py).

Both answer whole, without pages, and in the order of nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.fake_workspace import runtimes, serverless
from tests.fake_workspace.exchange import Refused, Request, Routes
from tests.fake_workspace.refusals import invalid
from tests.fake_workspace.standing import Standing

ANSWERS = {"unknown cluster": (400, "INVALID_PARAMETER_VALUE")}
"""Status and code of what clients meet in more than one way: a test may change them in its own workspace."""


class Compute:
    """`versions` and `node_types` are what is offered; with `closed` a login without the right to see it is refused.

    `environment_versions` are those that serverless has here: any other is refused when the run begins, as was seen,
    or when it is submitted (`early`, assumed). With `only_serverless` there is nothing but serverless.
    `policies` are the values that a policy allows, by its id and by the name of a cluster's key: where there are any,
    others are refused. Whether clusters of runtime 19 in standard mode take environments in place of libraries
    without being told is a setting of the account (`environments_by_itself`). `clusters` are those that stand; their
    machines are below `home`.
    """

    def __init__(self, home: Path | None = None) -> None:
        self.clusters: dict[str, Standing] = {}
        self.answers = dict(ANSWERS)
        self.versions: Iterable[str] = runtimes.VERSIONS
        self.node_types: Iterable[str] = runtimes.NODE_TYPES
        self.environment_versions: Iterable[str] = tuple(runtimes.ENVIRONMENTS)
        self.policies: dict[str, Mapping[str, Sequence[Any]]] = {}
        self.early = False
        self.only_serverless = False
        self.environments_by_itself = True
        self.closed = False
        self._home = home or Path(tempfile.gettempdir())

    def routes(self) -> Routes:
        return {
            ("GET", r"/api/2\.[01]/clusters/spark-versions"): self.list_versions,
            ("GET", r"/api/2\.[01]/clusters/list-node-types"): self.list_node_types,
            ("GET", r"/api/2\.[01]/clusters/get"): lambda request: self.find(_cluster_id(request)).show(),
            ("GET", r"/api/2\.[01]/clusters/list"): self.list_clusters,
            ("GET", "/api/2.0/libraries/cluster-status"): self.list_libraries,
        }

    def list_versions(self, request: Request) -> dict[str, Any]:
        self._check(request)
        return {"versions": [{"key": each, "name": f"Runtime {each}"} for each in self.versions]}

    def list_node_types(self, request: Request) -> dict[str, Any]:
        self._check(request)
        return {"node_types": [_describe(each) for each in self.node_types]}

    def list_clusters(self, _: Request) -> dict[str, Any]:
        shown = [cluster.show() for cluster in self.clusters.values()]
        return {"clusters": shown} if shown else {}

    def list_libraries(self, request: Request) -> dict[str, Any]:
        """Those of one cluster that stands, as tasks have left them."""
        cluster = self.find(_cluster_id(request))
        statuses = list(cluster.libraries.values())
        return {"cluster_id": cluster.cluster_id, **({"library_statuses": statuses} if statuses else {})}

    def add_cluster(self, **spec: Any) -> Standing:
        """A cluster that stands before any run, of this spec, running until it is told otherwise."""
        cluster_id = f"1124-220000-stand{len(self.clusters):03d}"
        given = {"spark_version": "15.4.x-scala2.12", "node_type_id": "i3.xlarge", "num_workers": 1, **spec}
        runtimes.read_runtime(given)
        self.clusters[cluster_id] = Standing(cluster_id, given, self._home / "clusters" / cluster_id)
        return self.clusters[cluster_id]

    def cluster(self, cluster_id: str) -> Standing:
        return self.clusters[cluster_id]

    def find(self, cluster_id: str) -> Standing:
        if cluster_id not in self.clusters:
            status, code = self.answers["unknown cluster"]
            raise Refused(status, code, f"Cluster {cluster_id} does not exist")
        return self.clusters[cluster_id]

    def check_environment(self, spec: Mapping[str, Any]) -> None:
        """Refuse a version of serverless that isn't there: NotLaunched."""
        version = serverless.version_of(spec)
        if version not in self.environment_versions:
            raise serverless.NotLaunched(version)

    def with_policy(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """The cluster as its policy lets it be, which may give what it leaves open."""
        wanted = spec.get("policy_id")
        if not wanted or not self.policies:
            return spec
        if wanted not in self.policies:
            raise invalid(f"Cluster validation error: Policy {wanted} does not exist.")
        policy = self.policies[wanted]
        if spec.get("apply_policy_default_values"):
            spec = {**{name: allowed[0] for name, allowed in policy.items()}, **spec}
        for name, allowed in policy.items():
            if spec.get(name) not in allowed:
                must = f'must be {allowed[0]} (is an element in "List({", ".join(map(str, allowed))})")'
                raise invalid(f"Cluster validation error: Validation failed for {name}, {must}")
        return spec

    def _check(self, request: Request) -> None:
        if self.closed:
            raise Refused(403, "PERMISSION_DENIED", f"{request.user} is not authorized to create clusters.")
        if request.query:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Unknown parameters: {', '.join(request.query)}")


def _cluster_id(request: Request) -> str:
    wanted = request.json().get("cluster_id")
    if not wanted:
        raise invalid("Missing required field: cluster_id")
    return str(wanted)


def _describe(name: str) -> dict[str, Any]:
    return {
        "node_type_id": name,
        "instance_type_id": name,
        "description": name,
        "category": "General Purpose",
        "memory_mb": 16384,
        "num_cores": 4.0,
        "is_deprecated": False,
        "node_info": {"status": [], "available_core_quota": 350, "total_core_quota": 350},
    }

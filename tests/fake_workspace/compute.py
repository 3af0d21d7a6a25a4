"""What a cluster can be made of: the APIs that list runtimes and node types (databricks-sdk: service/compute.py).

Both answer whole, without pages, and in the order of nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.fake_workspace import runtimes, serverless
from tests.fake_workspace.exchange import Refused, Request, Routes
from tests.fake_workspace.refusals import invalid


class Compute:
    """`versions` and `node_types` are what is offered; with `closed` a login without the right to see it is refused.

    `environment_versions` are those that serverless has here: any other is refused when the run begins, as was seen,
    or when it is submitted (`early`, assumed). With `only_serverless` there is nothing but serverless.
    `policies` are the values that a policy allows, by its id and by the name of a cluster's key: where there are any,
    others are refused. Whether clusters of runtime 19 in standard mode take environments in place of libraries
    without being told is a setting of the account (`environments_by_itself`).
    """

    def __init__(self) -> None:
        self.versions: Iterable[str] = runtimes.VERSIONS
        self.node_types: Iterable[str] = runtimes.NODE_TYPES
        self.environment_versions: Iterable[str] = tuple(serverless.VERSIONS)
        self.policies: dict[str, Mapping[str, Sequence[Any]]] = {}
        self.early = False
        self.only_serverless = False
        self.environments_by_itself = True
        self.closed = False

    def routes(self) -> Routes:
        return {
            ("GET", r"/api/2\.[01]/clusters/spark-versions"): self.list_versions,
            ("GET", r"/api/2\.[01]/clusters/list-node-types"): self.list_node_types,
        }

    def list_versions(self, request: Request) -> dict[str, Any]:
        self._check(request)
        return {"versions": [{"key": each, "name": f"Runtime {each}"} for each in self.versions]}

    def list_node_types(self, request: Request) -> dict[str, Any]:
        self._check(request)
        return {"node_types": [_describe(each) for each in self.node_types]}

    def find(self, cluster_id: str) -> None:
        raise invalid(f"Cluster {cluster_id} does not exist")

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

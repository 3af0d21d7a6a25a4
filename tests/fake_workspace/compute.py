"""What a cluster can be made of: the APIs that list runtimes and node types (databricks-sdk: service/compute.py).

Both answer whole, without pages, and in the order of nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.fake_workspace import runtimes
from tests.fake_workspace.exchange import Refused, Request, Routes


class Compute:
    """`versions` and `node_types` are what is offered; with `closed` a login without the right to see it is refused."""

    def __init__(self) -> None:
        self.versions: Iterable[str] = runtimes.VERSIONS
        self.node_types: Iterable[str] = runtimes.NODE_TYPES
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

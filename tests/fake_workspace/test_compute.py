from __future__ import annotations

from typing import Any

import pytest

from tests.fake_workspace import runtimes
from tests.fake_workspace.calls import call
from tests.fake_workspace.compute import Compute
from tests.fake_workspace.exchange import Refused

SPEC: dict[str, Any] = {"spark_version": "14.3.x-scala2.12", "node_type_id": "i3.xlarge"}
VERSIONS, NODES = "/api/2.1/clusters/spark-versions", "/api/2.0/clusters/list-node-types"


@pytest.mark.parametrize("spark_version", sorted(runtimes.VERSIONS))
def test_of_every_version_that_is_listed_there_is_a_cluster(spark_version: str) -> None:
    listed = [each["key"] for each in call(Compute().routes(), "GET", VERSIONS)["versions"]]

    assert spark_version in listed
    assert runtimes.read_runtime({**SPEC, "spark_version": spark_version})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("spark_version", "16.4-cpu-ml", "Invalid spark version 16.4-cpu-ml."),
        ("spark_version", "17.9.x-scala2.13", "Invalid spark version"),
        ("spark_version", "18.x-scala2.12", "Invalid spark version"),
        ("node_type_id", "m5.larg", "Node type m5.larg is not supported."),
        ("driver_node_type_id", "x", "Node type x is not supported."),
    ],
)
def test_of_no_other_version_or_node_type_there_is_one(key: str, value: str, said: str) -> None:
    with pytest.raises(runtimes.ClusterFailed, match=said):
        runtimes.read_runtime({**SPEC, key: value})


def test_node_types_are_described_and_shown_to_whom_may_see_them() -> None:
    compute = Compute()

    assert {each["node_type_id"] for each in call(compute.routes(), "GET", NODES)["node_types"]} == {
        *runtimes.NODE_TYPES
    }
    compute.closed = True
    with pytest.raises(Refused):
        call(compute.routes(), "GET", NODES)

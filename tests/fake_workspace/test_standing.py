from __future__ import annotations

from typing import Any

import pytest

from tests.fake_workspace.calls import PRINCIPAL, USER, call
from tests.fake_workspace.exchange import Refused
from tests.fake_workspace.standing import Standing
from tests.support.benches import CLUSTER, Bench, python
from tests.support.tiny_wheels import make_wheel

pytest_plugins = ["tests.fake_workspace.fixture"]

GET, STATUS = "/api/2.1/clusters/get", "/api/2.0/libraries/cluster-status"


@pytest.fixture
def cluster(bench: Bench) -> Standing:
    return bench.compute.add_cluster(**CLUSTER)


def run(bench: Bench, cluster: Standing, code: str, *libraries: object, **more: object) -> tuple[Any, str]:
    bench.write("Workspace/Shared/task.py", code)
    task = {"task_key": "main", "existing_cluster_id": cluster.cluster_id, **python("/Workspace/Shared/task.py")}
    return bench.run_body({"tasks": [{**task, "libraries": list(libraries)}], **more})


def test_a_cluster_that_stands_is_shown_and_no_other(bench: Bench) -> None:
    cluster = bench.compute.add_cluster(spark_version="14.3.x-scala2.12", data_security_mode="USER_ISOLATION")
    shown = call(bench.compute.routes(), "GET", GET, {"cluster_id": cluster.cluster_id})
    assert (shown["state"], shown["spark_version"]) == ("RUNNING", "14.3.x-scala2.12")
    assert shown["data_security_mode"] == "USER_ISOLATION"
    listed = call(bench.compute.routes(), "GET", "/api/2.1/clusters/list")["clusters"]
    assert shown in listed
    for answer in ((400, "INVALID_PARAMETER_VALUE"), (404, "RESOURCE_DOES_NOT_EXIST")):
        bench.compute.answers["unknown cluster"] = answer
        for path in (GET, STATUS):
            with pytest.raises(Refused, match="Cluster 1 does not exist") as caught:
                call(bench.compute.routes(), "GET", path, {"cluster_id": "1"})
            assert (caught.value.status, caught.value.body["error_code"]) == answer


def test_runs_share_the_disk_of_a_cluster_and_leave_its_python_as_it_is(bench: Bench, cluster: Standing) -> None:
    look = "import os\nprint(os.environ['DB_CLUSTER_ID'], os.listdir('/local_disk0'))\n"
    leave = "open('/local_disk0/left', 'w').close()\n"
    assert run(bench, cluster, look + leave)[1] == f"{cluster.cluster_id} ['tmp']\n"
    assert "left" in run(bench, cluster, look)[1]
    assert cluster.written() == []
    assert {"pip", "setuptools"} <= set(cluster.distributions())


def test_what_a_run_writes_into_the_python_of_a_cluster_is_noticed(bench: Bench, cluster: Standing) -> None:
    pip = "import subprocess, sys\nsubprocess.run(['pip', 'uninstall', '--quiet', '--yes', 'wheel'], check=True)\n"
    assert run(bench, cluster, pip)[0].result == "SUCCESS"
    assert "wheel" not in cluster.distributions()
    assert any("wheel" in name for name in cluster.written())
    other = bench.compute.add_cluster(**CLUSTER)
    run(bench, other, "")
    assert "wheel" in other.distributions()


def test_libraries_stay_on_a_cluster_and_a_wheel_of_the_same_name_is_not_installed_again(
    bench: Bench, cluster: Standing
) -> None:
    """Changed at its place or sent to another one; as far as the first goes by what Databricks' CLI saw there."""
    show = "import tiny\nprint(tiny.VERSION)\n"
    first = make_wheel(bench.disk / "Volumes/first", "tiny", "1.0")
    library = {"whl": f"/Volumes/first/{first.name}"}
    assert run(bench, cluster, show, library)[1] == "1.0\n"
    for place in ("first", "second"):
        make_wheel(bench.disk / "Volumes" / place, "tiny", "1.0", code="VERSION = 'changed'\n")
    assert run(bench, cluster, show, library, {"whl": f"/Volumes/second/{first.name}"})[1] == "1.0\n"
    statuses = call(bench.compute.routes(), "GET", STATUS, {"cluster_id": cluster.cluster_id})["library_statuses"]
    assert [each["status"] for each in statuses] == ["INSTALLED"] * 2
    assert (cluster.distributions()["tiny"], cluster.written()) == ("1.0", [])
    cluster.terminate()
    assert run(bench, cluster, show)[1] == "changed\n"


def test_a_library_that_cannot_be_installed_is_listed_as_failed(bench: Bench, cluster: Standing) -> None:
    library = {"whl": "/Volumes/none/tiny-1.0-py3-none-any.whl"}
    end, _ = run(bench, cluster, "", library)
    assert end.code == "LIBRARY_INSTALLATION_ERROR"
    statuses = call(bench.compute.routes(), "GET", STATUS, {"cluster_id": cluster.cluster_id})["library_statuses"]
    assert [(each["library"], each["status"]) for each in statuses] == [(library, "FAILED")]


def test_a_terminated_cluster_starts_for_a_run_or_fails_it(bench: Bench, cluster: Standing) -> None:
    cluster.terminate()
    cluster.starts = False
    end, _ = run(bench, cluster, "")
    assert (end.life_cycle, end.code) == ("INTERNAL_ERROR", "CLUSTER_ERROR")
    cluster.starts = True
    assert run(bench, cluster, "")[0].result == "SUCCESS"
    assert cluster.state == "RUNNING"


def test_a_dedicated_cluster_is_for_its_own_user(bench: Bench) -> None:
    cluster = bench.compute.add_cluster(**CLUSTER, data_security_mode="SINGLE_USER", single_user_name=USER)
    assert run(bench, cluster, "")[0].result == "SUCCESS"
    end, _ = run(bench, cluster, "", run_as={"service_principal_name": PRINCIPAL})
    assert f"Single-user check failed: user '{PRINCIPAL}' attempted to run a command" in end.message

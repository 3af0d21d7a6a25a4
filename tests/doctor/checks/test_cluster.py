from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks.doctor.checks import cluster as checks
from mlops_tasks.doctor.subject import Questions
from mlops_tasks.project import cluster
from tests.support import subjects

WHEEL = {"whl": "WHEELPATH"}


def make(folder: Path, data: dict[str, Any], **changes: Any) -> Any:
    """A subject whose cluster.json is `data` as it stands."""
    path = folder / "cluster.json"
    path.write_text(json.dumps(data, indent=2))
    known = {"cluster": cluster.read(path), "cluster_text": subjects.read(path)}
    return subjects.make(folder, spec=None, **{**known, **changes})


def without(key: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in subjects.OLD.items() if name != key} | more


def test_a_project_without_a_cluster_spec_is_said(tmp_path: Path) -> None:
    subject = subjects.make(tmp_path, spec=None)

    assert subjects.matches(subjects.say(checks.check_there, subject), "error seen...no cluster spec")
    assert not subjects.say(checks.check_there, subjects.make(tmp_path, spec=None, backend="databricks-jobs"))
    assert not subjects.say(checks.check_there, subjects.make(tmp_path))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param({"new_cluster": subjects.OLD}, [], id="new"),
        pytest.param(
            {"existing_cluster_id": "1-a"},
            ["error seen...MLflow refuses it...cluster.json:2:3 | set `backend: auto`"],
            id="top",
        ),
        pytest.param({"existing_cluster_id": "1-a", **subjects.OLD}, ["refuses it...| remove existing"], id="beside"),
        pytest.param(
            {"new_cluster": {"existing_cluster_id": "1-a"}},
            ["error seen...does not notice it...cluster.json:3:5"],
            id="nested",
        ),
    ],
)
def test_an_existing_cluster_is_refused(tmp_path: Path, data: dict[str, Any], expected: list[str]) -> None:
    said = subjects.say(checks.check_new_cluster, make(tmp_path, data))

    assert subjects.matches(said, *expected), said
    assert not subjects.say(checks.check_new_cluster, make(tmp_path, data, backend="databricks-jobs"))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(subjects.OLD, [], id="complete"),
        pytest.param({"new_cluster": subjects.OLD}, [], id="complete and wrapped"),
        pytest.param(without("spark_version"), ["error documented...spark_version"], id="no runtime"),
        pytest.param(without("spark_version", spark_version=None), ["spark_version"], id="a runtime that is nothing"),
        pytest.param(without("num_workers", num_workers=0), [], id="no worker"),
        pytest.param(without("node_type_id"), ["error documented...node_type_id"], id="no node type"),
        pytest.param(without("node_type_id", instance_pool_id="p"), [], id="a pool instead"),
        pytest.param(without("num_workers"), ["error documented...num_workers"], id="no size"),
        pytest.param(without("num_workers", autoscale={"min_workers": 1, "max_workers": 2}), [], id="autoscale"),
        pytest.param({"policy_id": "p"}, [], id="a policy fills it"),
        pytest.param({"existing_cluster_id": "1-a"}, [], id="existing"),
        pytest.param({}, ["spark_version", "node_type_id", "num_workers"], id="empty"),
        pytest.param(
            {"training": {"new_cluster": subjects.OLD}, "run_name": "x"},
            ["error seen | the cluster is described under training.new_cluster,...cluster.json:2:3 | write"],
            id="wrapped in a name",
        ),
        pytest.param(
            {"cluster_spec": {"new_cluster": without("num_workers")}},
            ["error documented...num_workers"],
            id="as an answer about a run has it",
        ),
        pytest.param(
            {"job_clusters": [{"job_cluster_key": "a", "new_cluster": subjects.OLD}]},
            ["described under job_clusters.0.new_cluster"],
            id="out of a job",
        ),
    ],
)
def test_what_a_cluster_needs_is_asked_for(tmp_path: Path, data: dict[str, Any], expected: list[str]) -> None:
    said = subjects.say(checks.check_complete, make(tmp_path, data))

    assert subjects.matches(said, *expected), said


SINGLE = {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*, 4]"}
TAG = {"ResourceClass": "SingleNode", "team": "a"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param({**subjects.OLD, "num_workers": 0}, ["warning documented...cluster.json:4:3"], id="no worker"),
        pytest.param(
            {**subjects.OLD, "num_workers": 0, "spark_conf": SINGLE, "custom_tags": TAG}, [], id="a single node"
        ),
        pytest.param(
            {**subjects.OLD, "num_workers": 0, "spark_conf": SINGLE},
            ['warning assumed...| add custom_tags {"ResourceClass": "SingleNode"}'],
            id="without its tag",
        ),
        pytest.param(
            {**subjects.OLD, "num_workers": 0, "custom_tags": TAG},
            ["warning documented...| add spark_conf"],
            id="tag alone",
        ),
        pytest.param({**subjects.OLD, "num_workers": 0, "is_single_node": True}, [], id="by the newer key"),
        pytest.param(subjects.OLD, [], id="a worker"),
    ],
)
def test_no_worker_needs_a_single_node(tmp_path: Path, data: dict[str, Any], expected: list[str]) -> None:
    said = subjects.say(checks.check_single_node, make(tmp_path, data))

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param({"custom_tags": {"team": "a"}}, [], id="a job's cluster"),
        pytest.param(
            {"cluster_id": "1-a", "cluster_source": "UI", "autotermination_minutes": 60},
            ["warning assumed | cluster_id, cluster_source, autotermination_minutes: ...:5:3 | remove cluster_id, cl"],
            id="from the page of a cluster",
        ),
        pytest.param({"cluster_id": "1-a", "state": "RUNNING"}, ["note assumed | cluster_id, state"], id="harmless"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_was_copied_from_a_cluster_that_is_there_is_named(
    tmp_path: Path, keys: dict[str, Any], expected: list[str], wrapped: bool
) -> None:
    spec = {**subjects.OLD, **keys}

    said = subjects.say(checks.check_exported, make(tmp_path, {"new_cluster": spec} if wrapped else spec))

    assert subjects.matches(said, *(each.replace(":5:3", ":6:5") if wrapped else each for each in expected)), said


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param({}, [], id="there"),
        pytest.param(
            {"node_type_id": "m5.larg"},
            ["error seen...no node type m5.larg | cluster.json:3:3...m5.large"],
            id="a slip",
        ),
        pytest.param(
            {"driver_node_type_id": "x"}, ["error seen...no node type x...set driver_node_type_id"], id="driver"
        ),
        pytest.param({"node_type_id": None, "instance_pool_id": "p"}, [], id="a pool's"),
    ],
)
def test_a_node_type_is_one_of_the_workspaces(tmp_path: Path, keys: dict[str, Any], expected: list[str]) -> None:
    ask = Questions(node_types=lambda: ("i3.xlarge", "m5.large"))

    said = subjects.say(checks.check_node_types, make(tmp_path, {**subjects.OLD, **keys}, ask=ask))

    assert subjects.matches(said, *expected), said
    assert not subjects.say(checks.check_node_types, make(tmp_path, {**subjects.OLD, **keys}))


def test_what_stands_beside_an_existing_cluster_is_looked_at_too(tmp_path: Path) -> None:
    subject = make(tmp_path, {"existing_cluster_id": "1-a", **subjects.OLD, "run_name": "x"})

    assert str(subject.runtime) == "runtime 12.2"
    assert subjects.matches(subjects.say(checks.check_dropped, subject), "run_name is lost...belongs to a job")


@pytest.mark.parametrize(
    ("spark_version", "engine", "expected"),
    [
        pytest.param("14.3.x-photon-scala2.12", "PHOTON", ["error documented...cluster.json:5:3"], id="both"),
        pytest.param("14.3.x-scala2.12", "PHOTON", [], id="engine"),
        pytest.param("14.3.x-photon-scala2.12", "STANDARD", [], id="name"),
    ],
)
def test_photon_is_said_once(tmp_path: Path, spark_version: str, engine: str, expected: list[str]) -> None:
    data = {**subjects.OLD, "spark_version": spark_version, "runtime_engine": engine}

    said = subjects.say(checks.check_photon, make(tmp_path, data))

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param({"new_cluster": subjects.OLD, "libraries": [WHEEL]}, [], id="nothing"),
        pytest.param(
            {"new_cluster": subjects.OLD, "timeout_seconds": 60, "run_name": "x", "access_control_list": []},
            [
                "warning seen | timeout_seconds is lost...cluster.json:7:3...setting `timeout`",
                "run_name is lost",
                "access_control_list is lost",
            ],
            id="beside",
        ),
        pytest.param({**subjects.OLD, "run_name": "x"}, ["warning assumed | run_name is lost"], id="inside"),
        pytest.param({**subjects.OLD, "custom_tags": {"team": "a"}}, [], id="a cluster's own"),
        pytest.param({"existing_cluster_id": "1-a", **subjects.OLD}, [], id="refused as a whole"),
    ],
)
def test_what_mlflow_drops_is_said(tmp_path: Path, data: dict[str, Any], expected: list[str]) -> None:
    said = subjects.say(checks.check_dropped, make(tmp_path, data))

    assert subjects.matches(said, *expected), said
    assert not subjects.say(checks.check_dropped, make(tmp_path, data, backend="databricks-jobs"))


FLAT, WRAPPED = {**subjects.OLD, "libraries": [WHEEL]}, {"new_cluster": subjects.OLD, "libraries": [WHEEL]}


@pytest.mark.parametrize(
    ("project", "data", "expected"),
    [
        pytest.param(subjects.CLASSIC, FLAT, ["note seen...patch wraps...cluster.json:5:3"], id="classic flat"),
        pytest.param(subjects.CLASSIC, WRAPPED, [], id="classic wrapped"),
        pytest.param(subjects.CLASSIC, subjects.OLD, [], id="classic flat without libraries"),
        pytest.param(subjects.SPARK_JOB, WRAPPED, ["note seen...flat...cluster.json:2:3"], id="spark job wrapped"),
        pytest.param(subjects.SPARK_JOB, FLAT, ["note seen...python_libraries"], id="spark job with libraries"),
        pytest.param(subjects.SPARK_JOB, subjects.OLD, [], id="spark job flat"),
        pytest.param(subjects.CLASSIC, {"cluster_spec": WRAPPED}, ["note seen...cluster.json:2:3"], id="cluster_spec"),
    ],
)
def test_the_form_that_patch_mends_is_said(
    tmp_path: Path, project: str, data: dict[str, Any], expected: list[str]
) -> None:
    said = subjects.say(checks.check_form, make(tmp_path, data, project=project))

    assert subjects.matches(said, *expected), said


VOLUME = "/Volumes/main/ml/wheels"


def mode(name: str, spark_version: str = "16.4.x-scala2.12") -> dict[str, Any]:
    return {"spark_version": spark_version, **subjects.NODES, "data_security_mode": name}


@pytest.mark.parametrize("name", ["USER_ISOLATION", "DATA_SECURITY_MODE_STANDARD"])
def test_mlflow_cannot_read_the_project_without_the_dbfs_mount(tmp_path: Path, name: str) -> None:
    said = subjects.say(checks.check_dbfs_mount, subjects.make(tmp_path, spec=mode(name)))

    assert subjects.matches(said, f"error documented...{name}...cluster.json:5:3...SINGLE_USER"), said
    assert not subjects.say(
        checks.check_dbfs_mount, subjects.make(tmp_path, spec=mode(name), backend="databricks-jobs")
    )


@pytest.mark.parametrize("name", ["SINGLE_USER", "DATA_SECURITY_MODE_DEDICATED", "NONE"])
def test_the_other_modes_have_the_dbfs_mount(tmp_path: Path, name: str) -> None:
    assert not subjects.say(checks.check_dbfs_mount, subjects.make(tmp_path, spec=mode(name)))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(mode("USER_ISOLATION", "16.4.x-cpu-ml-scala2.12"), ["error documented"], id="ML"),
        pytest.param(mode("USER_ISOLATION"), [], id="not ML"),
        pytest.param(mode("SINGLE_USER", "16.4.x-cpu-ml-scala2.12"), [], id="dedicated"),
    ],
)
def test_standard_mode_has_no_ml_runtime(tmp_path: Path, spec: dict[str, Any], expected: list[str]) -> None:
    said = subjects.say(checks.check_machine_learning, subjects.make(tmp_path, spec=spec))

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("spec", "root", "libraries", "expected"),
    [
        pytest.param(mode("NONE"), VOLUME, None, ["error assumed...NONE...:5:3"], id="no catalog"),
        pytest.param(mode("NONE"), "dbfs:/w", None, [], id="no volume"),
        pytest.param(
            mode("NONE"), "dbfs:/w", [{"whl": f"{VOLUME}/x-1-py3-none-any.whl"}], ["error assumed"], id="in libraries"
        ),
        pytest.param(subjects.NEW, VOLUME, None, [], id="the mode by default"),
        pytest.param(mode("USER_ISOLATION"), VOLUME, None, [], id="standard"),
        pytest.param(
            subjects.OLD,
            VOLUME,
            None,
            ["error documented...12.2 has no volumes...13.3...| set wheel"],
            id="old runtime",
        ),
        pytest.param(
            {**subjects.OLD, **mode("NONE"), "spark_version": "12.2.x"}, VOLUME, None, ["no volumes"], id="both"
        ),
    ],
)
def test_a_volume_needs_unity_catalog(
    tmp_path: Path, spec: dict[str, Any], root: str, libraries: list[Any] | None, expected: list[str]
) -> None:
    subject = subjects.make(tmp_path, spec=spec, libraries=libraries, wheel_root=root)

    said = subjects.say(checks.check_volumes, subject)

    assert subjects.matches(said, *expected), said


@pytest.mark.parametrize(
    ("spark_version", "root", "expected"),
    [
        pytest.param("10.4.x-scala2.12", "/Workspace/Shared/w", ["error documented...11.3"], id="before"),
        pytest.param("11.3.x-scala2.12", "/Workspace/Shared/w", [], id="since"),
        pytest.param("10.4.x-scala2.12", "dbfs:/w", [], id="elsewhere"),
    ],
)
def test_workspace_files_need_a_runtime_that_sees_them(
    tmp_path: Path, spark_version: str, root: str, expected: list[str]
) -> None:
    spec = {"spark_version": spark_version, **subjects.NODES}

    said = subjects.say(checks.check_workspace_files, subjects.make(tmp_path, spec=spec, wheel_root=root))

    assert subjects.matches(said, *expected), said

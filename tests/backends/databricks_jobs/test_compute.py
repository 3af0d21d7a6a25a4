"""Every form of a cluster spec means one compute, or is refused in words; each compute has one rule."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks import errors
from mlops_tasks.backends.databricks_jobs import compute, rules

NEW: dict[str, Any] = {"spark_version": "16.4.x-scala2.12", "node_type_id": "i3.xlarge", "num_workers": 1}
STANDARD_19 = {**NEW, "spark_version": "19.x-scala2.13", "data_security_mode": "USER_ISOLATION"}
ENVIRONMENT = {"environment_key": "e", "spec": {"environment_version": "4", "dependencies": ["numpy<3"]}}


def read(
    folder: Path, data: object, setting: str | None = None, environment_version: str | None = None
) -> compute.Compute:
    path = folder / "cluster.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data, indent=1))
    return compute.read(path, compute=setting, environment_version=environment_version)


def refusal(folder: Path, data: object, setting: str | None = None) -> str:
    with pytest.raises(errors.BadInput) as caught:
        read(folder, data, setting)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({**NEW, "run_name": "x"}, id="flat"),
        pytest.param({"new_cluster": NEW, "run_name": "x"}, id="wrapped"),
        pytest.param({"cluster_spec": NEW, "run_name": "x"}, id="in cluster_spec"),
        pytest.param({"cluster_spec": {"new_cluster": NEW}, "run_name": "x"}, id="wrapped in cluster_spec"),
    ],
)
def test_each_form_means_the_same_new_cluster(tmp_path: Path, data: dict[str, Any]) -> None:
    found = read(tmp_path, {**data, "libraries": [{"pypi": {"package": "numpy"}}]})

    assert (found.kind, found.cluster, found.submit) == ("new", NEW, {"run_name": "x"})
    assert (found.libraries, found.lines, found.said) == (({"pypi": {"package": "numpy"}},), (), ())
    assert found.pythons == ("3.12",)


def test_everything_that_is_said_of_the_cluster_and_of_the_run_passes_through(tmp_path: Path) -> None:
    cluster = {**NEW, "policy_id": "p", "init_scripts": [{"volumes": {"destination": "/Volumes/a/b/c/x.sh"}}]}
    cluster |= {"spark_conf": {"a": "b"}, "custom_tags": {"t": "u"}, "a_new_key": {"x": [1]}, "single_user_name": "ada"}
    beside = {"run_as": {"service_principal_name": "sp"}, "health": {}, "a_newer_key": 1, "timeout_seconds": 60}
    found = read(tmp_path, {"new_cluster": cluster, **beside, "environment_variables_key": "v"})

    assert (found.cluster, found.submit, found.said) == (cluster, beside, ())
    assert found.task == {"environment_variables_key": "v"}


def test_what_an_export_has_beside_the_cluster_is_left_out_with_a_line_each(tmp_path: Path) -> None:
    exported = {"cluster_id": "1-a", "cluster_name": "n", "state": "RUNNING", "default_tags": {}, "max_retries": 3}
    found = read(tmp_path, {**NEW, **exported, "autotermination_minutes": 60, "ssh_public_keys": []})

    assert found.cluster == {**NEW, "ssh_public_keys": []}
    assert [line.partition(" ")[0] for line in found.said] == [
        *("cluster_id", "cluster_name", "state", "default_tags", "autotermination_minutes", "max_retries")
    ]
    assert "write existing_cluster_id" in found.said[0]


def test_an_existing_cluster_keeps_what_is_no_python_package_and_that_is_said(tmp_path: Path) -> None:
    maven = {"maven": {"coordinates": "com.acme:x:1"}}
    libraries = [{"pypi": {"package": "numpy<3"}}, maven, {"whl": "dbfs:/libs/a-1-py3-none-any.whl"}]
    found = read(tmp_path, {"existing_cluster_id": "1-a", "libraries": libraries})

    assert (found.kind, found.existing_cluster_id, found.runtime) == ("existing", "1-a", None)
    assert (found.libraries, found.lines) == ((maven,), ("numpy<3", "dbfs:/libs/a-1-py3-none-any.whl"))
    assert found.said == ("maven com.acme:x:1 stays on the cluster after the run",)
    assert found.pythons == ()
    assert found.as_asked("15.4.x-scala2.12").pythons == ("3.11",)


def test_one_environment_is_the_base_of_a_serverless_run(tmp_path: Path) -> None:
    libraries = [{"pypi": {"package": "requests"}}, {"whl": "/Volumes/c/s/v/a-1-py3-none-any.whl"}]
    found = read(tmp_path, {"environments": [ENVIRONMENT], "libraries": libraries, "budget_policy_id": "b"})

    assert (found.kind, found.environment_version, found.environment) == ("serverless", "4", {})
    assert found.lines == ("numpy<3", "requests", "/Volumes/c/s/v/a-1-py3-none-any.whl")
    assert (found.libraries, found.submit, found.said) == ((), {"budget_policy_id": "b"}, ())
    assert found.brings_mlflow


@pytest.mark.parametrize("spec", [{"existing_cluster_id": "1-a"}, {"environments": [ENVIRONMENT]}])
def test_a_wheel_that_is_not_deployed_yet_is_a_line(tmp_path: Path, spec: dict[str, Any]) -> None:
    assert "WHEELPATH" in read(tmp_path, {**spec, "libraries": [{"whl": "WHEELPATH"}]}).lines


def test_the_setting_goes_before_what_the_spec_says(tmp_path: Path) -> None:
    found = read(tmp_path, {**NEW, "run_as": {"user_name": "ada"}}, "serverless")

    assert (found.kind, found.cluster, found.environment_version) == ("serverless", {}, "5")
    assert (found.submit, found.said) == (
        {"run_as": {"user_name": "ada"}},
        ("`compute: serverless` is set: a new cluster of cluster.json is not used",),
    )
    found = read(tmp_path, {"environments": [ENVIRONMENT]}, environment_version="3")
    assert (found.environment_version, found.brings_mlflow) == ("3", False)
    assert found.said == ("environment_version 3 is set: 4 of cluster.json is not used",)


def test_serverless_needs_no_spec() -> None:
    found = compute.read(None, compute="serverless", environment_version=None)

    assert (found.kind, found.environment_version, found.lines) == ("serverless", "5", ())


def test_no_spec_and_no_setting_is_refused_with_both_cures() -> None:
    with pytest.raises(errors.BadInput, match=r"(?s)cluster\.json.*compute: serverless"):
        compute.read(None, compute=None, environment_version=None)


def test_an_environment_that_is_newer_than_the_table_is_said_and_not_guessed(tmp_path: Path) -> None:
    found = read(tmp_path, {}, "serverless", "7")

    assert (found.pythons, found.brings_mlflow) == ((), None)
    assert "newer than this package's table" in found.said[0]


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        pytest.param({}, ["cluster.json names no compute", "compute: serverless"], id="nothing"),
        pytest.param({"new_cluster": {}, "libraries": []}, ["names no compute"], id="an empty cluster"),
        pytest.param({"cluster_id": "1-a"}, ['{"existing_cluster_id": "1-a"}'], id="only the id of an export"),
        pytest.param({"spec": {"new_cluster": NEW}}, ["described under spec.new_cluster", ":2:2"], id="deeper"),
        pytest.param(
            {"new_cluster": NEW, "existing_cluster_id": "1-a"},
            ["a new cluster and existing_cluster_id", "cluster.json:7:2", "keep one"],
            id="both kinds",
        ),
        pytest.param({**NEW, "existing_cluster_id": "1-a"}, ["existing_cluster_id and spark_version"], id="both, flat"),
        pytest.param({"new_cluster": NEW, "policy_id": "p"}, ["policy_id stands beside new_cluster"], id="a stray key"),
        pytest.param({**NEW, "environments": [ENVIRONMENT]}, ["a new cluster and environments"], id="cluster and env"),
        pytest.param({"tasks": [{"new_cluster": NEW}]}, ["tasks describes a whole job", ":2:2"], id="a job's tasks"),
        pytest.param({"job_clusters": []}, ["job_clusters describes a whole job"], id="a job's clusters"),
        pytest.param({"new_cluster": {**NEW, "libraries": []}}, ["inside new_cluster", ":6:3"], id="libraries inside"),
        pytest.param({"existing_cluster_id": 7}, ["must be the id of a cluster", "not 7"], id="an id that is none"),
        pytest.param(
            {"environments": [ENVIRONMENT, {"environment_key": "f", "spec": {}}]},
            ["several environments: e, f", "cluster.json:2:2"],
            id="several environments",
        ),
        pytest.param({"environments": {"spec": {}}}, ["`environments` must be a list"], id="no list"),
        pytest.param(
            {"environments": [{"spec": {"client": "latest"}}]},
            ["no serverless environment 'latest'", "cluster.json:2:2", "from 1 to 6"],
            id="an unknown version",
        ),
        pytest.param(
            {"environments": [{"spec": {"environment_version": "5", "dependencies": "numpy"}}]},
            ["must be a list of texts"],
            id="dependencies that are no list",
        ),
        pytest.param(
            {"environments": [{"spec": {"project_environment": "/Workspace/p.toml"}}]},
            ["project_environment takes no dependencies"],
            id="a project environment",
        ),
        pytest.param(
            {"environments": [ENVIRONMENT], "libraries": [{"jar": "/Volumes/c/s/v/x.jar"}]},
            ["takes no library but pypi and whl: jar /Volumes/c/s/v/x.jar", "new_cluster"],
            id="a jar on serverless",
        ),
        pytest.param(
            {"existing_cluster_id": "1-a", "libraries": [{"pypi": {"package": "x", "repo": "https://i/"}}]},
            ["x has a `repo` of its own", "--extra-index-url https://i/"],
            id="an index of its own",
        ),
        pytest.param(
            '{"num_workers": 1,\n "num_workers": 2}', ["num_workers is there twice", "cluster.json:2:2"], id="key twice"
        ),
        pytest.param('{"new_cluster": {"a": 1,\n"a": 1}}', ["a is there twice", ":2:1"], id="key twice, deeper"),
        pytest.param('{"a": 1,}', ["no comma before a closing bracket", "cluster.json:1:"], id="no JSON"),
        pytest.param("{\\rtf1\\ansi {}}", ["an RTF document", "save it as plain text", ":1:2"], id="RTF"),
        pytest.param("[1]", ["must be a JSON object"], id="a list"),
    ],
)
def test_a_spec_that_means_no_compute_is_refused_with_its_place(tmp_path: Path, data: object, parts: list[str]) -> None:
    said = refusal(tmp_path, data)

    assert all(part in said for part in parts), said


def test_errors_name_the_users_own_file_and_not_the_copy(tmp_path: Path) -> None:
    own, copy = tmp_path / "own.json", tmp_path / "copy.json"
    own.write_text('{\n\n"tasks": []}')
    copy.write_text('{"tasks": []}')

    with pytest.raises(errors.BadInput, match=r"own\.json:3:1"):
        compute.read(copy, compute=None, environment_version=None, source=own)


KEYS = ["new_cluster", "cluster_spec", "existing_cluster_id", "libraries", "environments", "spec", "tasks", *NEW]
VALUES = st.recursive(
    st.none() | st.text(max_size=3) | st.integers() | st.sampled_from(["16.4.x-scala2.12", "1-a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=12,
)


@given(data=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4), setting=st.sampled_from([None, "serverless"]))
def test_whatever_a_spec_holds_it_is_one_compute_or_bad_input(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any], setting: str | None
) -> None:
    with contextlib.suppress(errors.BadInput):
        found = read(tmp_path_factory.getbasetemp(), data, setting)
        assert {"new": bool(found.cluster), "existing": bool(found.existing_cluster_id)}.get(found.kind, True)


@pytest.mark.parametrize(
    ("data", "requirements", "wheels"),
    [
        pytest.param({**NEW, "spark_version": "13.3.x-scala2.12"}, "pypi", "whl", id="13.3"),
        pytest.param({**NEW, "spark_version": "14.3.x-cpu-ml-scala2.12"}, "pypi", "whl", id="14.3"),
        pytest.param({"policy_id": "p"}, "pypi", "whl", id="a policy's"),
        pytest.param({**NEW, "spark_version": "15.4.x-scala2.12"}, "file", "whl", id="15.4"),
        pytest.param({**NEW, "spark_version": "18.x-scala2.13"}, "file", "whl", id="18"),
        pytest.param({**NEW, "spark_version": "19.x-scala2.13"}, "file", "whl", id="19, dedicated"),
        pytest.param(STANDARD_19, "file", "whl", id="19, standard"),
        pytest.param({**STANDARD_19, "dependency_mode": rules.ENVIRONMENTS_MODE}, *["dependencies"] * 2, id="mode"),
        pytest.param({"existing_cluster_id": "1-a"}, "driver", "driver", id="existing"),
        pytest.param({"environments": [ENVIRONMENT]}, "dependencies", "dependencies", id="serverless"),
    ],
)
def test_each_compute_has_its_rule(tmp_path: Path, data: dict[str, Any], requirements: str, wheels: str) -> None:
    rule = compute.find_rule(read(tmp_path, data))

    assert (rule.requirements, rule.wheels) == (requirements, wheels)


@pytest.mark.parametrize(
    ("data", "mode", "said"),
    [
        pytest.param(STANDARD_19, rules.LIBRARIES_MODE, 0, id="not said"),
        pytest.param({**STANDARD_19, "dependency_mode": "DEPENDENCY_MODE_AUTO"}, rules.LIBRARIES_MODE, 1, id="auto"),
        pytest.param(
            {**STANDARD_19, "dependency_mode": rules.ENVIRONMENTS_MODE}, rules.ENVIRONMENTS_MODE, 0, id="by choice"
        ),
        pytest.param({**STANDARD_19, "data_security_mode": "SINGLE_USER"}, None, 0, id="dedicated"),
        pytest.param({**STANDARD_19, "spark_version": "18.x-scala2.13"}, None, 0, id="18"),
    ],
)
def test_standard_mode_is_told_from_19_on_where_libraries_come_from(
    tmp_path: Path, data: dict[str, Any], mode: str | None, said: int
) -> None:
    found = read(tmp_path, data)

    assert (found.cluster.get("dependency_mode"), len(found.said)) == (mode, said)


@pytest.mark.parametrize(
    ("data", "asked"),
    [
        pytest.param({**NEW, "spark_version": "10.4.x-scala2.12"}, "", id="new"),
        pytest.param({"existing_cluster_id": "1-a"}, "12.2.x-scala2.12", id="existing"),
    ],
)
def test_runtimes_below_13_are_left_to_mlflows_own_backend(tmp_path: Path, data: dict[str, Any], asked: str) -> None:
    found = read(tmp_path, data)
    found = found.as_asked(asked) if asked else found

    with pytest.raises(errors.BadInput, match=r"older than runtime 13(.|\n)*cluster.json:2:2(.|\n)*databricks`, MLf"):
        compute.find_rule(found)


@pytest.mark.parametrize(
    ("spark_version", "backend"),
    [("12.2.x-scala2.12", "databricks"), ("13.3.x-scala2.12", "databricks-jobs"), (None, "databricks-jobs")],
)
def test_the_backend_is_mlflows_own_below_13(tmp_path: Path, spark_version: str | None, backend: str) -> None:
    spec = {**NEW, "spark_version": spark_version} if spark_version else {"existing_cluster_id": "1-a"}

    assert compute.choose_backend(read(tmp_path, spec)) == backend


def test_a_custom_image_has_a_python_that_nobody_knows(tmp_path: Path) -> None:
    found = read(tmp_path, {**NEW, "docker_image": {"url": "acme/x:1"}})

    assert (found.pythons, found.brings_mlflow) == ((), None)

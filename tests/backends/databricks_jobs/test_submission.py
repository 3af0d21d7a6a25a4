"""The body of a submit: the test workspace takes each, and each thing stands where the compute looks for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import errors
from mlops_tasks.backends.databricks_jobs import compute, rules, submission
from mlops_tasks.backends.databricks_jobs.dependencies import Dependencies
from mlops_tasks.release import Deployed
from tests.fake_workspace import submissions
from tests.fake_workspace.compute import Compute
from tests.fake_workspace.standing import Standing

ATTEMPT = "5f0c" * 8
NEW = {"spark_version": "15.4.x-scala2.12", "node_type_id": "i3.xlarge", "num_workers": 1}
OLD = {**NEW, "spark_version": "14.3.x-scala2.12"}
STANDARD_19 = {**NEW, "spark_version": "19.x-scala2.13", "data_security_mode": "USER_ISOLATION"}
SERVERLESS = {"environments": [{"environment_key": "mine", "spec": {"environment_version": "4"}}]}
FOLDER = "/Volumes/c/s/v/wheels"
CORE = Deployed("core", f"{FOLDER}/core-1-py3-none-any.whl", "0" * 64)
LIB = Deployed("My_Lib", f"{FOLDER}/my_lib-1-py3-none-any.whl", "1" * 64)
MAVEN = {"maven": {"coordinates": "a:b:1"}}
FILE = f"{FOLDER}/requirements.txt"
WHEELS = [{"whl": CORE.uri}, {"whl": LIB.uri}]


def offered(folder: Path) -> Compute:
    """What the test workspace has: one existing cluster beside what a new one can be made of."""
    made = Compute()
    made.clusters["1-a"] = Standing("1-a", NEW, folder)
    return made


def body(
    folder: Path, spec: dict[str, Any], *lines: str, extras: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """The body for that cluster spec, which the test workspace has taken."""
    path = folder / "cluster.json"
    path.write_text(json.dumps(spec))
    there = compute.read(path, compute=None, environment_version=None)
    made = Dependencies(lines=lines, wheels=(CORE, LIB), extras=extras or {}, libraries=there.libraries, said=())
    asked = {"run_name": "train", "requirements_file": FILE, **more}
    found = submission.body(
        there, made, attempt=ATTEMPT, driver="/Workspace/Users/me/driver.py", parameter="/Volumes/run.json", **asked
    )
    submissions.check(found, offered(folder), several=True)
    assert json.loads(json.dumps(found)) == found
    return found


def test_one_task_runs_the_driver_program_with_one_parameter(tmp_path: Path) -> None:
    assert body(tmp_path, NEW, "numpy<3", timeout=59.2) == {
        "queue": {"enabled": True},
        "timeout_seconds": 60,
        "run_name": f"train {ATTEMPT}",
        "idempotency_token": ATTEMPT,
        "tasks": [
            {
                "task_key": "main",
                "new_cluster": NEW,
                "libraries": [{"requirements": FILE}, *WHEELS],
                "spark_python_task": {
                    "python_file": "/Workspace/Users/me/driver.py",
                    "source": "WORKSPACE",
                    "parameters": ["/Volumes/run.json"],
                },
                "max_retries": 0,
            }
        ],
    }


@pytest.mark.parametrize(
    ("spec", "libraries"),
    [
        pytest.param({"new_cluster": NEW, "libraries": [MAVEN]}, [{"requirements": FILE}, MAVEN, *WHEELS], id="15"),
        pytest.param(
            {"new_cluster": OLD, "libraries": [MAVEN]},
            [
                {"pypi": {"package": "numpy<3"}},
                {"whl": "dbfs:/libs/x-1-py3-none-any.whl"},
                {"pypi": {"package": "y @ https://h/y-1-py3-none-any.whl"}},
                MAVEN,
                *WHEELS,
            ],
            id="14",
        ),
        pytest.param(STANDARD_19, [{"requirements": FILE}, *WHEELS], id="19, standard"),
        pytest.param({"existing_cluster_id": "1-a"}, None, id="existing"),
        pytest.param({"existing_cluster_id": "1-a", "libraries": [MAVEN]}, [MAVEN], id="existing with a jar"),
        pytest.param(SERVERLESS, None, id="serverless"),
    ],
)
def test_requirements_come_first_and_our_wheels_last(
    tmp_path: Path, spec: dict[str, Any], libraries: list[dict[str, Any]] | None
) -> None:
    lines = ("numpy<3", "/dbfs/libs/x-1-py3-none-any.whl", "y @ https://h/y-1-py3-none-any.whl")

    assert body(tmp_path, spec, *lines)["tasks"][0].get("libraries") == libraries


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(SERVERLESS, id="serverless"),
        pytest.param({**STANDARD_19, "dependency_mode": rules.ENVIRONMENTS_MODE}, id="on a cluster"),
    ],
)
def test_an_environment_has_the_requirements_and_then_our_wheels(tmp_path: Path, spec: dict[str, Any]) -> None:
    found = body(tmp_path, spec, "numpy<3", extras={"my-lib": "plots"})

    (environment,) = found["environments"]
    assert environment["environment_key"] == found["tasks"][0]["environment_key"]
    assert environment["spec"]["dependencies"] == ["numpy<3", CORE.uri, f"{LIB.uri}[plots]"]
    assert ("new_cluster" in found["tasks"][0]) is (spec is not SERVERLESS)


def test_beside_requirements_with_hashes_our_wheels_have_theirs(tmp_path: Path) -> None:
    lines = body(tmp_path, SERVERLESS, "numpy==1 --hash=sha256:0")["environments"][0]["spec"]["dependencies"]

    assert lines[1] == f"{CORE.uri} --hash=sha256:{CORE.sha256}"


def test_standard_mode_is_told_from_19_on_where_libraries_come_from(tmp_path: Path) -> None:
    task = body(tmp_path, STANDARD_19)["tasks"][0]

    assert task["new_cluster"]["dependency_mode"] == rules.LIBRARIES_MODE


def test_what_the_spec_says_of_the_run_is_sent_and_the_settings_go_before_it(tmp_path: Path) -> None:
    beside = {"run_as": {"user_name": "me"}, "health": {"rules": []}, "queue": {"enabled": False}, "new_key": 1}
    spec = {"new_cluster": NEW, **beside, "run_name": "nightly", "timeout_seconds": 60, "tags": {"a": "b"}}
    found = body(tmp_path, spec, run_name="")

    assert {key: found[key] for key in beside} == beside
    assert (found["run_name"], found["timeout_seconds"]) == (f"nightly {ATTEMPT}", 60)
    assert {"tags", "parameters", "job_clusters"}.isdisjoint(found)
    found = body(tmp_path, spec, timeout=30.0)
    assert (found["run_name"], found["timeout_seconds"]) == (f"train {ATTEMPT}", 30)


def test_a_run_without_requirements_needs_no_file_of_them(tmp_path: Path) -> None:
    assert body(tmp_path, NEW, requirements_file="")["tasks"][0]["libraries"] == WHEELS


def test_a_file_of_requirements_is_not_read_from_dbfs(tmp_path: Path) -> None:
    with pytest.raises(errors.BadInput, match=r"(?s)runtime 15.4.*not from dbfs:/r.txt.*set wheel_root"):
        body(tmp_path, NEW, "numpy", requirements_file="dbfs:/r.txt")


def test_a_token_is_never_cut_off(tmp_path: Path) -> None:
    there = compute.read(None, compute="serverless", environment_version=None)
    made = Dependencies(lines=(), wheels=(), extras={}, libraries=(), said=())

    with pytest.raises(ValueError, match="at most 64"):
        submission.body(there, made, attempt="a" * 65, run_name="", driver="/Workspace/d.py", parameter="/r.json")


@pytest.mark.parametrize(
    ("spec", "text", "installed"),
    [(NEW, "numpy<3\nscipy\n", None), (OLD, "", None), ({"existing_cluster_id": "1-a"}, "", ["numpy<3", "scipy"])],
)
def test_the_file_of_requirements_or_the_driver_programs_lines(
    tmp_path: Path, spec: dict[str, Any], text: str, installed: list[str] | None
) -> None:
    path = tmp_path / "cluster.json"
    path.write_text(json.dumps(spec))
    there = compute.read(path, compute=None, environment_version=None)
    made = Dependencies(lines=("numpy<3", "scipy"), wheels=(), extras={}, libraries=(), said=())

    assert submission.file_text(there, made) == text
    assert submission.install_lines(there, made) == installed


@pytest.mark.parametrize(
    ("run_as", "place", "is_fine"),
    [
        pytest.param({"service_principal_name": "sp"}, "/Workspace/Users/me@x/.mlops/wheels", False, id="another"),
        pytest.param({"group_name": "g"}, "/Users/me@x/w", False, id="without /Workspace"),
        pytest.param({"service_principal_name": "sp"}, "/Workspace/Shared/wheels", True, id="shared"),
        pytest.param({"service_principal_name": "sp"}, "/Workspace/Users/sp/wheels", True, id="its own"),
        pytest.param({"service_principal_name": "sp"}, "/Volumes/c/s/v", True, id="a volume"),
        pytest.param({"user_name": "me@x"}, "/Workspace/Users/me@x/w", True, id="oneself"),
        pytest.param(None, "/Workspace/Users/me@x/w", True, id="nobody else"),
    ],
)
@pytest.mark.parametrize("setting", ["wheel_root", "driver_root"])
def test_another_identity_is_not_sent_into_the_submitters_home(
    tmp_path: Path, setting: str, run_as: dict[str, str] | None, place: str, is_fine: bool
) -> None:
    path = tmp_path / "cluster.json"
    path.write_text(json.dumps({"new_cluster": NEW, **({"run_as": run_as} if run_as else {})}))
    there = compute.read(path, compute=None, environment_version=None)
    places = {"wheel_root": "/Volumes/c/s/v", "driver_root": "/Workspace/Shared", setting: place}

    if is_fine:
        submission.check_readable(there, user="me@x", places=places)
    else:
        with pytest.raises(errors.BadInput, match=rf"(?s)may not read {place}.*who submits it.*set `{setting}` to"):
            submission.check_readable(there, user="me@x", places=places)

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_workspace import runs
from tests.fake_workspace.calls import PRINCIPAL, USER, call, token_of
from tests.fake_workspace.compute import Compute
from tests.fake_workspace.exchange import Refused
from tests.fake_workspace.jobs import Jobs
from tests.fake_workspace.runs import Mode

SUBMIT, GET, LIST, OUTPUT, CANCEL = (f"/runs/{name}" for name in ("submit", "get", "list", "get-output", "cancel"))
CLUSTER = {"spark_version": "12.2.x-scala2.12", "node_type_id": "i3.xlarge", "num_workers": 1}
SHELL = {"run_name": "tiny", "new_cluster": CLUSTER, "shell_command_task": {"command": ["true"], "env_vars": {}}}
FILE = {"python_file": "dbfs:/task.py", "parameters": ["a"]}
ON_WORKSPACE = {"python_file": "/Workspace/Shared/task.py", "source": "WORKSPACE"}
SEVERAL = {"tasks": [{"task_key": "main", "new_cluster": CLUSTER, "spark_python_task": FILE}]}
STANDARD_19 = {**CLUSTER, "spark_version": "19.x-scala2.13", "data_security_mode": "DATA_SECURITY_MODE_STANDARD"}
AT_ONCE = Mode(ending=runs.SUCCESS)


class Api:
    """The handlers of `jobs` under short names."""

    def __init__(self, jobs: Jobs, compute: Compute | None = None) -> None:
        self.jobs = jobs
        self.compute = compute or Compute()

    def __call__(self, method: str, name: str, body: object = None, *, version: str = "2.0", **query: object) -> Any:
        return call(self.jobs.routes(), method, f"/api/{version}/jobs{name}", body, **query)  # type: ignore[arg-type]

    def submit(self, body: object = SHELL, *, version: str = "2.0", mode: Mode = AT_ONCE) -> int:
        self.jobs.mode = mode
        run_id: int = self("POST", SUBMIT, body, version=version)["run_id"]
        return run_id

    def ended(self, body: object = SHELL, *, version: str = "2.0", mode: Mode = AT_ONCE) -> int:
        run_id = self.submit(body, version=version, mode=mode)
        self.jobs.wait(run_id, 60)
        return run_id

    def state(self, run_id: int) -> dict[str, Any]:
        state: dict[str, Any] = self("GET", GET, run_id=run_id)["state"]
        return state


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    compute = Compute()
    jobs = Jobs(tmp_path / "disk", "http://127.0.0.1:1", token_of, tmp_path / "home", compute=compute)
    yield Api(jobs, compute)
    jobs.close()


def refused(api: Api, body: object, *, version: str = "2.0") -> str:
    with pytest.raises(Refused) as caught:
        api("POST", SUBMIT, body, version=version)
    assert caught.value.status == 400
    assert caught.value.body["error_code"] == "INVALID_PARAMETER_VALUE"
    return str(caught.value.body["message"])


def without(key: str, **more: object) -> dict[str, object]:
    return {name: value for name, value in SHELL.items() if name != key} | more


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            without("new_cluster"), "Either new_cluster or existing_cluster_id must be specified.", id="no-cluster"
        ),
        pytest.param(
            without("x", new_cluster={"spark_version": "12.2.x-scala2.12", "node_type_id": "i3.xlarge"}),
            "Missing required field: settings.cluster_spec.new_cluster.size",
            id="no-size",
        ),
        pytest.param(
            without("x", new_cluster={"num_workers": 0, "node_type_id": "i3.xlarge"}), "spark_version", id="no-version"
        ),
        pytest.param(
            without("x", new_cluster={"num_workers": 0, "spark_version": "12.2.x-scala2.12"}), "node_type", id="no-node"
        ),
        pytest.param(without("shell_command_task"), "shell_command_task", id="no-task"),
        pytest.param(without("x", libraries=[{"pypi": "numpy"}]), "libraries.pypi.package", id="flat-library"),
        pytest.param(without("x", libraries={"whl": "dbfs:/x.whl"}), "libraries must be a list", id="no-list"),
        pytest.param(
            without("new_cluster", existing_cluster_id="1"), "Cluster 1 does not exist", id="existing-cluster"
        ),
        pytest.param(without("x", idempotency_token="x" * 65), "idempotency_token", id="token"),
        pytest.param(
            without("shell_command_task", spark_python_task={"python_file": "/tmp/x.py"}),
            "Invalid python file reference: /tmp/x.py. Please visit the Databricks user guide",
            id="python-file",
        ),
        pytest.param(
            without("shell_command_task", spark_python_task={**FILE, "parameters": ["x" * 10_000]}),
            "spark_python_task.parameters must be at most 10000 bytes of JSON.",
            id="parameters",
        ),
    ],
)
def test_what_cannot_run_is_refused_before_there_is_a_run(api: Api, body: object, message: str) -> None:
    assert message in refused(api, body)
    assert api("GET", LIST) == {"has_more": False}
    assert api.jobs.submitted == [body]


def one(*environments: object, **task: object) -> dict[str, Any]:
    """A body with one task, of what is given and a Python file of the workspace's."""
    task = {"task_key": "a", "spark_python_task": ON_WORKSPACE, **task}
    return {"tasks": [task], **({"environments": list(environments)} if environments else {})}


def environment(**spec: object) -> dict[str, object]:
    return {"environment_key": "e", "spec": {"environment_version": "5", **spec}}


NO_COMPUTE = "One of job_cluster_key, new_cluster, or existing_cluster_id must be specified."
LIBRARIES = [{"pypi": {"package": "numpy"}}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(SHELL, NO_COMPUTE, id="no-tasks"),
        pytest.param({"tasks": [{**SHELL, "task_key": "a"}]}, "spark_python_task", id="shell-command"),
        pytest.param(one(), "An environment is required for serverless task a.", id="nowhere"),
        pytest.param(one(job_cluster_key="j") | {"job_clusters": [{}]}, NO_COMPUTE, id="job-cluster"),
        pytest.param(one(new_cluster=CLUSTER, existing_cluster_id="1"), "Only one of job_cluster_key", id="both"),
        pytest.param(one(existing_cluster_id="1"), "Cluster 1 does not exist", id="existing-cluster"),
        pytest.param(
            one(environment_key="x"),
            "Job environment 'x' used by task a is not defined in field 'environments'.",
            id="environment",
        ),
        pytest.param(
            one(environment(), environment_key="e", libraries=LIBRARIES),
            "Libraries field is not supported for serverless task, please specify libraries in environment.",
            id="libraries",
        ),
        pytest.param(
            one(environment(), environment_key="e", new_cluster=CLUSTER),
            "environment_key is not supported",
            id="environment-on-a-cluster",
        ),
        pytest.param(one(new_cluster=STANDARD_19, libraries=LIBRARIES), "dependency mode", id="libraries-on-19"),
        pytest.param(
            one(new_cluster={**CLUSTER, "dependency_mode": "DEPENDENCY_MODE_ENVIRONMENTS"}),
            "needs Databricks Runtime 19 and standard access mode",
            id="environments-on-12",
        ),
        pytest.param(
            one(environment(environment_version=None), environment_key="e"), "environment_version", id="no-version"
        ),
        pytest.param(
            one(environment(environment_version=5), environment_key="e"), "must be a string", id="version-is-a-number"
        ),
        pytest.param(one(environment(), environment(), environment_key="e"), "environment_key", id="key-given-twice"),
        pytest.param(
            one(environment(dependencies="numpy"), environment_key="e"), "a list of strings", id="dependencies"
        ),
        pytest.param(
            one(new_cluster=CLUSTER, spark_python_task={"python_file": "/Volumes/c/s/v/x.py", "source": "WORKSPACE"}),
            "Invalid python file reference: /Volumes/c/s/v/x.py.",
            id="file-in-a-volume",
        ),
        pytest.param(
            one(new_cluster=CLUSTER, spark_python_task={"python_file": "x.py", "source": "GIT"}), "git_source", id="git"
        ),
        pytest.param({"tasks": [*SEVERAL["tasks"], *SEVERAL["tasks"]]}, "task_key", id="keys"),
        pytest.param(one(new_cluster=CLUSTER, task_key="a b"), "task_key", id="key"),
        pytest.param(one(new_cluster=CLUSTER) | {"run_as": {}}, "Exactly one of user_name", id="run-as-nobody"),
        pytest.param(
            one(new_cluster=CLUSTER) | {"run_as": {"service_principal_name": "x"}},
            "Principal x does not exist.",
            id="run-as-a-stranger",
        ),
    ],
)
def test_later_versions_take_a_list_of_tasks_with_one_place_each(api: Api, body: object, message: str) -> None:
    assert message in refused(api, body, version="2.2")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(one(environment(), environment_key="e"), id="serverless"),
        pytest.param(one({"environment_key": "e", "spec": {"client": "2"}}, environment_key="e"), id="client"),
        pytest.param(one(environment(), environment_key="e", new_cluster=STANDARD_19), id="environments-mode"),
        pytest.param(
            one(
                new_cluster={**STANDARD_19, "dependency_mode": "DEPENDENCY_MODE_CLUSTER_LIBRARIES"}, libraries=LIBRARIES
            ),
            id="libraries-mode",
        ),
        pytest.param(
            one(new_cluster={**STANDARD_19, "spark_env_vars": {"A": "b"}}, libraries=LIBRARIES), id="by-its-variables"
        ),
        pytest.param(
            one(new_cluster=CLUSTER, max_retries=0)
            | {
                "queue": {"enabled": True},
                "run_as": {"service_principal_name": PRINCIPAL},
                "access_control_list": [{"user_name": "x", "permission_level": "CAN_VIEW"}],
                "budget_policy_id": "b",
                "email_notifications": {"on_failure": ["x@example.com"]},
                "parameters": [{"name": "unheard"}],
                "tags": {"unheard": "1"},
            },
            id="what-passes",
        ),
    ],
)
def test_what_can_run_is_taken(api: Api, body: object) -> None:
    assert api.jobs.wait(api.submit(body, version="2.2"), 60) == runs.SUCCESS


def test_nobody_runs_a_job_as_another_user(api: Api) -> None:
    with pytest.raises(Refused, match=f"User {USER} does not have permission to run jobs as eve"):
        api.submit({**SEVERAL, "run_as": {"user_name": "eve"}}, version="2.2")


def test_a_workspace_may_have_serverless_alone(api: Api) -> None:
    api.compute.only_serverless = True
    for body, version in ((SHELL, "2.0"), (SEVERAL, "2.2")):
        assert refused(api, body, version=version) == "Only serverless compute is supported in the workspace."
    assert api.submit(one(environment(), environment_key="e"), version="2.2")


def test_a_workspace_may_not_know_the_later_versions(api: Api) -> None:
    api.jobs.versions = {"2.0", "2.1"}
    with pytest.raises(Refused) as caught:
        api.submit(SEVERAL, version="2.2")
    assert (caught.value.status, caught.value.body["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    assert api.submit(SEVERAL, version="2.1")


def test_an_environment_that_there_is_not_fails_its_run_or_is_refused_before(api: Api) -> None:
    body = one(environment(environment_version="99"), environment_key="e")
    said = "Cannot launch the cluster. Cause: Invalid platform channel Client-99. Workspace doesn't support Client-99"
    run_id = api.ended(body, version="2.2", mode=Mode())
    assert said in api.state(run_id)["state_message"]
    api.compute.early = True
    assert said in refused(api, body, version="2.2")


def test_a_policy_refuses_what_it_does_not_allow_and_gives_what_is_left_open(api: Api) -> None:
    api.compute.policies["p"] = {"spark_version": ["12.2.x-scala2.12"]}
    later = {**CLUSTER, "policy_id": "p", "spark_version": "15.4.x-scala2.12"}
    text = 'Validation failed for spark_version, must be 12.2.x-scala2.12 (is an element in "List(12.2.x-scala2.12)")'
    assert refused(api, one(new_cluster=later), version="2.2") == f"Cluster validation error: {text}"
    assert "Policy q does not exist" in refused(api, one(new_cluster={**CLUSTER, "policy_id": "q"}), version="2.2")
    given = {"policy_id": "p", "num_workers": 0, "apply_policy_default_values": True}
    run_id = api.submit(one(new_cluster=given), version="2.2")
    shown = api("GET", GET, run_id=run_id, version="2.2")["tasks"][0]["new_cluster"]
    assert shown["spark_version"] == "12.2.x-scala2.12"


def test_the_token_of_a_run_that_failed_is_still_that_run(api: Api) -> None:
    body = {**SEVERAL, "idempotency_token": "x" * 64}
    first = api.ended(body, version="2.2", mode=Mode(ending=runs.NO_CLUSTER))
    assert api.submit(body, version="2.2") == api.submit({**body, "run_name": "another"}, version="2.2") == first
    assert api.state(first)["result_state"] == "FAILED"


def test_keys_that_a_cluster_does_not_know_are_taken_and_recorded(api: Api) -> None:
    body = {**SHELL, "new_cluster": {**CLUSTER, "ENV_MANAGER": None, "build_image": False}}
    run_id = api.submit(body)
    assert api.jobs.submitted == [body]
    assert api("GET", GET, run_id=run_id)["cluster_spec"] == {"new_cluster": body["new_cluster"]}


def test_the_same_token_is_the_same_run(api: Api) -> None:
    first = api.submit({**SHELL, "idempotency_token": "one"})
    assert api.submit({**SHELL, "idempotency_token": "one"}) == first
    assert api.submit({**SHELL, "idempotency_token": "two"}) != first
    assert len(api("GET", LIST)["runs"]) == 2


def test_a_single_task_is_shown_in_place_by_the_first_version(api: Api) -> None:
    run_id = api.ended()
    shown = api("GET", GET, run_id=run_id)
    assert (shown["run_id"], shown["creator_user_name"], shown["format"]) == (run_id, USER, "SINGLE_TASK")
    assert shown["task"] == {"shell_command_task": SHELL["shell_command_task"]}
    assert shown["state"]["result_state"] == "SUCCESS"
    assert shown["run_page_url"].startswith("http://127.0.0.1:1/?o=")
    assert shown["end_time"] >= shown["start_time"] > 0
    assert "status" not in shown


def test_several_tasks_have_outputs_of_their_own(api: Api) -> None:
    run_id = api.ended(SEVERAL, version="2.2")
    shown = api("GET", GET, run_id=run_id, version="2.2")
    assert shown["status"]["termination_details"]["code"] == "SUCCESS"
    task = shown["tasks"][0]
    assert (task["task_key"], task["state"]["result_state"]) == ("main", "SUCCESS")
    assert api("GET", OUTPUT, run_id=task["run_id"], version="2.2")["metadata"]["run_id"] == task["run_id"]
    with pytest.raises(Refused, match="multiple tasks is not supported"):
        api("GET", OUTPUT, run_id=run_id, version="2.2")


@pytest.mark.parametrize("number", [5, "five", ""])
def test_an_unknown_run_is_a_wrong_parameter(api: Api, number: object) -> None:
    for method, name in (("GET", GET), ("GET", OUTPUT), ("POST", CANCEL)):
        with pytest.raises(Refused) as caught:
            api(method, name, {"run_id": number})
        assert (caught.value.status, caught.value.body["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_runs_are_listed_page_by_page_newest_first(api: Api) -> None:
    sent = [api.ended() for _ in range(5)]
    seen: list[int] = []
    token: object = ""
    while token is not None:
        page = api("GET", LIST, limit=2, page_token=token, version="2.2")
        seen += [run["run_id"] for run in page["runs"]]
        token = page.get("next_page_token")
        assert page["has_more"] == (token is not None)
    assert seen == sent[::-1]
    assert [run["run_id"] for run in api("GET", LIST, limit=2, offset=1)["runs"]] == sent[-2:-4:-1]


def test_runs_are_listed_by_what_they_are_doing(api: Api) -> None:
    done, going = api.ended(), api.submit(mode=Mode(endless=True))
    assert [run["run_id"] for run in api("GET", LIST, completed_only="true")["runs"]] == [done]
    assert [run["run_id"] for run in api("GET", LIST, active_only="True", run_type="SUBMIT_RUN")["runs"]] == [going]
    assert "runs" not in api("GET", LIST, run_type="JOB_RUN")
    with pytest.raises(Refused):
        api("GET", LIST, active_only="true", completed_only="true")


@pytest.mark.parametrize(
    ("ending", "shown"),
    [
        pytest.param(runs.SKIPPED, ("SKIPPED", None), id="skipped"),
        pytest.param(runs.LOST, ("INTERNAL_ERROR", None), id="internal-error-without-result"),
        pytest.param(runs.NO_CLUSTER, ("INTERNAL_ERROR", "FAILED"), id="cluster-failure"),
        pytest.param(runs.TIMEDOUT, ("TERMINATED", "TIMEDOUT"), id="timed-out"),
    ],
)
def test_a_run_can_be_made_to_end_badly(api: Api, ending: runs.State, shown: tuple[str, str | None]) -> None:
    state = api.state(api.ended(mode=Mode(ending=ending)))
    assert (state["life_cycle_state"], state.get("result_state")) == shown


def test_an_endless_run_ends_when_it_is_cancelled_and_keeps_that_end(api: Api) -> None:
    run_id = api.submit(mode=Mode(endless=True))
    for _ in range(2):
        assert api("POST", CANCEL, {"run_id": run_id}) == {}
        assert api.jobs.wait(run_id, 60) == runs.CANCELED
    assert api.jobs.history(run_id)[-2:] == ["TERMINATING", "TERMINATED"]
    assert api.state(run_id)["user_cancelled_or_timedout"]


def test_a_finished_run_keeps_its_end_when_it_is_cancelled(api: Api) -> None:
    run_id = api.ended()
    assert api("POST", CANCEL, {"run_id": run_id}) == {}
    assert api.state(run_id)["result_state"] == "SUCCESS"


def test_a_run_is_ended_after_its_own_timeout(api: Api) -> None:
    run_id = api.ended({**SHELL, "timeout_seconds": 0.01}, mode=Mode(endless=True))
    assert api.state(run_id)["result_state"] == "TIMEDOUT"


def test_a_run_may_not_be_found_at_first(api: Api) -> None:
    run_id = api.submit(mode=Mode(ending=runs.SUCCESS, unseen=2))
    assert "runs" not in api("GET", LIST)
    for _ in range(2):
        with pytest.raises(Refused, match=f"Run {run_id} does not exist"):
            api("GET", GET, run_id=run_id)
    assert api("GET", GET, run_id=run_id)["run_id"] == run_id
    assert [run["run_id"] for run in api("GET", LIST)["runs"]] == [run_id]


def test_a_run_waits_in_the_queue_for_as_many_looks_as_it_is_told(api: Api) -> None:
    run_id = api.submit(mode=Mode(ending=runs.SUCCESS, queued=2))
    assert [api.state(run_id)["life_cycle_state"] for _ in range(2)] == ["QUEUED", "QUEUED"]
    api.state(run_id)
    assert api.jobs.wait(run_id, 60) == runs.SUCCESS
    assert api.jobs.history(run_id) == ["QUEUED", "PENDING", "TERMINATED"]


def test_a_queued_run_can_be_cancelled(api: Api) -> None:
    run_id = api.submit(mode=Mode(queued=9))
    api("POST", CANCEL, {"run_id": run_id})
    assert api.jobs.wait(run_id, 60) == runs.CANCELED


def test_a_closed_workspace_has_ended_its_runs(api: Api) -> None:
    going = [api.submit(mode=Mode(endless=True)) for _ in range(3)]
    api.jobs.close()
    assert [api.jobs.wait(run_id, 0) for run_id in going] == [runs.CANCELED] * 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("run ")]


def test_a_task_may_have_a_timeout_of_its_own(api: Api) -> None:
    body = {"tasks": [{**SEVERAL["tasks"][0], "timeout_seconds": 0.01}], "timeout_seconds": 0}
    run_id = api.ended(body, version="2.1", mode=Mode(endless=True))
    assert api.state(run_id)["result_state"] == "TIMEDOUT"


def test_a_task_is_skipped_when_one_before_it_failed(api: Api) -> None:
    first = {**SEVERAL["tasks"][0], "task_key": "first", "new_cluster": {**CLUSTER, "spark_version": "latest"}}
    second = {**SEVERAL["tasks"][0], "task_key": "second", "depends_on": [{"task_key": "first"}]}
    run_id = api.ended({"tasks": [first, second]}, version="2.2", mode=Mode())
    shown = api("GET", GET, run_id=run_id, version="2.2")
    assert [task["state"]["result_state"] for task in shown["tasks"]] == ["FAILED", "UPSTREAM_FAILED"]
    assert shown["state"]["state_message"].startswith("Task first failed with message: ")


def test_run_ids_go_on_where_an_earlier_workspace_ended(api: Api, tmp_path: Path) -> None:
    (tmp_path / "home" / "outputs").mkdir(parents=True)
    (tmp_path / "home" / "outputs" / "1234.txt").touch()
    jobs = Jobs(tmp_path / "disk", "http://127.0.0.1:1", token_of, tmp_path / "home")
    assert Api(jobs).ended() == 1235


def test_a_wrong_runtime_fails_when_its_cluster_is_made(api: Api) -> None:
    run_id = api.ended({**SHELL, "new_cluster": {**CLUSTER, "spark_version": "latest"}}, mode=Mode())
    assert api.state(run_id)["life_cycle_state"] == "INTERNAL_ERROR"
    assert "Invalid spark version latest." in api.state(run_id)["state_message"]


def test_a_later_version_may_show_a_status_without_a_state(api: Api) -> None:
    run_id = api.ended(SEVERAL, version="2.2", mode=Mode(ending=runs.NO_DRIVER, stateless=True))
    shown = api("GET", GET, run_id=run_id, version="2.2")
    for each in (shown, shown["tasks"][0]):
        assert "state" not in each
        assert each["status"]["termination_details"]["code"] == "DRIVER_ERROR"
        assert each["end_time"] >= each["start_time"] > 0
    assert api.state(run_id)["result_state"] == "FAILED"


def test_a_run_that_hangs_in_its_installation_says_so_until_it_is_cancelled(api: Api) -> None:
    run_id = api.submit(SEVERAL, version="2.2", mode=Mode(installing=True))
    api("POST", CANCEL, {"run_id": run_id})
    assert api.jobs.wait(run_id, 60) == runs.CANCELED
    assert set(api.jobs.history(run_id)) == {"PENDING", "TERMINATING", "TERMINATED"}

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_workspace import runs
from tests.fake_workspace.calls import USER, call
from tests.fake_workspace.exchange import Refused
from tests.fake_workspace.jobs import Jobs
from tests.fake_workspace.runs import Mode

SUBMIT, GET, LIST, OUTPUT, CANCEL = (f"/runs/{name}" for name in ("submit", "get", "list", "get-output", "cancel"))
CLUSTER = {"spark_version": "12.2.x-scala2.12", "node_type_id": "i3.xlarge", "num_workers": 1}
SHELL = {"run_name": "tiny", "new_cluster": CLUSTER, "shell_command_task": {"command": ["true"], "env_vars": {}}}
FILE = {"python_file": "dbfs:/task.py", "parameters": ["a"]}
SEVERAL = {"tasks": [{"task_key": "main", "new_cluster": CLUSTER, "spark_python_task": FILE}]}
AT_ONCE = Mode(ending=runs.SUCCESS)


class Api:
    """The handlers of `jobs` under short names."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs

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
    jobs = Jobs(tmp_path / "disk", "http://127.0.0.1:1", "secret", tmp_path / "home")
    yield Api(jobs)
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
        pytest.param(without("x", existing_cluster_id="1"), "Cluster 1 does not exist", id="existing-cluster"),
        pytest.param(without("x", idempotency_token="x" * 65), "idempotency_token", id="token"),
        pytest.param(
            without("shell_command_task", spark_python_task={"python_file": "/tmp/x.py"}),
            "Invalid python file reference: /tmp/x.py. Please visit the Databricks user guide",
            id="python-file",
        ),
    ],
)
def test_what_cannot_run_is_refused_before_there_is_a_run(api: Api, body: object, message: str) -> None:
    assert message in refused(api, body)
    assert api("GET", LIST) == {"has_more": False}
    assert api.jobs.submitted == [body]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(SHELL, "tasks", id="no-tasks"),
        pytest.param({"tasks": [{**SHELL, "task_key": "a"}]}, "spark_python_task", id="shell-command"),
        pytest.param(
            {"tasks": [{"task_key": "a", "spark_python_task": FILE}]},
            "An environment is required for serverless task a.",
            id="nowhere",
        ),
        pytest.param(
            {"tasks": [{"task_key": "a", "spark_python_task": FILE, "environment_key": "x"}]},
            "Job environment 'x' used by task a is not defined in field 'environments'.",
            id="environment",
        ),
        pytest.param({"tasks": [*SEVERAL["tasks"], *SEVERAL["tasks"]]}, "task_key", id="keys"),
    ],
)
def test_later_versions_take_a_list_of_tasks_only(api: Api, body: object, message: str) -> None:
    assert message in refused(api, body, version="2.2")


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
    jobs = Jobs(tmp_path / "disk", "http://127.0.0.1:1", "secret", tmp_path / "home")
    assert Api(jobs).ended() == 1235


def test_a_wrong_runtime_fails_when_its_cluster_is_made(api: Api) -> None:
    run_id = api.ended({**SHELL, "new_cluster": {**CLUSTER, "spark_version": "latest"}}, mode=Mode())
    assert api.state(run_id)["life_cycle_state"] == "INTERNAL_ERROR"
    assert "Invalid spark version latest." in api.state(run_id)["state_message"]

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import errors
from mlops_tasks.workspace import api
from tests.fake_workspace.server import Workspace
from tests.support import places, workspaces

pytest_plugins = ["tests.fake_workspace.fixture"]

ME = "/api/2.0/preview/scim/v2/Me"
MKDIRS = "/api/2.0/dbfs/mkdirs"
THROUGH_CLI = pytest.param(MKDIRS, lambda ours: ours.dbfs.mkdirs("dbfs:/made"), id="databricks-cli")
THROUGH_SDK = pytest.param(
    "/api/2.0/workspace/mkdirs",
    lambda ours: ours.ask("making it", lambda sdk: sdk.workspace.mkdirs("/Shared/made")),
    id="databricks-sdk",
)
Call = Callable[[workspaces.Ours], object]


@pytest.fixture
def ours(workspace: Workspace) -> workspaces.Ours:
    return workspaces.connect(workspace)


TRANSIENT = [
    pytest.param({"status": 429}, id="429"),
    pytest.param({"status": 500, "body": b"<title>Internal error</title>"}, id="500 as a page"),
    pytest.param({"status": 502, "body": b"Bad Gateway"}, id="502 as text"),
    pytest.param({"status": 503, "body": {"error_code": "TEMPORARILY_UNAVAILABLE"}}, id="503"),
    pytest.param({"status": 504}, id="504"),
    pytest.param({"status": 503, "after": True}, id="503 after the effect"),
    pytest.param({"reset": True}, id="reset"),
    pytest.param({"reset": True, "after": True}, id="reset after the effect"),
    pytest.param({"truncate": 1}, id="a cut-off answer"),
]


@pytest.mark.parametrize(("path", "call"), [THROUGH_CLI, THROUGH_SDK])
@pytest.mark.parametrize("how", TRANSIENT)
def test_a_call_that_is_safe_to_repeat_is_repeated_and_told(
    workspace: Workspace, ours: workspaces.Ours, how: dict[str, Any], path: str, call: Call
) -> None:
    workspace.faults.add("POST", path, call=1, **how)

    call(ours)

    assert len(workspace.requests.of("POST", path)) == 2
    assert [1 <= each <= 1.25 for each in ours.waited] == [True]
    assert len(ours.heard.lines) == 1
    assert ours.heard.lines[0].endswith("; trying again in 1 s")


@pytest.mark.parametrize("body", [b'{"runs": [{"run_i', b""], ids=["cut off", "empty"])
def test_a_question_that_is_answered_once_with_half_an_answer_is_asked_again(
    workspace: Workspace, ours: workspaces.Ours, body: bytes
) -> None:
    workspace.faults.add("GET", "/api/2.0/jobs/runs/list", call=1, status=200, body=body)

    assert ours.jobs.list_runs(version="2.0") == {"has_more": False}

    assert len(workspace.requests.of("GET", "/api/2.0/jobs/runs/list")) == 2
    assert "the answer cannot be read; trying again" in ours.heard.lines[0]


@pytest.mark.parametrize(("path", "call"), [THROUGH_CLI, THROUGH_SDK])
def test_what_does_not_mend_is_told_in_the_workspaces_own_words(
    workspace: Workspace, ours: workspaces.Ours, path: str, call: Call
) -> None:
    body = {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "Down for the night"}
    workspace.faults.add("POST", path, status=503, body=body)

    with pytest.raises(errors.WorkspaceError, match=r"503 TEMPORARILY_UNAVAILABLE.*: Down for the night") as caught:
        call(ours)

    assert caught.value.exit_code == 4
    assert len(workspace.requests.of("POST", path)) == 1 + len(api.PATIENT.waits)
    assert ours.waited == sorted(ours.waited)
    assert 31 <= sum(ours.waited) <= 40


@pytest.mark.parametrize(("path", "call"), [THROUGH_CLI, THROUGH_SDK])
def test_retry_after_is_waited_for(workspace: Workspace, ours: workspaces.Ours, path: str, call: Call) -> None:
    workspace.faults.add("POST", path, call=1, status=429, headers={"Retry-After": "40"})
    workspace.faults.add("POST", path, call=2, status=503, headers={"Retry-After": "1"})

    call(ours)

    assert 40 <= ours.waited[0] <= 50
    assert 2 <= ours.waited[1] <= 2.5


def test_what_was_repeated_in_vain_is_not_repeated_by_what_it_is_part_of(
    workspace: Workspace, ours: workspaces.Ours
) -> None:
    workspace.faults.add("GET", "/api/2.0/dbfs/list", status=503)

    with pytest.raises(errors.WorkspaceError, match="503"):
        ours.persist("looking", lambda: ours.dbfs.list("dbfs:/"))

    assert len(workspace.requests.of("GET", "/api/2.0/dbfs/list")) == 6


def test_retry_after_may_be_a_date(workspace: Workspace, ours: workspaces.Ours) -> None:
    in_a_year = formatdate(4_000_000_000, usegmt=True)
    workspace.faults.add("POST", MKDIRS, call=1, status=503, headers={"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"})
    workspace.faults.add("POST", MKDIRS, call=2, status=503, headers={"Retry-After": in_a_year})

    with pytest.raises(errors.WorkspaceError, match="503"):
        ours.dbfs.mkdirs("dbfs:/made")

    assert len(ours.waited) == 1


@pytest.mark.parametrize(("path", "call"), [THROUGH_CLI, THROUGH_SDK])
def test_a_refusal_is_not_repeated(workspace: Workspace, ours: workspaces.Ours, path: str, call: Call) -> None:
    body = {"error_code": "PERMISSION_DENIED", "message": "You may not write here"}
    workspace.faults.add("POST", path, status=403, body=body)

    with pytest.raises(errors.WorkspaceError, match="permission denied: You may not write here"):
        call(ours)

    assert ours.waited == []


@pytest.mark.parametrize("how", TRANSIENT)
def test_a_call_that_may_do_the_same_twice_is_sent_once(
    workspace: Workspace, ours: workspaces.Ours, how: dict[str, Any]
) -> None:
    workspace.faults.add("POST", "/api/2.0/dbfs/create", **how)

    with pytest.raises(errors.WorkspaceError):
        ours.dbfs.create("dbfs:/once")

    assert len(workspace.requests.of("POST", "/api/2.0/dbfs/create")) == 1


@pytest.fixture
def stalled(workspace: Workspace) -> Iterator[threading.Event]:
    """Keeps whatever call it is given to without an answer."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.mark.parametrize(("path", "call"), [THROUGH_CLI, THROUGH_SDK])
def test_a_server_that_stalls_is_given_up(
    workspace: Workspace, stalled: threading.Event, path: str, call: Call
) -> None:
    ours = workspaces.connect(workspace, patience=api.Patience(answer_within=0.1, waits=(1.0, 2.0)))
    workspace.faults.add("POST", path, gate=stalled)

    with pytest.raises(errors.WorkspaceError, match="cannot be reached: no answer in time"):
        call(ours)

    assert len(ours.waited) == 2


@pytest.mark.parametrize("place", places.REMOTE)
def test_an_upload_is_waited_for_longer_than_other_calls(
    workspace: Workspace, stalled: threading.Event, tmp_path: Path, place: str
) -> None:
    (wheel := tmp_path / "a-1-py3-none-any.whl").write_bytes(b"wheel")
    ours = workspaces.connect(workspace, patience=api.Patience(answer_within=30, upload_within=0.1, waits=()))
    found = places.REMOTE[place](workspace, ours)
    found.store.make_folder(found.folder)
    method, path = found.calls[0]
    workspace.faults.add(method, path, gate=stalled)

    with pytest.raises(errors.WorkspaceError, match="no answer in time"):
        found.store.write(wheel, found.folder, lambda size: None)


def test_in_haste_little_is_repeated_and_the_login_not_tried_again(workspace: Workspace, ours: workspaces.Ours) -> None:
    workspace.faults.add("POST", MKDIRS, status=503)
    _ = ours.user

    with pytest.raises(errors.WorkspaceError, match="503"):
        ours.in_haste().dbfs.mkdirs("dbfs:/made")

    assert len(workspace.requests.of("POST", MKDIRS)) == 2
    assert len(workspace.requests.of("GET", ME)) == 1
    assert api.HASTY.answer_within < api.PATIENT.answer_within


def test_in_haste_a_server_that_asks_for_much_time_is_given_none(workspace: Workspace, ours: workspaces.Ours) -> None:
    workspace.faults.add("POST", MKDIRS, status=429, headers={"Retry-After": "11"})

    with pytest.raises(errors.WorkspaceError, match="too many requests"):
        ours.in_haste().dbfs.mkdirs("dbfs:/made")

    assert ours.waited == []


def test_the_credentials_of_each_try_are_fresh(workspace: Workspace, ours: workspaces.Ours) -> None:
    """A service principal's token lives for an hour, and a run may take longer."""
    workspace.add_principal("6ba7", "its-secret")
    tokens = iter(["dapi-first", "dapi-second", "dapi-third"])
    workspace.identity.users.update({"dapi-first": "ada", "dapi-second": "ada", "dapi-third": "grace"})
    object.__setattr__(ours.login, "headers", lambda: {"Authorization": f"Bearer {next(tokens)}"})
    workspace.faults.add("POST", MKDIRS, call=1, status=503)

    ours.dbfs.mkdirs("dbfs:/made")

    assert [entry.user for entry in workspace.requests] == ["ada", "ada", "grace"]


def test_what_follows_goes_on_while_the_login_is_tried(workspace: Workspace, ours: workspaces.Ours) -> None:
    answered = threading.Event()
    workspace.faults.add("GET", ME, gate=answered)

    ours.begin_sign_in()

    answered.set()
    assert ours.user == "ada@example.com"
    assert len(workspace.requests.of("GET", ME)) == 1


def test_a_bad_login_is_told_where_it_is_needed(workspace: Workspace, ours: workspaces.Ours) -> None:
    workspace.faults.add("GET", ME, status=403)

    ours.begin_sign_in()

    with pytest.raises(errors.WorkspaceError, match="403"):
        ours.dbfs.mkdirs("dbfs:/made")
    assert not workspace.requests.of("POST", MKDIRS)


def test_a_workspace_says_once_what_clusters_can_be_made_of(ours: workspaces.Ours, workspace: Workspace) -> None:
    for _ in range(2):
        assert "16.4.x-cpu-ml-scala2.12" in ours.runtimes
        assert "i3.xlarge" in ours.node_types

    paths = [each.path for each in workspace.requests if "/clusters/" in each.path]
    assert paths == ["/api/2.1/clusters/spark-versions", "/api/2.1/clusters/list-node-types"]


def test_whoever_may_not_see_the_node_types_is_told_so(ours: workspaces.Ours, workspace: Workspace) -> None:
    workspace.compute.closed = True

    with pytest.raises(errors.WorkspaceError, match="not authorized to create clusters"):
        _ = ours.node_types

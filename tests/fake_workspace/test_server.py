from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import Unauthenticated

from tests.fake_workspace.identity import EXPIRED_TOKEN
from tests.fake_workspace.server import TOKEN, USER, Workspace

ME = "/api/2.0/preview/scim/v2/Me"


@pytest.fixture(scope="module")
def served() -> Iterator[Workspace]:
    with Workspace(users={TOKEN: USER, "dapi-of-grace": "grace@example.com"}) as workspace:
        yield workspace
        assert not workspace.crashes, workspace.crashes[0]


@pytest.fixture
def workspace(served: Workspace) -> Iterator[Workspace]:
    served.requests.clear()
    yield served
    served.faults.clear()


def ask(workspace: Workspace, method: str, path: str, **how: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {workspace.token}", **how.pop("headers", {})}
    return requests.request(method, workspace.url + path, headers=headers, timeout=10, **how)


def test_each_token_is_somebody_elses(workspace: Workspace) -> None:
    answer = ask(workspace, "GET", ME, headers={"Authorization": "Bearer dapi-of-grace"})

    assert answer.json()["userName"] == "grace@example.com"
    assert answer.headers["X-Databricks-Org-Id"] == "900800700600"
    assert WorkspaceClient(host=workspace.url, token=workspace.token).current_user.me().user_name == USER


def test_a_wrong_token_is_refused_with_a_number_for_a_code(workspace: Workspace) -> None:
    answer = ask(workspace, "GET", ME, headers={"Authorization": "Bearer wrong"})

    assert (answer.status_code, answer.json()) == (403, {"error_code": 403, "message": "Invalid access token."})
    assert answer.headers["X-Databricks-Reason-Phrase"] == "Invalid access token."
    assert requests.get(workspace.url + ME, timeout=10).status_code == 401


def test_a_wrong_token_may_be_refused_as_an_expired_one(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace.identity, "refusal", EXPIRED_TOKEN)

    with pytest.raises(Unauthenticated, match="Token is expired"):
        WorkspaceClient(host=workspace.url, token="wrong").current_user.me()


def test_an_unknown_endpoint_is_not_found(workspace: Workspace) -> None:
    answer = ask(workspace, "POST", "/api/2.0/nothing")

    assert answer.status_code == 404
    assert answer.json() == {"error_code": "ENDPOINT_NOT_FOUND", "message": "No API found for 'POST /api/2.0/nothing'"}


def test_a_service_principal_comes_in_through_oauth(workspace: Workspace) -> None:
    workspace.add_principal("6ba7b810-9dad", "its-secret")

    client = WorkspaceClient(host=workspace.url, client_id="6ba7b810-9dad", client_secret="its-secret")

    assert client.current_user.me().user_name == "6ba7b810-9dad"
    refused = requests.post(f"{workspace.url}/oidc/v1/token", auth=("6ba7b810-9dad", "wrong"), timeout=10)
    assert refused.status_code == 401


def test_the_log_holds_no_tokens(workspace: Workspace) -> None:
    ask(workspace, "POST", "/api/2.0/dbfs/mkdirs?q=1", data=json.dumps({"path": "/a"}))

    (entry,) = workspace.requests.of("POST", "/api/2.0/dbfs/mkdirs")
    assert (entry.status, entry.json, entry.size, entry.query) == (200, {"path": "/a"}, 14, {"q": "1"})
    assert entry.authorized
    assert workspace.token not in repr(workspace.requests)


def test_one_connection_carries_many_requests_and_a_body_in_chunks(workspace: Workspace) -> None:
    host = urlsplit(workspace.url).netloc
    headers = {"Authorization": f"Bearer {workspace.token}"}
    with closing(http.client.HTTPConnection(host, timeout=10)) as connection:
        for body in (iter([b'{"path":', b'"/chunks"}']), b"not what this one reads"):
            connection.request("POST", "/api/2.0/dbfs/mkdirs", body, headers, encode_chunked=True)
            answer = connection.getresponse()
            answer.read()
        connection.request("GET", "/api/2.0/dbfs/get-status?path=/chunks", headers=headers)
        assert json.load(connection.getresponse())["is_dir"]


def test_a_rule_meets_the_call_that_it_names(workspace: Workspace) -> None:
    workspace.faults.add("GET", ME, call=2, status=429, body={"error_code": "BUSY"}, headers={"Retry-After": "3"})

    answers = [ask(workspace, "GET", ME) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 429, 200]
    assert (answers[1].headers["Retry-After"], answers[1].json()) == ("3", {"error_code": "BUSY"})


@pytest.mark.parametrize("after", [False, True])
def test_a_connection_is_reset_before_the_call_takes_effect_or_after_it(workspace: Workspace, after: bool) -> None:
    workspace.faults.add("POST", "/api/2.0/dbfs/mkdirs", reset=True, after=after)

    with pytest.raises(requests.ConnectionError):
        ask(workspace, "POST", "/api/2.0/dbfs/mkdirs", json={"path": f"/reset-{after}"})

    assert (workspace.disk.dbfs / f"reset-{after}").exists() == after
    assert workspace.requests[-1].status == 0


def test_a_body_is_cut_off(workspace: Workspace) -> None:
    workspace.faults.add("POST", "/dbfs/cut", cut=1000)

    with pytest.raises(requests.ConnectionError):
        ask(workspace, "POST", "/dbfs/cut", data=b"x" * 5_000_000)

    assert not (workspace.disk.dbfs / "cut").exists()
    assert workspace.requests[-1].size == 1000


def test_an_answer_is_cut_off(workspace: Workspace) -> None:
    workspace.faults.add("GET", ME, truncate=5)

    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        ask(workspace, "GET", ME)


def test_a_gate_holds_a_call_until_the_test_lets_it_go(workspace: Workspace) -> None:
    gate = threading.Event()
    fault = workspace.faults.add("GET", ME, gate=gate)
    statuses: list[int] = []
    asking = threading.Thread(target=lambda: statuses.append(ask(workspace, "GET", ME).status_code))
    asking.start()

    assert fault.met.wait()
    assert statuses == []
    gate.set()
    asking.join()
    assert statuses == [200]


def test_a_narrow_line_takes_its_time(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("tests.fake_workspace.faults.time.sleep", slept.append)
    workspace.faults.shape(latency=2, bandwidth=10_000)

    ask(workspace, "POST", "/dbfs/narrow", data=b"x" * 100_000)

    assert 2 in slept
    assert 9 < max(slept) <= 10


def test_what_was_stopped_is_gone() -> None:
    with Workspace() as workspace:
        held = socket.create_connection(("127.0.0.1", urlsplit(workspace.url).port or 0), timeout=10)
        assert ask(workspace, "GET", ME).ok
        root = workspace.root

    with closing(held):
        assert held.recv(1) == b""
    with pytest.raises(requests.ConnectionError):
        ask(workspace, "GET", ME)
    assert not root.exists()


def test_a_workspace_is_served_by_hand_and_keeps_its_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fake_workspace", "--root", str(tmp_path)]
    home = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = [process.stdout.readline().strip() for _ in range(2)]
        told = dict(line.removeprefix("export ").split("=") for line in lines)
        client = WorkspaceClient(host=told["DATABRICKS_HOST"], token=told["DATABRICKS_TOKEN"])
        client.dbfs.mkdirs("/kept")
        process.send_signal(signal.SIGINT)

        assert process.wait(10) == 0
    assert (tmp_path / "dbfs" / "kept").is_dir()


def test_a_call_that_is_held_when_the_workspace_goes_has_no_effect() -> None:
    with Workspace() as workspace:
        fault = workspace.faults.add("POST", "/api/2.0/dbfs/mkdirs", gate=threading.Event())
        failures: list[Exception] = []

        def make_folder() -> None:
            try:
                ask(workspace, "POST", "/api/2.0/dbfs/mkdirs", json={"path": "/late"})
            except requests.ConnectionError as error:
                failures.append(error)

        asking = threading.Thread(target=make_folder)
        asking.start()
        assert fault.met.wait()
        workspace.stop()
        asking.join()
        assert len(failures) == 1
        assert not (workspace.disk.dbfs / "late").exists()

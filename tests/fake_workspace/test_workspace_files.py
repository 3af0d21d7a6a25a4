from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, NotFound, ResourceAlreadyExists
from databricks.sdk.service.workspace import ImportFormat, ObjectType

from tests.fake_workspace import files
from tests.fake_workspace.server import Workspace
from tests.fake_workspace.workspace_files import ANSWERS, LARGEST, LIMIT

NOTEBOOK = b"# Databricks notebook source\nprint(1)\n"


@pytest.fixture(scope="module")
def served() -> Iterator[Workspace]:
    with Workspace() as workspace:
        yield workspace
        assert not workspace.crashes, workspace.crashes[0]


@pytest.fixture
def workspace(served: Workspace) -> Iterator[Workspace]:
    served.requests.clear()
    yield served
    served.faults.clear()
    served.workspace_files.answers = dict(ANSWERS)


@pytest.fixture
def client(workspace: Workspace) -> WorkspaceClient:
    return WorkspaceClient(host=workspace.url, token=workspace.token)


@pytest.fixture
def folder(workspace: Workspace, request: pytest.FixtureRequest) -> str:
    """A folder below the user's home that is there, and the test's own."""
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    (workspace.disk.make_home(workspace.user) / name).mkdir()
    return f"/Users/{workspace.user}/{name}"


def ask(workspace: Workspace, call: str, *, method: str = "POST", **data: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {workspace.token}"}
    url = f"{workspace.url}/api/2.0/workspace/{call}"
    return requests.request(method, url, data=json.dumps(data), headers=headers, timeout=10)


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error_code"]


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_the_sdk_imports_a_wheel_and_gets_it_back(workspace: Workspace, client: WorkspaceClient, folder: str) -> None:
    wheel = f"{folder}/demo-1.0-py3-none-any.whl"
    client.workspace.upload(f"/Workspace{wheel}", io.BytesIO(b"wheel"), format=ImportFormat.AUTO)

    status = client.workspace.get_status(wheel)
    assert (status.object_type, status.path, status.size) == (ObjectType.FILE, wheel, 5)
    assert client.workspace.download(wheel).read() == b"wheel"
    assert (workspace.disk.workspace / wheel[1:]).read_bytes() == b"wheel"
    assert [node.path for node in client.workspace.list(folder)] == [wheel]


def test_a_notebook_loses_its_ending(client: WorkspaceClient, folder: str) -> None:
    client.workspace.upload(f"{folder}/train.py", io.BytesIO(NOTEBOOK), format=ImportFormat.AUTO)
    client.workspace.upload(f"{folder}/plain.py", io.BytesIO(b"print(2)\n"), format=ImportFormat.AUTO)
    client.workspace.upload(f"{folder}/source", io.BytesIO(b"print(3)\n"), language=None, format=ImportFormat.RAW)
    client.workspace.import_(f"{folder}/made", content=encoded(b"print(4)\n"), language=None, format=ImportFormat.AUTO)

    kinds = {str(node.path).rpartition("/")[2]: node.object_type for node in client.workspace.list(folder)}
    files = ("plain.py", "source", "made")
    assert kinds == {"train": ObjectType.NOTEBOOK, **dict.fromkeys(files, ObjectType.FILE)}


def test_what_exists_stays_unless_told_otherwise(workspace: Workspace, client: WorkspaceClient, folder: str) -> None:
    client.workspace.upload(f"{folder}/x.txt", io.BytesIO(b"one"), format=ImportFormat.AUTO)

    with pytest.raises(ResourceAlreadyExists, match="overwrite=true"):
        client.workspace.upload(f"{folder}/x.txt", io.BytesIO(b"two"), format=ImportFormat.AUTO)

    workspace.workspace_files.answers["exists"] = (409, "ALREADY_EXISTS")
    again = ask(workspace, "import", path=f"{folder}/x.txt", format="AUTO", content=encoded(b"two"))
    assert code(again) == (409, "ALREADY_EXISTS")
    client.workspace.upload(f"{folder}/x.txt", io.BytesIO(b"two"), format=ImportFormat.AUTO, overwrite=True)
    assert client.workspace.download(f"{folder}/x.txt").read() == b"two"


def test_folders_must_be_there_first_and_go_when_empty(client: WorkspaceClient, folder: str) -> None:
    with pytest.raises(NotFound, match=f"The parent folder \\({folder}/a/b\\) does not exist."):
        client.workspace.upload(f"{folder}/a/b/x", io.BytesIO(b"x"), format=ImportFormat.AUTO)

    client.workspace.mkdirs(f"{folder}/a//b")
    client.workspace.mkdirs(f"{folder}/a/b")
    client.workspace.upload(f"{folder}/a/b/x", io.BytesIO(b"x"), format=ImportFormat.AUTO)
    with pytest.raises(BadRequest) as caught:
        client.workspace.delete(folder)
    assert caught.value.error_code == "DIRECTORY_NOT_EMPTY"
    client.workspace.delete(folder, recursive=True)
    with pytest.raises(NotFound, match=f"Path \\({folder}\\) doesn't exist."):
        client.workspace.delete(folder)


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        pytest.param({"path": "x"}, (400, "INVALID_PARAMETER_VALUE"), id="relative"),
        pytest.param({"path": "/Shared/../x"}, (400, "INVALID_PARAMETER_VALUE"), id="dots"),
        pytest.param({"content": ""}, (400, "INVALID_PARAMETER_VALUE"), id="empty"),
        pytest.param({"content": "?"}, (400, "MALFORMED_REQUEST"), id="no base64"),
        pytest.param({"format": "auto"}, (400, "INVALID_PARAMETER_VALUE"), id="small letters"),
        pytest.param({"format": "SOURCE"}, (400, "INVALID_PARAMETER_VALUE"), id="no language"),
        pytest.param({"content": encoded(b"x" * (LIMIT + 1))}, (400, "MAX_NOTEBOOK_SIZE_EXCEEDED"), id="too big"),
        pytest.param({"path": "/Shared", "overwrite": True}, (400, "INVALID_PARAMETER_VALUE"), id="a folder"),
    ],
)
def test_what_an_import_refuses(workspace: Workspace, data: dict[str, Any], answer: tuple[int, str]) -> None:
    sound = {"path": "/Shared/x.whl", "format": "AUTO", "content": encoded(b"x")}

    assert code(ask(workspace, "import", **{**sound, **data})) == answer


def test_a_form_takes_more_than_json_but_nothing_gives_it_back(client: WorkspaceClient, folder: str) -> None:
    client.workspace.upload(f"{folder}/big", io.BytesIO(b"x" * (LIMIT + 1)), format=ImportFormat.AUTO)

    with pytest.raises(BadRequest) as caught:
        client.workspace.download(f"{folder}/big")
    assert caught.value.error_code == "MAX_NOTEBOOK_SIZE_EXCEEDED"


def test_a_file_is_no_folder(workspace: Workspace, client: WorkspaceClient, folder: str) -> None:
    client.workspace.upload(f"{folder}/x", io.BytesIO(b"x"), format=ImportFormat.AUTO)

    answer = ask(workspace, "mkdirs", path=f"{folder}/x")

    assert code(answer) == (400, "RESOURCE_ALREADY_EXISTS")
    assert answer.json()["message"] == "x already exists and it is not a folder"


def test_the_older_endpoint_takes_bytes(workspace: Workspace, folder: str) -> None:
    url = f"{workspace.url}/api/2.0/workspace-files/import-file/{folder[1:]}/x"
    headers = {"Authorization": f"Bearer {workspace.token}"}

    statuses = [
        requests.post(url + query, data=b"x", headers=headers, timeout=10).status_code
        for query in ("", "", "?overwrite=true")
    ]

    assert statuses == [200, 409, 200]


@pytest.mark.parametrize("form", ["AUTO", "SOURCE", None])
def test_a_file_is_exported_as_it_is(workspace: Workspace, folder: str, form: str | None) -> None:
    path = workspace.disk.workspace_path(f"{folder}/000001-3.txt")
    path.write_bytes(b"a\n\xff")
    asked = {"path": f"{folder}/000001-3.txt", "direct_download": "true", **({"format": form} if form else {})}
    url, headers = f"{workspace.url}/api/2.0/workspace/export", {"Authorization": f"Bearer {workspace.token}"}
    assert requests.get(url, params=asked, headers=headers, timeout=10).content == b"a\n\xff"
    assert requests.get(url, params={**asked, "format": "DBC"}, headers=headers, timeout=10).status_code == 400


def test_a_file_may_be_too_large_for_workspace_files_and_for_a_volume(workspace: Workspace, folder: str) -> None:
    workspace.make_volume("c", "s", "small")
    workspace.workspace_files.largest = workspace.files.largest = 3
    headers = {"Authorization": f"Bearer {workspace.token}"}
    url = f"{workspace.url}/api/2.0/fs/files/Volumes/c/s/small/x"
    try:
        answer = ask(workspace, "import", path=f"{folder}/x.txt", format="AUTO", content=encoded(b"four"))
        assert code(answer) == (400, "MAX_NOTEBOOK_SIZE_EXCEEDED")
        assert requests.put(url, data=b"four", headers=headers, timeout=10).status_code == 400
        assert requests.put(url, data=b"two", headers=headers, timeout=10).status_code == 204
    finally:
        workspace.workspace_files.largest, workspace.files.largest = LARGEST, files.LARGEST

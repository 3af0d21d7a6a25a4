from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import AlreadyExists, BadRequest, NotFound

from tests.fake_workspace.server import Workspace


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
    served.files.keeps_cut_off_uploads = served.signed.expired = False


@pytest.fixture
def client(workspace: Workspace) -> WorkspaceClient:
    return WorkspaceClient(host=workspace.url, token=workspace.token)


@pytest.fixture
def volume(workspace: Workspace, request: pytest.FixtureRequest) -> str:
    """The path of a volume that is the test's own."""
    name = "v" + hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    workspace.make_volume("Main", "Default", name.upper())
    return f"/Volumes/main/default/{name}"


def ask(workspace: Workspace, method: str, path: str, **how: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {workspace.token}", **how.pop("headers", {})}
    return requests.request(method, f"{workspace.url}/api/2.0/fs/{path}", headers=headers, timeout=10, **how)


def test_the_sdk_uploads_lists_and_downloads(workspace: Workspace, client: WorkspaceClient, volume: str) -> None:
    wheel = f"{volume}/new folder/demo-1.0+abc-py3-none-any.whl"
    client.files.upload(wheel, io.BytesIO(b"wheel"))

    (found,) = client.files.list_directory_contents(f"{volume}/new folder")
    assert (found.path, found.name, found.file_size, found.is_directory) == (wheel, Path(wheel).name, 5, False)
    assert client.files.get_metadata(wheel).content_length == 5
    download = client.files.download(wheel).contents
    assert download is not None
    assert download.read() == b"wheel"
    assert workspace.requests.of("PUT", ".*")[0].target.endswith("/new%20folder/demo-1.0%2Babc-py3-none-any.whl")
    client.files.delete(wheel)
    with pytest.raises(NotFound):
        client.files.get_metadata(wheel)


def test_a_file_that_exists_is_overwritten_unless_told_otherwise(workspace: Workspace, volume: str) -> None:
    for content in (b"one", b"two"):
        assert ask(workspace, "PUT", f"files{volume}/x", data=content).status_code == 204

    refused = ask(workspace, "PUT", f"files{volume}/x?overwrite=false", data=b"three")

    assert (refused.status_code, refused.json()["error_code"]) == (409, "ALREADY_EXISTS")
    assert ask(workspace, "GET", f"files{volume}/x").content == b"two"


def test_the_sdk_uploads_a_big_file_in_parts(workspace: Workspace, client: WorkspaceClient, volume: str) -> None:
    content = os.urandom(1 << 20) * 51
    client.files.upload(f"{volume}/big", io.BytesIO(content))

    stored = workspace.disk.volumes / volume.removeprefix("/Volumes/") / "big"
    assert hashlib.sha256(stored.read_bytes()).digest() == hashlib.sha256(content).digest()
    parts = workspace.requests.of("PUT", "/signed/.*")
    assert len(parts) > 1
    assert not any(part.authorized for part in parts)
    with pytest.raises(AlreadyExists):
        client.files.upload(f"{volume}/big", io.BytesIO(content), overwrite=False)
    assert not list(workspace.disk.incoming.iterdir())


def test_a_part_that_is_not_the_one_uploaded_completes_nothing(workspace: Workspace, volume: str) -> None:
    begun = ask(workspace, "POST", f"files{volume}/big?action=initiate-upload").json()
    token = begun["multipart_upload"]["session_token"]
    asked = {"path": f"{volume}/big", "session_token": token, "start_part_number": 1, "count": 1}
    (part,) = ask(workspace, "POST", "create-upload-part-urls", json=asked).json()["upload_part_urls"]
    requests.put(part["url"], data=b"data", timeout=10)

    end = f"files{volume}/big?action=complete-upload&upload_type=multipart&session_token={token}"
    assert ask(workspace, "POST", end, json={"parts": [{"part_number": 1, "etag": '"other"'}]}).status_code == 400
    abort = f"files{volume}/big?action=abort-upload&upload_type=multipart&session_token={token}"
    assert ask(workspace, "POST", abort).status_code == 200
    assert ask(workspace, "HEAD", f"files{volume}/big").status_code == 404
    assert ask(workspace, "POST", end, json={"parts": []}).status_code == 404


def test_a_signed_url_refuses_a_token_and_ends_some_day(workspace: Workspace, volume: str) -> None:
    ask(workspace, "PUT", f"files{volume}/x", data=b"0123456789")
    url = ask(workspace, "POST", "create-download-url", params={"path": f"{volume}/x"}).json()["url"]

    assert requests.get(url, timeout=10).content == b"0123456789"
    ranged = requests.get(url, headers={"Range": "bytes=2-4"}, timeout=10)
    assert (ranged.status_code, ranged.content, ranged.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert requests.get(url, headers={"Authorization": "Bearer x"}, timeout=10).status_code == 400
    assert requests.put(url, data=b"x", timeout=10).status_code == 403
    workspace.signed.expired = True
    assert requests.get(url, timeout=10).status_code == 403


def test_a_volume_exists_only_when_it_was_made(workspace: Workspace) -> None:
    answer = ask(workspace, "PUT", "files/Volumes/main/default/none/x", data=b"x")

    assert (answer.status_code, answer.json()["error_code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/Volumes/main/x", "/dbfs/x", "/Workspace/x", "/Volumes/main/default/v/../../x"])
def test_a_path_outside_of_volumes_is_refused(workspace: Workspace, path: str) -> None:
    workspace.make_volume("main", "default", "v")
    prepared = requests.Request("PUT", f"{workspace.url}/api/2.0/fs/files").prepare()
    prepared.url = f"{workspace.url}/api/2.0/fs/files{path}"
    prepared.headers["Authorization"] = f"Bearer {workspace.token}"

    assert requests.Session().send(prepared).status_code == 400


def test_folders_are_made_with_those_above_them_and_go_when_empty(
    workspace: Workspace, client: WorkspaceClient, volume: str
) -> None:
    client.files.create_directory(f"{volume}/a/b")
    client.files.create_directory(f"{volume}/a/b")
    client.files.upload(f"{volume}/a/file", io.BytesIO(b"x"))

    client.files.get_directory_metadata(f"{volume}/a")
    with pytest.raises(NotFound):
        client.files.get_directory_metadata(f"{volume}/a/file")
    with pytest.raises(AlreadyExists):
        client.files.create_directory(f"{volume}/a/file")
    with pytest.raises(BadRequest) as caught:
        client.files.delete_directory(f"{volume}/a")
    info = caught.value.get_error_details().error_info
    assert info is not None
    assert info.reason == "FILES_API_DIRECTORY_IS_NOT_EMPTY"
    client.files.delete_directory(f"{volume}/a/b")


def test_a_long_list_comes_in_pages(workspace: Workspace, client: WorkspaceClient, volume: str) -> None:
    for number in range(5):
        (workspace.disk.files_path(volume) / str(number)).touch()

    found = client.files.list_directory_contents(volume, page_size=2)

    assert [entry.name for entry in found] == ["0", "1", "2", "3", "4"]
    assert len(workspace.requests.of("GET", f".*{volume}")) == 3
    assert ask(workspace, "GET", f"directories{volume}?page_size=1001").status_code == 400


@pytest.mark.parametrize("kept", [False, True])
def test_an_upload_that_is_cut_off_leaves_nothing_or_what_came(workspace: Workspace, volume: str, kept: bool) -> None:
    workspace.files.keeps_cut_off_uploads = kept
    workspace.faults.add("PUT", "/api/2.0/fs/files", cut=200_000)

    with pytest.raises(requests.ConnectionError):
        ask(workspace, "PUT", f"files{volume}/x", data=b"x" * 1_000_000)

    assert (workspace.disk.files_path(volume) / "x").exists() == kept


def test_the_artifacts_of_mlflow_are_files_too(workspace: Workspace) -> None:
    path = "files/WorkspaceInternal/Mlflow/Artifacts/12/Runs/abc/artifacts/model/MLmodel"

    assert ask(workspace, "PUT", path, data=iter([])).status_code == 204
    assert (workspace.disk.artifacts / "12/Runs/abc/artifacts/model/MLmodel").read_bytes() == b""

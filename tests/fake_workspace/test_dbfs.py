from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks_cli.sdk import ApiClient, DbfsService

from tests.fake_workspace.dbfs import ANSWERS
from tests.fake_workspace.server import Workspace

MEBIBYTE = 1 << 20

# databricks-cli leaves the file open that it puts
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def served() -> Iterator[Workspace]:
    with Workspace() as workspace:
        yield workspace
        assert not workspace.crashes, workspace.crashes[0]


@pytest.fixture
def workspace(served: Workspace, request: pytest.FixtureRequest) -> Iterator[Workspace]:
    served.requests.clear()
    yield served
    served.faults.clear()
    served.dbfs.answers = dict(ANSWERS)
    served.dbfs.disabled = served.dbfs.keeps_cut_off_puts = False
    served.dbfs.shows_open_files = served.raw_dbfs.marks_reasons = True


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> str:
    """A folder of DBFS that is the test's own."""
    return "/" + hashlib.sha256(request.node.name.encode()).hexdigest()[:8]


@pytest.fixture
def service(workspace: Workspace) -> DbfsService:
    client = ApiClient(host=workspace.url, token=workspace.token)
    client.url = workspace.url + "/api/"  # databricks-cli drops the port
    return DbfsService(client)


def ask(workspace: Workspace, call: str, *, method: str = "POST", **data: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {workspace.token}"}
    return requests.request(
        method, f"{workspace.url}/api/2.0/dbfs/{call}", data=json.dumps(data), headers=headers, timeout=10
    )


def post(workspace: Workspace, path: str, data: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {workspace.token}"}
    return requests.post(workspace.url + path, data=data, headers=headers, timeout=10)


def code(answer: requests.Response | None) -> tuple[int, str]:
    assert answer is not None
    return answer.status_code, answer.json()["error_code"]


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_databricks_cli_puts_a_file_whole(
    workspace: Workspace, service: DbfsService, folder: str, tmp_path: Path
) -> None:
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    wheel.write_bytes(os.urandom(3 * MEBIBYTE) + b"\r\n--")

    service.put(f"dbfs:{folder}/wheels/{wheel.name}", src_path=str(wheel), overwrite=True)

    assert (workspace.disk.dbfs / folder[1:] / "wheels" / wheel.name).read_bytes() == wheel.read_bytes()
    assert service.get_status(f"{folder}/wheels/{wheel.name}")["file_size"] == wheel.stat().st_size
    assert service.get_status(f"{folder}/wheels")["path"] == f"{folder}/wheels"


def test_databricks_cli_tells_what_exists_already(service: DbfsService, folder: str, tmp_path: Path) -> None:
    service.put(f"{folder}/x", contents=encoded(b"one"))

    with pytest.raises(requests.HTTPError) as caught:
        service.put(f"{folder}/x", contents=encoded(b"two"))

    assert code(caught.value.response) == (400, "RESOURCE_ALREADY_EXISTS")
    service.put(f"{folder}/x", contents=encoded(b"two"), overwrite=True)
    assert base64.b64decode(service.read(f"{folder}/x")["data"]) == b"two"


def test_a_file_grows_block_by_block(service: DbfsService, folder: str) -> None:
    handle = service.create(f"{folder}/big")["handle"]
    for block in (b"a" * MEBIBYTE, b"b"):
        service.add_block(handle, encoded(block))
    service.close(handle)

    assert service.read(f"{folder}/big", offset=MEBIBYTE, length=10) == {"bytes_read": 1, "data": encoded(b"b")}
    assert service.read(f"{folder}/big")["bytes_read"] == MEBIBYTE // 2


@pytest.mark.parametrize("shown", [True, False])
def test_a_file_that_is_open_is_seen_or_not(
    workspace: Workspace, service: DbfsService, folder: str, shown: bool
) -> None:
    workspace.dbfs.shows_open_files = shown
    handle = service.create(f"{folder}/{shown}")["handle"]
    file = workspace.disk.dbfs / folder[1:] / str(shown)
    service.add_block(handle, encoded(b"data"))

    assert file.exists() == shown
    service.close(handle)
    assert file.read_bytes() == b"data"


def test_the_sdk_does_all_that_dbfs_can(workspace: Workspace, folder: str) -> None:
    dbfs = WorkspaceClient(host=workspace.url, token=workspace.token).dbfs
    dbfs.mkdirs(f"{folder}/empty")
    with dbfs.open(f"{folder}/file", write=True) as stream:
        stream.write(b"x" * (MEBIBYTE + 1))
    dbfs.move_(f"{folder}/file", f"{folder}/deep/moved")

    assert list(dbfs.list(f"{folder}/empty")) == []
    assert [info.path for info in dbfs.list(folder)] == [f"{folder}/deep", f"{folder}/empty"]
    assert [info.file_size for info in dbfs.list(f"{folder}/deep/moved")] == [MEBIBYTE + 1]
    assert len(dbfs.download(f"{folder}/deep/moved").read()) == MEBIBYTE + 1
    dbfs.delete(folder, recursive=True)
    assert not dbfs.exists(folder)
    dbfs.delete(folder)


def test_an_empty_folder_lists_nothing_at_all(workspace: Workspace, folder: str) -> None:
    ask(workspace, "mkdirs", path=folder)

    assert ask(workspace, "list", method="GET", path=folder).json() == {}


@pytest.mark.parametrize(
    ("call", "method", "data", "answer"),
    [
        pytest.param("get-status", "GET", {"path": "/none"}, (404, "RESOURCE_DOES_NOT_EXIST"), id="missing"),
        pytest.param("list", "GET", {"path": "/none"}, (404, "RESOURCE_DOES_NOT_EXIST"), id="missing folder"),
        pytest.param("read", "GET", {"path": "/none"}, (404, "RESOURCE_DOES_NOT_EXIST"), id="missing to read"),
        pytest.param("mkdirs", "POST", {"path": "x"}, (400, "INVALID_PARAMETER_VALUE"), id="relative"),
        pytest.param("mkdirs", "POST", {"path": "dbfs:x"}, (400, "INVALID_PARAMETER_VALUE"), id="relative URI"),
        pytest.param("mkdirs", "POST", {"path": "dbfs://x"}, (400, "INVALID_PARAMETER_VALUE"), id="a host"),
        pytest.param("mkdirs", "POST", {"path": "/a/../b"}, (400, "INVALID_PARAMETER_VALUE"), id="dots"),
        pytest.param("mkdirs", "POST", {"path": "/Volumes/a"}, (400, "INVALID_PARAMETER_VALUE"), id="volume"),
        pytest.param("close", "POST", {"handle": 1}, (404, "RESOURCE_DOES_NOT_EXIST"), id="unknown handle"),
        pytest.param("put", "POST", {"path": "/x", "contents": "?"}, (400, "MALFORMED_REQUEST"), id="no base64"),
        pytest.param("read", "GET", {"path": "/"}, (400, "INVALID_PARAMETER_VALUE"), id="reading a folder"),
        pytest.param(
            "put",
            "POST",
            {"path": "/x", "contents": encoded(b"x" * (MEBIBYTE + 1))},
            (400, "MAX_BLOCK_SIZE_EXCEEDED"),
            id="too big",
        ),
    ],
)
def test_what_dbfs_refuses(
    workspace: Workspace, call: str, method: str, data: dict[str, Any], answer: tuple[int, str]
) -> None:
    assert code(ask(workspace, call, method=method, **data)) == answer


def test_a_file_is_no_folder(workspace: Workspace, folder: str) -> None:
    ask(workspace, "put", path=f"{folder}/file", contents=encoded(b"x"))

    assert code(ask(workspace, "mkdirs", path=f"{folder}/file/sub")) == (400, "RESOURCE_ALREADY_EXISTS")
    moved = ask(workspace, "move", source_path=f"{folder}/file", destination_path=folder)
    assert code(moved) == (400, "RESOURCE_ALREADY_EXISTS")
    too_much = ask(workspace, "read", method="GET", path=f"{folder}/file", length=MEBIBYTE + 1)
    assert code(too_much) == (400, "MAX_READ_SIZE_EXCEEDED")


def test_a_full_folder_goes_only_with_all_that_is_in_it(workspace: Workspace, folder: str) -> None:
    ask(workspace, "mkdirs", path=f"{folder}/sub")

    assert code(ask(workspace, "delete", path=folder)) == (400, "IO_ERROR")
    workspace.dbfs.answers["folder not empty"] = (400, "BAD_REQUEST")
    assert code(ask(workspace, "delete", path=folder)) == (400, "BAD_REQUEST")
    assert ask(workspace, "delete", path=folder, recursive=True).json() == {}


def test_a_jobs_link_leads_out_of_nothing(workspace: Workspace, folder: str, tmp_path: Path) -> None:
    (workspace.disk.dbfs / folder[1:]).symlink_to(tmp_path)

    assert code(ask(workspace, "mkdirs", path=f"{folder}/x")) == (400, "INVALID_PARAMETER_VALUE")


def test_dbfs_can_be_disabled(workspace: Workspace) -> None:
    workspace.dbfs.disabled = True

    assert code(ask(workspace, "list", method="GET", path="/")) == (403, "PERMISSION_DENIED")
    assert post(workspace, "/dbfs/x", b"x").status_code == 403


@pytest.mark.parametrize("kept", [False, True])
def test_a_put_that_is_cut_off_leaves_nothing_or_what_came(workspace: Workspace, folder: str, kept: bool) -> None:
    workspace.dbfs.keeps_cut_off_puts = kept
    workspace.faults.add("POST", "/api/2.0/dbfs/put", cut=500_000)
    headers = {"Authorization": f"Bearer {workspace.token}"}
    url = f"{workspace.url}/api/2.0/dbfs/put"
    data, files = {"path": f"{folder}/demo.whl"}, {"file": ("demo.whl", b"x" * MEBIBYTE, "multipart/form-data")}

    with pytest.raises(requests.ConnectionError):
        requests.post(url, data=data, files=files, headers=headers, timeout=10)

    there = workspace.disk.dbfs / folder[1:] / "demo.whl"
    assert there.exists() == kept
    if kept:
        assert 0 < there.stat().st_size < 500_000


def test_the_raw_endpoint_takes_a_file_once(workspace: Workspace, folder: str) -> None:
    assert post(workspace, f"/dbfs{folder}/a%2Bb.tar.gz", b"archive").status_code == 200
    again = post(workspace, f"/dbfs{folder}/a%2Bb.tar.gz", b"other")

    assert again.status_code == 409
    assert f"<pre>    File already exists, cannot overwrite: &apos;{folder}/a+b.tar.gz&apos;</pre>" in again.text
    headers = {"Authorization": f"Bearer {workspace.token}"}
    answer = requests.get(f"{workspace.url}/dbfs{folder}/a%2Bb.tar.gz", headers=headers, timeout=10)
    assert answer.content == b"archive"
    assert requests.get(f"{workspace.url}/dbfs{folder}/none", headers=headers, timeout=10).status_code == 404


def test_the_raw_endpoint_takes_an_empty_body_in_chunks_for_a_file(workspace: Workspace, folder: str) -> None:
    assert post(workspace, f"/dbfs{folder}/empty", iter([])).status_code == 200
    assert (workspace.disk.dbfs / folder[1:] / "empty").read_bytes() == b""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import errors
from mlops_tasks.stores import choosing
from mlops_tasks.stores.base import Stored
from tests.fake_workspace.server import Workspace
from tests.support import places, workspaces
from tests.support.places import Place

pytest_plugins = ["tests.fake_workspace.fixture"]

NAME = "mylib-1.0+g12ab34-py3-none-any.whl"
CONTENT = b"0123456789" * 50_000


@pytest.fixture
def ours(workspace: Workspace) -> Iterator[workspaces.Ours]:
    """Whatever it does, nothing is deleted, and nothing overwritten but what is not yet in its place."""
    yield workspaces.connect(workspace)
    assert not workspace.requests.of("DELETE", ".*")
    assert not workspace.requests.of("POST", ".*/delete")
    assert {entry.query["overwrite"] for entry in workspace.requests.of("PUT", "/api/2.0/fs/files/.*")} <= {"false"}


@pytest.fixture(params=["folder", *places.REMOTE])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return places.of_folder(tmp_path)
    return places.REMOTE[request.param](request.getfixturevalue("workspace"), request.getfixturevalue("ours"))


@pytest.fixture(params=places.REMOTE)
def remote(request: pytest.FixtureRequest, workspace: Workspace, ours: workspaces.Ours) -> Place:
    return places.REMOTE[request.param](workspace, ours)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_source(tmp_path)


def make_source(folder: Path, content: bytes = CONTENT) -> Path:
    path = folder / "dist" / NAME
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def write(place: Place, source: Path) -> int:
    """Write it, and tell how many bytes were said to move."""
    told: list[int] = []
    place.store.make_folder(place.folder)
    uri = place.store.write(source, place.folder, told.append)
    assert uri == f"{place.folder}/{source.name}"
    return sum(told)


def test_a_folder_that_is_not_there_holds_nothing(place: Place) -> None:
    assert place.store.list_files(place.folder) == {}


def test_an_empty_folder_holds_nothing_and_may_be_made_twice(place: Place) -> None:
    place.store.make_folder(place.folder)
    place.store.make_folder(place.folder)

    assert place.disk.is_dir()
    assert place.store.list_files(place.folder) == {}


def test_what_was_written_is_there_whole(place: Place, source: Path) -> None:
    assert write(place, source) == len(CONTENT)
    (place.disk / "a folder").mkdir()

    assert (place.disk / NAME).read_bytes() == CONTENT
    assert {name: size for name, (size, _) in place.store.list_files(place.folder).items()} == {NAME: len(CONTENT)}


def test_what_was_written_can_be_read_whole(place: Place, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(range(256)) * 5000)
    place.store.make_folder(place.folder)

    uri = place.store.write(large, place.folder, lambda size: None)

    assert place.store.read(uri) == large.read_bytes()


def test_the_same_content_may_be_written_again(place: Place, source: Path) -> None:
    write(place, source)
    write(place, source)

    assert place.files() == {NAME: CONTENT}


def test_other_content_under_the_same_name_stays(place: Place, tmp_path: Path) -> None:
    write(place, make_source(tmp_path, b"somebody else's"))

    with pytest.raises(errors.WorkspaceError):
        write(place, make_source(tmp_path))

    assert place.files() == {NAME: b"somebody else's"}


def test_several_may_write_the_same_at_once(place: Place, source: Path) -> None:
    with futures.ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: write(place, source), range(4)))

    assert place.files() == {NAME: CONTENT}
    assert len(told) == 4


def test_a_write_that_is_interrupted_leaves_nothing_under_the_name(place: Place, source: Path) -> None:
    moved = 0

    def interrupt(size: int) -> None:
        nonlocal moved
        moved += size
        if moved > len(CONTENT) // 2 and size > 0:
            raise KeyboardInterrupt

    place.store.make_folder(place.folder)
    with pytest.raises(KeyboardInterrupt):
        place.store.write(source, place.folder, interrupt)

    assert place.files() == {}


LOST = [
    pytest.param({"status": 503, "after": True}, id="503"),
    pytest.param({"reset": True, "after": True}, id="reset"),
]


@pytest.mark.parametrize("how", LOST)
def test_lost_answers_do_no_harm(
    workspace: Workspace, ours: workspaces.Ours, remote: Place, source: Path, how: dict[str, Any]
) -> None:
    for method, path in remote.calls:
        workspace.faults.add(method, path, call=1, **how)

    assert write(remote, source) in {len(CONTENT), 0}

    assert remote.files() == {NAME: CONTENT}
    assert len(ours.waited) == 1


@pytest.mark.parametrize("keeps", [False, True])
def test_an_upload_that_is_cut_off_is_begun_anew(
    workspace: Workspace, remote: Place, source: Path, keeps: bool
) -> None:
    workspace.dbfs.keeps_cut_off_puts = keeps
    method, path = remote.calls[0]
    workspace.faults.add(method, path, call=1, cut=200_000)

    assert write(remote, source) == len(CONTENT)

    assert remote.files() == {NAME: CONTENT}


@pytest.mark.parametrize("keeps", [False, True])
def test_an_upload_that_is_always_cut_off_leaves_nothing_under_the_name(
    workspace: Workspace, ours: workspaces.Ours, remote: Place, source: Path, keeps: bool
) -> None:
    workspace.dbfs.keeps_cut_off_puts = keeps
    method, path = remote.calls[0]
    workspace.faults.add(method, path, cut=200_000)
    told: list[int] = []
    remote.store.make_folder(remote.folder)

    with pytest.raises(errors.WorkspaceError, match="cannot be reached"):
        remote.store.write(source, remote.folder, told.append)

    assert remote.files() == {}
    assert sum(told) == 0
    assert len(ours.waited) == len(ours.heard.lines) == 5


def test_a_volume_that_keeps_what_was_cut_off_is_found_out(
    workspace: Workspace, ours: workspaces.Ours, source: Path
) -> None:
    volume = places.of_volume(workspace, ours)
    workspace.files.keeps_cut_off_uploads = True
    workspace.faults.add("PUT", "/api/2.0/fs/files/", call=1, cut=200_000)

    with pytest.raises(errors.WorkspaceError, match="already exists"):
        write(volume, source)


def test_dbfs_that_kept_less_than_was_sent_is_found_out_before_the_wheel_has_its_name(
    workspace: Workspace, ours: workspaces.Ours, source: Path
) -> None:
    place = places.of_dbfs(workspace, ours)
    workspace.faults.add("GET", "/api/2.0/dbfs/get-status", status=200, body={"is_dir": False, "file_size": 7})

    with pytest.raises(errors.WorkspaceError, match="has kept 7 of the 500000 bytes"):
        write(place, source)

    assert place.files() == {}


def test_a_permission_that_is_missing_is_told(workspace: Workspace, remote: Place, source: Path) -> None:
    method, path = remote.calls[-1]
    body = {"error_code": "PERMISSION_DENIED", "message": "ada may not write there"}
    workspace.faults.add(method, path, status=403, body=body)

    with pytest.raises(errors.WorkspaceError, match="permission denied: ada may not write there"):
        write(remote, source)


def test_a_file_where_the_folder_should_be_is_told(place: Place) -> None:
    place.disk.parent.mkdir(parents=True, exist_ok=True)
    place.disk.write_text("in the way")

    with pytest.raises(errors.WorkspaceError):
        place.store.make_folder(place.folder)


def test_dbfs_may_be_switched_off(workspace: Workspace, ours: workspaces.Ours) -> None:
    place = places.of_dbfs(workspace, ours)
    workspace.dbfs.disabled = True

    with pytest.raises(errors.WorkspaceError, match="permission denied: Public DBFS root is disabled"):
        place.store.list_files(place.folder)


def test_a_volume_that_is_not_there_is_told(ours: workspaces.Ours) -> None:
    folder = "/Volumes/main/default/nowhere/wheels"
    store = choosing.choose_remote(folder, workspace=ours)

    with pytest.raises(errors.WorkspaceError, match=r"Volume 'main.default.nowhere' does not exist"):
        store.make_folder(folder)


def test_a_long_list_of_a_volume_is_read_to_its_end(workspace: Workspace, ours: workspaces.Ours) -> None:
    place = places.of_volume(workspace, ours)
    place.disk.mkdir()
    for number in range(1001):
        (place.disk / f"{number}.whl").write_bytes(b"x")

    assert len(place.store.list_files(place.folder)) == 1001


@pytest.mark.parametrize(
    ("root", "cure"),
    [
        ("/dbfs/wheels", "dbfs:/wheels"),
        ("file:///dbfs/wheels", "dbfs:/wheels"),
        ("dbfs:wheels", "dbfs:/wheels"),
        ("dbfs://wheels", "dbfs:/wheels"),
        ("dbfs:/dbfs/wheels", "dbfs:/wheels"),
        ("dbfs:/Volumes/a/b/c/d", "/Volumes/a/b/c/d"),
        ("dbfs:/Volumes", "/Volumes/CATALOG/SCHEMA/VOLUME"),
        ("/Volumes/main/default", "/Volumes/main/default/VOLUME"),
        ("/Workspace", "/Workspace/FOLDER"),
        ("dbfs:/Workspace/Shared/x", "/Workspace/Shared/x"),
        ("/Shared/wheels", "/Workspace/Shared/wheels"),
        ("s3://bucket/x", "dbfs:/FOLDER, /Volumes/CATALOG/SCHEMA/VOLUME or /Workspace/FOLDER"),
        (".mlops/wheels", "dbfs:/FOLDER, /Volumes/CATALOG/SCHEMA/VOLUME or /Workspace/FOLDER"),
    ],
)
def test_a_root_in_another_spelling_is_refused_with_the_right_one(ours: workspaces.Ours, root: str, cure: str) -> None:
    with pytest.raises(errors.BadInput) as caught:
        choosing.choose_remote(root, workspace=ours)

    assert caught.value.cure == f"write {cure}"


def test_a_listing_may_leave_sizes_out(workspace: Workspace, ours: workspaces.Ours, source: Path) -> None:
    place = places.of_workspace_files(workspace, ours)
    write(place, source)
    listed = [{"object_type": "FILE", "path": f"/Shared/wheels/my branch/{NAME}"}]
    workspace.faults.add("GET", "/api/2.0/workspace/list", status=200, body={"objects": listed})

    assert place.store.list_files(place.folder) == {NAME: Stored(size=len(CONTENT), sha256=None)}

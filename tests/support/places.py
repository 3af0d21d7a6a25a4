"""Each kind of store, with one folder in it, and where the files of that folder are on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlops_tasks.stores import base as stores
from mlops_tasks.stores import choosing
from mlops_tasks.workspace import api
from tests.fake_workspace.server import Workspace


@dataclass(frozen=True)
class Place:
    """`folder` is a folder's URI and `disk` where its files are; `calls` are method and path of each call of a write
    that changes something."""

    folder: str
    disk: Path
    calls: tuple[tuple[str, str], ...]
    store: stores.Store

    def files(self) -> dict[str, bytes]:
        """What lies there under a name that a run may look for."""
        found = self.disk.iterdir() if self.disk.is_dir() else ()
        return {path.name: path.read_bytes() for path in found if not path.name.startswith(".")}


PUT_AND_MOVE = (("POST", "/api/2.0/dbfs/put"), ("POST", "/api/2.0/dbfs/move"))
UPLOAD = (("PUT", "/api/2.0/fs/files/"),)
IMPORT = (("POST", "/api/2.0/workspace/import"),)


def of_dbfs(workspace: Workspace, ours: api.Workspace) -> Place:
    return _place("dbfs:/wheels/my branch", workspace.disk.dbfs / "wheels/my branch", PUT_AND_MOVE, ours)


def of_volume(workspace: Workspace, ours: api.Workspace) -> Place:
    volume = workspace.make_volume("main", "default", "libs")
    return _place("/Volumes/main/default/libs/my branch", volume / "my branch", UPLOAD, ours)


def of_workspace_files(workspace: Workspace, ours: api.Workspace) -> Place:
    disk = workspace.disk.workspace / "Shared/wheels/my branch"
    return _place("/Workspace/Shared/wheels/my branch", disk, IMPORT, ours)


def of_folder(top: Path) -> Place:
    return Place("wheels/my branch", top / "wheels/my branch", (), choosing.choose_local("wheels", top=top))


def _place(folder: str, disk: Path, calls: tuple[tuple[str, str], ...], ours: api.Workspace) -> Place:
    return Place(folder, disk, calls, choosing.choose_remote(folder, workspace=ours))


REMOTE: dict[str, Callable[[Workspace, api.Workspace], Place]] = {
    "dbfs": of_dbfs,
    "volume": of_volume,
    "workspace files": of_workspace_files,
}

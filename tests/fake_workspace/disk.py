"""The folders of the workspace on this machine's disk, and the only way from a workspace's path to one of them."""

from __future__ import annotations

import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.fake_workspace.exchange import Refused

SHARED = ("Users", "Shared", "Repos")
ARTIFACTS = "/WorkspaceInternal/Mlflow/Artifacts"


class Disk:
    """`<root>/dbfs`, `<root>/Volumes` and `<root>/Workspace` are what a running job sees under these names.

    `artifacts` holds what MLflow's runs log, which no job sees as files. `experiments` are nodes of the workspace's
    tree that are no files either, by path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.dbfs = self._make("dbfs")
        self.volumes = self._make("Volumes")
        self.workspace = self._make("Workspace")
        self.artifacts = self._make("artifacts")
        self.incoming = self._make("incoming")
        self.experiments: dict[str, str] = {}
        self.lock = threading.RLock()
        """Held while looking and acting on what was seen, so that of two equal calls one wins."""

        self._numbers = itertools.count()
        for name in SHARED:
            (self.workspace / name).mkdir(exist_ok=True)

    def make_home(self, user: str) -> Path:
        home = self.workspace / "Users" / user
        home.mkdir(exist_ok=True)
        return home

    def make_volume(self, catalog: str, schema: str, name: str) -> Path:
        """Unity Catalog makes no volume by itself, and keeps names in lower case."""
        volume = self.volumes / catalog.lower() / schema.lower() / name.lower()
        volume.mkdir(parents=True, exist_ok=True)
        return volume

    def new_file(self) -> Path:
        """Where a body goes while it arrives: on the same file system, so that it can be moved at once."""
        return self.incoming / str(next(self._numbers))

    def dbfs_path(self, path: str) -> Path:
        """`/x` and `dbfs:/x` alike."""
        if path.startswith("dbfs:"):
            path = path[len("dbfs:") :]
            if path.startswith("//"):
                raise _bad(f"Hostname not allowed in dbfs uri: dbfs:{path}")
        if not path.startswith("/"):
            raise _bad(f"Path must be absolute: {path}")
        return _below(self.dbfs, path)

    def dbfs_name(self, path: Path) -> str:
        """The bare path that the DBFS API answers with."""
        return "/" + "/".join(path.relative_to(self.dbfs).parts)

    def workspace_path(self, path: str) -> Path:
        """`/Users/x` and `/Workspace/Users/x` are the same folder."""
        if not path.startswith("/"):
            raise _bad(f"Path ({path}) doesn't start with '/'")
        parts = [part for part in path.split("/") if part]
        if parts[:1] == ["Workspace"]:
            parts = parts[1:]
        return _below(self.workspace, "/".join(parts))

    def workspace_name(self, path: Path) -> str:
        return "/" + "/".join(path.relative_to(self.workspace).parts)

    def files_path(self, path: str) -> Path:
        """A path of the Files API: in a volume that exists, or among MLflow's artifacts."""
        if path.startswith(ARTIFACTS + "/"):
            return _below(self.artifacts, path[len(ARTIFACTS) :])
        parts = [part for part in path.split("/") if part]
        if parts[:1] != ["Volumes"]:
            raise Refused(400, "BAD_REQUEST", f"Invalid path: unsupported first path component: {path}")
        if len(parts) < 4:
            raise Refused(400, "BAD_REQUEST", f"Invalid path: a volume's path begins /Volumes/c/s/v: {path}")
        volume = self.volumes.joinpath(*(part.lower() for part in parts[1:4]))
        if not volume.is_dir():
            raise Refused(404, "NOT_FOUND", f"Volume '{'.'.join(parts[1:4])}' does not exist.")
        return _below(volume, "/".join(parts[4:]))

    def _make(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def describe_each(nodes: Iterable[Path], describe: Callable[[Path], dict[str, Any]]) -> list[dict[str, Any]]:
    """What `describe` tells of those that are still there: a running task removes its own at any time."""
    found = []
    for node in nodes:
        with suppress(FileNotFoundError):
            found.append(describe(node))
    return found


def file_in_the_way(path: Path, root: Path) -> Path | None:
    """A file where `path` needs a folder, from itself up to `root`."""
    return next((node for node in (path, *path.parents) if node.is_relative_to(root) and node.is_file()), None)


def milliseconds(path: Path) -> int:
    return int(path.stat().st_mtime * 1000)


def _below(root: Path, path: str) -> Path:
    """`path` under `root`: neither dots nor a job's links lead out of it."""
    parts = [part for part in path.split("/") if part]
    if {".", ".."} & set(parts) or "\0" in path:
        raise _bad(f"Path is not canonical: {path}")
    found = root.joinpath(*parts)
    if not Path(os.path.realpath(found)).is_relative_to(root):
        raise _bad(f"Path leaves the workspace: {path}")
    return found


def _bad(message: str) -> Refused:
    return Refused(400, "INVALID_PARAMETER_VALUE", message)

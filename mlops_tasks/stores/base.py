"""Where wheels are put: one Protocol, one chooser by URI."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from mlops_tasks import errors

if TYPE_CHECKING:
    from mlops_tasks.workspace.api import Workspace

Kind = Literal["dbfs", "volume", "workspace", "folder"]
KINDS: Mapping[str, Kind] = {"dbfs:": "dbfs", "/Volumes/": "volume", "/Workspace/": "workspace"}
_FORMS: Mapping[Kind, str] = {
    "dbfs": r"dbfs:/(?!/|(Volumes|Workspace|dbfs)(/|$)).*",
    "volume": r"/Volumes(/[^/]+){3}(/.*)?",
    "workspace": r"/Workspace(/[^/]+)+/?",
}
REMOTE = tuple(KINDS)
"""How the URIs begin that name a place in a workspace."""


class Stored(NamedTuple):
    """One file that the store holds: `size` in bytes, and its SHA-256 where the store can tell it cheaply."""

    size: int
    sha256: str | None


class Store(Protocol):
    """A place for wheels. Every folder in it is named by a URI below the store's own root.

    Each method raises WorkspaceError where the store refuses or cannot be reached.
    """

    display_name: str

    def list_files(self, folder: str) -> dict[str, Stored]:
        """The files directly in `folder` by name; empty where there is no such folder."""

    def make_folder(self, folder: str) -> None:
        """Make `folder` and its parents; fine where it exists."""

    def write(self, source: Path, folder: str, moved: Callable[[int], None]) -> str:
        """Put `source` into `folder` under its own name, whole or not at all; the answer is its URI.

        `moved` is told the bytes as they go.
        """


def kind_of(root: str) -> Kind:
    """What holds the wheels there, by the URI's form alone; a folder of this machine for any other."""
    return next((kind for prefix, kind in KINDS.items() if root.startswith(prefix)), "folder")


def choose_local(root: str, *, top: Path) -> Store:
    """The store of a rehearsal: a folder, and nothing that lies in a workspace."""
    from mlops_tasks.stores import folder

    if root.startswith(REMOTE):
        raise _refused(f"{root} lies in a Databricks workspace, and the local target writes to none")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", root):
        raise _refused(f"{root} is no folder, and the local target has no other store for wheels")
    return folder.FolderStore(top=top)


def choose_remote(root: str, *, workspace: Workspace) -> Store:
    """The store in `workspace` that `root` names; BadInput for what none of them is."""
    kind = check_remote(root)
    if kind == "dbfs":
        from mlops_tasks.stores import dbfs

        return dbfs.DbfsStore(workspace)
    if kind == "volume":
        from mlops_tasks.stores import volume

        return volume.VolumeStore(workspace)
    from mlops_tasks.stores import workspace_files

    return workspace_files.WorkspaceFilesStore(workspace)


def check_remote(root: str) -> Kind:
    """What holds the files there; BadInput where that is no place in a workspace."""
    for kind, form in _FORMS.items():
        if re.fullmatch(form, root):
            return kind
    raise errors.BadInput(
        f"{root} names no place for wheels in a Databricks workspace",
        where="wheel_root",
        cure=f"write {_respell(root) or 'dbfs:/FOLDER, /Volumes/CATALOG/SCHEMA/VOLUME or /Workspace/FOLDER'}",
    )


def _respell(root: str) -> str | None:
    """How what was probably meant is written: of DBFS there are three spellings, of which the API takes one."""
    if found := re.match(r"(?:dbfs:)?/*(/Volumes|/Workspace)(?=/|$)(.*)", root):
        parts = [part for part in found[2].split("/") if part]
        wanted = ["CATALOG", "SCHEMA", "VOLUME"] if found[1] == "/Volumes" else ["FOLDER"]
        return "/".join([found[1], *parts, *wanted[len(parts) :]])
    if found := re.match(r"dbfs:/*(?:dbfs/+)?(.+)|/dbfs/+(.+)", root):
        return f"dbfs:/{found[1] or found[2]}"
    if re.match(r"/(Users|Shared|Repos)/.", root):
        return f"/Workspace{root}"
    return None


def holds(store: Store, source: Path, folder: str) -> bool:
    """Whether `store` has a file of `source`'s name and size in `folder`: no workspace tells more of a file."""
    there = store.list_files(folder).get(source.name)
    return there is not None and there.size == source.stat().st_size


def _refused(what: str) -> errors.BadInput:
    return errors.BadInput(
        what, where="wheel_root", cure="give a folder (`--wheel-root FOLDER`), or leave wheel_root out"
    )

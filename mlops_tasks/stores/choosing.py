"""The store that a wheel root names, for each target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_tasks import errors
from mlops_tasks.stores import base, folder, uris

if TYPE_CHECKING:
    from mlops_tasks.workspace.api import Workspace


def choose_local(root: str, *, top: Path) -> base.Store:
    """A folder below `top`, or anywhere on this machine; BadInput for a place in a workspace or a URI."""
    if uris.kind_of(uris.from_cluster(root)) != "folder":
        fault = f"{root} lies in a Databricks workspace, and the local target writes to none"
    elif uris.has_scheme(root):
        fault = f"{root} is no folder, and the local target has no other store for wheels"
    else:
        return folder.FolderStore(top=top)
    cure = "give a folder (`--wheel-root FOLDER`), or leave wheel_root out"
    raise errors.BadInput(fault, where="wheel_root", cure=cure)


def choose_remote(root: str, *, workspace: Workspace) -> base.Store:
    """The store in `workspace` that holds `root`; BadInput where none does."""
    from mlops_tasks.stores import dbfs, volume, workspace_files

    stores: Mapping[uris.Kind, Callable[[Workspace], base.Store]] = {
        "dbfs": dbfs.DbfsStore,
        "volume": volume.VolumeStore,
        "workspace": workspace_files.WorkspaceFilesStore,
    }
    return stores[uris.check_remote(root)](workspace)

"""WorkspaceFilesStore: wheels among the workspace's own files, through databricks-sdk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mlops_tasks.stores import base
from mlops_tasks.workspace import faults, uploads
from mlops_tasks.workspace.api import Workspace

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.workspace import ObjectInfo


class WorkspaceFilesStore:
    """Folders are `/Workspace/...`. The API lists sizes, no digests, and takes no file over 500 MB."""

    display_name = "workspace files"

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def list_files(self, folder: str) -> dict[str, base.Stored]:
        def look(sdk: WorkspaceClient) -> dict[str, base.Stored]:
            found = [each for each in sdk.workspace.list(folder) if not _is_folder(each)]
            return {PurePosixPath(str(each.path)).name: base.Stored(size=_size(sdk, each)) for each in found}

        return faults.unless_missing(lambda: self._workspace.ask(f"listing {folder}", look)) or {}

    def make_folder(self, folder: str) -> None:
        self._workspace.ask(f"making {folder}", lambda sdk: sdk.workspace.mkdirs(folder))

    def read(self, uri: str) -> bytes:
        def get(sdk: WorkspaceClient) -> bytes:
            with sdk.workspace.download(uri, format=ExportFormat.AUTO) as stream:
                return bytes(stream.read())

        from databricks.sdk.service.workspace import ExportFormat

        return self._workspace.ask(f"reading {uri}", get)

    def write(
        self, source: Path, folder: str, moved: Callable[[int], None], arrived: Callable[[], object] = lambda: None
    ) -> str:
        """One streamed form: databricks-sdk's own would hold the whole file in memory."""
        uri = f"{folder}/{source.name}"

        def put(sdk: WorkspaceClient) -> None:
            form = uploads.opened_form(source, moved, fields={"path": uri, "format": "AUTO"}, file_field="content")
            with form as (body, headers):
                sdk.api_client.do("POST", "/api/2.0/workspace/import", data=body, headers=headers)

        with base.same_content_is_fine(self, source, folder):
            self._workspace.ask(f"writing {source.name}", put, uploads=True)
        return uri


def _is_folder(found: ObjectInfo) -> bool:
    return found.object_type is not None and found.object_type.value in {"DIRECTORY", "REPO"}


def _size(sdk: WorkspaceClient, found: ObjectInfo) -> int:
    """A listing may leave sizes out."""
    if found.size is None:
        found = sdk.workspace.get_status(str(found.path))
    return found.size or 0

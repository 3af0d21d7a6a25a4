"""VolumeStore: wheels in a Unity Catalog volume, through databricks-sdk's Files API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from mlops_tasks.stores import base
from mlops_tasks.workspace import faults, uploads
from mlops_tasks.workspace.api import Workspace

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient


class VolumeStore:
    """Folders are `/Volumes/<catalog>/<schema>/<volume>/...`. The Files API lists sizes, no digests."""

    display_name = "volume"

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def list_files(self, folder: str) -> dict[str, base.Stored]:
        def look(sdk: WorkspaceClient) -> dict[str, base.Stored]:
            found = [each for each in sdk.files.list_directory_contents(folder) if not each.is_directory]
            return {str(each.name): base.Stored(size=int(each.file_size or 0)) for each in found}

        return faults.unless_missing(lambda: self._workspace.ask(f"listing {folder}", look)) or {}

    def make_folder(self, folder: str) -> None:
        self._workspace.ask(f"making {folder}", lambda sdk: sdk.files.create_directory(folder))

    def read(self, uri: str) -> bytes:
        def get(sdk: WorkspaceClient) -> bytes:
            with cast("BinaryIO", sdk.files.download(uri).contents) as stream:
                return bytes(stream.read())

        return self._workspace.ask(f"reading {uri}", get)

    def write(
        self, source: Path, folder: str, moved: Callable[[int], None], arrived: Callable[[], object] = lambda: None
    ) -> str:
        """One streamed request, which the Files API takes whole or not at all, up to 5 GiB."""
        uri = f"{folder}/{source.name}"

        def put(sdk: WorkspaceClient) -> None:
            with uploads.opened(source, moved) as body:
                sdk.files.upload(uri, cast("Any", body), overwrite=False)

        with base.same_content_is_fine(self, source, folder):
            self._workspace.ask(f"writing {source.name}", put, uploads=True)
        return uri

"""A Unity Catalog volume as the store, through databricks-sdk's Files API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from mlops_tasks.stores import base
from mlops_tasks.workspace import faults, uploads
from mlops_tasks.workspace.api import Workspace


class VolumeStore:
    """Folders are `/Volumes/<catalog>/<schema>/<volume>/...`. The Files API tells sizes only."""

    display_name = "volume"

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def list_files(self, folder: str) -> dict[str, base.Stored]:
        try:
            found = self._workspace.ask(
                f"listing {folder}", lambda sdk: list(sdk.files.list_directory_contents(folder))
            )
        except faults.ApiError as fault:
            if fault.is_missing:
                return {}
            raise
        return {
            str(each.name): base.Stored(size=int(each.file_size or 0), sha256=None)
            for each in found
            if not each.is_directory
        }

    def make_folder(self, folder: str) -> None:
        self._workspace.ask(f"making {folder}", lambda sdk: sdk.files.create_directory(folder))

    def write(self, source: Path, folder: str, moved: Callable[[int], None]) -> str:
        """One streamed request, which the Files API takes whole or not at all, up to 5 GiB."""
        uri = f"{folder}/{source.name}"

        def put(sdk: Any) -> None:
            with uploads.opened(source, moved) as body:
                sdk.files.upload(uri, cast("Any", body), overwrite=False)

        with base.same_content_is_fine(self, source, folder):
            self._workspace.ask(f"writing {source.name}", put, uploads=True)
        return uri

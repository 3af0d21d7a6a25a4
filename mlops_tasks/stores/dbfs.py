"""DbfsStore: wheels in DBFS, through databricks-cli's DbfsService."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from mlops_tasks import errors
from mlops_tasks.stores import base
from mlops_tasks.workspace import faults, uploads
from mlops_tasks.workspace.api import Workspace

BLOCK = 1 << 20


class DbfsStore:
    """Folders are `dbfs:/...`. DBFS lists sizes, no digests."""

    display_name = "DBFS"

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def list_files(self, folder: str) -> dict[str, base.Stored]:
        found = faults.unless_missing(lambda: self._workspace.dbfs.list(folder)) or {}
        files = [each for each in found.get("files", ()) if not each["is_dir"]]  # an empty folder has no such key
        return {PurePosixPath(each["path"]).name: base.Stored(size=each["file_size"]) for each in files}

    def make_folder(self, folder: str) -> None:
        self._workspace.dbfs.mkdirs(folder)

    def read(self, uri: str) -> bytes:
        """Block by block: the API gives a megabyte at most."""
        parts: list[bytes] = []
        while len(part := self._read_block(uri, sum(map(len, parts)))) == BLOCK:
            parts.append(part)
        return b"".join([*parts, part])

    def _read_block(self, uri: str, offset: int) -> bytes:
        return base64.b64decode(self._workspace.dbfs.read(uri, offset=offset, length=BLOCK)["data"])

    def write(
        self, source: Path, folder: str, moved: Callable[[int], None], arrived: Callable[[], object] = lambda: None
    ) -> str:
        """One streamed form under a temporary name, moved into place once it is whole.

        databricks-cli would hold the file in memory, or send it in blocks, and append a block twice when the answer
        to it is lost.
        """
        uri = f"{folder}/{source.name}"
        temporary = f"{folder}/.{source.name}.{os.urandom(4).hex()}.part"
        self._workspace.persist(f"writing {source.name}", lambda: self._put(source, temporary, moved))
        arrived()
        kept, sent = self._workspace.dbfs.get_status(temporary)["file_size"], source.stat().st_size
        if kept != sent:
            raise errors.WorkspaceError(
                f"DBFS has kept {kept} of the {sent} bytes of {source.name}", where=temporary, cure="`inv deploy` again"
            )
        self._workspace.persist(f"writing {source.name}", lambda: self._move(temporary, uri, source))
        return uri

    def _put(self, source: Path, path: str, moved: Callable[[int], None]) -> None:
        """Safe to repeat: nobody else knows the temporary name."""
        form = uploads.opened_form(source, moved, fields={"path": path, "overwrite": "true"}, file_field="file")
        with form as (body, headers):
            url = f"{self._workspace.login.host}/api/2.0/dbfs/put"
            self._workspace.session.request("POST", url, data=body, headers=headers)

    def _move(self, temporary: str, uri: str, source: Path) -> None:
        """Fine where the same file is there in the end: the answer was lost, or another release has written it."""
        try:
            self._workspace.dbfs.move(temporary, uri)
        except faults.ApiError:
            if not base.holds(self, source, uri.rpartition("/")[0]):
                raise

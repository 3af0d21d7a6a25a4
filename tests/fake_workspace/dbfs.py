"""The DBFS API 2.0."""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from tests.fake_workspace import disk as disks
from tests.fake_workspace import streams
from tests.fake_workspace.disk import Disk
from tests.fake_workspace.exchange import Refused, Request, Routes

MEBIBYTE = 1 << 20
READ = MEBIBYTE // 2
"""How much a read gives that doesn't say how much it wants."""

ANSWERS = {
    "unknown handle": (404, "RESOURCE_DOES_NOT_EXIST"),
    "block too big": (400, "MAX_BLOCK_SIZE_EXCEEDED"),
    "read too big": (400, "MAX_READ_SIZE_EXCEEDED"),
    "read of nonsense": (400, "INVALID_PARAMETER_VALUE"),
    "moved onto something": (400, "RESOURCE_ALREADY_EXISTS"),
    "file in the way": (400, "RESOURCE_ALREADY_EXISTS"),
    "folder not empty": (400, "IO_ERROR"),
    "no operations allowed": (400, "INVALID_PARAMETER_VALUE"),
    "disabled": (403, "PERMISSION_DENIED"),
}
"""Status and code of what is not certain of the real one: a test may change them in its own workspace."""

_FORBIDDEN = re.compile(r"(dbfs:)?/+(Volumes|databricks/mlflow-tracking)(/|$)")


@dataclass(kw_only=True)
class _Upload:
    """A file that is open for add-block; `arriving` is where its blocks go until close, or the file itself."""

    target: Path
    arriving: Path
    lock: Lock = field(default_factory=Lock)


class Dbfs:
    """Its switches: `disabled`; `answers`; whether a put that was cut off leaves what came of it (`keeps_cut_off_puts`)
    and whether others see a file before its close (`shows_open_files`)."""

    def __init__(self, disk: Disk) -> None:
        self.disabled = False
        self.answers = dict(ANSWERS)
        self.keeps_cut_off_puts = False
        self.shows_open_files = True
        self._disk = disk
        self._handles = itertools.count(7001)
        self._uploads: dict[int, _Upload] = {}

    def routes(self) -> Routes:
        calls: dict[str, tuple[str, Callable[[Request], dict[str, Any]]]] = {
            "put": ("POST", self.put),
            "create": ("POST", self.create),
            "add-block": ("POST", self.add_block),
            "close": ("POST", self.close),
            "mkdirs": ("POST", self.make_folders),
            "move": ("POST", self.move),
            "get-status": ("GET", self.get_status),
            "list": ("GET", self.list),
            "read": ("GET", self.read),
            "delete": ("POST", self.delete),
        }
        return {(method, f"/api/2.0/dbfs/{name}"): handler for name, (method, handler) in calls.items()}

    def put(self, request: Request) -> dict[str, Any]:
        content_type = request.headers.get("Content-Type", "")
        if streams.is_form(content_type):
            self._put_form(request, content_type)
            return {}
        data = request.json()
        contents = _decode(data, "contents")
        if len(contents) > MEBIBYTE:
            raise self._refuse("block too big", "contents exceeds the maximum size of 1048576 bytes")
        arriving = self._disk.new_file()
        arriving.write_bytes(contents)
        self.place(arriving, self.find(data), overwrite=_flag(data, "overwrite"))
        return {}

    def create(self, request: Request) -> dict[str, Any]:
        data = request.json()
        target = self.find(data)
        arriving = self._disk.new_file()
        arriving.touch()
        if self.shows_open_files:
            self.place(arriving, target, overwrite=_flag(data, "overwrite"))
            arriving = target
        else:
            self._check_free(target, overwrite=_flag(data, "overwrite"))
        handle = next(self._handles)
        self._uploads[handle] = _Upload(target=target, arriving=arriving)
        return {"handle": handle}

    def add_block(self, request: Request) -> dict[str, Any]:
        data = request.json()
        upload = self._upload(data)
        block = _decode(data, "data")
        if len(block) > MEBIBYTE:
            raise self._refuse("block too big", "data exceeds the maximum size of 1048576 bytes")
        with upload.lock, upload.arriving.open("ab") as stream:
            stream.write(block)
        return {}

    def close(self, request: Request) -> dict[str, Any]:
        data = request.json()
        upload = self._upload(data)
        del self._uploads[int(data["handle"])]
        if upload.arriving != upload.target:
            self.place(upload.arriving, upload.target, overwrite=True)
        return {}

    def make_folders(self, request: Request) -> dict[str, Any]:
        self._make_folder(self.find(request.json()))
        return {}

    def move(self, request: Request) -> dict[str, Any]:
        data = request.json()
        source, destination = self.find(data, "source_path"), self.find(data, "destination_path")
        with self._disk.lock:
            self._check_there(source)
            if destination.exists():
                text = f"A file or directory already exists at the input path dbfs:{self._disk.dbfs_name(destination)}"
                raise self._refuse("moved onto something", text)
            self._make_folder(destination.parent)
            source.rename(destination)
        return {}

    def get_status(self, request: Request) -> dict[str, Any]:
        path = self.find(request.json())
        self._check_there(path)
        return self._describe(path)

    def list(self, request: Request) -> dict[str, Any]:
        path = self.find(request.json())
        with self._disk.lock:
            self._check_there(path)
            nodes = sorted(path.iterdir()) if path.is_dir() else [path]
            found = disks.describe_each(nodes, self._describe)
        return {"files": found} if found else {}

    def read(self, request: Request) -> dict[str, Any]:
        data = request.json()
        path = self.find(data)
        self._check_there(path)
        offset, length = _number(data, "offset", 0), _number(data, "length", READ)
        if path.is_dir() or offset < 0 or length < 0:
            raise self._refuse("read of nonsense", "A file, an offset and a length from 0 on are needed to read")
        if length > MEBIBYTE:
            raise self._refuse("read too big", "length exceeds the maximum size of 1048576 bytes")
        with path.open("rb") as stream:
            stream.seek(offset)
            found = stream.read(length)
        return {"bytes_read": len(found), "data": base64.b64encode(found).decode()}

    def delete(self, request: Request) -> dict[str, Any]:
        data = request.json()
        path = self.find(data)
        with self._disk.lock:
            if path.is_dir() and any(path.iterdir()) and not _flag(data, "recursive"):
                text = "Directory is not empty. Use recursive delete or remove contents first."
                raise self._refuse("folder not empty", text)
            if path == self._disk.dbfs:
                raise Refused(400, "INVALID_PARAMETER_VALUE", "The root cannot be deleted")
            disks.remove(path)
        return {}

    def find(self, data: Mapping[str, Any], name: str = "path") -> Path:
        """The place of a path, where DBFS lets it be used."""
        path = str(data.get(name, ""))
        if self.disabled:
            raise self._refuse("disabled", f"Public DBFS root is disabled. Access is denied on path: {path}")
        if _FORBIDDEN.match(path):
            raise self._refuse("no operations allowed", "No operations allowed on this path.")
        return self._disk.dbfs_path(path)

    def place(self, arrived: Path, target: Path, *, overwrite: bool) -> None:
        """Put a file that has arrived where it belongs, with the folders above it."""
        with self._disk.lock:
            try:
                self._check_free(target, overwrite=overwrite)
                self._make_folder(target.parent)
                arrived.replace(target)
            finally:
                arrived.unlink(missing_ok=True)

    def _put_form(self, request: Request, content_type: str) -> None:
        arriving = self._disk.new_file()
        fields: dict[str, str] = {}
        try:
            form = streams.read_form(request.body, content_type=content_type, target=arriving, fields=fields)
        except streams.CutOff:
            if self.keeps_cut_off_puts and arriving.exists():
                self.place(arriving, self.find(fields), overwrite=_flag(fields, "overwrite"))
            raise
        else:
            if form.file is None:
                raise Refused(400, "INVALID_PARAMETER_VALUE", "The multipart form has no file")
            self.place(arriving, self.find(fields), overwrite=_flag(fields, "overwrite"))
        finally:
            arriving.unlink(missing_ok=True)

    def _upload(self, data: Mapping[str, Any]) -> _Upload:
        upload = self._uploads.get(_number(data, "handle", -1))
        if upload is None:
            raise self._refuse("unknown handle", f"No file is open with handle {data.get('handle')}")
        return upload

    def _check_free(self, target: Path, *, overwrite: bool) -> None:
        if target.is_dir() or (target.exists() and not overwrite):
            name = self._disk.dbfs_name(target)
            text = f"A file or directory already exists at the input path dbfs:{name}"
            raise Refused(400, "RESOURCE_ALREADY_EXISTS", text)

    def _check_there(self, path: Path) -> None:
        if not path.exists():
            name = self._disk.dbfs_name(path)
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"No file or directory exists on path {name}.")

    def _make_folder(self, folder: Path) -> None:
        with self._disk.lock:
            obstacle = disks.file_in_the_way(folder, self._disk.dbfs)
            if obstacle:
                raise self._refuse("file in the way", f"Path is a file: dbfs:{self._disk.dbfs_name(obstacle)}")
            folder.mkdir(parents=True, exist_ok=True)

    def _describe(self, path: Path) -> dict[str, Any]:
        is_folder = path.is_dir()
        return {
            "path": self._disk.dbfs_name(path),
            "is_dir": is_folder,
            "file_size": 0 if is_folder else path.stat().st_size,
            "modification_time": disks.milliseconds(path),
        }

    def _refuse(self, case: str, message: str) -> Refused:
        status, code = self.answers[case]
        return Refused(status, code, message)


def _decode(data: Mapping[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(data.get(name, ""), validate=True)
    except (binascii.Error, TypeError, ValueError) as fault:
        raise Refused(400, "MALFORMED_REQUEST", f"{name} is not base64: {fault}") from fault


def _flag(data: Mapping[str, Any], name: str) -> bool:
    """A boolean of JSON, of a form (`True`) or of a query (`true`)."""
    return str(data.get(name, False)).lower() == "true"


def _number(data: Mapping[str, Any], name: str, default: int) -> int:
    try:
        return int(data.get(name, default))
    except (TypeError, ValueError) as fault:
        raise Refused(400, "MALFORMED_REQUEST", f"{name} is not a number") from fault

"""The Workspace API 2.0: the tree of folders, files and notebooks. A notebook is a file that begins as one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.fake_workspace import disk as disks
from tests.fake_workspace import streams
from tests.fake_workspace.disk import Disk
from tests.fake_workspace.exchange import Answer, Refused, Request, Routes

LIMIT = 10 * 1024 * 1024
"""Bytes of content that go into JSON, one way or the other."""

LARGEST = 500 * 1024 * 1024
"""Bytes of a file, whichever way it comes: the documents' limit. What is answered to more is assumed."""

FORMATS = {"AUTO", "SOURCE", "RAW", "DBC", "JUPYTER", "HTML", "R_MARKDOWN"}
COMMENTS = {"PYTHON": b"#", "SQL": b"--", "SCALA": b"//", "R": b"#"}
ENDINGS = {".py": "PYTHON", ".sql": "SQL", ".scala": "SCALA", ".r": "R"}
ANSWERS = {
    "exists": (400, "RESOURCE_ALREADY_EXISTS"),
    "no content": (400, "INVALID_PARAMETER_VALUE"),
}
"""Status and code of what the real one answers in more than one way: a test may change them in its own workspace."""


class WorkspaceFiles:
    """Its switches: `answers`; how many bytes a file may have at most (`largest`)."""

    def __init__(self, disk: Disk) -> None:
        self.answers = dict(ANSWERS)
        self.largest = LARGEST
        self._disk = disk

    def routes(self) -> Routes:
        return {
            ("POST", "/api/2.0/workspace/import"): self.import_node,
            ("GET", "/api/2.0/workspace/export"): self.export,
            ("POST", "/api/2.0/workspace/mkdirs"): self.make_folders,
            ("GET", "/api/2.0/workspace/get-status"): self.get_status,
            ("GET", "/api/2.0/workspace/list"): self.list,
            ("POST", "/api/2.0/workspace/delete"): self.delete,
            ("POST", "/api/2.0/workspace-files/import-file/(?P<path>.+)"): self.import_file,
        }

    def import_node(self, request: Request) -> dict[str, Any]:
        content_type = request.headers.get("Content-Type", "")
        arriving = self._disk.new_file()
        data: dict[str, Any] = {}
        try:
            if streams.is_form(content_type):
                streams.read_form(request.body, content_type=content_type, target=arriving, fields=data)
            else:
                data = request.json()
                arriving.write_bytes(_decode(data))
            if not arriving.exists() or not arriving.stat().st_size:
                raise self._refuse("no content", "No input data source provided")
            self._check_size(arriving)
            self._place(arriving, data)
        finally:
            arriving.unlink(missing_ok=True)
        return {}

    def import_file(self, request: Request) -> dict[str, Any]:
        """The older endpoint, whose body is the file."""
        path = "/" + request.match["path"].lstrip("/")
        arriving = self._disk.new_file()
        try:
            streams.save(request.body, arriving)
            self._check_size(arriving)
            with self._disk.lock:
                target = self._disk.workspace_path(path)
                self._check_parent(target)
                if target.exists() and request.query.get("overwrite") != "true":
                    raise Refused(409, "ALREADY_EXISTS", f"{path} already exists.")
                self._check_kind(target, path, "FILE")
                arriving.replace(target)
        finally:
            arriving.unlink(missing_ok=True)
        return {}

    def export(self, request: Request) -> dict[str, Any] | Answer:
        """A file comes as it is, a notebook as its source; other formats are a real workspace's alone."""
        data = request.json()
        path = self._find(data)
        if data.get("format", "SOURCE") not in {"AUTO", "SOURCE"}:
            raise _bad(f"The test workspace exports as AUTO and SOURCE, not as {data['format']}")
        if path.is_dir():
            raise _bad("A folder is exported as DBC only")
        if path.stat().st_size > LIMIT:
            text = f"Size of exported notebook exceeds the maximum size of {LIMIT} bytes"
            raise Refused(400, "MAX_NOTEBOOK_SIZE_EXCEEDED", text)
        if str(data.get("direct_download", "")).lower() == "true":
            return streams.FileAnswer(file=path, length=path.stat().st_size)
        return {"content": base64.b64encode(path.read_bytes()).decode()}

    def make_folders(self, request: Request) -> dict[str, Any]:
        folder = self._disk.workspace_path(str(request.json().get("path", "")))
        with self._disk.lock:
            obstacle = disks.file_in_the_way(folder, self._disk.workspace)
            name = self._disk.workspace_name(obstacle or folder)
            if obstacle or name in self._disk.experiments:
                text = f"{Path(name).name} already exists and it is not a folder"
                raise Refused(400, "RESOURCE_ALREADY_EXISTS", text)
            folder.mkdir(parents=True, exist_ok=True)
        return {}

    def get_status(self, request: Request) -> dict[str, Any]:
        data = request.json()
        name = self._disk.workspace_name(self._disk.workspace_path(str(data.get("path", ""))))
        if name in self._disk.experiments:
            return self._describe_experiment(name)
        return self._describe(self._find(data))

    def list(self, request: Request) -> dict[str, Any]:
        path = self._find(request.json())
        if not path.is_dir():
            return {"objects": [self._describe(path)]}
        nodes = disks.describe_each(sorted(path.iterdir()), self._describe)
        here = self._disk.workspace_name(path)
        experiments = [name for name in self._disk.experiments if name.rpartition("/")[0] == here.rstrip("/")]
        objects = nodes + [self._describe_experiment(name) for name in experiments]
        return {"objects": objects} if objects else {}

    def delete(self, request: Request) -> dict[str, Any]:
        data = request.json()
        with self._disk.lock:
            path = self._find(data)
            if self._disk.workspace in {path, path.parent} and path.name in {"Workspace", *disks.SHARED}:
                raise Refused(403, "PERMISSION_DENIED", f"{data['path']} cannot be deleted")
            if path.is_dir() and any(path.iterdir()) and str(data.get("recursive", "")).lower() != "true":
                raise Refused(400, "DIRECTORY_NOT_EMPTY", f"Folder {data['path']} is not empty")
            disks.remove(path)
        return {}

    def _place(self, arrived: Path, data: Mapping[str, Any]) -> None:
        """Put what has arrived where it belongs: as a notebook without its ending, or as the file that it is."""
        path = str(data.get("path", ""))
        target = self._disk.workspace_path(path)
        kind, language = _kind_of_import(arrived, path, data)
        if kind == "NOTEBOOK" and data.get("format") == "AUTO":
            target = target.with_suffix("")
        with self._disk.lock:
            self._check_parent(target)
            name = self._disk.workspace_name(target)
            if name in self._disk.experiments:
                raise Refused(400, "RESOURCE_ALREADY_EXISTS", f"Node named '{target.name}' already exists")
            if target.exists() and str(data.get("overwrite", "")).lower() != "true":
                text = f"{name} already exists. Please pass overwrite=true to overwrite it."
                raise self._refuse("exists", text)
            self._check_kind(target, path, kind)
            if kind == "NOTEBOOK":
                _mark_as_notebook(arrived, language)
            arrived.replace(target)

    def _check_size(self, arrived: Path) -> None:
        size = arrived.stat().st_size
        if size > self.largest:
            text = f"File size imported is ({size} bytes), exceeded max size ({self.largest} bytes)"
            raise Refused(400, "MAX_NOTEBOOK_SIZE_EXCEEDED", text)

    def _check_parent(self, target: Path) -> None:
        if not target.parent.is_dir():
            name = self._disk.workspace_name(target.parent)
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"The parent folder ({name}) does not exist.")

    def _check_kind(self, target: Path, path: str, kind: str) -> None:
        if target.exists() and self._describe(target)["object_type"] != kind:
            raise _bad(f"Cannot overwrite the asset at {path} due to type mismatch")

    def _find(self, data: Mapping[str, Any]) -> Path:
        path = str(data.get("path", ""))
        found = self._disk.workspace_path(path)
        if not found.exists():
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Path ({path}) doesn't exist.")
        return found

    def _describe(self, path: Path) -> dict[str, Any]:
        facts = path.stat()
        told = {
            "path": self._disk.workspace_name(path),
            "object_id": facts.st_ino,
            "created_at": int(facts.st_ctime * 1000),
            "modified_at": disks.milliseconds(path),
        }
        if path.is_dir():
            return {"object_type": "DIRECTORY", **told}
        language = _notebook_language(path)
        if language:
            return {"object_type": "NOTEBOOK", "language": language, **told}
        return {"object_type": "FILE", "size": facts.st_size, **told}

    def _describe_experiment(self, name: str) -> dict[str, Any]:
        return {"object_type": "MLFLOW_EXPERIMENT", "path": name, "object_id": int(self._disk.experiments[name])}

    def _refuse(self, case: str, message: str) -> Refused:
        status, code = self.answers[case]
        return Refused(status, code, message)


def _kind_of_import(arrived: Path, path: str, data: Mapping[str, Any]) -> tuple[str, str]:
    """What the import makes, FILE or NOTEBOOK, and the notebook's language."""
    form = str(data.get("format", "SOURCE"))
    if form not in FORMATS:
        raise _bad(f"Unknown format: {form}")
    if form == "RAW":
        return "FILE", ""
    if form == "AUTO":
        language = _notebook_language(arrived) if Path(path).suffix.lower() in ENDINGS else ""
        return ("NOTEBOOK", ENDINGS[Path(path).suffix.lower()]) if language else ("FILE", "")
    if form != "SOURCE":
        raise _bad(f"The test workspace has no notebooks in the format {form}")
    language = str(data.get("language", ""))
    if language not in COMMENTS:
        raise _bad("The language must be one of PYTHON, SQL, SCALA and R to import a notebook's source")
    return "NOTEBOOK", language


def _notebook_language(path: Path) -> str:
    """The language of a notebook; nothing for a file."""
    with path.open("rb") as stream:
        first = stream.readline(100).rstrip()
    found = (name for name, comment in COMMENTS.items() if first == comment + b" Databricks notebook source")
    return next(found, "")


def _mark_as_notebook(path: Path, language: str) -> None:
    if not _notebook_language(path):
        source = path.read_bytes()
        path.write_bytes(COMMENTS[language] + b" Databricks notebook source\n" + source)


def _decode(data: Mapping[str, Any]) -> bytes:
    try:
        content = base64.b64decode(data.get("content", ""), validate=True)
    except (binascii.Error, TypeError, ValueError) as fault:
        raise Refused(400, "MALFORMED_REQUEST", f"content is not base64: {fault}") from fault
    if len(content) > LIMIT:
        text = f"The maximum size of a notebook's content is {LIMIT} bytes"
        raise Refused(400, "MAX_NOTEBOOK_SIZE_EXCEEDED", text)
    return content


def _bad(message: str) -> Refused:
    return Refused(400, "INVALID_PARAMETER_VALUE", message)

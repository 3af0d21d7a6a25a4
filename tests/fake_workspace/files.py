"""The Files API 2.0: volumes of Unity Catalog, and the artifacts of MLflow's runs."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

from tests.fake_workspace import disk as disks
from tests.fake_workspace import signed, streams
from tests.fake_workspace.disk import Disk
from tests.fake_workspace.exchange import Answer, Handler, Refused, Request, Routes
from tests.fake_workspace.signed import Parts, Signed

PAGE = 1000
LARGEST = 5 * 1024**3
"""Bytes of a file that is sent as one: the documents' limit. What is answered to more is assumed."""

DONE = Answer(status=204)
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True)
class _Session:
    """A multipart upload that is under way."""

    parts: Parts
    path: str
    overwrite: bool


class Files:
    """Its switches: the code that goes with 409 (`code_of_existing`), whether an upload that was cut off leaves what
    came of it (`keeps_cut_off_uploads`), and how many bytes one may have that is sent as one (`largest`)."""

    def __init__(self, disk: Disk, signer: Signed) -> None:
        self.largest = LARGEST
        self.code_of_existing = "ALREADY_EXISTS"
        self.keeps_cut_off_uploads = False
        self._disk = disk
        self._signed = signer
        self._sessions: dict[str, _Session] = {}

    def routes(self) -> Routes:
        file, folder = "/api/2.0/fs/files(?P<path>/.+)", "/api/2.0/fs/directories(?P<path>/.+)"
        return {
            ("PUT", file): self.upload,
            ("GET", file): self.download,
            ("HEAD", file): self.describe,
            ("DELETE", file): self.delete,
            ("POST", file): self.upload_in_parts,
            ("PUT", folder): self.make_folder,
            ("HEAD", folder): self.describe_folder,
            ("GET", folder): self.list,
            ("DELETE", folder): self.delete_folder,
            ("POST", "/api/2.0/fs/create-upload-part-urls"): self.sign_parts,
            ("POST", "/api/2.0/fs/create-abort-upload-url"): self.sign_abort,
            ("POST", "/api/2.0/fs/create-download-url"): self.sign_download,
        }

    def upload(self, request: Request) -> Answer:
        path, overwrite = request.match["path"], _overwrites(request)
        self._check_free(path, overwrite=overwrite)
        arriving = self._disk.new_file()
        try:
            streams.save(request.body, arriving)
        except streams.CutOff:
            if self.keeps_cut_off_uploads:
                self._place(arriving, path, overwrite=overwrite)
            arriving.unlink(missing_ok=True)
            raise
        if arriving.stat().st_size > self.largest:
            arriving.unlink()
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"The file exceeds the maximum size of {self.largest} bytes.")
        self._place(arriving, path, overwrite=overwrite)
        return DONE

    def download(self, request: Request) -> Answer:
        return self._send(request, self._find_file(request.match["path"]))

    def describe(self, request: Request) -> Answer:
        path = self._find_file(request.match["path"])
        return Answer(headers={**_facts(path), "Content-Length": str(path.stat().st_size)})

    def delete(self, request: Request) -> Answer:
        self._find_file(request.match["path"]).unlink()
        return DONE

    def make_folder(self, request: Request) -> Answer:
        folder = self._disk.files_path(request.match["path"])
        self._make(folder)
        return DONE

    def describe_folder(self, request: Request) -> Answer:
        self._find_folder(request.match["path"])
        return Answer()

    def list(self, request: Request) -> dict[str, Any]:
        asked = "/" + request.match["path"].strip("/")
        size = int(request.query.get("page_size") or PAGE)
        if not 0 <= size <= PAGE:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"page_size must be at most {PAGE}")
        start = int(request.query.get("page_token") or 0)
        nodes = sorted(self._find_folder(asked).iterdir())
        end = start + (size or PAGE)
        contents = disks.describe_each(nodes[start:end], lambda node: _entry(node, f"{asked}/{node.name}"))
        return {"contents": contents, **({"next_page_token": str(end)} if end < len(nodes) else {})}

    def delete_folder(self, request: Request) -> Answer:
        with self._disk.lock:
            folder = self._find_folder(request.match["path"])
            if any(folder.iterdir()):
                details = [
                    {
                        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                        "reason": "FILES_API_DIRECTORY_IS_NOT_EMPTY",
                        "domain": "filesystem.databricks.com",
                    }
                ]
                raise Refused(400, "BAD_REQUEST", "The directory is not empty", details=details)
            folder.rmdir()
        return DONE

    def upload_in_parts(self, request: Request) -> dict[str, Any]:
        """The three actions that a multipart upload has on the file itself."""
        action = request.query.get("action", "")
        if action == "initiate-upload":
            return self._begin(request)
        session = self._session(request.query.get("session_token", ""))
        if action == "complete-upload":
            parts = [(int(part["part_number"]), str(part["etag"])) for part in request.json()["parts"]]
            whole = session.parts.join(parts)
            self._place(whole, session.path, overwrite=session.overwrite)
        elif action == "abort-upload":
            session.parts.discard()
        else:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Unknown action: {action}")
        self._sessions.pop(request.query["session_token"], None)
        return {}

    def sign_parts(self, request: Request) -> dict[str, Any]:
        data = request.json()
        session = self._session(str(data.get("session_token")), str(data.get("path")))
        first, count = int(data["start_part_number"]), int(data.get("count", 1))
        return {"upload_part_urls": [self._sign_part(session, number) for number in range(first, first + count)]}

    def sign_abort(self, request: Request) -> dict[str, Any]:
        data = request.json()
        session = self._session(str(data.get("session_token")), str(data.get("path")))

        def abort(request: Request) -> Answer:
            session.parts.discard()
            return DONE

        return {"abort_upload_url": {"url": self._signed.sign("DELETE", abort), "headers": []}}

    def sign_download(self, request: Request) -> dict[str, Any]:
        path = self._find_file(request.json().get("path", ""))
        return {"url": self._signed.sign("GET", lambda request: self._send(request, path)), "headers": []}

    def _begin(self, request: Request) -> dict[str, Any]:
        path, overwrite, token = request.match["path"], _overwrites(request), secrets.token_hex(8)
        self._check_free(path, overwrite=overwrite)
        self._sessions[token] = _Session(Parts.begin(self._disk), path, overwrite)
        return {"multipart_upload": {"session_token": token}}

    def _session(self, token: str, path: str | None = None) -> _Session:
        session = self._sessions.get(token)
        if session is None or path not in {None, session.path}:
            raise Refused(404, "NOT_FOUND", "The upload session is not found.")
        return session

    def _sign_part(self, session: _Session, number: int) -> dict[str, Any]:
        url = self._signed.sign("PUT", lambda request: session.parts.receive(number, request))
        return {"part_number": number, "url": url, "headers": []}

    def _place(self, arrived: Path, path: str, *, overwrite: bool) -> None:
        """Put a file that has arrived where it belongs, with the folders above it."""
        with self._disk.lock:
            try:
                target = self._check_free(path, overwrite=overwrite)
                self._make(target.parent)
                arrived.replace(target)
            finally:
                arrived.unlink(missing_ok=True)

    def _check_free(self, path: str, *, overwrite: bool) -> Path:
        target = self._disk.files_path(path)
        if target.is_dir() or (target.exists() and not overwrite):
            raise Refused(409, self.code_of_existing, "The file being created already exists.")
        return target

    def _make(self, folder: Path) -> None:
        if disks.file_in_the_way(folder, self._disk.root):
            text = "The given path points to an existing file. The path must point to a directory."
            raise Refused(409, self.code_of_existing, text)
        folder.mkdir(parents=True, exist_ok=True)

    def _find_file(self, path: str) -> Path:
        found = self._disk.files_path(path)
        if not found.is_file():
            raise Refused(404, "NOT_FOUND", "The file being accessed is not found.")
        return found

    def _find_folder(self, path: str) -> Path:
        found = self._disk.files_path(path)
        if not found.is_dir():
            raise Refused(404, "NOT_FOUND", "The directory being accessed is not found.")
        return found

    def _send(self, request: Request, path: Path) -> Answer:
        size = path.stat().st_size
        asked = _RANGE.fullmatch(request.headers.get("Range", ""))
        if not asked:
            return streams.FileAnswer(file=path, length=size, headers=_facts(path))
        first, last = int(asked[1]), min(int(asked[2] or size - 1), size - 1)
        if first > last:
            return Answer(status=416, headers={"Content-Range": f"bytes */{size}"})
        headers = {**_facts(path), "Content-Range": f"bytes {first}-{last}/{size}"}
        return streams.FileAnswer(status=206, file=path, offset=first, length=last - first + 1, headers=headers)


def file_handlers(disk: Disk, target: Path) -> tuple[Handler, Handler]:
    """What writes and what reads one file behind signed URLs: a cloud's storage overwrites, and knows no folders."""

    def write(request: Request) -> Answer:
        arriving = disk.new_file()
        signed.save(request, arriving)
        target.parent.mkdir(parents=True, exist_ok=True)
        arriving.replace(target)
        return Answer(headers={"ETag": signed.etag(target)})

    def read(request: Request) -> Answer:
        if not target.is_file():
            return Answer(status=404, body=b"<Error><Code>NoSuchKey</Code></Error>")
        return streams.FileAnswer(file=target, length=target.stat().st_size)

    return write, read


def _overwrites(request: Request) -> bool:
    """Unlike in DBFS, what is not said means yes."""
    return request.query.get("overwrite", "true").lower() != "false"


def _facts(path: Path) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Last-Modified": formatdate(path.stat().st_mtime, usegmt=True),
        "Accept-Ranges": "bytes",
    }


def _entry(node: Path, path: str) -> dict[str, Any]:
    entry = {
        "path": path,
        "name": node.name,
        "is_directory": node.is_dir(),
        "last_modified": disks.milliseconds(node),
    }
    return entry if node.is_dir() else {**entry, "file_size": node.stat().st_size}

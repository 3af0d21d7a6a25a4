"""The endpoint outside the API: `POST` and `GET /dbfs/<path>`. Its errors are its web server's pages."""

from __future__ import annotations

import html
from http import HTTPStatus
from pathlib import Path

from tests.fake_workspace import streams
from tests.fake_workspace.dbfs import Dbfs
from tests.fake_workspace.disk import Disk
from tests.fake_workspace.exchange import Answer, Refused, Request, Routes


class RawDbfs:
    """Its switch: whether an error's reason stands in a `<pre>`, which changes what clients make of it."""

    def __init__(self, disk: Disk, dbfs: Dbfs) -> None:
        self.marks_reasons = True
        self._disk = disk
        self._dbfs = dbfs

    def routes(self) -> Routes:
        path = "/dbfs(?P<path>/.*)"
        return {("POST", path): self.upload, ("GET", path): self.download}

    def upload(self, request: Request) -> Answer:
        """Never overwrites, and answers with exactly 200."""
        path = request.match["path"]
        try:
            target = self._dbfs.find({"path": path})
            self._receive(request, target)
        except Refused as refusal:
            if refusal.body["error_code"] == "RESOURCE_ALREADY_EXISTS":
                return self._page(409, path, f"File already exists, cannot overwrite: '{path}'")
            return self._page(refusal.status, path, str(refusal))
        return Answer()

    def download(self, request: Request) -> Answer:
        path = request.match["path"]
        try:
            found = self._dbfs.find({"path": path})
        except Refused as refusal:
            return self._page(refusal.status, path, str(refusal))
        if not found.is_file():
            return self._page(404, path, f"File does not exist: '{path}'")
        headers = {"Content-Type": "application/octet-stream"}
        return streams.FileAnswer(file=found, length=found.stat().st_size, headers=headers)

    def _receive(self, request: Request, target: Path) -> None:
        arriving = self._disk.new_file()
        try:
            streams.save(request.body, arriving)
        except streams.CutOff:
            if not self._dbfs.keeps_cut_off_puts:
                arriving.unlink()
                raise
            self._dbfs.place(arriving, target, overwrite=False)
            raise
        self._dbfs.place(arriving, target, overwrite=False)

    def _page(self, status: int, path: str, reason: str) -> Answer:
        title = f"Error {status} {HTTPStatus(status).phrase}"
        text = html.escape(reason).replace("&#x27;", "&apos;")
        told = f"<pre>    {text}</pre>" if self.marks_reasons else text
        page = (
            f"<html><head><title>{title}</title></head><body><h2>HTTP ERROR: {status}</h2>"
            f"<p>Problem accessing /dbfs{html.escape(path)}. Reason:{told}</p></body></html>"
        )
        return Answer(status=status, body=page.encode(), headers={"Content-Type": "text/html;charset=iso-8859-1"})

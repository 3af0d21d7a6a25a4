"""Signed URLs: they need no token and refuse one, as the storage of a cloud does."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.fake_workspace import streams
from tests.fake_workspace.disk import Disk
from tests.fake_workspace.exchange import Answer, Handler, Refused, Request, Routes


class Signed:
    """Its switch: `expired`, when every URL that was given has had its time."""

    def __init__(self, url: str) -> None:
        self.expired = False
        self._url = url
        self._handlers: dict[tuple[str, str], Handler] = {}

    def open_routes(self) -> Routes:
        return {(method, "/signed/(?P<key>.+)"): self._serve for method in ("GET", "PUT", "DELETE")}

    def sign(self, method: str, handler: Handler) -> str:
        """A URL under which `handler` answers calls of `method`."""
        key = secrets.token_hex(16)
        self._handlers[method, key] = handler
        return f"{self._url}/signed/{key}"

    def _serve(self, request: Request) -> Answer:
        handler = self._handlers.get((request.method, request.match["key"]))
        if "Authorization" in request.headers:
            return _xml(400, "InvalidArgument", "Only one auth mechanism allowed")
        if handler is None:
            return _xml(403, "SignatureDoesNotMatch", "The request signature does not match")
        if self.expired:
            return _xml(403, "AccessDenied", "Request has expired")
        answer = handler(request)
        return answer if isinstance(answer, Answer) else Answer()


@dataclass(frozen=True)
class Parts:
    """An upload in parts, which arrive in any order in a folder of their own."""

    disk: Disk
    folder: Path

    @classmethod
    def begin(cls, disk: Disk) -> Parts:
        folder = disk.new_file()
        folder.mkdir()
        return cls(disk, folder)

    def receive(self, number: int, request: Request) -> Answer:
        """Take one part; the answer's ETag is what the client must name it by."""
        arriving = self.disk.new_file()
        save(request, arriving)
        arriving.replace(self.folder / str(number))
        return Answer(headers={"ETag": etag(self.folder / str(number))})

    def join(self, named: Iterable[tuple[int, str]]) -> Path:
        """The whole file, where every part is there and is the one that the client means."""
        whole = self.disk.new_file()
        with whole.open("wb") as stream:
            for number, tag in named:
                part = self.folder / str(number)
                if not part.exists() or etag(part) != tag:
                    raise Refused(400, "INVALID_PARAMETER_VALUE", f"Part {number} is not what was uploaded")
                with part.open("rb") as source:
                    shutil.copyfileobj(source, stream)
        self.discard()
        return whole

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def save(request: Request, arriving: Path) -> None:
    """Take a body whole, or leave nothing."""
    try:
        streams.save(request.body, arriving)
    except streams.CutOff:
        arriving.unlink(missing_ok=True)
        raise


def etag(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(streams.CHUNK):
            digest.update(chunk)
    return f'"{digest.hexdigest()[:32]}"'


def _xml(status: int, code: str, message: str) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Answer(status=status, body=text.encode(), headers={"Content-Type": "application/xml"})

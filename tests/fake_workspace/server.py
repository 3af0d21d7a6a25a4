"""The test workspace: one HTTP server on loopback that answers as a Databricks workspace does, and strictly."""

from __future__ import annotations

import json
import re
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fake_workspace import jobs, log, streams
from tests.fake_workspace.artifacts import Artifacts
from tests.fake_workspace.compute import Compute
from tests.fake_workspace.dbfs import Dbfs
from tests.fake_workspace.dbfs_raw import RawDbfs
from tests.fake_workspace.disk import Disk
from tests.fake_workspace.exchange import Answer, Handler, Refused, Request, Routes
from tests.fake_workspace.faults import Fault, Faults
from tests.fake_workspace.files import Files
from tests.fake_workspace.identity import WORKSPACE_ID, Identity
from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.signed import Signed
from tests.fake_workspace.tracking import Tracking
from tests.fake_workspace.workspace_files import WorkspaceFiles

TOKEN = "dapi-of-the-test-workspace"
USER = "ada@example.com"


class Api(Protocol):
    def routes(self) -> Routes: ...


class Workspace:
    """A workspace that lives in a folder: `root`, or a temporary one that goes with it.

    `users` are user names by token; `token` is the first one's. An `mlflow` server that is handed in is
    somebody else's to close, and otherwise it has its own. With `reuse` clusters with the same libraries share an
    environment. Its APIs are attributes, with switches of their own.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        port: int = 0,
        users: Mapping[str, str] | None = None,
        mlflow: MlflowServer | None = None,
        reuse: bool = False,
    ) -> None:
        users = users or {TOKEN: USER}
        self.token = next(iter(users))
        self.user = users[self.token]
        self.requests = log.Log()
        self.faults = Faults()
        self.crashes: list[str] = []
        """Tracebacks of handlers that failed by themselves: always a mistake of the test workspace."""

        self.is_gone = False
        self._temporary = root is None
        self.root = (root or Path(tempfile.mkdtemp(prefix="workspace-"))).resolve()
        self.disk = Disk(self.root)
        for user in users.values():
            self.disk.make_home(user)
        self._server = _Server(port, self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.identity = Identity(self.url, users)
        self.dbfs = Dbfs(self.disk)
        self.raw_dbfs = RawDbfs(self.disk, self.dbfs)
        self.signed = Signed(self.url)
        self.files = Files(self.disk, self.signed)
        self.workspace_files = WorkspaceFiles(self.disk)
        self._own_mlflow = mlflow is None
        self._mlflow = mlflow or MlflowServer(self.root / "mlflow")
        self.tracking = Tracking(self.disk, self._mlflow)
        self.artifacts = Artifacts(self.disk, self.signed, self.tracking)
        self.compute = Compute(self.root / "jobs")
        apis: list[Api] = [self.identity, self.compute, self.dbfs, self.raw_dbfs, self.files, self.workspace_files]
        self.jobs = jobs.Jobs(
            self.root,
            self.url,
            self.identity.token_of,
            self.root / "jobs",
            compute=self.compute,
            reuse=reuse,
            has_dbfs=lambda: not self.dbfs.disabled,
        )
        apis += [self.artifacts, self.tracking, self.jobs]
        self._routes = _compile(*(api.routes() for api in apis))
        self._open_routes = _compile(self.identity.open_routes(), self.signed.open_routes())

    def __enter__(self) -> Workspace:  # noqa: PYI034 -- Python 3.10 has no Self
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead a client here."""
        return {"DATABRICKS_HOST": self.url, "DATABRICKS_TOKEN": self.token}

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Be gone, as after a power failure: connections that are open are reset."""
        self.is_gone = True
        self.faults.clear()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()

    def close(self) -> None:
        self.jobs.close()
        self.stop()
        if self._own_mlflow:
            self._mlflow.close()
        if self._temporary:
            shutil.rmtree(self.root, ignore_errors=True)

    def make_volume(self, catalog: str, schema: str, name: str) -> Path:
        return self.disk.make_volume(catalog, schema, name)

    def add_principal(self, client: str, secret: str) -> None:
        """A service principal, which comes in with a token that OAuth gives it."""
        self.identity.principals[client] = secret
        self.disk.make_home(client)

    def answer(self, request: Request) -> Answer:
        """The answer to one request, whatever becomes of it."""
        try:
            return self._dispatch(request)
        except Refused as refusal:
            return _in_json(refusal.body, refusal.status)
        except streams.CutOff:
            raise
        except Exception:  # noqa: BLE001 -- what a server does with its own mistakes
            self.note_crash()
            return _in_json({"error_code": "INTERNAL_ERROR", "message": "The test workspace failed"}, 500)

    def note_crash(self) -> None:
        """Keep the traceback; once the workspace is gone, so may be its files, and that is no mistake."""
        if not self.is_gone:
            self.crashes.append(traceback.format_exc())

    def user_of(self, headers: Mapping[str, str]) -> str:
        """The name behind a request's token, or nothing."""
        with suppress(Refused):
            return self.identity.user(headers.get("Authorization", "")) or ""
        return ""

    def _dispatch(self, request: Request) -> Answer:
        found = _find(self._open_routes, request)
        if not found:
            if self.identity.user(request.headers.get("Authorization", "")) is None:
                return self.identity.refusal
            found = _find(self._routes, request)
        if not found:
            raise Refused(404, "ENDPOINT_NOT_FOUND", f"No API found for '{request.method} {request.path}'")
        handler, request = found
        result = handler(request)
        return result if isinstance(result, Answer) else _in_json(result)


@dataclass(frozen=True)
class _Route:
    method: str
    path: re.Pattern[str]
    handler: Handler


def _compile(*tables: Routes) -> list[_Route]:
    return [
        _Route(method, re.compile(path, re.DOTALL), handler)
        for table in tables
        for (method, path), handler in table.items()
    ]


def _find(routes: list[_Route], request: Request) -> tuple[Handler, Request] | None:
    for route in routes:
        match = route.path.fullmatch(request.path) if route.method == request.method else None
        if match:
            groups = {name: value or "" for name, value in match.groupdict().items()}
            return route.handler, Request(**{**vars(request), "match": groups})
    return None


def _in_json(data: dict[str, Any], status: int = 200) -> Answer:
    return Answer(status=status, body=json.dumps(data).encode(), headers={"Content-Type": "application/json"})


class _Gone(ConnectionError):
    """The connection was dropped on purpose."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, workspace: Workspace) -> None:
        super().__init__(("127.0.0.1", port), _Connection)
        self.workspace = workspace
        self.connections: set[socket.socket] = set()

    def hang_up(self) -> None:
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is nothing to tell."""
        if not isinstance(sys.exc_info()[1], OSError):
            self.workspace.note_crash()


class _Connection(BaseHTTPRequestHandler):
    """One connection, with the requests that come over it one after the other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class' name
        """The log is the workspace's own."""

    def handle_request(self) -> None:
        """Answer one request, unless a fault is in the way."""
        workspace = self.server.workspace
        address = urlsplit(self.path)
        fault = workspace.faults.strike(self.command, self.path)
        body = self._body(fault)
        headers = _Headers(self.headers.items())
        request = Request(
            method=self.command,
            path=unquote(address.path),
            query=dict(parse_qsl(address.query, keep_blank_values=True)),
            headers=headers,
            body=cast("BinaryIO", body),
            user=workspace.user_of(headers),
        )
        try:
            answer = self._answer(request, fault)
            body.drain()
        except (streams.CutOff, _Gone):
            self._record(request, body, status=0)
            self._reset()
            return
        self._record(request, body, status=answer.status)
        with suppress(ConnectionError):
            self._send(answer, fault.truncate if fault else None)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request  # noqa: N815 -- the base class' names

    def _answer(self, request: Request, fault: Fault | None) -> Answer:
        time.sleep(self.server.workspace.faults.line.latency)
        early = self._strike(fault) if fault and not fault.after else None
        if early:
            return early
        answer = self.server.workspace.answer(request)
        late = self._strike(fault) if fault and fault.after else None
        return late or answer

    def _strike(self, fault: Fault) -> Answer | None:
        """What comes of a fault: an answer in place of the workspace's, the end of the connection, or nothing."""
        fault.hold()
        if fault.reset or self.server.workspace.is_gone:
            raise _Gone
        return fault.answer()

    def _body(self, fault: Fault | None) -> streams.Body:
        chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        length = None if chunked else int(self.headers.get("Content-Length") or 0)
        line = self.server.workspace.faults.line
        return streams.Body(cast("BinaryIO", self.rfile), length=length, line=line, cut=fault.cut if fault else None)

    def _record(self, request: Request, body: streams.Body, *, status: int) -> None:
        entry = log.Entry(
            method=request.method,
            path=request.path,
            target=self.path,
            query=request.query,
            headers=log.public(request.headers),
            authorized="Authorization" in request.headers,
            user=request.user,
            size=body.size,
            json=log.parse(body.head, body.size),
            status=status,
        )
        self.server.workspace.requests.append(entry)

    def _send(self, answer: Answer, most: int | None) -> None:
        length = answer.length if isinstance(answer, streams.FileAnswer) else len(answer.body)
        headers = {"Date": self.date_time_string(), "X-Databricks-Org-Id": WORKSPACE_ID, **answer.headers}
        if answer.status != 204:
            headers.setdefault("Content-Length", str(length))
        self.send_response_only(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(answer, length if most is None else most)
        self.wfile.flush()
        if most is not None:
            self.close_connection = True

    def _send_body(self, answer: Answer, most: int) -> None:
        for data in _chunks(answer):
            self.server.workspace.faults.line.carry(len(data))
            self.wfile.write(data[:most])
            most -= len(data)
            if most <= 0:
                return

    def _reset(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class _Headers(dict[str, str]):
    """Headers by name, in any case of letters."""

    def __init__(self, items: Any) -> None:
        super().__init__((name.title(), value) for name, value in items)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.title())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).title())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.title(), default)


def _chunks(answer: Answer) -> Iterator[bytes]:
    if isinstance(answer, streams.FileAnswer):
        yield from answer.chunks()
    else:
        yield from (answer.body[start : start + streams.CHUNK] for start in range(0, len(answer.body), streams.CHUNK))

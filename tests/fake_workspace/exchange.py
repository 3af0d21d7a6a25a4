"""Request, Answer and Refused: what the server and the modules of the APIs pass to each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request. `body` is read once, as a stream of exactly its length; `match` holds the route's named groups."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: BinaryIO
    user: str = ""
    match: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """The body as JSON whatever its content type says, on a GET too; the query where there is no body."""
        raw = self.body.read()
        if not raw:
            return dict(self.query)
        try:
            data = json.loads(raw)
        except ValueError as fault:
            raise Refused(400, "MALFORMED_REQUEST", f"Could not parse request object: {fault}") from fault
        if not isinstance(data, dict):
            raise Refused(400, "MALFORMED_REQUEST", "The request is not a JSON object")
        return data


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer that is not plain JSON with status 200."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """An error as the workspace tells it: `{"error_code": ..., "message": ...}`. `error_code` may be an integer."""

    def __init__(self, status: int, error_code: str | int, message: str, *, details: list[Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error_code": error_code, "message": message, **({"details": details} if details else {})}


Handler = Callable[[Request], "dict[str, Any] | Answer"]
Routes = Mapping[tuple[str, str], Handler]
"""Handlers by method and by a regular expression that the whole path must match: `/api/2.0/dbfs/(?P<call>.+)`."""

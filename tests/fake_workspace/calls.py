"""Calls of the workspace's handlers without a server, for the tests of one API."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import Any

from tests.fake_workspace.exchange import Answer, Refused, Request, Routes

USER, PRINCIPAL = "ada@example.com", "5b3c0a52-principal"


def call(
    routes: Routes, method: str, path: str, body: Mapping[str, Any] | None = None, **query: object
) -> dict[str, Any]:
    """What the handler of `path` answers; Refused where it refuses."""
    for (wanted, pattern), handler in routes.items():
        if wanted == method and (found := re.fullmatch(pattern, path)):
            answer = handler(
                Request(
                    method=method,
                    path=path,
                    query={name: str(value) for name, value in query.items()},
                    headers={},
                    body=io.BytesIO(b"" if body is None else json.dumps(body).encode()),
                    user=USER,
                    match=found.groupdict(),
                )
            )
            assert not isinstance(answer, Answer)
            return answer
    raise Refused(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'")


def token_of(name: str) -> str:
    """A token of one of the two."""
    return f"token of {name}" if name in {USER, PRINCIPAL} else ""

"""A list of the requests that the workspace got, without tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SECRET = {"authorization", "cookie", "x-databricks-azure-sp-management-token"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One request; `status` is 0 where the connection went before an answer. `path` is decoded, `target` is as sent."""

    method: str
    path: str
    target: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    authorized: bool
    user: str
    size: int
    json: Any
    status: int


class Log(list[Entry]):
    """The requests in the order in which they were answered."""

    def of(self, method: str, path: str) -> list[Entry]:
        """Those of `method` whose whole path matches; both are regular expressions."""
        return [entry for entry in list(self) if re.fullmatch(method, entry.method) and re.fullmatch(path, entry.path)]


def public(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in SECRET}


def parse(head: bytes, size: int) -> Any:
    """A body as JSON; None where it is none, or too long to have been kept."""
    if len(head) < size:
        return None
    try:
        return json.loads(head)
    except ValueError:
        return None

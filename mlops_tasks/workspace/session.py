"""HTTP to one workspace: every call has a timeout, and calls that are safe to repeat are repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import requests

from mlops_tasks.workspace import faults
from mlops_tasks.workspace.login import ANSWER_WITHIN

if TYPE_CHECKING:
    from mlops_tasks.workspace.api import Workspace

CONNECT_WITHIN = 10
"""Seconds to open a connection; nothing has been sent until then."""
IDEMPOTENT_POSTS = ("/dbfs/mkdirs", "/workspace/mkdirs", "/jobs/runs/cancel")
UPLOADS = ("/dbfs/put",)
CONNECTIONS = 16


class Patience(NamedTuple):
    """Seconds to wait for a workspace: for the next byte of an answer, and before each further try of a call.

    The answer to an upload of hundreds of MB takes longer. `waits` hold where the server names none by Retry-After;
    where it asks for more than `longest_wait`, the call fails at once.
    """

    answer_within: float = ANSWER_WITHIN
    upload_within: float = 120
    waits: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    longest_wait: float = 300


PATIENT = Patience()
HASTY = Patience(answer_within=10, waits=(1.0,), longest_wait=10)
"""For stopping: a person waits for the command to end."""


class Session(requests.Session):
    """A session for databricks-cli's clients and for calls of ours; raises ApiError for every answer but success."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self.auth = self._authorize
        for scheme in ("https://", "http://"):
            self.mount(scheme, requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=CONNECTIONS))

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """One call, repeated if it is a GET or has the same effect when it is sent twice."""
        path = urlsplit(url).path
        if method == "GET" or path.endswith(IDEMPOTENT_POSTS):
            return self._workspace.persist(f"{method} {path}", lambda: self.send_once(method, url, *args, **kwargs))
        return self.send_once(method, url, *args, **kwargs)

    def send_once(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        """One call, never repeated."""
        path = urlsplit(url).path
        call = f"{method} {path}"
        patience = self._workspace.patience
        within = patience.upload_within if path.endswith(UPLOADS) else patience.answer_within
        kwargs.setdefault("timeout", (CONNECT_WITHIN, within))
        kwargs.setdefault("allow_redirects", False)
        try:
            answer = super().request(method, url, *args, **kwargs)
        except requests.RequestException as fault:
            raise faults.unreachable(self._workspace.login.host, call, fault) from fault
        faults.check(answer, self._workspace.login.host, call)
        return answer

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Fresh credentials for every try: a token may run out in between."""
        request.headers.update(self._workspace.login.headers())
        return request

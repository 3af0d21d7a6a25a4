"""HTTP to one workspace: every call has a timeout, and is repeated where repeating is safe and may help."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests

from mlops_tasks.report import Report
from mlops_tasks.workspace import faults
from mlops_tasks.workspace.login import ANSWER_WITHIN, Login

T = TypeVar("T")

CONNECT_WITHIN = 10
"""Seconds for a connection to stand; nothing has been sent until then."""
IDEMPOTENT_POSTS = ("/dbfs/mkdirs", "/workspace/mkdirs", "/jobs/runs/cancel")
UPLOADS = ("/dbfs/put",)
CONNECTIONS = 16


class Patience(NamedTuple):
    """How long a workspace is waited for, in seconds without a byte from it, and before each further try.

    What follows an upload of hundreds of MB takes its time. `waits` hold where the server names none by Retry-After;
    what it asks for beyond `longest_wait` is not waited for: the fault is told at once.
    """

    answer_within: float = ANSWER_WITHIN
    upload_within: float = 120
    waits: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    longest_wait: float = 300


PATIENT = Patience()
HASTY = Patience(answer_within=10, waits=(1.0,), longest_wait=10)
"""While something is stopped: a person waits for the end of the command."""


def persist(
    what: str,
    action: Callable[[], T],
    *,
    report: Report,
    patience: Patience = PATIENT,
    pause: Callable[[float], None] = time.sleep,
) -> T:
    """The result of `action`, which is repeated while it fails by ApiErrors that a moment may mend.

    `action` must be safe to repeat. Each further try is told, and waited for with jitter. One that is made of such
    actions itself is not repeated once one of them was in vain.
    """
    for wait in patience.waits:
        try:
            return action()
        except faults.ApiError as fault:  # noqa: PERF203 - a try is a request
            asked = max(fault.retry_after or 0.0, wait)
            if not fault.is_transient or fault.is_worn_out or asked > patience.longest_wait:
                raise
            delay = asked * random.uniform(1, 1.25)  # noqa: S311 - no secret
            report.detail(f"{what}: {fault.what.splitlines()[0]}; trying again in {delay:.0f} s")
            pause(delay)
    try:
        return action()
    except faults.ApiError as fault:
        fault.is_worn_out = True
        raise


class Session(requests.Session):
    """A session for databricks-cli's clients and for calls of ours; raises ApiError for whatever is no success."""

    def __init__(
        self,
        login: Login,
        *,
        report: Report,
        patience: Patience = PATIENT,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__()
        self._login, self._report, self._patience, self._pause = login, report, patience, pause
        self.auth = self._authorize
        for scheme in ("https://", "http://"):
            self.mount(scheme, requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=CONNECTIONS))

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """One call. GETs and calls that do the same twice are repeated, others are sent once."""
        path = urlsplit(url).path

        def send() -> requests.Response:
            return self.send_once(method, url, *args, **kwargs)

        if method == "GET" or path.endswith(IDEMPOTENT_POSTS):
            what = f"{method} {path}"
            return persist(what, send, report=self._report, patience=self._patience, pause=self._pause)
        return send()

    def send_once(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        """One try of a call, whatever it is."""
        path = urlsplit(url).path
        call = f"{method} {path}"
        within = self._patience.upload_within if path.endswith(UPLOADS) else self._patience.answer_within
        kwargs.setdefault("timeout", (CONNECT_WITHIN, within))
        kwargs.setdefault("allow_redirects", False)
        try:
            answer = super().request(method, url, *args, **kwargs)
        except requests.RequestException as fault:
            raise faults.unreachable(self._login.host, call, fault) from fault
        self._check(answer, call)
        return answer

    def _check(self, answer: requests.Response, call: str) -> None:
        host = self._login.host
        if answer.is_redirect:
            raise faults.sent_on(f"{host} {call}", answer.headers["Location"])
        if not answer.ok:
            raise faults.from_answer(host, call, status=answer.status_code, headers=answer.headers, body=answer.text)
        if answer.headers.get("Content-Type", "").startswith("text/html"):  # a proxy's, or a page to sign in at
            raise faults.no_workspace(f"{host} {call}")
        if not _is_json(answer):  # databricks-cli would end in a traceback
            raise faults.garbled(f"{host} {call}")

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Fresh credentials for every try: a token may run out in between."""
        request.headers.update(self._login.headers())
        return request


def _is_json(answer: requests.Response) -> bool:
    try:
        answer.json()
    except ValueError:
        return False
    return True

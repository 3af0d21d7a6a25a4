"""Faults on purpose: rules for single calls, and a slow line for all calls."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fake_workspace.exchange import Answer


@dataclass(kw_only=True)
class Fault:
    """What goes wrong at calls of `method` (a regular expression, as `path` is, which must match from its beginning).

    `call` is which of the matching calls it meets, from 1 on; None is every one. It strikes before the call takes
    effect, or `after` it. `cut` bytes of the request's body arrive, or `truncate` bytes of the answer's; then the
    connection is gone, as it is at once with `reset`. `delay` is in seconds; a `gate` holds the call until it is set.
    """

    method: str
    path: str
    call: int | None = None
    after: bool = False
    status: int | None = None
    body: bytes | Mapping[str, Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False
    delay: float = 0
    gate: threading.Event | None = None
    cut: int | None = None
    truncate: int | None = None
    met: threading.Event = field(default_factory=threading.Event)
    """Set when the rule strikes, so that a test can wait for it."""

    _seen: int = 0

    def strikes(self, method: str, path: str) -> bool:
        """Count this call, if it is one of the rule's."""
        if not (re.fullmatch(self.method, method) and re.match(self.path, path)):
            return False
        self._seen += 1
        return self.call in {None, self._seen}

    def hold(self) -> None:
        """Tell the test that it struck, then wait as long as it says."""
        self.met.set()
        time.sleep(self.delay)
        if self.gate:
            self.gate.wait()

    def answer(self) -> Answer | None:
        """The answer in place of the workspace's; None where the workspace's stands."""
        if self.status is None:
            return None
        if isinstance(self.body, bytes):
            return Answer(status=self.status, body=self.body, headers=self.headers)
        headers = {"Content-Type": "application/json", **self.headers}
        return Answer(status=self.status, body=json.dumps(self.body).encode(), headers=headers)


BUFFERED = 0.005
"""Seconds of traffic that a line goes on carrying while the workspace is busy with what has arrived."""


class Line:
    """The line to the workspace, shared by all connections: `latency` in seconds, `bandwidth` in bytes a second."""

    def __init__(self) -> None:
        self.latency = 0.0
        self.bandwidth: float | None = None
        self._free = 0.0
        self._lock = threading.Lock()

    def carry(self, size: int) -> None:
        """Wait until `size` more bytes have passed."""
        if self.bandwidth is None:
            return
        with self._lock:
            self._free = max(self._free, time.monotonic() - BUFFERED) + size / self.bandwidth
            free = self._free
        time.sleep(max(0.0, free - time.monotonic()))


class Faults:
    """The rules that are in force; the first that strikes counts."""

    def __init__(self) -> None:
        self.line = Line()
        self._rules: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, method: str, path: str, **what: Any) -> Fault:
        """Make calls fail: `faults.add("POST", "/api/2.0/dbfs/put", call=1, after=True, status=503)`."""
        fault = Fault(method=method, path=path, **what)
        with self._lock:
            self._rules.append(fault)
        return fault

    def shape(self, *, latency: float = 0, bandwidth: float | None = None) -> None:
        self.line.latency = latency
        self.line.bandwidth = bandwidth

    def clear(self) -> None:
        """Forget all rules, let go of the calls that they hold, and make the line fast again."""
        with self._lock:
            rules, self._rules = self._rules, []
        for rule in rules:
            if rule.gate:
                rule.gate.set()
        self.shape()

    def strike(self, method: str, path: str) -> Fault | None:
        """The rule that this call runs into; every rule counts the call."""
        with self._lock:
            return next(iter([rule for rule in self._rules if rule.strikes(method, path)]), None)

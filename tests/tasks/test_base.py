from __future__ import annotations

import contextlib
import http.client
import socket
import sys
from types import SimpleNamespace

import pytest

from mlops_tasks.tasks import base


def test_a_response_that_python_cannot_let_go_of_is_passed_over_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda fault: told.append(fault.object))
    ours, theirs = socket.socketpair()

    with ours, theirs, contextlib.closing(http.client.HTTPResponse(ours)) as response:
        with base._signals_raise():
            sys.unraisablehook(SimpleNamespace(object=response))
            sys.unraisablehook(SimpleNamespace(object="another"))
        assert told == ["another"]

        sys.unraisablehook(SimpleNamespace(object=response))
        assert told == ["another", response]

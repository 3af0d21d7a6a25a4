from __future__ import annotations

import http.client
import sys
from typing import Any

import pytest

from mlops_tasks.commands import boundary


class Broken:
    def __del__(self) -> None:
        raise ValueError("on the way out")


def test_a_response_that_was_cut_off_half_made_is_passed_over_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda fault: told.append(type(fault.exc_value)))

    with boundary._endings_raise():
        http.client.HTTPResponse.__new__(http.client.HTTPResponse)
        assert told == []
        Broken()
        assert told == [ValueError]

    http.client.HTTPResponse.__new__(http.client.HTTPResponse)
    assert told == [ValueError, AttributeError]

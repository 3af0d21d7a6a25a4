from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sys
from types import SimpleNamespace
from typing import Any

import invoke
import pytest

from mlops_tasks import errors
from mlops_tasks.tasks import base


@pytest.mark.parametrize(
    ("fault", "code", "word"), [(KeyboardInterrupt(), 130, "interrupted"), (errors.Terminated(), 143, "terminated")]
)
def test_a_command_that_is_cut_short_says_so_as_json_too(
    fault: KeyboardInterrupt, code: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def wait(c: invoke.Context, **flags: Any) -> None:
        """Wait."""
        raise fault

    with pytest.raises(invoke.Exit) as caught:
        base.ReleaseTask(wait)(invoke.Context(), json=True)

    said = capsys.readouterr()
    assert caught.value.code == code
    assert json.loads(said.out) == {
        "error": {"code": code, "what": word, "where": "", "try": "`inv status` shows how far it came"}
    }
    assert said.err == f"error: {word}\n  do: `inv status` shows how far it came\n"


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

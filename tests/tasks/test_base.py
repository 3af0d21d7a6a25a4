from __future__ import annotations

import json
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

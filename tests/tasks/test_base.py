from __future__ import annotations

import json
from typing import Any

import invoke
import pytest

from mlops_tasks import errors, namespace
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


TEXTS = sorted(
    (task.name, argument.name)
    for task in namespace.tasks.values()
    for argument in task.get_arguments()
    if argument.kind in {str, list}
)


@pytest.mark.parametrize(("task", "flag"), TEXTS)
@pytest.mark.parametrize("text", ["", " "], ids=["empty", "blank"])
def test_a_flag_without_a_text_is_refused_before_anything_else(
    task: str, flag: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (argument,) = (each for each in namespace[task].get_arguments() if each.name == flag)
    given = {argument.attr_name or flag: ["given", text] if argument.kind is list else text}

    with pytest.raises(invoke.Exit) as caught:
        namespace[task](invoke.Context(), **given)

    assert caught.value.code == 2
    said = capsys.readouterr().err
    spelt = "-P" if flag == "P" else f"--{flag.strip('_').replace('_', '-')}"
    assert said == f"error: {spelt} must be text, not {text!r}\n  do: give it a value, or leave it out\n"

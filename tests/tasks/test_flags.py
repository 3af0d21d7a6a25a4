"""An argument that has a place and may be left out stands on the inside of Invoke's parser, which no version promises.

These fail where a new Invoke is built otherwise, before a user finds out; pyproject.toml asks for one below 4.
"""

from __future__ import annotations

import re

import pytest
from invoke.parser import Parser

from mlops_tasks import namespace
from mlops_tasks.settings import SETTINGS


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["watch"], [("watch", None)], id="left out at the end"),
        pytest.param(["watch", "0a1b"], [("watch", "0a1b")], id="given"),
        pytest.param(["watch", "--quiet"], [("watch", None)], id="left out before a flag"),
        pytest.param(["watch", "--quiet", "0a1b"], [("watch", "0a1b")], id="given after a flag"),
        pytest.param(["cancel", "watch"], [("cancel", None), ("watch", None)], id="left out before a task"),
        pytest.param(["cancel", "0a1b", "watch"], [("cancel", "0a1b"), ("watch", None)], id="given before a task"),
    ],
)
def test_the_id_of_a_run_may_be_left_out(words: list[str], expected: list[tuple[str, str | None]]) -> None:
    found = Parser(contexts=namespace.to_contexts()).parse_argv(words)

    assert [(each.name, each.args["run_id"].value or None) for each in found] == expected


def test_the_flags_have_their_help_however_often_they_are_made() -> None:
    first, second = ([(each.name, each.help_tuples()) for each in namespace.to_contexts()] for _ in range(2))

    assert first == second
    assert all(meaning for _, flags in first for _, meaning in flags)


def test_the_help_of_a_flag_says_what_counts_without_it() -> None:
    for key, each in SETTINGS.items():
        if isinstance(each.default, (str, int, float)) and each.default:
            default = str(each.default).removesuffix(".0").replace("True", "true")
            assert f"(default: {default})" in each.metadata["meaning"], key


def test_the_help_of_a_flag_has_all_that_may_be_chosen() -> None:
    for key in ("target", "compute", "env_manager"):
        with pytest.raises(ValueError, match="must be one of") as caught:
            SETTINGS[key].metadata["read"]("")
        choices = re.findall(r"[a-z]+", str(caught.value).partition("must be one of ")[2].partition(", not")[0])
        meaning = re.findall(r"[a-z]+", SETTINGS[key].metadata["meaning"].partition(":")[2].partition("(")[0])
        assert set(meaning) - {"or"} == set(choices), key

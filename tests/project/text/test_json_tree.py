from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks import errors
from mlops_tasks.project.text import json_tree, tree


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param('{\n\t"a": 1,\n}\n', r"f:3:1|f:2:8", id="comma at the end"),
        pytest.param('\ufeff{"a" 1}', "f:1:6", id="after a byte order mark"),
        pytest.param("", "f:1:1", id="empty"),
        pytest.param("[" * 100_000, "usable JSON", id="too deep"),
        pytest.param("[" * 600 + "]" * 600, "usable JSON", id="too deep for its places"),
        pytest.param("9" * 5000, "usable JSON", id="too long a number"),
    ],
)
def test_broken_json_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(errors.BadInput, match=said):
        json_tree.parse(Path("f"), text)


def test_tab_indented_json_has_exact_places() -> None:
    text = '{\n\t"a": [\n\t\t"x\\u0041",\n\t\t2\n\t]\n}'
    found = tree.get(json_tree.parse(Path("f"), text), "a")
    assert isinstance(found, tree.List)
    assert [text[item.start : item.end] for item in found.items] == ['"x\\u0041"', "2"]
    assert [item.node.value for item in found.items if isinstance(item.node, tree.Scalar)] == ["xA", None]


@given(st.text() | st.text(alphabet='a1-:[]{},"\\ \n\t.', max_size=30))
def test_any_text_is_a_tree_or_is_refused_for_a_reason(text: str) -> None:
    with contextlib.suppress(errors.BadInput):
        json_tree.parse(Path("f"), text)

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks import errors
from mlops_tasks.project.text import tree, yaml_tree


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("a: 1\nb: [1\nc: 2\n", "f:3:2", id="syntax"),
        pytest.param("a: 1\n---\nb: 2\n", "f:2:1", id="two documents"),
        pytest.param("a:\n  b: x\x00", "f:2:7", id="control character"),
        pytest.param("a: !python/object:os.system x\n", "f:1:4", id="foreign tag"),
        pytest.param("a: *nowhere\n", "f:1:4", id="unknown alias"),
        pytest.param("a: &x [1, *x]\n", "f:1:11", id="alias within itself"),
        pytest.param("a: 2024-13-45\n", "valid YAML", id="impossible date"),
        pytest.param("[" * 2000, "deeply", id="too deep"),
        pytest.param("\ta: 1\n", "f:1:1", id="tab"),
    ],
)
def test_broken_yaml_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(errors.BadInput, match=said):
        yaml_tree.parse(Path("f"), text)


def test_a_file_of_comments_alone_has_no_tree() -> None:
    assert yaml_tree.parse(Path("f"), "# nothing\n") is None


@pytest.mark.parametrize(
    ("text", "content"),
    [
        pytest.param("a: !!str &x 'v' # c\n", "'v'", id="properties are not content"),
        pytest.param("a: &x |-  # c\n  v\n\nb: 1\n", "|-  # c\n  v\n\n", id="a block with its header"),
        pytest.param("\ufeffa: v\n", "v", id="byte order mark"),
    ],
)
def test_the_content_of_a_scalar_has_its_exact_place(text: str, content: str) -> None:
    found = tree.get(yaml_tree.parse(Path("f"), text), "a")
    assert isinstance(found, tree.Scalar)
    assert text[found.start : found.end] == content


def test_of_double_keys_the_last_counts_and_an_own_key_wins_over_a_merged_one() -> None:
    text = "m: &m {a: 1, b: 2}\nn: &n {c: 3}\nx:\n  <<: [*m, *n]\n  a: 4\n  a: 5\n"
    merged = tree.get(yaml_tree.parse(Path("f"), text), "x")
    found = [tree.get(merged, key) for key in "abcd"]
    assert [each.value if isinstance(each, tree.Scalar) else None for each in found] == ["5", "2", "3", None]


@given(st.text() | st.text(alphabet="ab-:?[]{},&*!|>'\"%@`# \n\t\r.0<=", max_size=40))
def test_any_text_is_a_tree_or_is_refused_for_a_reason(text: str) -> None:
    with contextlib.suppress(errors.BadInput):
        yaml_tree.parse(Path("f"), text)

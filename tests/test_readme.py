from __future__ import annotations

import re

import pytest

from tests.support import compare_readme

ELSEWHERE = [
    (r"/mlops_tasks(?=/)", "/clone"),
    (r"/main\b", "/feature-churn-1f3a5b7c9d2e"),
    (r"\b[0-9a-f]{32}\b", "0" * 32),
    (r"/[0-9a-f]{16}\b", "/" + "1" * 16),
    (r"accuracy [\d.]+", "accuracy 0.9"),
]


def elsewhere(text: str) -> str:
    for pattern, other in ELSEWHERE:
        assert re.search(pattern, text), pattern
        text = re.sub(pattern, other, text)
    return text


def test_another_branch_other_hashes_and_other_numbers_are_no_difference() -> None:
    assert compare_readme.compare(elsewhere(compare_readme.shown()) + "\na table\n") == ""


@pytest.mark.parametrize(
    ("old", "new"), [("/wheels/", "/copies/"), ("built", "made"), ("FINISHED", "FAILED"), ("recall", "recalled")]
)
def test_another_place_or_word_is_one(old: str, new: str) -> None:
    shown = compare_readme.shown()
    assert old in shown

    assert new in compare_readme.compare(shown.replace(old, new))


def test_a_line_that_is_not_printed_is_one() -> None:
    assert "-             accuracy" in compare_readme.compare(
        "".join(compare_readme.shown().splitlines(keepends=True)[:-1])
    )

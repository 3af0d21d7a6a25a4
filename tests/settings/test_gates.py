from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlops_tasks import errors
from mlops_tasks.settings import Settings, gates

NUMBERS = st.one_of(
    st.integers(0, 10**6).map(str), st.floats(0, 1e6, allow_nan=False).map(repr), st.just(".5"), st.just("2.")
)
BLANKS = st.sampled_from(["", " ", "  ", "\t"])
VALUES = st.dictionaries(st.sampled_from(["main", "best", "prod"]), st.floats(-100, 100), min_size=3, max_size=3)
OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda left, right: left / right if right else math.nan,
}


def trees() -> st.SearchStrategy[Any]:
    """Expressions as nested tuples, the plain way to write them down."""
    leaves = st.one_of(NUMBERS, st.sampled_from(["main", "best", "prod"]))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(st.just("-"), inner), st.tuples(inner, st.sampled_from(sorted(OPERATORS)), inner)
        ),
        max_leaves=12,
    )


def spell(tree: Any, blank: str) -> str:
    if isinstance(tree, str):
        return blank + tree
    if len(tree) == 2:
        return f"{blank}-({spell(tree[1], blank)}{blank})"
    return f"({spell(tree[0], blank)}{blank}){blank}{tree[1]}{blank}({spell(tree[2], blank)})"


def evaluate(tree: Any, values: dict[str, float]) -> float:
    if isinstance(tree, str):
        return values[tree] if tree in values else float(tree)
    if len(tree) == 2:
        return -evaluate(tree[1], values)
    return OPERATORS[tree[1]](evaluate(tree[0], values), evaluate(tree[2], values))


def has_a_part_that_is_no_number(tree: Any) -> bool:
    """Whether a part comes to no finite number (1 / 0, .5 / 5e-324), whatever the values are."""
    if isinstance(tree, str):
        return False
    *_, last = tree
    divides_by_zero = tree[1] == "/" and is_constant(last) and evaluate(last, {}) == 0
    overflows = is_constant(tree) and not math.isfinite(evaluate(tree, {}))
    return divides_by_zero or overflows or any(has_a_part_that_is_no_number(each) for each in (tree[0], last))


def is_constant(tree: Any) -> bool:
    return not {"main", "best", "prod"} & set(re.findall("[a-z]+", spell(tree, " ")))


def is_same(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))


@given(tree=trees(), blank=BLANKS, values=VALUES)
@example(tree=(".5", "/", "5e-324"), blank="", values={"main": 0.0, "best": 0.0, "prod": 0.0})
def test_an_expression_comes_to_what_a_plain_evaluator_says(tree: Any, blank: str, values: dict[str, float]) -> None:
    text = f"auc >={spell(tree, blank)}{blank}"
    if has_a_part_that_is_no_number(tree):
        with pytest.raises(ValueError, match="is no gate: a finite number, with no division by 0, is expected"):
            gates.parse(text)
        return
    gate = gates.parse(text)

    assert is_same(gate.bound(values), evaluate(tree, values))


@given(
    terms=st.lists(
        st.one_of(NUMBERS.map(lambda text: repr(float(text))), st.sampled_from(["main", "best", "-main", "- 3"])),
        min_size=1,
        max_size=8,
    ),
    signs=st.lists(st.sampled_from(["+", "-", "*"]), min_size=8, max_size=8),
    values=VALUES,
)
def test_signs_bind_as_they_do_in_python(terms: list[str], signs: list[str], values: dict[str, float]) -> None:
    text = "".join(f" {sign} {term}" for sign, term in zip(["+", *signs], terms, strict=False)).removeprefix(" + ")

    assert is_same(gates.parse(f"auc < {text}").bound(values), eval(text, {}, dict(values)))


@pytest.mark.parametrize(
    "text", ["1/0", "main/0", "main / (1 - 1)", "1e400", "1e400 - 1e400", "-(1e999)", "best + 1e999"]
)
def test_what_is_never_a_number_is_refused_before_there_is_a_run(text: str) -> None:
    with pytest.raises(ValueError, match="a finite number, with no division by 0, is expected at column 7"):
        gates.parse(f"auc >= {text}")


@given(value=st.floats(), bound=st.floats(), sign=st.sampled_from(sorted(gates.COMPARE)))
def test_a_condition_holds_as_it_does_in_python_and_never_with_nan(value: float, bound: float, sign: str) -> None:
    met = gates.parse(f"auc {sign} 1").is_met(value, bound)

    is_number = not math.isnan(value) and not math.isnan(bound)
    assert met is (is_number and eval(f"value {sign} bound"))


@given(text=st.text(max_size=40) | st.text("auc><=!=main best.019+-*/()'\" e", max_size=40))
def test_whatever_is_written_is_a_gate_or_refused_in_one_way(text: str) -> None:
    try:
        gate = gates.parse(text)
    except ValueError as refused:
        said = str(refused)
    else:
        said = f"is no gate: {gate.bound(dict.fromkeys(gate.references, 1.0))}"

    assert said.startswith("is no gate: ")


@pytest.mark.parametrize("depth", [100, 1000])
def test_parentheses_in_parentheses_end_in_no_traceback(depth: int) -> None:
    text = f"a>{'(' * depth}1{')' * depth}"
    if depth == 100:
        assert gates.parse(text).bound({}) == 1
    else:
        with pytest.raises(ValueError, match="2003 characters, and 500 at most"):
            gates.parse(text)


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("auc >= 0.79", "auc"),
        ("val/auc>1", "val/auc"),
        ("mean-error < main", "mean-error"),
        ("'mean error' < main", "mean error"),
        ('"it\'s" != 0', "it's"),
    ],
)
def test_a_metric_is_a_name_without_blanks_or_one_in_quotes(text: str, metric: str) -> None:
    gate = gates.parse(text)

    assert (gate.metric, str(gate)) == (metric, text)


@pytest.mark.parametrize(
    ("text", "expected", "column"),
    [
        ("", "a metric's name", 1),
        ("''> 1", "a metric's name", 1),
        ("auc", "one of >= <= == != > <", 4),
        ("auc = 1", "one of >=", 5),
        ("val auc >= 1", "one of >=", 5),
        ("auc == best", "does not say what is better", 5),
        ("auc >=", "a number, main, best", 7),
        ("auc >= * 2", "a number, main, best", 8),
        ("auc >= 1 +", "a number, main, best", 11),
        ("auc >= $", "a number, main, best", 8),
        ("auc >= 2 main", "+, -, *, / or the end", 10),
        ("auc >= (1 + 2", "a ) for the ( at column 8", 14),
        ("auc >= 1)", "+, -, *, / or the end", 9),
        ("auc >= 1, 2", "+, -, *, / or the end", 9),
        ("auc >= 1e", "+, -, *, / or the end", 9),
        ("auc >= __import__('os')", "+, -, *, / or the end", 18),
    ],
)
def test_a_syntax_error_says_what_is_expected_and_points_at_its_place(text: str, expected: str, column: int) -> None:
    with pytest.raises(ValueError, match="is no gate") as refused:
        gates.parse(text)

    said, line, caret = str(refused.value).split("\n")
    assert expected in said
    assert f"column {column}" in said
    assert (line, caret) == (f"      {text}", " " * (5 + column) + "^")


def test_gates_are_a_list_or_text_with_commas_and_flags_add_to_them() -> None:
    def read(config: object, variable: str = "", flags: object = None) -> list[str]:
        found = Settings.read(
            config={"project": "p", "require": config}, environ={"MLOPS_REQUIRE": variable}, flags={"require": flags}
        )
        return [str(each) for each in found.require]

    assert read("auc > 1, loss < 2") == ["auc > 1", "loss < 2"]
    assert read(["auc > 1", "loss < 2"], flags=["f1 > 3"]) == ["auc > 1", "loss < 2", "f1 > 3"]
    assert read(["auc > 1"], "loss < 2") == ["loss < 2"]
    assert [str(each) for each in Settings(project="p", require=("auc > 1",)).require] == ["auc > 1"]  # type: ignore[arg-type]


def test_every_faulty_gate_is_told_with_its_place_before_anything_begins() -> None:
    with pytest.raises(errors.BadInput) as refused:
        Settings.read(
            config={"project": "p", "require": ["auc >= mian"]}, environ={}, flags={"require": ["loss <"], "bogus": 1}
        )

    assert "mlops.require (configuration) names mian in the gate auc >= mian" in refused.value.what
    assert "did you mean main?" in refused.value.what
    assert "--require is no gate: a number, main" in refused.value.what
    assert "loss <\n" in refused.value.what


def test_a_gate_may_name_an_environment_that_is_there() -> None:
    def read(gate: str) -> Settings:
        config = {"project": "p", "require": [gate], "environments": {"prod-eu": {}}}
        return Settings.read(config=config, environ={}, flags={})

    assert read("auc >= 'prod-eu' - 0.01").require[0].references == ("prod-eu",)
    assert read("auc >= local").require[0].references == ("local",)
    with pytest.raises(errors.BadInput, match="did you mean prod-eu"):
        read("auc >= 'prod-us'")


def test_mlflows_words_for_a_threshold_mean_what_they_mean_there() -> None:
    words = {"metric": "auc", "threshold": 0.79, "min_absolute_change": 0.01, "min_relative_change": 0.02}
    high, low = (gates.read([{**words, "greater_is_better": each}]) for each in (True, False))

    assert [str(each) for each in low] == [
        "auc: threshold 0.79",
        "auc: min_absolute_change 0.01",
        "auc: min_relative_change 0.02",
    ]
    assert [each.bound({"main": -0.5}) for each in high] == pytest.approx([0.79, -0.49, -0.49])
    assert [each.bound({"main": 0.5}) for each in low] == pytest.approx([0.79, 0.49, 0.49])
    assert [each.bound({"main": 0.0}) for each in high] == [0.79, 0.01, 1e-10]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"treshold": 1}, "did you mean threshold"),
        ({"threshold": 1, "greater_is_better": True}, "without its metric"),
        ({"metric": "auc", "threshold": 1}, "greater_is_better"),
        ({"metric": "auc", "greater_is_better": True}, "asks nothing of auc"),
        ({"metric": "auc", "greater_is_better": True, "threshold": "1"}, "a number as its threshold"),
        ({"metric": "auc", "greater_is_better": True, "threshold": math.nan}, "a number as its threshold"),
        ({"metric": "auc", "greater_is_better": True, "min_absolute_change": 0}, "a number above 0"),
        ({"metric": "auc", "greater_is_better": True, "min_relative_change": 2}, "a number from 0 to 1"),
    ],
)
def test_a_mapping_that_mlflow_would_not_take_is_refused(words: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        gates.read([words])


@pytest.mark.parametrize("raw", [5, None, [5], [["auc > 1"]]])
def test_what_is_neither_text_nor_mapping_is_no_gate(raw: object) -> None:
    with pytest.raises(ValueError, match="must be "):
        gates.read(raw)


@pytest.mark.parametrize(
    ("metric", "near"),
    [("acuracy", "accuracy"), ("auc", "roc_auc"), ("F1", "f1"), ("loss", ""), ("val/accuracy", "accuracy")],
)
def test_a_logged_metric_of_a_near_name_is_found(metric: str, near: str) -> None:
    assert gates.name_near(metric, ["accuracy", "roc_auc", "f1"]) == near

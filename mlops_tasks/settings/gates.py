"""Gates: conditions on a run's metrics, read from text by a small grammar or from MLflow's words for a threshold.

A gate is `METRIC OPERATOR EXPRESSION`: `auc >= 0.79`, `'val/rmse' <= main * 1.02`, `auc >= best - 0.005`.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

MAIN, BEST = "main", "best"
"""The default branch's last finished run, and the branch's best earlier one."""
LONGEST = 500
"""Characters of a gate's text."""
WORDS = ("threshold", "min_absolute_change", "min_relative_change")
"""What MLflow calls the conditions of a `MetricThreshold`."""
TINY = 1e-10
"""By how much MLflow wants a metric to be better than a baseline of 0, where the change is to be relative."""

COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
NEGATE, MARGIN = "negate", "margin"
BINDING = {"+": 1, "-": 1, "*": 2, "/": 2, NEGATE: 3}
APPLY: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    MARGIN: lambda change, baseline: change * abs(baseline) if baseline else TINY,
}

_QUOTED = r"\"[^\"]*\"|'[^']*'"
_METRIC = re.compile(rf"\s*({_QUOTED}|[^\s<>=!\"']+)\s*")
_OPERATOR = re.compile("|".join(COMPARE))
_TERM = re.compile(
    rf"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|(?P<name>[A-Za-z_]\w*|{_QUOTED})"
    r"|(?P<sign>\S))"
)
_AN_OPERAND = "a number, main, best, the name of an environment, - or ("
_AN_OPERATOR = "+, -, *, / or the end"


class Reference(NamedTuple):
    """The same metric of another run: `main`, `best`, or an environment's name."""

    name: str


Term = float | str | Reference


class Gate(NamedTuple):
    """`text` is the gate as it was written. `expression` is in postfix order: numbers, references, operators."""

    text: str
    metric: str
    operator: str
    expression: tuple[Term, ...]

    def __str__(self) -> str:
        return self.text

    @property
    def references(self) -> tuple[str, ...]:
        """The names of the runs that the gate compares with."""
        return tuple(dict.fromkeys(each.name for each in self.expression if isinstance(each, Reference)))

    @property
    def direction(self) -> int:
        """1 where the gate asks for a high value, -1 for a low one, 0 where it asks for neither."""
        return {">": 1, "<": -1}.get(self.operator[0], 0)

    def bound(self, values: Mapping[str, float]) -> float:
        """What the metric is compared with, by the values of all references; NaN where that is no number."""
        *_, found = _work_out(self.expression, values)
        return math.nan if found is None else found

    def is_met(self, value: float, bound: float) -> bool:
        """Whether the condition holds; with NaN on one side none does."""
        return not math.isnan(value) and not math.isnan(bound) and bool(COMPARE[self.operator](value, bound))

    def explain_unknown(self, environments: Iterable[str]) -> str:
        """What is wrong with a reference that names no run; empty where each names one."""
        names = (MAIN, BEST, *environments)
        unknown = next((each for each in self.references if each not in names), None)
        if unknown is None:
            return ""
        near = difflib.get_close_matches(unknown, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"
        return f"names {unknown} in the gate {self}, and no run is called so; {hint}"


def read(raw: object) -> tuple[Gate, ...]:
    """The gates of a list of texts and mappings, of one of them, or of one text with commas between several.

    Raises ValueError, which says what was expected where.
    """
    items = raw.split(",") if isinstance(raw, str) else [raw] if isinstance(raw, (Mapping, Gate)) else raw
    if not isinstance(items, list | tuple):
        raise ValueError(f"must be a list of gates such as 'auc >= 0.79', not {raw!r}")
    return tuple(gate for item in items for gate in _read_item(item))


def _read_item(item: object) -> Iterable[Gate]:
    if isinstance(item, Gate):
        return [item]
    if isinstance(item, Mapping):
        return _read_mapping(item)
    if not isinstance(item, str):
        raise ValueError(f"must be gates such as 'auc >= 0.79', not {item!r}")
    return [parse(item)]


def parse(text: str) -> Gate:
    """The gate that `text` spells."""
    text = "".join(each if each.isprintable() else " " for each in text)
    if len(text) > LONGEST:
        raise ValueError(f"is no gate: it has {len(text)} characters, and {LONGEST} at most are read")
    found = _METRIC.match(text)
    if found is None:
        raise _expected("a metric's name, in quotes where it holds blanks", text, len(text) - len(text.lstrip()))
    sign = _OPERATOR.match(text, found.end())
    if sign is None:
        raise _expected(f"one of {' '.join(COMPARE)}", text, found.end())
    gate = Gate(text.strip(), found[1].strip("'\""), sign[0], tuple(_to_postfix(_in_order(text, sign.end()))))
    if not gate.metric:
        raise _expected("a metric's name", text, found.start(1))
    if _is_never_a_number(gate.expression):
        raise _expected("a finite number, with no division by 0,", text, sign.end())
    if BEST in gate.references and not gate.direction:
        raise _expected(f"one of >= > <= <, as {sign[0]} does not say what is better,", text, sign.start())
    return gate


def _is_never_a_number(expression: Iterable[Term]) -> bool:
    """Whether a part of it is no finite number, whatever values the references have."""
    return any(part is not None and not math.isfinite(part) for part in _work_out(expression, {}))


def _work_out(expression: Iterable[Term], values: Mapping[str, float]) -> Iterator[float | None]:
    """What each part of an expression comes to, the whole of it last; None for what a reference without value decides.

    What is divided by 0 is NaN, whatever it is.
    """
    stack: list[float | None] = []
    for term in expression:
        if isinstance(term, Reference):
            stack.append(values.get(term.name))
        elif not isinstance(term, str):
            stack.append(term)
        elif term == NEGATE:
            last = stack.pop()
            stack.append(None if last is None else -last)
        else:
            right, left = stack.pop(), stack.pop()
            if term == "/" and right == 0:
                stack.append(math.nan)
            else:
                stack.append(None if left is None or right is None else APPLY[term](left, right))
        yield stack[-1]


def _to_postfix(terms: Iterable[Term]) -> Iterator[Term]:
    """The terms of an expression in postfix order (Dijkstra's shunting yard: operators wait for weaker ones)."""
    waiting: list[str] = []
    for term in terms:
        if not isinstance(term, str):
            yield term
        elif term == ")":
            while (last := waiting.pop()) != "(":
                yield last
        else:
            while term in BINDING and term != NEGATE and waiting and BINDING.get(waiting[-1], 0) >= BINDING[term]:
                yield waiting.pop()
            waiting.append(term)
    yield from reversed(waiting)


def _in_order(text: str, start: int) -> Iterator[Term]:
    """The terms of the expression that begins at `start`, once it is known that they make one."""
    opened: list[int] = []
    is_operand_next = True
    for term, place in _terms(text, start):
        if is_operand_next and term in {"-", "("}:
            opened += [place] if term == "(" else []
            yield NEGATE if term == "-" else str(term)
            continue
        is_wanted = term in BINDING or (term == ")" and bool(opened))
        if isinstance(term, str) if is_operand_next else not is_wanted:
            raise _expected(_AN_OPERAND if is_operand_next else _AN_OPERATOR, text, place)
        if term == ")":
            opened.pop()
        is_operand_next = term in BINDING
        yield term
    if is_operand_next:
        raise _expected(_AN_OPERAND, text, len(text))
    if opened:
        raise _expected(f"a ) for the ( at column {opened[-1] + 1}", text, len(text))


def _terms(text: str, start: int) -> Iterator[tuple[Term, int]]:
    """The numbers, references and signs from `start` on, each with its place; any other character as a sign."""
    for found in _TERM.finditer(text, start):
        kind, word = str(found.lastgroup), found[str(found.lastgroup)]
        term: Term = float(word) if kind == "number" else Reference(word.strip("'\"")) if kind == "name" else word
        yield term, found.start(kind)


def _expected(what: str, text: str, place: int) -> ValueError:
    return ValueError(f"is no gate: {what} is expected at column {place + 1}\n      {text}\n      {' ' * place}^")


def _read_mapping(given: Mapping[Any, Any]) -> Iterator[Gate]:
    """The gates that MLflow's words for a threshold mean, as `mlflow.models.MetricThreshold` defines them."""
    known = ("metric", *WORDS, "greater_is_better")
    if unknown := [str(key) for key in given if key not in known]:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
        raise ValueError(f"has an unknown word in a gate: {unknown[0]}; {hint}")
    metric, is_greater = given.get("metric"), given.get("greater_is_better")
    if not isinstance(metric, str) or not metric.strip():
        raise ValueError("has a gate without its metric: write `metric: NAME` into it")
    if not isinstance(is_greater, bool):
        raise ValueError(f"must say of {metric} whether `greater_is_better` is true or false")
    conditions = {word: _number(metric, word, given[word]) for word in WORDS if given.get(word) is not None}
    if not conditions:
        raise ValueError(f"asks nothing of {metric}: give one of {', '.join(WORDS)}")
    sign, step, main = (">=", "+", Reference(MAIN)) if is_greater else ("<=", "-", Reference(MAIN))
    for word, number in conditions.items():
        expression: tuple[Term, ...] = {
            "threshold": (number,),
            "min_absolute_change": (main, number, step),
            "min_relative_change": (main, number, main, MARGIN, step),
        }[word]
        yield Gate(f"{metric}: {word} {number:g}", metric, sign, expression)


def _number(metric: str, word: str, value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    number = float(value) if is_number else math.nan  # type: ignore[arg-type]
    if word == "threshold" and not math.isfinite(number):
        raise ValueError(f"must give {metric} a number as its {word}, not {value!r}")
    if word == "min_absolute_change" and not 0 < number < math.inf:
        raise ValueError(f"must give {metric} a number above 0 as its {word}, not {value!r}")
    if word == "min_relative_change" and not 0 <= number <= 1:
        raise ValueError(f"must give {metric} a number from 0 to 1 as its {word}, not {value!r}")
    return number


def name_near(metric: str, logged: Iterable[str]) -> str:
    """The logged metric whose name is most like `metric`; empty where none is."""
    names = sorted(logged)
    folded = metric.casefold()
    inside = [each for each in names if folded in each.casefold() or each.casefold() in folded]
    near = difflib.get_close_matches(metric, names, n=1)
    return next(iter([*near, *inside]), "")

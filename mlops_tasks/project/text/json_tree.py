"""JSON files as data, and as trees with exact places; their errors name file, line and column."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlops_tasks import errors
from mlops_tasks.project.text import source as texts
from mlops_tasks.project.text import tree

_DECODER = json.JSONDecoder()


def load(path: Path, text: str) -> Any:
    """The data of a JSON file whose content is `text`. Raises BadInput."""
    with _translated(path, text):
        return copy.deepcopy(_load(text))  # a caller may change it


@functools.lru_cache(maxsize=32)
def _load(text: str) -> Any:
    return json.loads(_without_mark(text))


@functools.lru_cache(maxsize=32)
def parse(path: Path, text: str) -> tree.Node:
    """The tree of a JSON file whose content is `text`. Raises BadInput."""
    load(path, text)
    with _translated(path, text):
        return _value(_without_mark(text), 0)[0]


def _without_mark(text: str) -> str:
    """`text` with a blank for its byte order mark, so that every character keeps its place."""
    return " " + text.removeprefix(texts.BOM) if text.startswith(texts.BOM) else text


@contextmanager
def _translated(path: Path, text: str) -> Iterator[None]:
    try:
        yield
    except json.JSONDecodeError as fault:
        place = texts.show_place(path, text, fault.pos)
        raise errors.BadInput(
            f"the file is not valid JSON: {_explain(text, fault)}",
            where=place,
            cure="save it as plain text" if _is_rtf(text) else "correct the JSON at that place",
        ) from fault
    except (RecursionError, ValueError) as fault:  # ValueError: a number of thousands of digits
        raise errors.BadInput(f"the file is not usable JSON: {fault}", where=path, cure="simplify that file") from fault


def _explain(text: str, fault: json.JSONDecodeError) -> str:
    """What the parser says, in plainer words where somebody wrote what other languages have."""
    if _is_rtf(text):
        return "it is an RTF document, which a word processor has saved"
    rest = text[fault.pos :].lstrip(", \t\r\n")
    if rest.startswith(("//", "/*", "#")):
        return "JSON has no comments"
    if rest.startswith(("}", "]")) and text[: fault.pos + 1].rstrip("}] \t\r\n").endswith(","):
        return "JSON has no comma before a closing bracket"
    return fault.msg


def _is_rtf(text: str) -> bool:
    return text.removeprefix(texts.BOM).startswith(r"{\rtf")


def _value(text: str, index: int) -> tuple[tree.Node, int, int]:
    """The node that begins at `index` or after it, its start and its end. The text is known to be valid."""
    start = _skip(text, index)
    if text[start] in "{[":
        node, end = _mapping(text, start + 1) if text[start] == "{" else _list(text, start + 1)
        return node, start, end
    value, end = _DECODER.raw_decode(text, start)
    scalar = tree.Scalar(value=value if isinstance(value, str) else None, start=start, end=end, style='"', in_flow=True)
    return scalar, start, end


def _mapping(text: str, index: int) -> tuple[tree.Node, int]:
    pairs = []
    while text[index := _skip(text, index)] != "}":
        key, _, end = _value(text, index)
        value, _, index = _value(text, end)
        pairs.append((key, value))
    return tree.Mapping(pairs=tuple(pairs)), index + 1


def _list(text: str, index: int) -> tuple[tree.Node, int]:
    items = []
    while text[index := _skip(text, index)] != "]":
        node, start, index = _value(text, index)
        items.append(tree.Item(node=node, start=start, end=index, column=None))
    return tree.List(items=tuple(items)), index + 1


def _skip(text: str, index: int) -> int:
    """The place of the next value or closing bracket: in a valid text only these signs come before it."""
    while text[index] in " \t\r\n,:":
        index += 1
    return index

"""YAML and JSON as one kind of tree, in which every text has its exact place in the file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import yaml

from mlops_tasks.project.text import source as texts


@dataclass(frozen=True, kw_only=True, eq=False)
class Scalar:
    """One value, from `start` to `end` with quotes or a block's header, without an anchor or a tag.

    `value` is None for what is no text. `style` is YAML's sign for it: `"`, `'`, `|`, `>`, or empty for a plain one.
    """

    value: str | None
    start: int
    end: int
    style: str
    in_flow: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """One item of a list, from `start` to `end` with a block item's dash, an anchor, a tag or the alias itself.

    `node` is the value, also where an alias stands for it. `column` is the dash's, None in flow style.
    """

    node: Node
    start: int
    end: int
    column: int | None


@dataclass(frozen=True, kw_only=True, eq=False)
class List:
    items: tuple[Item, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Mapping:
    pairs: tuple[tuple[Node, Node], ...]


Node: TypeAlias = Scalar | List | Mapping


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """An item of a list of requirements or libraries, and the text in it that says what to install.

    `is_uri` says that the text is the URI of a wheel alone, and no requirement.
    """

    item: Item
    scalar: Scalar
    is_uri: bool = False

    @property
    def value(self) -> str:
        return (self.scalar.value or "").strip()


def get(node: Node | None, key: str) -> Node | None:
    """The value of `key` in a mapping: the last where there are several, as all parsers do; YAML's `<<` counts."""
    if not isinstance(node, Mapping):
        return None
    merged: list[Node] = []
    for name, value in reversed(node.pairs):
        if isinstance(name, Scalar) and name.value == key:
            return value
        if isinstance(name, Scalar) and name.value == "<<" and name.style == "":
            merged += [item.node for item in value.items] if isinstance(value, List) else [value]
    return next((found for each in merged if (found := get(each, key)) is not None), None)


def find_key(node: Node | None, keys: Sequence[str]) -> int | None:
    """Where the last of `keys` stands, each in the value of the one before it; None where one is not there."""
    start = None
    for key in keys:
        pairs = node.pairs if isinstance(node, Mapping) else ()
        found = next(((name, value) for name, value in pairs if getattr(name, "value", None) == key), None)
        if found is None or not isinstance(found[0], Scalar):
            return None
        start, node = found[0].start, found[1]
    return start


def find_twice(node: Node | None) -> Scalar | None:
    """The first key that its mapping has a second time."""
    inner: list[Node] = [item.node for item in node.items] if isinstance(node, List) else []
    if isinstance(node, Mapping):
        names: set[str] = set()
        for name, value in node.pairs:
            if isinstance(name, Scalar) and name.value is not None and name.value in names:
                return name
            names.add(getattr(name, "value", None) or "")
            inner.append(value)
    return next((found for each in inner if (found := find_twice(each)) is not None), None)


def entries(node: Node | None) -> Iterator[Entry]:
    """The texts of a list, each an entry of its own."""
    for item in node.items if isinstance(node, List) else ():
        if isinstance(item.node, Scalar):
            yield Entry(item=item, scalar=item.node)


def replace(text: str, entry: Entry, values: Sequence[str]) -> list[texts.Edit]:
    """The edits that replace one entry by `values` (at least one), each an item of its own in the entry's style.

    All but the last go before the entry, so that what follows it (a comment, the end of the file) stays where it is.
    White space around the old text stays too.
    """
    *before, last = values
    edits = [_rewrite(text, entry.scalar, last)]
    if before:
        copies = "".join(_copy(text, entry, value) for value in before)
        edits.append(texts.Edit(start=entry.item.start, end=entry.item.start, new=copies))
    return edits


def append(text: str, entry: Entry, values: Sequence[str]) -> texts.Edit:
    """The edit that adds `values` after `entry`, each an item of its own in the style of the list."""
    item = entry.item
    if item.column is None:
        added = "".join(f", {spell(value, style=entry.scalar.style, in_flow=True)}" for value in values)
        return texts.Edit(start=item.end, end=item.end, new=added)
    line_end, lead = texts.line_end_near(text, item.start), " " * item.column
    style = entry.scalar.style if entry.scalar.style in {"'", '"'} else ""
    lines = [f"{lead}- {spell(value, style=style, in_flow=False)}" for value in values]
    start = item.end  # a block scalar ends where the next line begins
    if text[start - 1 : start] not in {"\n", "\r"}:
        found = re.compile(r"\r\n|\n|\r").search(text, start)
        if found is None:
            return texts.Edit(start=len(text), end=len(text), new="".join(f"{line_end}{line}" for line in lines))
        start = found.end()
    return texts.Edit(start=start, end=start, new="".join(f"{line}{line_end}" for line in lines))


def _rewrite(text: str, scalar: Scalar, value: str) -> texts.Edit:
    if scalar.style not in {"|", ">"}:
        old = scalar.value or ""
        lead, tail = old[: len(old) - len(old.lstrip())], old[len(old.rstrip()) :]
        new = spell(lead + value + tail, style=scalar.style, in_flow=scalar.in_flow)
        return texts.Edit(start=scalar.start, end=scalar.end, new=new)
    _, *content = re.split(r"[\r\n\x85\u2028\u2029]", text[scalar.start : scalar.end], maxsplit=1)  # after the header
    body = "".join(content)
    start = scalar.end - len(body.lstrip())
    return texts.Edit(start=start, end=start + len(body.strip()), new=value)


def _copy(text: str, entry: Entry, value: str) -> str:
    """One more item before `entry`, with the characters that separate the two."""
    item, scalar = entry.item, entry.scalar
    # the style of the item's own place counts: the text that an alias stands for may be elsewhere
    spelt = spell(value, style=scalar.style, in_flow=item.column is None)
    if item.column is not None:
        return f"- {spelt}{texts.line_end_near(text, item.start)}{' ' * item.column}"
    if item.node is not scalar:
        spelt = text[item.start : scalar.start] + spelt + text[scalar.end : item.end]
    lead = re.split(r"[\r\n]", text[: item.start])[-1]
    own_line = lead.isspace() and len(lead) < item.start
    return f"{spelt},{texts.line_end_near(text, item.start)}{lead}" if own_line else f"{spelt}, "


def spell(value: str, *, style: str, in_flow: bool) -> str:
    """`value` as it is written in `style`, or in double quotes where that style cannot hold it."""
    if style == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if style in {"", "|", ">"} and _is_plain(value, in_flow=in_flow):
        return value
    return json.dumps(value, ensure_ascii=not value.isprintable())


def _is_plain(value: str, *, in_flow: bool) -> bool:
    """Whether YAML reads `value` as the same text without quotes, asked of the parser itself."""
    try:
        found: object = yaml.safe_load(f"[{value}]" if in_flow else f"- {value}\n")
    except (yaml.YAMLError, ValueError):
        return False
    return found == [value]

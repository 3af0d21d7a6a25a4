"""YAML files as data, and as trees with exact places; their errors name file, line and column."""

from __future__ import annotations

import bisect
import copy
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from mlops_tasks import errors
from mlops_tasks.project.text import source as texts
from mlops_tasks.project.text import tree


def load(path: Path, text: str | None = None) -> Any:
    """The data of a YAML file of one document; `text` is its content, where the caller has it. Raises BadInput."""
    content = texts.read(path) if text is None else text
    with _translated(path, content):
        return copy.deepcopy(_load(content))  # a caller may change it


@functools.lru_cache(maxsize=32)
def _load(content: str) -> Any:
    return yaml.safe_load(content)


@functools.lru_cache(maxsize=32)
def parse(path: Path, text: str) -> tree.Node | None:
    """The tree of one YAML document; None where it has nothing but comments. Raises BadInput."""
    load(path, text)  # raises for whatever makes the document unusable
    with _translated(path, text):
        return _Composer(text).compose()


def find_key(path: str, *keys: str) -> str:
    """`file:line:column` of a key, by the keys of the mappings around it; without a place where it cannot be found."""
    try:
        text = texts.read(Path(path))
        node = parse(Path(path), text)
    except errors.ReleaseError:
        return f"{path}, {'.'.join(keys)}"
    for each in keys[:-1]:
        node = tree.get(node, each)
    pairs = node.pairs if isinstance(node, tree.Mapping) else ()
    places = [name.start for name, _ in pairs if isinstance(name, tree.Scalar) and name.value == keys[-1]]
    return texts.show_place(Path(path), text, places[-1]) if places else f"{path}, {'.'.join(keys)}"


@contextmanager
def _translated(path: Path, text: str) -> Iterator[None]:
    try:
        yield
    except yaml.reader.ReaderError as fault:
        place = texts.show_place(path, text, fault.position)
        raise _broken(f"it has a control character (U+{fault.character:04X})", place) from fault
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise _broken(fault.problem or fault.context or "cannot be understood", place) from fault
    except RecursionError as fault:
        raise _broken("too deeply nested", str(path)) from fault
    except (ValueError, OverflowError) as fault:  # a date or a number that only looks like one
        raise _broken(str(fault), str(path)) from fault


def _broken(why: str, place: str) -> errors.BadInput:
    return errors.BadInput(f"the file is not valid YAML: {why}", where=place, cure="correct the YAML at that place")


class _Composer:
    """A tree made from PyYAML's events.

    PyYAML's own nodes have no place for an alias, and their places include an anchor or a tag. The tokens beneath the
    events have the start of a scalar's content and the place of a block item's dash.
    """

    def __init__(self, text: str) -> None:
        # Any, here and below: the stubs say that a mark may be None, and of text that is read it never is
        tokens: list[Any] = list(yaml.scan(text, Loader=yaml.SafeLoader))
        self._content_starts = {each.end_mark.index: each.start_mark.index for each in tokens if each.id == "<scalar>"}
        self._dashes = [each.start_mark for each in tokens if each.id == "-"]
        self._events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)
        self._anchors: dict[str, tree.Node] = {}

    def compose(self) -> tree.Node | None:
        first = next((event for event in self._events if isinstance(event, yaml.NodeEvent)), None)
        return None if first is None else self._node(first, in_flow=False)

    def _node(self, event: Any, *, in_flow: bool) -> tree.Node:
        if isinstance(event, yaml.AliasEvent):
            return self._resolve(event)
        if isinstance(event, yaml.SequenceStartEvent):
            node: tree.Node = self._list(in_flow=bool(event.flow_style))
        elif isinstance(event, yaml.MappingStartEvent):
            node = self._mapping(in_flow=bool(event.flow_style))
        else:
            end, style = event.end_mark.index, event.style or ""
            start = self._content_starts.get(end, end)
            node = tree.Scalar(value=event.value, start=start, end=end, style=style, in_flow=in_flow)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _resolve(self, event: Any) -> tree.Node:
        if event.anchor not in self._anchors:
            raise yaml.composer.ComposerError(
                None, None, f"the alias *{event.anchor} is inside the value that it stands for", event.start_mark
            )
        return self._anchors[event.anchor]

    def _list(self, *, in_flow: bool) -> tree.List:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            node = self._node(event, in_flow=in_flow)
            start, column = event.start_mark.index, None
            if not in_flow:
                dash = self._dashes[bisect.bisect_right(self._dashes, start, key=lambda mark: mark.index) - 1]
                start, column = dash.index, dash.column
            items.append(tree.Item(node=node, start=start, end=event.end_mark.index, column=column))
        return tree.List(items=tuple(items))

    def _mapping(self, *, in_flow: bool) -> tree.Mapping:
        pairs = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, in_flow=in_flow)
            pairs.append((key, self._node(next(self._events), in_flow=in_flow)))
        return tree.Mapping(pairs=tuple(pairs))

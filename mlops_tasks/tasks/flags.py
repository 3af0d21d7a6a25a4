"""Invoke's arguments, quicker to copy, and one kind that Invoke has not: a word that may be left out."""

from __future__ import annotations

import copy
import sys
from types import FrameType
from typing import Any

import invoke
from invoke.parser.parser import ParseMachine


class Flag(invoke.Argument):
    """An argument that is copied quickly: Invoke's parser copies every flag of every task, at every start.

    A shallow copy does: Invoke replaces an argument's values and never changes them.
    """

    def __deepcopy__(self, _: object) -> Flag:
        return copy.copy(self)


class Word(Flag):
    """An argument that may be given by its place, or not at all: Invoke demands every one that has a place.

    Invoke's parser looks for one whose value is None, and finds none where the command ends, or at what is a flag or
    the next task.
    """

    @property
    def value(self) -> Any:
        found = super().value
        return "" if found is None and _is_no_word(sys._getframe(1)) else found  # noqa: SLF001

    @value.setter
    def value(self, value: Any) -> None:
        self.set_value(value)


def _is_no_word(frame: FrameType | None) -> bool:
    """Whether Invoke's parser, which may be asking, is at the end of a command or at what stands for itself."""
    while frame and frame.f_code.co_name in {"missing_positional_args", "<listcomp>"}:
        frame = frame.f_back
    if frame is None or not isinstance(parser := frame.f_locals.get("self"), ParseMachine):
        return False
    token = frame.f_locals.get("token", "")
    return token.startswith("-") or token in parser.contexts or frame.f_code.co_name == "complete_context"

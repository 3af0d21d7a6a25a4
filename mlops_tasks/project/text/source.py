"""Project files as text, read and written without loss, and edited by position."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_tasks import errors, files
from mlops_tasks.checkout import missing

BOM = "\ufeff"
_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Replace the characters from `start` up to `end` by `new`; insert it where the two are the same."""

    start: int
    end: int
    new: str


def read(path: Path) -> str:
    """The file's text, with its own line ends and any byte order mark.

    Raises BadInput for a file that cannot be read, is not UTF-8, or that only a pointer stands for.
    """
    if pointer := missing.find_pointer(path):
        raise errors.BadInput(pointer.what, where=path, cure=pointer.cure)
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise errors.BadInput(
            f"the file cannot be read: {fault.strerror}", where=path, cure="make it a readable file"
        ) from fault
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as fault:
        before = data[: fault.start].decode("utf-8")
        raise errors.BadInput(
            "the file is not UTF-8 text", where=show_place(path, before, len(before)), cure="save the file as UTF-8"
        ) from fault


def write(texts: Mapping[Path, str]) -> None:
    """Write each file, through links: all of them, or none where there is no room for all.

    Raises StepFailed for a file that cannot be written.
    """
    path = Path()
    try:
        with contextlib.ExitStack() as stack:
            for path, text in texts.items():
                stream = stack.enter_context(files.written_whole(path.resolve()))
                stream.write(text.encode("utf-8"))
                stream.flush()
    except OSError as fault:
        cure = "make room, then repeat" if files.is_full(fault) else "make it writable, then repeat"
        raise errors.StepFailed(f"the file cannot be written: {fault.strerror}", where=path, cure=cure) from fault


def show_place(path: Path, text: str, index: int) -> str:
    """`file:line:column` of one character, both counted from 1."""
    ends = [match.end() for match in _LINE_END.finditer(text, 0, index)]
    start = ends[-1] if ends else len(text) - len(text.removeprefix(BOM))
    return f"{path}:{len(ends) + 1}:{max(index - start, 0) + 1}"


def line_end_near(text: str, index: int) -> str:
    """The last line end before `index`, else the first after it, else a line feed."""
    before = [match.group() for match in _LINE_END.finditer(text, 0, index)]
    after = _LINE_END.search(text, index)
    return before[-1] if before else after.group() if after else "\n"


def apply(text: str, edits: Iterable[Edit]) -> str:
    """`text` with all edits made. They may touch but not overlap; insertions at one place come in any order."""
    for edit in sorted(set(edits), key=lambda edit: (edit.start, edit.end), reverse=True):
        text = text[: edit.start] + edit.new + text[edit.end :]
    return text


def unified_diff(changes: Iterable[tuple[str, str, str]]) -> str:
    """One unified diff of all `changes`, each a file's name and its text before and after; empty where all are same."""
    lines: list[str] = []
    for name, old, new in changes:
        lines += difflib.unified_diff(old.splitlines(), new.splitlines(), f"a/{name}", f"b/{name}", lineterm="")
    return "\n".join(lines)

"""The files of a project that may name a wheel, each patched as a whole before anything is written."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_tasks.project import mlproject, references
from mlops_tasks.project.text import source as texts
from mlops_tasks.release import Reference


@dataclass(frozen=True, kw_only=True)
class Document:
    """`path` is the file to patch, `original` the one that it was copied from; `name` is relative to the project."""

    path: Path
    original: Path
    name: str
    role: references.Role


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A document's text before and after, not yet written."""

    document: Document
    old: str
    new: str
    changes: tuple[references.Change, ...]

    def references(self) -> list[Reference]:
        return [Reference(file=self.document.name, old=each.old, new=each.new) for each in self.changes]


def find(project: mlproject.Project, folder: Path, *, cluster: Path | None, original: Path | None) -> list[Document]:
    """The documents below `folder`, which is the project's own or a copy; `cluster` is a copy of `original`."""
    sources: list[tuple[Path | None, references.Role]] = [
        (project.environment_file, "conda" if project.kind == "conda" else "python"),
        (project.folder / project.mlproject, "mlproject"),
    ]
    found = []
    for source, role in sources:
        if source is not None:
            name = os.path.relpath(source, project.folder)
            found.append(Document(path=folder / name, original=source, name=name, role=role))
    if cluster is not None and original is not None:
        name = os.path.relpath(cluster, folder)
        found.append(Document(path=cluster, original=original, name=name, role="cluster"))
    return found


def patch(document: Document, *, wheels: references.Wheels, forms: references.Forms) -> Patch:
    """The document with its references repointed; BadInput where a placeholder or an unknown wheel is left in it.

    Messages name the original: that is the file to correct.
    """
    old = texts.read(document.original)
    new, changes = references.patch_text(document.original, old, role=document.role, wheels=wheels, forms=forms)
    references.check_leftovers(document.original, new, role=document.role, placeholder=wheels.placeholder)
    return Patch(document=document, old=old, new=new, changes=tuple(changes))


def write(patches: Iterable[Patch]) -> None:
    texts.write_all({each.document.path: each.new for each in patches if each.new != each.old})


def find_misspelt(patch: Patch, placeholder: str) -> list[tuple[str, str]]:
    """The entries of a document that are nearly the placeholder, each with its place."""
    original = patch.document.original
    found = references.find_misspelt(original, patch.old, role=patch.document.role, placeholder=placeholder)
    return [(texts.show_place(original, patch.old, entry.scalar.start), entry.value) for entry in found]


def compare(patches: Sequence[Patch], *, was: Sequence[str], now: Sequence[str]) -> str:
    """What became of the texts in `was`, as one unified diff; empty where nothing changed."""
    lines: list[str] = []
    for each, old, new in zip(patches, was, now, strict=True):
        name = each.document.name
        lines += difflib.unified_diff(old.splitlines(), new.splitlines(), f"a/{name}", f"b/{name}", lineterm="")
    return "\n".join(lines)

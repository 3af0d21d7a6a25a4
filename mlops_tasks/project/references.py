"""References: the places of a project that name a wheel, patched to name what was deployed."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging import utils

from mlops_tasks import errors
from mlops_tasks.project import cluster, environment, mlproject, requirements
from mlops_tasks.project.text import json_tree, tree, yaml_tree
from mlops_tasks.project.text import source as texts
from mlops_tasks.release import Deployed, Reference

WHERE = (
    "the pip section of a conda YAML, `dependencies` of a python_env, `libraries` of the cluster spec, "
    "python_libraries of a databricks_spark_job"
)
Role = Literal["conda", "python", "mlproject", "cluster"]
"""What a file is: an environment YAML of one of two kinds, the MLproject file or the cluster spec."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """A file that may name wheels.

    `path` is the file to patch, `original` the one that it was copied from; `name` is relative to the project.
    """

    path: Path
    original: Path
    name: str
    role: Role


@dataclass(frozen=True, kw_only=True)
class Change:
    """One entry as it stood, and one of the entries that take its place."""

    distribution: str
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A document's text before and after, not yet written."""

    document: Document
    old: str
    new: str
    changes: tuple[Change, ...]

    def references(self) -> list[Reference]:
        return [Reference(file=self.document.name, old=each.old, new=each.new) for each in self.changes]


@dataclass(frozen=True, kw_only=True)
class Wheels:
    """What was deployed, in dependency order, and whether any other wheel that a project names will be there."""

    deployed: Sequence[Deployed]
    is_reachable: Callable[[str], bool]
    placeholder: str


def find_documents(
    project: mlproject.Project, folder: Path, *, spec: Path | None, original: Path | None
) -> list[Document]:
    """The documents below `folder`, which is the project's own or a copy.

    `spec` is the cluster spec among them, a copy of `original`.
    """
    sources: list[tuple[Path | None, Role]] = [
        (project.environment_file, "conda" if project.kind == "conda" else "python"),
        (project.folder / project.mlproject, "mlproject"),
    ]
    found = []
    for source, role in sources:
        if source is not None:
            name = os.path.relpath(source, project.folder)
            found.append(Document(path=folder / name, original=source, name=name, role=role))
    if spec is not None and original is not None:
        name = os.path.relpath(spec, folder)
        found.append(Document(path=spec, original=original, name=name, role="cluster"))
    return found


def patch(document: Document, wheels: Wheels) -> Patch:
    """The document with its references repointed; BadInput where a placeholder or an unknown wheel is left in it.

    Messages name the original: that is the file to correct.
    """
    old = texts.read(document.original)
    new, changes = patch_text(document.original, old, role=document.role, wheels=wheels)
    check_leftovers(document.original, new, role=document.role, placeholder=wheels.placeholder)
    return Patch(document=document, old=old, new=new, changes=tuple(changes))


def write(patches: Iterable[Patch]) -> None:
    texts.write_all({each.document.path: each.new for each in patches if each.new != each.old})


def patch_text(path: Path, text: str, *, role: Role, wheels: Wheels) -> tuple[str, list[Change]]:
    """`text` with every reference pointing at what was deployed, and each change; nothing else is touched.

    Raises BadInput for a wheel that nobody built, and for a placeholder where it cannot be replaced.
    """
    edits: list[texts.Edit] = []
    changes: list[Change] = []
    for entry, is_library in _find_entries(parse(path, text, role=role), role):
        found = _resolve(entry, wheels, place=texts.show_place(path, text, entry.scalar.start))
        if found is None:
            continue
        parts, chosen = found
        values = [
            each.uri
            if is_library
            else requirements.write_wheel(each.uri, each.distribution, extras=parts.extras, marker=parts.marker)
            for each in chosen
        ]
        _check_printable(values, path)
        edits += tree.replace(text, entry, values)
        changes += [
            Change(distribution=each.distribution, old=entry.value, new=value)
            for each, value in zip(chosen, values, strict=True)
        ]
    return texts.apply(text, edits), changes


def check_leftovers(path: Path, text: str, *, role: Role, placeholder: str) -> None:
    """Raise BadInput for a placeholder that still stands anywhere in the file but in a comment."""
    for scalar in _scalars(parse(path, text, role=role)):
        if placeholder in (scalar.value or ""):
            raise errors.BadInput(
                f"the placeholder {placeholder} cannot be replaced here: {scalar.value}",
                where=texts.show_place(path, text, scalar.start),
                cure=f"let it end an entry of its own in {WHERE}",
            )


def find_misspelt(patch: Patch, placeholder: str) -> list[tuple[str, str]]:
    """The document's entries that are nearly the placeholder, each with its place.

    They differ from it by their case, a sign between its words, or a letter or two.
    """
    path, text, role = patch.document.original, patch.old, patch.document.role
    found = [entry for entry, _ in _find_entries(parse(path, text, role=role), role) if placeholder not in entry.value]
    return [
        (texts.show_place(path, text, each.scalar.start), each.value)
        for each in found
        if difflib.get_close_matches(_plain(each.value), [_plain(placeholder)], cutoff=0.85)
    ]


def _plain(text: str) -> str:
    return re.sub(r"[-_. ]", "", text).lower()


def parse(path: Path, text: str, *, role: Role) -> tree.Node | None:
    return json_tree.parse(path, text) if role == "cluster" else yaml_tree.parse(path, text)


def _find_entries(root: tree.Node | None, role: Role) -> Iterator[tuple[tree.Entry, bool]]:
    """Each entry once, and whether it is a library named by its URI alone."""
    if role == "cluster":
        found = [(entry, True) for entry in cluster.library_entries(root)]
        found += [(entry, False) for entry in cluster.package_entries(root)]
    elif role == "mlproject":
        libraries = tree.get(tree.get(root, "databricks_spark_job"), "python_libraries")
        found = [(entry, False) for entry in tree.entries(libraries)]
    else:
        found = [(entry, False) for entry in environment.entries(root, kind=role)]
    # two aliases of one list lead to the same items
    yield from {entry.item.start: (entry, is_library) for entry, is_library in found}.values()


def _resolve(
    entry: tree.Entry, wheels: Wheels, *, place: str
) -> tuple[requirements.WheelEntry, Sequence[Deployed]] | None:
    """What the entry says, and the wheels that take its place; None where it is to stay as it is."""
    parts = requirements.read_wheel(entry.value, placeholder=wheels.placeholder)
    if parts is None:
        return None
    chosen = [
        each
        for each in wheels.deployed
        if parts.stands_for_all or utils.canonicalize_name(each.distribution) == parts.distribution
    ]
    if chosen:
        return parts, chosen
    if wheels.placeholder in parts.path and not wheels.deployed:
        raise errors.OutOfOrder(
            "there is no deployed wheel to put in the placeholder's place", where=place, cure="`inv deploy`"
        )
    if not parts.path.startswith(("http://", "https://")) and not wheels.is_reachable(parts.path):
        raise errors.BadInput(
            f"the wheel of {parts.distribution} is named, which nobody built and which is not there: {entry.value}",
            where=place,
            cure="add its library to the setting `libraries`, or correct the path (`include` stages an ignored file)",
        )
    return None


def _check_printable(values: Sequence[str], path: Path) -> None:
    for value in values:
        if not value.isprintable():
            raise errors.BadInput(
                f"a wheel's URI holds a character that cannot be written there: {value!r}",
                where=path,
                cure="set wheel_root to a place with a plainer name",
            )


def _scalars(root: tree.Node | None) -> Iterator[tree.Scalar]:
    """Each scalar of the tree once, though aliases may lead to it on many ways."""
    seen: set[int] = set()
    waiting = [root] if root is not None else []
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, tree.Scalar):
            yield node
        elif isinstance(node, tree.List):
            waiting += [item.node for item in node.items]
        else:
            waiting += [each for pair in node.pairs for each in pair]

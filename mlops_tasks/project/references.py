"""References to wheels in a project's files, found and rewritten to name the deployed wheels."""

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
"""The kinds of files that may name wheels: two of environment YAMLs, the MLproject file, the cluster spec."""


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
    """An entry, and one of the entries that replace it."""

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
    """The deployed wheels, in dependency order; `is_reachable` says whether a run can install another wheel.

    `placeholder` is the text that stands for all of them.
    """

    deployed: Sequence[Deployed]
    is_reachable: Callable[[str], bool]
    placeholder: str


def find_documents(
    project: mlproject.Project, folder: Path, *, spec: Path | None, original: Path | None
) -> list[Document]:
    """The documents in `folder`, which is the project's own or a copy of it.

    `spec` is the cluster spec among them, or its copy, and `original` the spec itself.
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
    """The document with references to the deployed wheels. Messages name its original: that is the file to correct.

    Raises BadInput for a placeholder or an unknown wheel that is left in it.
    """
    old = texts.read(document.original)
    new, changes = patch_text(document.original, old, role=document.role, wheels=wheels)
    check_leftovers(document.original, new, role=document.role, placeholder=wheels.placeholder)
    return Patch(document=document, old=old, new=new, changes=tuple(changes))


def write(patches: Iterable[Patch]) -> None:
    texts.write_all({each.document.path: each.new for each in patches if each.new != each.old})


def patch_text(path: Path, text: str, *, role: Role, wheels: Wheels) -> tuple[str, list[Change]]:
    """`text` with references to the deployed wheels and every other character as it was, and the list of changes.

    Raises BadInput for a wheel that is neither deployed nor reachable, OutOfOrder where nothing is deployed.
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
    """Raise BadInput for a placeholder that is left anywhere but in a comment."""
    for scalar in _scalars(parse(path, text, role=role)):
        if placeholder in (scalar.value or ""):
            raise errors.BadInput(
                f"the placeholder {placeholder} cannot be replaced here: {scalar.value}",
                where=texts.show_place(path, text, scalar.start),
                cure=f"let it end an entry of its own in {WHERE}",
            )


def find_misspelt(patch: Patch, placeholder: str) -> list[tuple[str, str]]:
    """The document's entries that are nearly the placeholder, each with its place before it.

    Such an entry differs in case, in a sign between words, or in a letter or two.
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
    # two aliases of one list have the same items
    yield from {entry.item.start: (entry, is_library) for entry, is_library in found}.values()


def _resolve(
    entry: tree.Entry, wheels: Wheels, *, place: str
) -> tuple[requirements.WheelEntry, Sequence[Deployed]] | None:
    """The entry taken apart, and the wheels that replace it; None where the entry stays as it is."""
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
            "no wheel is deployed that could replace the placeholder", where=place, cure="`inv deploy`"
        )
    if not parts.path.startswith(("http://", "https://")) and not wheels.is_reachable(parts.path):
        raise errors.BadInput(
            f"this names a wheel of {parts.distribution}, which nobody built and which does not exist: {entry.value}",
            where=place,
            cure="add its library to the setting `libraries`, or correct the path (`include` stages an ignored file)",
        )
    return None


def _check_printable(values: Sequence[str], path: Path) -> None:
    for value in values:
        if not value.isprintable():
            raise errors.BadInput(
                f"a wheel's URI has a character that cannot be written into this file: {value!r}",
                where=path,
                cure="set wheel_root to a place whose name has no such character",
            )


def _scalars(root: tree.Node | None) -> Iterator[tree.Scalar]:
    """Each scalar of the tree once, however many aliases it has."""
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

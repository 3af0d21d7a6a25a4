"""References to wheels in a project's files, found and rewritten to name the deployed wheels."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from packaging import specifiers, utils
from packaging.version import Version

from mlops_tasks import errors, redaction
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
        return [Reference(file=self.document.name, old=redaction.mask(each.old), new=each.new) for each in self.changes]


@dataclass(frozen=True, kw_only=True)
class Wheels:
    """The deployed wheels, in dependency order; `is_reachable` says whether a run can install another wheel.

    `placeholder` is the text that stands for all of them. `folders` has the folders of the libraries that they were
    built from, by their distribution; `has_libraries` is false where the settings name none.
    """

    deployed: Sequence[Deployed]
    is_reachable: Callable[[str], bool]
    placeholder: str
    folders: Mapping[str, Path] = field(default_factory=dict)
    has_libraries: bool = True

    @property
    def names(self) -> dict[str, Path | None]:
        """The normalised name of each distribution, and the folder of its library where that is known."""
        known = {utils.canonicalize_name(name): folder for name, folder in self.folders.items()}
        named = (utils.canonicalize_name(each.distribution) for each in self.deployed)
        return {name: known.get(name) for name in named}


def find_documents(
    project: mlproject.Project, folder: Path, *, spec: Path | None, original: Path | None
) -> list[Document]:
    """The documents in `folder`, which is the project's own or a copy of it.

    `spec` is the cluster spec among them, or its copy, and `original` the spec itself.
    """
    placed: list[tuple[Path, Path, Role]] = []
    if project.environment_file is not None:
        path = folder / os.path.relpath(project.environment_file, project.folder)
        placed.append((path, project.environment_file, "conda" if project.kind == "conda" else "python"))
    placed.append((folder / project.mlproject, project.folder / project.mlproject, "mlproject"))
    if spec is not None and original is not None:
        placed.append((spec, original, "cluster"))
    return [
        Document(path=path, original=source, name=os.path.relpath(path, folder), role=role)
        for path, source, role in placed
    ]


def patch(document: Document, wheels: Wheels) -> Patch:
    """The document with references to the deployed wheels. Messages name its original: that is the file to correct.

    Raises BadInput for a placeholder or an unknown wheel that is left in it.
    """
    old = texts.read(document.original)
    new, changes = patch_text(document.original, old, role=document.role, wheels=wheels)
    check_leftovers(document.original, new, role=document.role, placeholder=wheels.placeholder)
    if document.role in {"conda", "python"}:
        lines = [entry.value for entry in _find_entries(document.original, new, document.role)]
        check_other_files(lines, document.original, names=wheels.names, placeholder=wheels.placeholder)
    return Patch(document=document, old=old, new=new, changes=tuple(changes))


def write(patches: Iterable[Patch]) -> None:
    texts.write({each.document.path: each.new for each in patches if each.new != each.old})


def patch_text(path: Path, text: str, *, role: Role, wheels: Wheels) -> tuple[str, list[Change]]:
    """`text` with references to the deployed wheels and every other character as it was, and the list of changes.

    Raises BadInput for a wheel that is neither deployed nor reachable, OutOfOrder where nothing is deployed.
    """
    edits: list[texts.Edit] = []
    changes: list[Change] = []
    others: list[tree.Entry] = []
    for entry in _find_entries(path, text, role):
        parts = requirements.read_wheel(entry.value, placeholder=wheels.placeholder)
        if parts is None:
            others.append(entry)
            continue
        place = texts.show_place(path, text, entry.scalar.start)
        made = _find_changes(entry, parts, wheels.deployed, place)
        if made:
            edits += tree.replace(text, entry, [each.new for each in made])
            changes += made
        else:
            _check_other(entry, parts, wheels, place=place)
    named = {change.distribution for change in changes}
    left = [each for each in wheels.deployed if each.distribution not in named]
    for entry in others:
        own = None if entry.is_uri else requirements.read_library(entry.value, path.parent, wheels.names)
        made = _find_changes(entry, own, left, texts.show_place(path, text, entry.scalar.start)) if own else []
        if made:
            edits += tree.replace(text, entry, [each.new for each in made])
            changes += made
    return texts.apply(text, edits), changes


def _find_changes(
    entry: tree.Entry, parts: requirements.WheelEntry, deployed: Iterable[Deployed], place: str
) -> list[Change]:
    """What `entry` becomes: an entry for each of the `deployed` wheels that it stands for."""
    return [
        Change(distribution=each.distribution, old=entry.value, new=_write(each, entry, parts, place))
        for each in deployed
        if parts.stands_for_all or utils.canonicalize_name(each.distribution) == parts.distribution
    ]


def check_leftovers(path: Path, text: str, *, role: Role, placeholder: str) -> None:
    """Raise BadInput for a placeholder that is left anywhere but in a comment."""
    for scalar in _scalars(_parse(path, text, role)):
        value = (scalar.value or "").strip()
        if placeholder not in value:
            continue
        what = f"the placeholder {placeholder} cannot be replaced here: {value}"
        cure = f"let it end an entry of its own in {WHERE}"
        if _is_near(value, placeholder):
            what, cure = f"is {placeholder} meant by {value}?", f"write {placeholder} there, or take the entry out"
        raise errors.BadInput(what, where=texts.show_place(path, text, scalar.start), cure=cure)


def check_unread(path: Path, placeholder: str, *, cure: str) -> None:
    """Raise BadInput for the placeholder in an environment YAML that MLflow does not read."""
    text = texts.read(path)
    for scalar in _scalars(yaml_tree.parse(path, text)):
        if placeholder in (scalar.value or ""):
            raise errors.BadInput(
                f"the placeholder {placeholder} stands in a file that MLflow does not read",
                where=texts.show_place(path, text, scalar.start),
                cure=cure,
            )


def check_other_files(
    lines: Sequence[str], source: Path, *, names: Mapping[str, Path | None], placeholder: str
) -> None:
    """Raise BadInput for a reference in a file that a `-r` or `-c` of `lines` names: an installer would look it up.

    So is a relative path to nothing, there and in the `lines` themselves, which stand in the environment YAML `source`.
    `names` are the normalised names of our distributions, with their libraries' folders.
    """
    for path in requirements.find_other_files(lines, source.parent):
        for number, line in enumerate(texts.read(path).removeprefix(texts.BOM).splitlines(), start=1):
            text = requirements.without_comment(line)
            if _is_near(text, placeholder):
                raise errors.BadInput(
                    f"a package index would be asked for {text}; is {placeholder} meant?",
                    where=f"{path}:{number}",
                    cure=f"write {placeholder} into the environment YAML, whose own lines alone are patched, "
                    "and take this line out",
                )
            if _is_reference(text, path.parent, names, placeholder):
                raise errors.BadInput(
                    f"{text} names a wheel in a file of requirements, and only the environment's own lines are patched",
                    where=f"{path}:{number}",
                    cure="move that line into the environment YAML, beside the line that names this file",
                )
    _check_lost(lines, source, placeholder)


def _check_lost(lines: Iterable[str], source: Path, placeholder: str) -> None:
    """Refuse a path to nothing; the wheels that the YAML itself names are looked for where they are patched."""
    for line in requirements.expand(lines, source):
        text, is_own = line.text, line.source == source
        if placeholder in text or _is_near(text, placeholder):
            continue
        if is_own and requirements.read_wheel(text, placeholder=placeholder) is not None:
            continue
        if (lost := requirements.find_lost(line, base=source.parent)) is not None:
            raise errors.BadInput(
                f"there is nothing at the path that this names: {text} ({lost})",
                where=line.place,
                cure="correct the path, or take the line out; a wheel of `libraries` is named in the environment YAML",
            )


def _is_reference(text: str, folder: Path, names: Mapping[str, Path | None], placeholder: str) -> bool:
    parts = requirements.read_wheel(text, placeholder=placeholder)
    if parts is None and (named := requirements.parse(text)) and (named.url is None or named.name not in names):
        return False  # an index would be asked for it
    own = parts or requirements.read_library(text, folder, names)
    return placeholder in text or (own is not None and own.distribution in names)


def check_paths(patch: Patch) -> None:
    """Raise BadInput for an entry with a path of this machine: a run on another one would look for it in vain."""
    document, changed = patch.document, {each.old for each in patch.changes}
    for entry in _find_entries(document.original, patch.old, document.role):
        if entry.value not in changed and requirements.names_path_here(entry.value):
            raise errors.BadInput(
                f"this names a path of this machine, and no cluster has it: {entry.value}",
                where=texts.show_place(document.original, patch.old, entry.scalar.start),
                cure="add its library to the setting `libraries`, or move the file into the project",
            )


def check_misspelt(documents: Iterable[Document], placeholder: str, *, are_unnamed: bool) -> list[tuple[str, str]]:
    """What is nearly the placeholder and may stay, each with its place before it: a cluster looks for no index.

    Raises BadInput for what an installer would look up, and for all where the wheels `are_unnamed` otherwise.
    """
    found = [(document.role, *each) for document in documents for each in find_misspelt(document, placeholder)]
    cure = f"write {placeholder} there, or take the entry out"
    if found and are_unnamed:
        raise errors.BadInput(
            f"nothing in the project refers to a deployed wheel; is {placeholder} meant by "
            + ", ".join(dict.fromkeys(entry for _, _, entry in found)),
            where=", ".join(place for _, place, _ in found),
            cure=cure,
        )
    for role, place, entry in found:
        if role != "cluster":
            what = f"a package index would be asked for {entry}; is {placeholder} meant?"
            raise errors.BadInput(what, where=place, cure=cure)
    return [(place, entry) for _, place, entry in found]


def names_any(documents: Iterable[Document], names: Mapping[str, Path | None], placeholder: str) -> bool:
    """Whether an entry is the placeholder, or names a wheel or library of `names` (as `Wheels.names` has them)."""
    for document in documents:
        path = document.original
        for entry in _find_entries(path, texts.read(path), document.role):
            parts = requirements.read_wheel(entry.value, placeholder=placeholder)
            if parts is None and not entry.is_uri:
                parts = requirements.read_library(entry.value, path.parent, names)
            if parts is not None and (parts.stands_for_all or parts.distribution in names):
                return True
    return False


def find_misspelt(document: Document, placeholder: str) -> list[tuple[str, str]]:
    """The document's texts that are nearly the placeholder, each with its place before it, wherever they stand.

    Such a text (or the last part of a path) differs in case, in a sign between words, or in a letter or two.
    """
    path, text = document.original, texts.read(document.original)
    root = _parse(path, text, document.role)
    if document.role == "mlproject":  # a parameter may have any name and default
        found: Iterable[tree.Scalar] = (entry.scalar for entry in _find_entries(path, text, document.role))
    else:
        found = _scalars(root if document.role == "cluster" else tree.get(root, "dependencies"), keys=False)
    return [
        (texts.show_place(path, text, each.start), value)
        for each in found
        if _is_near((value := (each.value or "").strip()), placeholder)
    ]


def _is_near(value: str, placeholder: str) -> bool:
    """Whether a text is the placeholder but for a letter or two, which may be more of them."""
    is_itself = re.search(rf"{re.escape(placeholder)}(?!\w)", value) is not None
    if is_itself or requirements.read_wheel(value, placeholder=placeholder) is not None:
        return False
    found = requirements.parse(value)
    name = found.name if found is not None else value.rsplit("/", 1)[-1]
    return bool(difflib.get_close_matches(_plain(name), [_plain(placeholder)], cutoff=0.85) if name else ())


def _plain(text: str) -> str:
    return re.sub(r"[-_. ]", "", text).lower()


def _parse(path: Path, text: str, role: Role) -> tree.Node | None:
    return json_tree.parse(path, text) if role == "cluster" else yaml_tree.parse(path, text)


def _find_entries(path: Path, text: str, role: Role) -> Iterable[tree.Entry]:
    root = _parse(path, text, role)
    if role == "cluster":
        found = cluster.entries(root)
    elif role == "mlproject":
        found = tree.entries(tree.get(tree.get(root, "databricks_spark_job"), "python_libraries"))
    else:
        found = environment.entries(root, kind=role)
    return {entry.item.start: entry for entry in found}.values()  # two aliases of one list have the same items


def _write(wheel: Deployed, entry: tree.Entry, parts: requirements.WheelEntry, place: str) -> str:
    """The text that names `wheel` in place of the entry.

    Raises BadInput for a URI that no line can hold, and for a wheel of another version than the line asks for.
    """
    value = wheel.uri
    if parts.specifier and not _has_version(wheel, parts.specifier):
        raise errors.BadInput(
            f"this asks for {entry.value}, and the wheel that was deployed is {wheel.uri.rsplit('/', 1)[-1]}",
            where=place,
            cure="correct the line, or the version of the library",
        )
    if not entry.is_uri:
        value = requirements.write_wheel(value, wheel.distribution, extras=parts.extras, marker=parts.marker)
    if not value.isprintable():
        raise errors.BadInput(
            f"a wheel's URI has a character that cannot be written into this file: {value!r}",
            where=place,
            cure="set wheel_root to a place whose name has no such character",
        )
    return value


def _check_other(entry: tree.Entry, parts: requirements.WheelEntry, wheels: Wheels, *, place: str) -> None:
    """Refuse an entry that no deployed wheel replaces, unless a run can install the wheel that it names."""
    if wheels.placeholder in parts.path and not wheels.has_libraries:
        raise errors.BadInput(
            f"{wheels.placeholder} stands for the wheels of your libraries, and the setting `libraries` is empty",
            where=place,
            cure="set `libraries` to the folders to build wheels from, or take this entry out",
        )
    if wheels.placeholder in parts.path and not wheels.deployed:
        raise errors.OutOfOrder(
            "no wheel is deployed that could replace the placeholder", where=place, cure="`inv deploy`"
        )
    shown = redaction.mask(entry.value)
    if not entry.is_uri and not parts.stands_for_all and _version_of(parts.path) is None:
        raise errors.BadInput(
            f"not called as a wheel is (NAME-VERSION-PYTHON-ABI-PLATFORM.whl), so that pip refuses it: {shown}",
            where=place,
            cure="give the file the name that its build gave it, or write the placeholder",
        )
    if not parts.path.startswith(("http://", "https://")) and not wheels.is_reachable(parts.path):
        raise errors.BadInput(
            f"this names a wheel of {parts.distribution}, which nobody built and which does not exist: {shown}",
            where=place,
            cure="add its library to the setting `libraries`, or correct the path (`include` stages an ignored file)",
        )


def _has_version(wheel: Deployed, specifier: str) -> bool:
    version = _version_of(wheel.uri)
    return version is not None and specifiers.SpecifierSet(specifier).contains(version, prereleases=True)


def _version_of(path: str) -> Version | None:
    """The version in the name of a wheel's file; None for a name that pip does not take for a wheel's."""
    try:
        return utils.parse_wheel_filename(unquote(re.split(r"[/\\]", path)[-1]))[1]
    except utils.InvalidWheelFilename:
        return None


def _scalars(root: tree.Node | None, *, keys: bool = True) -> Iterator[tree.Scalar]:
    """Each scalar of the tree once, however many aliases it has; without `keys` only the values of mappings."""
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
            waiting += [each for key, value in node.pairs for each in ([key, value] if keys else [value])]

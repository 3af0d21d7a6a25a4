"""Staged copies of a project, each in a folder named by its content, complete or not there at all."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from mlops_tasks import errors, files, locks, processes
from mlops_tasks.checkout import git
from mlops_tasks.report import Report

LEFT_OUT = {".git", ".mlops", ".env", ".venv", "__pycache__", "mlruns"}
"""Files and folders of these names (secrets, environments, results) are not staged even where git tracks them."""


MADE_AGAIN = LEFT_OUT - {".env", "mlruns"} | {
    ".DS_Store",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
}
"""Files and folders of these names are not told of where they stay behind: no run needs them."""
SHOWN = 5
"""How many folders and files that stay behind are named."""


def list_files(
    folder: Path, *, include: Sequence[str], needed: Iterable[str], run: processes.Runner, report: Report
) -> tuple[str, ...]:
    """The files (and symbolic links) below `folder` to be staged, as sorted relative paths.

    `include` are globs of files to stage nevertheless; `needed` are files that are staged in any case. Raises BadInput
    for a glob that leads out of the folder, StepFailed for a folder that cannot be read.
    """
    listed = git.list_files(folder, runner=run)
    if listed is not None and not any(name.lower() == "mlproject" for name in listed):
        report.warning(f"git ignores the project's folder itself, so all of it is staged: {folder}")
        listed = None
    if listed is None:
        found = files.walk(folder, skip=lambda entry: _is_left_out(entry.name, entry.path), onerror=_refuse)
    else:
        found = _without_left_out(folder, listed)
    brought = [name for pattern in include for name in _expand(folder, pattern, report)]
    return tuple(sorted({*found, *brought, *needed}))


def list_again(folder: Path, *, run: processes.Runner) -> Sequence[str]:
    """The files of a project that is about to run: all of a staged copy, those to be staged where it is a source."""
    if is_as_settled(folder):
        return files.walk(folder)
    return list_files(folder, include=(), needed=(), run=run, report=Report())


def name_inside(path: Path, folder: Path) -> str:
    """`path` relative to `folder`, with links to folders followed; empty where it does not lie in it."""
    name = Path(os.path.relpath(path.parent.resolve() / path.name, folder.resolve()))
    return "" if name.parts[:1] == ("..",) else name.as_posix()


def find_left_behind(folder: Path, names: Iterable[str]) -> list[str]:
    """The files below `folder` that are not among the staged `names`, but for what tools make again by themselves."""
    staged = set(names)
    return [name for name in files.walk(folder, skip=_is_made_again) if name not in staged]


def describe_left_behind(left: Sequence[str], names: Iterable[str]) -> str:
    """The files `left` behind in one line: folders of which nothing is staged with their number, others by name."""
    kept = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    counts: Counter[str] = Counter()
    for name in left:
        around = [str(parent) for parent in reversed(PurePosixPath(name).parents)]
        counts[next((f"{each}/" for each in around if each not in kept), name)] += 1
    shown = [
        f"{name} ({count} file{'' if count == 1 else 's'})" if name.endswith("/") else name
        for name, count in counts.most_common(SHOWN)
    ]
    more = f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
    return ", ".join(shown) + more


def _is_made_again(entry: os.DirEntry[str]) -> bool:
    if entry.name in MADE_AGAIN or entry.name.endswith((".pyc", ".egg-info")):
        return True
    return files.is_folder(entry) and files.is_environment(entry.path)


def _without_left_out(folder: Path, names: Iterable[str]) -> list[str]:
    """The `names` of which neither the file nor a folder around it is left out."""
    known = {"": False}

    def is_left_out(name: str) -> bool:
        if name not in known:
            around, _, own = name.rpartition("/")
            known[name] = is_left_out(around) or _is_left_out(own, f"{folder}/{name}")
        return known[name]

    return [name for name in names if not is_left_out(name)]


def _is_left_out(name: str, path: str) -> bool:
    """Whether it may be a secret or a result, what setuptools makes beside its sources, or an environment."""
    return name in LEFT_OUT or name.endswith(".egg-info") or files.is_environment(path)


def _expand(folder: Path, pattern: str, report: Report) -> list[str]:
    if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
        raise errors.BadInput(
            f"{pattern!r} leads out of the project's folder", where="include", cure="give globs relative to that folder"
        )
    names = [name for path in folder.glob(pattern) for name in _files_of(path, folder)]
    if not names:
        report.warning(f"include: nothing in the project matches {pattern!r}")
    return names


def _files_of(path: Path, folder: Path) -> list[str]:
    """`path` or, of a folder, the files in it; where a link leads to `path`, that link alone."""
    name = path.relative_to(folder)
    on_the_way = [*reversed(name.parents), name][1:]
    link = next((each for each in on_the_way if (folder / each).is_symlink()), None)
    if link is None and path.is_dir():
        return [(name / each).as_posix() for each in files.walk(path, onerror=_refuse)]
    return [(link or name).as_posix()]


def _refuse(fault: OSError) -> None:
    raise errors.StepFailed(
        f"the project's folder cannot be read: {fault.strerror}", where=fault.filename, cure="make it readable"
    ) from fault


DIGEST_LENGTH = 16
_MODES = {"program": "755", "file": "644"}


Look = Callable[[str], tuple[str, str]]
"""What gives a file's fingerprint: `files.fingerprint`, or one command's `files.Fingerprints`."""


def hash_files(folder: Path, names: Sequence[str], *, look: Look = files.fingerprint) -> dict[str, str]:
    """For each file its mode (755 or 644) and SHA-256, for each link its target.

    Raises StepFailed for a file that cannot be read.
    """
    try:
        found = {name: look(f"{folder}/{name}") for name in names}
    except OSError as fault:
        raise errors.StepFailed(
            f"a file of the project cannot be read: {fault.strerror}",
            where=fault.filename or folder,
            cure="make it readable, or have git ignore it",
        ) from fault
    return {name: _show(*each) for name, each in found.items()}


def _show(kind: str, content: str) -> str:
    return f"{_MODES.get(kind, kind)} {content}".strip()


@contextlib.contextmanager
def drafted(folder: Path, names: Sequence[str], *, staged_root: Path) -> Iterator[Path]:
    """A copy of the few files `names` to be patched, under the folder's own name; removed unless `settle` moved it.

    Links become files, so that they can be written to.
    """
    with locks.workplace(staged_root) as place:
        draft = place / folder.name
        with _translated(folder):
            draft.mkdir()
            for name in names:
                files.copy(folder / name, draft / name, leads_to=None)
        yield draft


def settle(
    draft: Path,
    source: Path,
    hashes: Mapping[str, str],
    *,
    staged_root: Path,
    report: Report,
    look: files.Fingerprints | None = None,
) -> Path:
    """The path `<staged_root>/<digest>/<name>` of the draft with the other files of `source`, whose `hashes` are known.

    Nothing is copied where the same content is there already. What `look` knows of is not read again to be told apart.
    """
    look = look or files.Fingerprints()
    others = [name for name in hashes if not os.path.lexists(f"{draft}/{name}")]  # the disk may ignore case
    for name in [name for name in others if not hashes[name]]:
        report.warning(f"{name} is neither a file nor a link, and is not staged")
        others.remove(name)
    with _translated(source), locks.lock_folder(staged_root):
        own = hash_files(draft, files.walk(draft))
        others_hashed = {name: _in_a_copy(source, name, hashes[name]) for name in others}
        final = staged_root / _name(draft.name, {**own, **others_hashed}) / draft.name
        if not is_as_settled(final, look=look):
            copied = {name: _copy(source, name, draft, look) for name in others}
            for base, _, _ in os.walk(draft.parent):
                Path(base).chmod(0o755)
            final = staged_root / _name(draft.name, {**own, **copied}) / draft.name
            if final.parent.exists():  # it was changed, and its content is no longer the one that its name says
                shutil.rmtree(final.parent)
            draft.parent.rename(final.parent)
        os.utime(final.parent)
        _warn_of_broken_links(final, others_hashed, report)
    return final


def is_as_settled(folder: Path, *, look: Look = files.fingerprint) -> bool:
    """Whether the staged `folder` is there and still has the content that it is named by."""
    is_named = re.fullmatch(rf"[0-9a-f]{{{DIGEST_LENGTH}}}", folder.parent.name) is not None
    return (
        is_named
        and folder.is_dir()
        and _name(folder.name, hash_files(folder, files.walk(folder), look=look)) == folder.parent.name
    )


@contextlib.contextmanager
def disposable(folder: Path) -> Iterator[Path]:
    """A copy of the staged `folder` for one run, removed after the block with all that the run wrote into it."""
    with locks.workplace(folder.parent.parent, prefix=".run-") as place:
        copy = place / folder.name
        with _translated(folder, "inv run"):
            copy.mkdir()
            for name in files.walk(folder):
                files.copy(f"{folder}/{name}", f"{copy}/{name}", leads_to=partial(_link_in_a_copy, folder))
        yield copy


def separate_from_git(staged_root: Path, *, run: processes.Runner) -> None:
    """Make an empty git repository around the staged copies.

    MLflow up to 2.17 writes the URL of the repository around a project, password included, into a tag.
    """
    staged_root.mkdir(parents=True, exist_ok=True)
    with locks.lock_folder(staged_root), contextlib.suppress(FileNotFoundError):  # without git MLflow asks for no URL
        if (staged_root / ".git").exists():
            return
        done = git.call("init", "--quiet", "--template=", run=run, cwd=staged_root)
        if done.returncode:  # half a repository would hide nothing, and the next command would leave it so
            shutil.rmtree(staged_root / ".git", ignore_errors=True)
            raise git.refused("no git repository can be made around the staged copies", done, where=staged_root)


def _copy(folder: Path, name: str, copy: Path, look: files.Fingerprints) -> str:
    """What `hash_files` tells of the copy that is made of the file, or of the link; of a pipe, nothing and none."""
    leads_to = partial(_link_in_a_copy, folder)
    kind, content = look.copy(f"{folder}/{name}", f"{copy}/{name}", leads_to=leads_to)
    return _in_a_copy(folder, name, _show(kind, content))


def _link_in_a_copy(folder: Path, link: Path) -> str:
    """Where a link in `folder` leads in a copy of it: a text, since a path would be another spelling of `./data`."""
    return _leads_to(folder, link.relative_to(folder).as_posix(), os.readlink(link))


def _in_a_copy(folder: Path, name: str, shown: str) -> str:
    """What `hash_files` will tell of the file in a copy, when it tells `shown` of it in `folder`."""
    kind, _, content = shown.partition(" ")
    return _show(kind, _leads_to(folder, name, content)) if kind == "link" else shown


def _leads_to(folder: Path, name: str, target: str) -> str:
    """A link's target, relative where it is an absolute path into the project: that would lead to the sources."""
    inside = os.path.isabs(target) and Path(target).is_relative_to(folder)
    return os.path.relpath(target, (folder / name).parent) if inside else target


def _warn_of_broken_links(copy: Path, hashes: Mapping[str, str], report: Report) -> None:
    whole = copy.resolve()
    for name in (name for name, shown in hashes.items() if shown.startswith("link")):
        path = copy / name
        if not (path.exists() and path.resolve().is_relative_to(whole)):
            report.warning(f"{name} links to {path.readlink()}, which is not part of the staged project")


def _name(folder: str, hashes: Mapping[str, str]) -> str:
    """The name of the place of a `folder` with this content."""
    return files.digest({"": folder, **hashes})[:DIGEST_LENGTH]


@contextlib.contextmanager
def _translated(folder: Path, task: str = "inv patch") -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        cure = f"{'make room' if files.is_full(fault) else 'make it readable and writable'}, then `{task}`"
        raise errors.StepFailed(
            f"the project cannot be staged: {fault.strerror}", where=fault.filename or folder, cure=cure
        ) from fault

"""Facts of a work tree, asked of the git command."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mlops_tasks import errors, runner

SHORT = 12
"""Characters of a commit that stand for a branch where there is none."""


@dataclass(frozen=True, kw_only=True)
class WorkTree:
    """`branch` is None on a detached HEAD; `commit` is None before the first one. Untracked files count as dirty."""

    top: Path
    branch: str | None
    commit: str | None
    dirty: bool


def read(folder: Path, *, runner: runner.Runner) -> WorkTree | None:
    """The work tree that `folder` is in; None where there is none, or no git program."""
    try:
        top = _git(folder, "rev-parse", "--show-toplevel", run=runner)
    except FileNotFoundError:
        return None
    if top.returncode:
        _refuse_unless_plain(folder, top.stderr)
        return None
    status = _git(folder, "status", "--porcelain=v2", "--branch", "-z", run=runner)
    if status.returncode:
        raise errors.StepFailed(
            f"git cannot read this work tree: {status.stderr.strip()}", where=folder, cure="do what git says"
        )
    lines = status.stdout.split("\0")
    headers = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    commit, branch = headers.get("branch.oid", "(initial)"), headers.get("branch.head", "(detached)")
    return WorkTree(
        top=Path(top.stdout.removesuffix("\n")),
        branch=None if branch == "(detached)" else branch,
        commit=None if commit == "(initial)" else commit,
        dirty=any(line and not line.startswith("# ") for line in lines),
    )


def branches_at(folder: Path, commit: str, *, runner: runner.Runner) -> tuple[str, ...]:
    """The local branches that point at `commit`; where there are none the remote ones, without the remote's name."""
    for namespace, parts in (("refs/heads", 2), ("refs/remotes", 3)):
        command = ("for-each-ref", f"--points-at={commit}", "--format=%(refname)", namespace)
        names = _git(folder, *command, run=runner).stdout.splitlines()
        found = {name.split("/", parts)[-1] for name in names if not name.endswith("/HEAD")}
        if found:
            return tuple(sorted(found))
    return ()


def list_files(folder: Path, *, runner: runner.Runner) -> list[str]:
    """The files below `folder` that git tracks or would track, as sorted relative paths.

    A file that was just deleted is not among them; the files of a submodule are.
    """
    listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard", run=runner)
    if listed.returncode:
        raise errors.StepFailed(
            f"git cannot list the files: {listed.stderr.strip()}", where=folder, cure="do what git says"
        )
    found: set[str] = set()
    for name in filter(None, listed.stdout.split("\0")):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            inner = list_files(path, runner=runner) if (path / ".git").exists() else []
            found.update(f"{name.rstrip('/')}/{each}" for each in inner)
        elif os.path.lexists(path):
            found.add(name)
    return sorted(found)


def _git(folder: Path, *arguments: str, run: runner.Runner) -> runner.Completed:
    """Ask without optional locks: they would collide with the user's own commands."""
    return run(["git", "--no-optional-locks", *arguments], cwd=folder)


def _refuse_unless_plain(folder: Path, said: str) -> None:
    """Having no work tree is a fact; one that is there and that git refuses to read is a fault.

    The folders tell the two apart: what git says depends on the user's language.
    """
    whole = folder.resolve()
    if ".git" in whole.parts or not any((parent / ".git").exists() for parent in (whole, *whole.parents)):
        return
    safe = f"git config --global --add safe.directory '{whole}' (or give its files to yourself)"
    raise errors.StepFailed(
        f"git refuses to read this work tree: {said.strip().splitlines()[0]}",
        where=folder,
        cure=safe if "safe.directory" in said else "do what git says",
    )

"""The facts of the checkout: its top folder, the branch and where its name comes from, the commit."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mlops_tasks import errors, processes
from mlops_tasks.checkout import ci, git


class Facts(NamedTuple):
    """`top` is the git top level of the folder with tasks.py, or that folder itself without git.

    `why` are sentences on where the branch comes from, the winner first. `doubt` says why it may be another one's code
    that is checked out; it is empty where nothing speaks for that. `commit`, `dirty` and `tree` are None without git.
    """

    top: Path
    branch: str
    why: tuple[str, ...]
    commit: str | None
    dirty: bool | None
    ci_url: str
    doubt: str = ""
    tree: git.WorkTree | None = None


def gather(
    root: Path, *, branch: str | None, branch_origin: str, environ: Mapping[str, str], runner: processes.Runner
) -> Facts:
    """The facts of the work tree around `root`.

    The branch is the given one (by `branch_origin`), else the CI system's, else git's; BadInput where none is known.
    """
    tree = git.read(root, runner=runner)
    found = ci.detect(environ)
    named = [(branch, f"given by {branch_origin}")] if branch else []
    if found:
        named.append((found.branch, f"{found.system} says so by {found.source}"))
    if tree and tree.branch is not None:
        named.append((tree.branch, "checked out in git"))
    elif tree and tree.commit is not None and not named:
        named.append(_name_detached(root, tree.commit, runner))
    if not named and shutil.which("git") is None:
        raise errors.BadInput(
            "no branch is known: git is not installed, or not on PATH, and no CI system names one",
            where=root,
            cure="install git, give `--branch NAME`, or set MLOPS_BRANCH",
        )
    if not named:
        raise errors.BadInput(
            "no branch is known: this is no git repository, and no CI system names one",
            where=root,
            cure="give `--branch NAME`, set MLOPS_BRANCH, or `git init` first",
        )
    name, reason = named[0]
    passed_over = (f"passed over: {other} ({why})" for other, why in named[1:])
    return Facts(
        top=tree.top if tree else root.resolve(),
        branch=name,
        why=(f"branch {name}: {reason}", *passed_over),
        commit=tree.commit if tree else None,
        dirty=tree.dirty if tree else None,
        ci_url=found.url if found else "",
        doubt=_doubt(root, found, tree, runner) if found and tree and not branch else "",
        tree=tree,
    )


def _doubt(root: Path, found: ci.CiBranch, tree: git.WorkTree, run: processes.Runner) -> str:
    """A job may check out what it likes: the code is the branch's where HEAD is its commit, or a merge with that."""
    if tree.commit is None or not found.commits or tree.commit in found.commits:
        return ""
    parents = git.parents(root, tree.commit, runner=run)
    if len(parents) > 1 and not found.commits.isdisjoint(parents):
        return ""
    wanted = " or ".join(sorted(each[: git.SHORT] for each in found.commits))
    here = " of ".join([tree.commit[: git.SHORT], *filter(None, [tree.branch])])
    flag = errors.typed("--branch", tree.branch or "NAME")
    return (
        f"{found.source} of {found.system} names the branch {found.branch}, whose commit is {wanted}, and {here} is "
        f"checked out: check that commit out, or say whose code it is (`{flag}`)"
    )


def _name_detached(root: Path, commit: str, run: processes.Runner) -> tuple[str, str]:
    """The branch's name where HEAD is detached at `commit`, and why it is that."""
    candidates = git.branches_at(root, commit, runner=run)
    if len(candidates) == 1:
        return candidates[0], "HEAD is detached, and this is the one branch that points at it"
    why = f"several branches point at it: {', '.join(candidates)}" if candidates else "no branch points at it"
    return commit[: git.SHORT], f"HEAD is detached, and {why}, so its commit stands for the branch"

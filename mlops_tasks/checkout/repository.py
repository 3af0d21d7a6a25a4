"""The repository's own name, the same on a laptop, in CI and in a fork, and the folders of its projects."""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from mlops_tasks import files, processes
from mlops_tasks.checkout import git

MLPROJECT = "mlproject"
"""The name of a project's file, which may have letters of any case."""


def list_projects(top: Path, tree: git.WorkTree | None, *, runner: processes.Runner) -> list[str]:
    """The folders below `top`, as relative paths, that hold an MLproject file which git does not ignore."""
    if tree is None:
        names = files.walk(top, skip=lambda entry: entry.name.startswith("."))
    else:
        names = git.find_named(tree, MLPROJECT, runner=runner)
    found = (name.rpartition("/") for name in names)
    return sorted({folder for folder, _, name in found if folder and name.lower() == MLPROJECT})


def find_name(top: Path, remotes: Mapping[str, str]) -> str:
    """The name that the remote `origin` gives, or else the first remote; without one, the name of the folder `top`.

    `remotes` has the URL of each remote, by its name.
    """
    urls = [remotes[each] for each in sorted(remotes, key=lambda each: (each != "origin", each))]
    return next(filter(None, map(name_in, urls)), top.name or "repository")


def name_in(url: str) -> str:
    """The last part of a repository's URL, `host:path` or path, without `.git`; never a user's name or password."""
    place = re.sub(r"^[A-Za-z0-9+.-]+::", "", url)  # git's name for a helper, as AWS CodeCommit has one
    is_url = "://" in place
    if is_url:
        place = re.split("[?#]", place.partition("://")[2], maxsplit=1)[0]
    elif found := re.match(r"[^/]+?:(.*)", place, re.DOTALL):
        is_url, place = True, found[1]
    parts = [each for each in place.split("/") if each not in {"", ".", "..", ".git"}]
    name = parts[-1].removesuffix(".git") if parts else ""
    return unquote(name.rpartition("@")[2]) if is_url else name

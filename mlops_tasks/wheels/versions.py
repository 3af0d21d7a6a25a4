"""A local version (PEP 440) that moves with a library's code, and a built wheel rewritten to bear it.

A cluster that is kept from run to run keeps the wheel that it has of a version, even with `--upgrade`. Of
`1.0+g0123456789ab` and `1.0+gba9876543210` it installs both, and `mylib==1.0` is satisfied by either. Only the wheel
gets the version: a `__version__` in the code itself stays as it is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from packaging.version import Version

from mlops_tasks import processes
from mlops_tasks.checkout import git
from mlops_tasks.wheels import rewriting

LENGTH = 12
_VERSION = re.compile(rb"^version:[^\r\n]*", re.IGNORECASE | re.MULTILINE)


class Local(NamedTuple):
    """A local version, and a sentence on why it is none of a commit where the clone is to blame."""

    version: str
    why: str = ""


def of_digest(digest: str, why: str = "") -> Local:
    """`d` and 12 digits of the sources' digest."""
    return Local(f"d{digest[:LENGTH]}", why)


def choose_local(library: Path, outside: list[str], *, digest: str, run: processes.Runner) -> Local:
    """`g` and 12 digits of the commit that last changed the library, or `d` and 12 of its sources' `digest`.

    A commit can be looked up, and stays when something else changes; it is taken where the work tree has no changes
    since and the history reaches back to it (a shallow clone would take its first commit for the last change).
    Otherwise, and without git, the digest is. `outside` are the files beyond the library's folder that a wheel of it
    is made of, relative to the folder.
    """
    paths = (".", *outside)

    def ask(*arguments: str) -> str | None:
        """The answer; None where git has none, as before the first commit."""
        done = git.call(*arguments, run=run, cwd=library)
        return None if done.returncode else done.stdout.strip()

    try:
        is_clean = git.list_changes(library, *paths, runner=run, exactly=True) == []
        commit = ask("log", "-1", "--format=%H", "--", *paths) if is_clean else None
    except FileNotFoundError:  # there is no git
        commit = None
    if not commit:
        return of_digest(digest)
    # a shallow clone lists its first commits: an earlier one may be the last that changed the library
    if commit in git.cut_at(library, runner=run):
        return of_digest(digest, "the clone is shallow and may lack the commit that last changed it")
    return Local(f"g{commit[:LENGTH]}")


def append_local(version: str, local: str) -> str:
    """`1.0` becomes `1.0+<local>`, and `1.0+cpu` becomes `1.0+cpu.<local>`."""
    return str(Version(f"{version}{'.' if '+' in version else '+'}{local}"))


def with_version(path: Path, version: str) -> Path:
    """Write the wheel at `path` under `version` (normalised by PEP 440) into the same folder: the new wheel's path."""
    line = b"Version: " + version.encode()
    return rewriting.rewrite(path, lambda metadata: _VERSION.sub(line, metadata, count=1), version=version)

"""Local versions (PEP 440): what is added to a library's version so that it moves with the code.

An environment that stays (a cluster that is not made anew for each run) keeps the wheel that it has of a version, even
with `--upgrade`. `1.0+g0123456789ab` is another version than `1.0+gba9876543210`, and `mylib==1.0` is satisfied by
both. Only the wheel is told: a `__version__` that the code itself holds stays as it is.
"""

from __future__ import annotations

from pathlib import Path

from packaging.version import Version

from mlops_tasks import processes
from mlops_tasks.checkout import git

LENGTH = 12


def choose(library: Path, outside: list[str], *, digest: str, run: processes.Runner) -> str:
    """`g` and 12 digits of the commit that last changed the library, or `d` and 12 of its sources' `digest`.

    The commit says more and stays when others change something else, but is true only where the work tree holds what
    that commit did, and is known only where the history reaches back to it: a shallow clone would take its first
    commit for the last change. Everywhere else, and without git, the digest is as true. `outside` are the files beyond
    the library's folder that it is made of, relative to it.
    """
    commit = _last_change(library, [".", *outside], run)
    return f"g{commit[:LENGTH]}" if commit else f"d{digest[:LENGTH]}"


def append(version: str, local: str) -> str:
    """`1.0` becomes `1.0+<local>`, and `1.0+cpu` becomes `1.0+cpu.<local>`."""
    return str(Version(f"{version}{'.' if '+' in version else '+'}{local}"))


def _last_change(library: Path, paths: list[str], run: processes.Runner) -> str:
    """Nothing where the work tree differs from it, where it is out of sight, or where git has no answer."""
    if git.read(library, runner=run) is None:
        return ""
    changed = _ask(library, run, "status", "--porcelain", "--", *paths)
    commit = _ask(library, run, "log", "-1", "--format=%H", "--", *paths)
    return commit or "" if changed == "" and commit not in _cut_off(library, run) else ""


def _cut_off(library: Path, run: processes.Runner) -> list[str]:
    """The commits of a shallow clone whose parents were left out."""
    shallow = _ask(library, run, "rev-parse", "--git-path", "shallow")
    path = library / shallow if shallow else None
    return path.read_text(encoding="ascii").split() if path is not None and path.is_file() else []


def _ask(library: Path, run: processes.Runner, *arguments: str) -> str | None:
    """What git answers; None where it has none, as for a path outside of the repository or before the first commit."""
    done = git.call(*arguments, run=run, cwd=library)
    return None if done.returncode else done.stdout.strip()

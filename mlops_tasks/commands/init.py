"""`inv init`: the bundled project, laid down in an empty or existing repository. It never overwrites."""

from __future__ import annotations

import shutil
from pathlib import Path

import invoke

from mlops_tasks import console, errors
from mlops_tasks.commands import boundary
from mlops_tasks.report import Report

TEMPLATE = Path(__file__).parents[1] / "template"
KEPT = {"tasks.py", "invoke.yaml", "README.md", ".gitignore"}
"""Files that a repository has for reasons of its own: theirs stay as they are, and what to add is said."""


@invoke.task(
    klass=boundary.ReleaseTask,
    switches=False,
    help={"folder": "where to (default: beside tasks.py)", "dry_run": boundary.SWITCHES["dry_run"]},
)
def init(c: invoke.Context, folder: str | None = None, dry_run: bool = False) -> None:  # noqa: FBT001, FBT002
    """Lay down a complete small project to start from."""
    where = Path(folder) if folder else boundary.root_of(c)
    lay_down(where, report=console.standard(), dry_run=dry_run or bool(c.config.run.dry))


def lay_down(folder: Path, *, report: Report, dry_run: bool = False) -> tuple[str, ...]:
    """Copy the bundled project into `folder`: the paths of the files made, relative to it.

    Raises BadInput, and writes nothing, where a file of the project is there already with another content.
    """
    names = sorted(_files())
    present = [name for name in names if (folder / name).exists()]
    clashes = [name for name in present if name not in KEPT and not _is_same(folder, name)]
    if clashes:
        raise errors.BadInput(
            f"there already, with other content: {', '.join(clashes)}",
            where=folder,
            cure="move them away, or lay the project down elsewhere with `inv init --folder NAME`",
        )
    made = tuple(name for name in names if name not in present)
    for name in made if not dry_run else ():
        _copy(folder, name)
    _say(folder, made, [name for name in present if not _is_same(folder, name)], report)
    return made


def _files() -> list[str]:
    paths = [path for path in TEMPLATE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [path.relative_to(TEMPLATE).as_posix() for path in paths]


def _is_same(folder: Path, name: str) -> bool:
    there = folder / name
    return there.is_file() and there.read_bytes() == (TEMPLATE / name).read_bytes()


def _copy(folder: Path, name: str) -> None:
    try:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TEMPLATE / name, folder / name)
    except OSError as fault:
        raise errors.StepFailed(
            f"{name} cannot be made: {fault.strerror}", where=folder, cure="make that folder writable, then `inv init`"
        ) from fault


def _say(folder: Path, made: tuple[str, ...], kept: list[str], report: Report) -> None:
    report.step("init", "\n".join(made) if made else "everything was there already")
    for name in kept:
        report.detail(f"{name} is yours and stays as it is; ours is:")
        for line in (TEMPLATE / name).read_text(encoding="utf-8").splitlines():
            report.detail(f"    {line}")
    if not (folder / ".git").exists():
        report.detail("this is no git repository yet: `git init`, or give each command a --branch")
    report.detail("next: inv release")

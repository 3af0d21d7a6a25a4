"""`inv init`: the bundled project, or a pipeline for CI, written into a repository. Nothing is overwritten."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import invoke

from mlops_tasks import errors
from mlops_tasks.report import Report
from mlops_tasks.tasks import base, session

TEMPLATE = Path(__file__).parents[1] / "template"
PIPELINES = Path(__file__).parents[1] / "ci_templates"
"""A folder for each CI system, with the files as they are called in the repository."""
DEFAULT_BRANCH = b"DEFAULT_BRANCH"
"""What stands in those files for the name of the repository's default branch."""
MINIMAL = ("invoke.yaml", "tasks.py")
KEPT = {*MINIMAL, "README.md", ".gitignore"}
"""Files that a repository may have already: they stay as they are, and the lines to add to them are shown."""
READ_FIRST = {"Makefile": ("GNUmakefile", "makefile")}
"""Files by which a pipeline's own would never be read: GNU make reads the first of these alone."""

BESIDE_OWN_TASKS = """\
from invoke import Collection
from mlops_tasks import namespace as mlops

ns = Collection(my_task, mlops=mlops)  # with each task of your own: Invoke finds no others then
"""


@invoke.task(
    klass=base.ReleaseTask,
    help={
        "folder": "where to write it (default: the folder of tasks.py or invoke.yaml, else this one)",
        "minimal": "write tasks.py and invoke.yaml alone, for a project of your own",
        "json": "print the names of the files made as JSON, and nothing else",
        "dry_run": "show what would be made, and make nothing",
    },
)
def init(
    c: invoke.Context,
    folder: str | None = None,
    minimal: bool = False,  # noqa: FBT001, FBT002
    **flags: Any,
) -> None:
    """Write a complete small project to start from."""
    root = base.root_of(c)
    where = root if folder is None else Path(folder)
    # another folder's tasks.py has names of its own
    spell = base.spell_as_called if where.resolve() == root.resolve() else str
    report = session.open_report(flags, spell=spell)
    made = write_template(where, report=report, minimal=minimal, dry_run=session.is_dry(c, flags))
    session.print_json({"made": list(made)}, flags)


def write_template(
    folder: Path,
    *,
    report: Report,
    minimal: bool = False,
    dry_run: bool = False,
    command: str = "inv init --folder",
) -> tuple[str, ...]:
    """Copy the bundled project into `folder`, and return the paths of the files made, relative to it.

    `minimal` copies its tasks.py and invoke.yaml alone. Raises BadInput, and writes nothing, where something else
    stands in the place of one of its files or folders; its message has the `command` that takes another folder.
    """
    names = list(MINIMAL) if minimal else sorted(_files())
    clashes = _find_clashes(folder, names)
    if clashes:
        raise errors.BadInput(
            "\n  ".join(["in the way of the bundled project:", *map(str, clashes)]),
            cure=f"move {_them(clashes)} away, or write the project elsewhere with `{command} NAME`",
        )
    present = [name for name in names if os.path.lexists(folder / name)]
    made = tuple(name for name in names if name not in present)
    for name in made if not dry_run else ():
        _write(folder, name, (TEMPLATE / name).read_bytes())
    kept = [name for name in present if not _is_same(folder, name)]
    _say(folder, made, kept, report, is_own=minimal and "invoke.yaml" in made)
    return made


def list_pipelines() -> list[str]:
    """The CI systems that there is a pipeline for."""
    return sorted(path.name for path in PIPELINES.iterdir())


def write_pipeline(folder: Path, system: str, *, report: Report) -> tuple[str, ...]:
    """Write the pipeline for a CI system into the repository `folder`, and return the paths made, relative to it.

    The repository's default branch stands in it. Raises BadInput where there is another file, or something else, in its
    place, and for a folder below the top of a repository: no CI system looks for a pipeline there, and its commands
    find `.mlops` at the top.
    """
    from mlops_tasks.checkout import git

    command = ("python", "-m", "mlops_tasks", "--ci", system)
    top, source = git.top(folder), PIPELINES / system
    if top is not None and top != folder.resolve():
        raise errors.BadInput(
            "a pipeline belongs at the top of the repository, and this is a folder below it",
            where=folder.absolute(),
            cure=f"`{errors.typed(*command, top)}`",
        )
    branch = _find_default_branch(folder)
    texts = {
        path.relative_to(source).as_posix(): path.read_bytes().replace(DEFAULT_BRANCH, branch.encode())
        for path in sorted(source.rglob("*"))
        if path.is_file()
    }
    names = list(texts)
    if blocked := _find_blocked(folder, names):
        raise errors.BadInput(
            "\n  ".join(["in the way of the pipeline, which needs a folder there:", *map(str, blocked)]),
            cure=f"move {_them(blocked)} away, then give the same command again",
        )
    taken = {folder / each: name for name in names for each in (name, *READ_FIRST.get(name, ()))}
    for path, name in taken.items():
        if os.path.lexists(path) and _read(path) != texts[name]:
            elsewhere = errors.typed(*command, folder.resolve().parent / "elsewhere")
            raise errors.BadInput(
                "there is a pipeline already",
                where=path,
                cure=f"move it away, or take what you need of the one that `{elsewhere}` writes",
            )
    made = tuple(name for name in names if not os.path.lexists(folder / name))
    for name in made:
        _write(folder, name, texts[name])
    report.step("init", "\n".join(made) if made else "everything was there already")
    _tell_of_git(folder, report)
    if made:
        report.detail(f"next: read the head of {made[0]}, and set the variables that it names")
    return made


def _find_default_branch(folder: Path) -> str:
    """The branch that a release takes for the default one; BadInput for a name that a pipeline's file cannot hold."""
    from mlops_tasks import processes
    from mlops_tasks.checkout import git

    run = processes.run_command
    found = git.default_branch(git.read(folder, runner=run), runner=run)
    if not re.fullmatch(r"[\w./-]+", found):
        raise errors.BadInput(
            f"the default branch {found!r} cannot stand in a pipeline: systems would read more into its name",
            where=folder.absolute(),
            cure="give the branch a name of letters, digits and any of . _ / -",
        )
    return found


def _files() -> list[str]:
    paths = [path for path in TEMPLATE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [path.relative_to(TEMPLATE).as_posix() for path in paths]


def _find_clashes(folder: Path, names: list[str]) -> list[Path]:
    """Paths in the way: no folder where one is needed, or other content under the name of a bundled file."""
    others = [folder / name for name in names if name not in KEPT and not _is_same(folder, name)]
    # a broken link is in the way too: writing to it would make a file outside
    return [*_find_blocked(folder, names), *(path for path in others if os.path.lexists(path))]


def _find_blocked(folder: Path, names: list[str]) -> list[Path]:
    """Paths where the files of these names need a folder, and where something else stands."""
    parents = sorted({parent for name in names for parent in (folder / name).parents})
    return [path for path in parents if os.path.lexists(path) and not path.is_dir()]


def _them(paths: list[Path]) -> str:
    return "it" if len(paths) == 1 else "them"


def _is_same(folder: Path, name: str) -> bool:
    return _read(folder / name) == (TEMPLATE / name).read_bytes()


def _read(path: Path) -> bytes:
    """The content of `path`; empty where it cannot be read, for such a file is not ours."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _write(folder: Path, name: str, content: bytes) -> None:
    try:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    except OSError as fault:
        raise errors.StepFailed(
            f"{name} cannot be made: {fault.strerror}",
            where=folder,
            cure="make that folder writable, then give the same command again",
        ) from fault


def _say(folder: Path, made: tuple[str, ...], kept: list[str], report: Report, *, is_own: bool) -> None:
    report.step("init", "\n".join(made) if made else "everything was there already")
    to_add = {name: _lines_to_add(folder, name) for name in kept}
    for name, lines in to_add.items():
        report.detail(f"{name} is yours and stays as it is{'; add to it:' if lines else ''}")
        for line in lines:
            report.detail(f"    {line}")
    _tell_of_git(folder, report)
    report.detail(f"next: {'name your own folders in invoke.yaml, then inv doctor' if is_own else _next(to_add)}")


def _tell_of_git(folder: Path, report: Report) -> None:
    from mlops_tasks.checkout import git

    if git.top(folder) is None:
        report.detail("this is no git repository yet: `git init`, or give each command a --branch")


def _next(to_add: dict[str, list[str]]) -> str:
    """The next command. A release needs the lines for tasks.py and invoke.yaml, and works without the others."""
    if to_add.get("tasks.py"):
        return "add those lines, then inv mlops.release"
    return "add those lines, then inv release" if to_add.get("invoke.yaml") else "inv release"


def _lines_to_add(folder: Path, name: str) -> list[str]:
    """The lines that the user's file lacks; none where only comments are missing."""
    theirs = _read(folder / name).decode("utf-8", "replace")
    if name == "README.md":
        return []
    if name == "tasks.py":
        return [] if "mlops_tasks" in theirs else BESIDE_OWN_TASKS.splitlines()
    ours = (TEMPLATE / name).read_text(encoding="utf-8").splitlines()
    missing = [line for line in ours if line not in theirs.splitlines()]
    return missing if any(not line.lstrip().startswith("#") for line in missing) else []

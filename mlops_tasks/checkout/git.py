"""What git says about the work tree around a folder: its top, branch, commit, changes and files."""

import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mlops_tasks import errors, processes

SHORT = 12
"""Characters of a commit that stand for a branch where there is none."""

STRAYS = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)
"""Variables that git sets for its hooks: they would lead to another repository than the folder's."""


_STATUS = ("status", "--untracked-files=normal", "--ignore-submodules=none", "-z")
"""Every change is asked for, whatever the user's settings leave out to be quick."""
OWN = ".mlops"
"""Our folder ignores itself, which a link to another disk cannot."""
DEFAULTS = ("main", "master")
"""The names that a default branch usually has."""
SUBMODULE, _LINK = "160000", "120000"


class Entry(NamedTuple):
    """A file that git tracks or would track; one that it does not track yet has neither mode nor blob."""

    flag: str
    mode: str
    blob: str
    name: str

    @property
    def is_skipped(self) -> bool:
        """Whether the index was told that the file is not in the work tree: it may have been left out."""
        return self.flag in {"S", "s"}

    @property
    def is_program(self) -> bool:
        """Whether the commit has the file as one that can be executed."""
        return self.mode == "100755"

    @property
    def is_hidden(self) -> bool:
        """Whether the index was told not to look at the file, so that `git status` is silent about its changes."""
        return self.mode != SUBMODULE and (self.is_skipped or self.flag.islower())


class WorkTree(NamedTuple):
    """`branch` is None on a detached HEAD; `commit` is None before the first one. Untracked files count as dirty.

    `entries` are the files that git tracks or would track, `submodules` those that are not checked out, `left_out` the
    files that a sparse checkout leaves out, all relative to `top`. That one goes by folders where it `has_cones`, else
    by patterns. `remotes` has the URL of each remote, by its name.
    """

    top: Path
    branch: str | None
    commit: str | None
    dirty: bool
    submodules: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    has_cones: bool = True
    entries: tuple[Entry, ...] = ()
    remotes: Mapping[str, str] = MappingProxyType({})


def call(
    *arguments: str, run: processes.Runner, cwd: Path | None = None, variables: Mapping[str, str] | None = None
) -> processes.Completed:
    """One git command on the repository around `cwd`, with `variables` added to its environment.

    Without optional locks: they would collide with the user's own commands.
    """
    kept = {name: value for name, value in os.environ.items() if name not in STRAYS}
    return run(["git", "--no-optional-locks", *arguments], cwd=cwd, env={**kept, **(variables or {})})


def typed(top: Path, *words: object) -> str:
    """A git command for a message, which names its paths from `top` and works from where `inv` was called."""
    is_here = Path.cwd().resolve() == top.resolve()
    return errors.typed("git", *(() if is_here else ("-C", top)), *words)


def read(folder: Path, *, runner: processes.Runner) -> WorkTree | None:
    """The work tree that `folder` is in, by three git processes at once; None where there is none, or no git program.

    Raises StepFailed where git refuses to read a work tree that is there. Who needs only its top asks `top`.
    """
    around = top(folder)
    if around is None:
        return None
    listing = processes.begin(lambda: _entries(around, "--cached", "--others", "--exclude-standard", run=runner))
    remotes = processes.begin(lambda: _remotes(around, runner))
    found = _list(around, *_STATUS, "--porcelain=v2", "--branch", run=runner)
    entries = listing() or []
    if found is None:
        return None
    _, lines = found
    headers = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# branch."))
    commit, branch = headers.get("branch.oid", "(initial)"), headers.get("branch.head", "(detached)")
    changed = any(not line.startswith("# branch.") and line != f"? {OWN}" for line in lines)
    left_out = tuple(_left_out(around, entries))
    return WorkTree(
        top=around,
        branch=None if branch == "(detached)" else branch,
        commit=None if commit == "(initial)" else commit,
        dirty=changed or bool(_changed_unseen(around, entries, runner)),
        submodules=tuple(each.name for each in entries if each.mode == SUBMODULE and is_empty(around / each.name)),
        left_out=left_out,
        has_cones=not left_out or _has_cones(around, runner),
        entries=tuple(entries),
        remotes=remotes(),
    )


def list_changes(folder: Path, *paths: str, runner: processes.Runner, exactly: bool = False) -> list[str] | None:
    """What differs from the commit at `paths` (relative to `folder`), and what a sparse checkout leaves out of them.

    None where git cannot say: without git, outside of a work tree, for a path outside of it. With `exactly` a file
    differs too that has other bytes or another mode than its commit's, which a filter, `core.fileMode` or
    `core.autocrlf` lets git pass for unchanged.
    """
    status = call(*_STATUS, "--porcelain", "--", *paths, run=runner, cwd=folder)
    entries = _entries(folder, "--cached", "--", *paths, run=runner) if status.returncode == 0 else None
    if entries is None:
        return None
    unseen = _changed_unseen(folder, entries, runner, exactly=exactly)
    changed = [*filter(None, status.stdout.split("\0")), *unseen]
    return [*changed, *_left_out(folder, entries)]


def _left_out(folder: Path, entries: list[Entry]) -> list[str]:
    return [each.name for each in entries if each.is_skipped and not os.path.lexists(folder / each.name)]


def _has_cones(folder: Path, runner: processes.Runner) -> bool:
    return call("config", "--type=bool", "core.sparseCheckoutCone", run=runner, cwd=folder).stdout.strip() == "true"


def cut_at(folder: Path, *, runner: processes.Runner) -> list[str]:
    """The commits at which the history of a shallow clone ends; none of a whole one."""
    done = call("rev-parse", "--git-path", "shallow", run=runner, cwd=folder)
    path = folder / done.stdout.strip()
    return path.read_text(encoding="ascii").split() if done.returncode == 0 and path.is_file() else []


def is_empty(folder: Path) -> bool:
    """Whether there is no such folder, or nothing in it, as where a submodule is not checked out."""
    return not folder.is_dir() or next(folder.iterdir(), None) is None


def _changed_unseen(folder: Path, entries: list[Entry], run: processes.Runner, *, exactly: bool = False) -> list[str]:
    """What differs where the index was told not to look (`--assume-unchanged`, `--skip-worktree`), or anywhere.

    A submodule's own settings and index may hide its changes from the repository around it, too.
    """
    inside = [each.name for each in entries if each.mode == SUBMODULE and (folder / each.name / ".git").exists()]
    changed = [name for name in inside if list_changes(folder / name, ".", runner=run, exactly=exactly)]
    hidden = [each for each in entries if each.is_hidden or (exactly and each.mode != SUBMODULE)]
    gone = [each for each in hidden if not os.path.lexists(folder / each.name)]
    there = [each for each in hidden if each not in gone]
    links = [each for each in there if (folder / each.name).is_symlink()]
    plain = [each for each in there if each not in links and (folder / each.name).is_file()]
    now: dict[str, str] = {}
    ask = ("hash-object", *(["--no-filters"] if exactly else []), "--")
    for start in range(0, len(plain), 500):  # a command line has its limits
        names = [each.name for each in plain[start : start + 500]]
        now.update(zip(names, call(*ask, *names, run=run, cwd=folder).stdout.split(), strict=False))
    for each in links:
        kept = call("cat-file", "blob", each.blob, run=run, cwd=folder).stdout
        now[each.name] = each.blob if each.mode == _LINK and kept == str((folder / each.name).readlink()) else ""
    changed += [each.name for each in there if now.get(each.name) != each.blob]
    changed += [each.name for each in plain if exactly and each.is_program != os.access(folder / each.name, os.X_OK)]
    return changed + [each.name for each in gone if not each.is_skipped]


def top(folder: Path) -> Path | None:
    """The top folder of the work tree around `folder`, found without a git process; None without git or a work tree."""
    whole = folder.resolve()
    if ".git" in whole.parts or shutil.which("git") is None:
        return None
    return next((parent for parent in (whole, *whole.parents) if (parent / ".git").exists()), None)


def branches_at(folder: Path, commit: str, *, runner: processes.Runner) -> tuple[str, ...]:
    """The local branches that point at `commit`; where there are none the remote ones, without the remote's name."""
    for namespace, parts in (("refs/heads", 2), ("refs/remotes", 3)):
        command = ("for-each-ref", f"--points-at={commit}", "--format=%(refname)", namespace)
        names = call(*command, run=runner, cwd=folder).stdout.splitlines()
        found = {name.split("/", parts)[-1] for name in names if not name.endswith("/HEAD")}
        if found:
            return tuple(sorted(found))
    return ()


def parents(folder: Path, commit: str, *, runner: processes.Runner) -> tuple[str, ...]:
    """The commits that `commit` follows: two or more for a merge, none where they were not fetched."""
    return tuple(call("rev-parse", f"{commit}^@", run=runner, cwd=folder).stdout.split())


def default_branch(tree: WorkTree | None, *, runner: processes.Runner) -> str:
    """The branch that a remote's HEAD names, `origin` first; else main or master, whichever is there; else main."""
    if tree is None or (not tree.remotes and tree.branch == DEFAULTS[0]):
        return DEFAULTS[0]
    names = [f"{where}/{name}" for where in ("refs/heads", "refs/remotes/*") for name in DEFAULTS]
    asked = ("for-each-ref", "--format=%(refname) %(symref)", "refs/remotes/*/HEAD", *names)
    refs = dict(line.partition(" ")[::2] for line in call(*asked, run=runner, cwd=tree.top).stdout.splitlines())
    leading = sorted((ref for ref in refs if refs[ref]), key=lambda ref: (ref != "refs/remotes/origin/HEAD", ref))
    if leading:
        return refs[leading[0]].split("/", 3)[-1]
    there = {tree.branch, *(ref.rpartition("/")[2] for ref in refs)}  # it may have no commit yet
    return next((name for name in DEFAULTS if name in there), DEFAULTS[0])


def _remotes(folder: Path, run: processes.Runner) -> dict[str, str]:
    asked = ("config", "--local", "--includes", "--null", "--get-regexp", r"^remote\..*\.url$")
    try:
        lines = call(*asked, run=run, cwd=folder).stdout.split("\0")
    except FileNotFoundError:
        return {}
    pairs = (line.split("\n", 1) for line in reversed(lines) if "\n" in line)  # of several URLs the first counts
    return {key.removeprefix("remote.").removesuffix(".url"): url for key, url in pairs}


def find_named(tree: WorkTree, name: str, *, runner: processes.Runner) -> list[str]:
    """The files of the work tree that are called `name`, in any letter case; in submodules those that are tracked."""
    found = {each.name for each in tree.entries if each.name.rpartition("/")[2].lower() == name}
    if (tree.top / ".gitmodules").is_file():
        wanted = ("--cached", "--recurse-submodules", "-z", "--", f":(icase,glob)**/{name}")
        inner = _list(tree.top, "ls-files", *wanted, run=runner)
        found.update(inner[1] if inner else ())
    return sorted(each for each in found if os.path.lexists(tree.top / each))


def list_files(folder: Path, *, runner: processes.Runner, tree: WorkTree | None = None) -> list[str] | None:
    """The files below `folder` that git tracks or would track, as sorted relative paths; None where git knows none.

    A file that was just deleted is not among them; the files of a submodule are. None stands for a folder outside of
    a work tree and for a machine without git. Of the `tree` that has just been read, git is not asked again.
    """
    if tree is not None and top(folder) == tree.top:
        around = "" if folder.resolve() == tree.top else f"{folder.resolve().relative_to(tree.top).as_posix()}/"
        inside = [each._replace(name=each.name[len(around) :]) for each in tree.entries if each.name.startswith(around)]
        if inside:  # else the folder may be spelt otherwise than in git, where the disk ignores case
            return _listing(folder, inside, runner).files
    listed = list_all(folder, runner=runner)
    return None if listed is None else listed.files


class Listing(NamedTuple):
    """Sorted relative paths: of files, and of submodules that are not checked out."""

    files: list[str]
    submodules: list[str]


def list_all(folder: Path, *, runner: processes.Runner) -> Listing | None:
    """What `list_files` lists, and where submodules are missing."""
    listed = _entries(folder, "--cached", "--others", "--exclude-standard", run=runner)
    return None if listed is None else _listing(folder, listed, runner)


def _listing(folder: Path, listed: Iterable[Entry], runner: processes.Runner) -> Listing:
    found: set[str] = set()
    missing: set[str] = set()
    for each in listed:
        if each.mode == SUBMODULE and is_empty(folder / each.name):
            missing.add(each.name)
        elif each.name != OWN:
            found.update(_files_at(folder, each.name, runner))
    return Listing(sorted(found), sorted(missing))


def _files_at(folder: Path, name: str, run: processes.Runner) -> Iterable[str]:
    """The file itself; of a folder, as a submodule and a repository in this one are, the files that its git knows."""
    try:
        mode = os.lstat(f"{folder}/{name}").st_mode  # there may be tens of thousands
    except OSError:  # it was just deleted
        return ()
    if not stat.S_ISDIR(mode):
        return (name,)
    path = folder / name
    inner = (list_files(path, runner=run) if (path / ".git").exists() else None) or []
    return [f"{name.rstrip('/')}/{each}" for each in inner]


def refused(what: str, done: processes.Completed, *, where: Path) -> errors.StepFailed:
    """The error for a git command that failed, with git's own words."""
    cure = "make room, then repeat" if processes.ran_full(done) else "do what git says"
    return errors.StepFailed(f"{what}: {processes.describe_failure(done)}", where=where, cure=cure)


def _entries(folder: Path, *arguments: str, run: processes.Runner) -> list[Entry] | None:
    """What `git ls-files` lists below `folder`, with the mode, the blob and the flag in the index."""
    listed = _list(folder, "ls-files", "-z", "-v", "--stage", *arguments, run=run)
    return None if listed is None else [_entry(line) for line in listed[1]]


def _entry(line: str) -> Entry:
    """`H 100644 <blob> 0<tab>name` of a tracked file, `? name` of another."""
    flag, _, rest = line.partition(" ")
    if flag == "?":
        return Entry(flag, "", "", rest)
    about, _, name = rest.partition("\t")
    mode, blob, _ = about.split(" ")
    return Entry(flag, mode, blob, name)


def _list(folder: Path, *arguments: str, run: processes.Runner) -> tuple[Path, list[str]] | None:
    """The top of the work tree around `folder`, and what a git command lists; None without one, and without git."""
    around = top(folder)
    if around is None:
        return None
    try:
        done = call(*arguments, run=run, cwd=folder)
    except FileNotFoundError:
        return None
    if done.returncode:
        raise _unreadable(around, processes.describe_failure(done))
    return around, [line for line in done.stdout.split("\0") if line]


def _unreadable(around: Path, said: str) -> errors.StepFailed:
    """The error for a work tree that git does not read, with the way out that git's own words may not tell."""
    lines = [line.strip() for line in said.splitlines()]
    begin = next((number for number, line in enumerate(lines) if line.startswith("fatal:")), 0)
    reason = " ".join(lines[begin : begin + 2] if lines[begin].endswith(":") else lines[begin : begin + 1])
    link = around / ".git"
    asked = errors.typed("git", "-C", around, "status")
    cure = f"mend what `{asked}` says, or check the repository out anew"
    remove = f"{errors.typed('rm', '-r', link)} and give `--branch NAME`"
    if "safe.directory" in said:
        safe = errors.typed("git", "config", "--global", "--add", "safe.directory", around)
        cure = f"{safe} (or give its files to yourself)"
    elif link.is_file() and not (lead := around / _led_to(link)).exists():
        reason = f"its .git leads to {lead}, which is not there"
        cure = f"mount the repository that it belongs to at that path; or {remove}"
    elif link.is_dir() and not (link / "HEAD").exists():
        reason = "its .git is a folder without a repository in it"
        cure = f"check it out anew; or {remove}"
    return errors.StepFailed(f"git refuses to read this work tree: {reason}", where=around, cure=cure)


def _led_to(link: Path) -> str:
    """The folder that the `.git` file of a linked work tree or a submodule names."""
    return link.read_text(encoding="utf-8", errors="surrogateescape").removeprefix("gitdir:").strip()

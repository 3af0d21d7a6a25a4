"""The libraries of a repository: their folders, the files of each, and a digest that moves with them."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import NamedTuple

from mlops_tasks import errors, files, processes
from mlops_tasks.checkout import git, missing
from mlops_tasks.report import Report
from mlops_tasks.wheels import ignored, surroundings

MARKS = ("pyproject.toml", "setup.py")
_JUNK = {"__pycache__", ".git", ".hg", ".mlops", ".tox", ".nox", ".venv", ".mypy_cache", ".pytest_cache"}
_BUILT = {"build", "dist"}
"""Junk only beside a pyproject.toml or setup.py: deeper down these are packages of that name."""
_ABOUT = re.compile(r"^\s*(?:\[\s*)?(?:project|build-system|tool\s*\.\s*poetry)\b", re.MULTILINE)
_SECTIONS = re.compile(r"^\[(?:project|tool\.poetry)\][^\n]*\n(.*?)(?=^\[|\Z)", re.MULTILINE | re.DOTALL)
_NO_PACKAGE = re.compile(r"^\[tool\.(?:uv|poetry)\]\s(?:[^\[]*\n)?\s*package(?:-mode)?\s*=\s*false\b", re.MULTILINE)
"""A project that calls itself none to be installed."""
_SETUP = re.compile(r"^\[(?:metadata|options)\b", re.MULTILINE)
_WHOLE = r"(?=[ \t]*(?:[,)#;}]|$))(?!\s*[+%.])"
"""After a text in a program that is all of a value, and no part of an expression."""
_FILE = re.compile(r"""["']([\w.-]+(?:/[\w.-]+)*)["']""")
_IMPORTED = re.compile(r"^\s*(?:from|import)\s+(\w[\w.]*)", re.MULTILINE)
_OUTSIDE = re.compile(r"""\.\./[^"'\0\n,;\]}]+""")
_PROGRAM = re.compile(r"""["'\s=]((?:[\w.-]+/)*[\w.-]+\.py)\b""")
_OTHERS = {"tasks.py", "noxfile.py", "conftest.py", "fabfile.py", "dodo.py", "manage.py"}
"""Programs that stand beside a pyproject.toml and that no build executes."""
_BACKEND_PATH = re.compile(r"backend-path\s*=\s*\[([^\]]*)\]")
_EXECUTED = re.compile(r"""(?:\b(?:attr|getter)\s*[=:]\s*["']?|^\s*(?:from|import)\s+)([\w.]+)""", re.MULTILINE)
"""A module that a version is read from (`attr = "mylib.version.VERSION"`), or that setup.py imports."""


def find_libraries(
    patterns: Sequence[str], *, base: Path, tree: git.WorkTree | None, report: Report
) -> tuple[Path, ...]:
    """The library folders that `patterns` (folders and globs, relative to `base`) name, each once.

    Other matches of a glob are passed over. Raises BadInput for a named folder that is no library, for a library that
    is not checked out, and where no library is found.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        is_glob = glob.has_magic(pattern)
        _refuse_missing(Path(os.path.realpath(base)) / pattern, tree, report, is_glob=is_glob)
        # pathlib's own globs take no absolute patterns; a sign of `base` itself is no pattern
        whole = str(Path(glob.escape(str(base)), pattern))
        names = sorted(glob.glob(whole, recursive=True)) if is_glob else [base / pattern]  # noqa: PTH207
        for path in map(Path, names):
            if _is_library(path):
                found[path.resolve()] = None
            elif not is_glob:
                raise errors.BadInput(
                    f"no library found: {pattern} {_why_none(path)}",
                    where=path,
                    cure=f"correct the setting `libraries` ({pattern}/* means the folders in it)",
                )
            elif (path / MARKS[0]).is_file() or _has_package(path / "setup.cfg"):
                report.detail(f"{files.relative(path, base)} is passed over: it {_why_none(path)}")
    if not found:
        said = f"nothing with a pyproject.toml matches {', '.join(patterns)}" if patterns else "`libraries` is empty"
        raise errors.BadInput(
            f"no library found: {said}", where=base, cure="set `libraries` to the folders to build wheels from"
        )
    return tuple(found)


def _why_none(path: Path) -> str:
    """Why no wheel is built of the folder, in words; BadInput where its pyproject.toml cannot be read."""
    about = path / MARKS[0]
    if about.is_file():
        if not _read_toml(about):
            return "has nothing in its pyproject.toml"
        if _NO_PACKAGE.search(_text(about)):
            return "says in its pyproject.toml that it is no package"
        return "has a pyproject.toml for tools alone, without [project] or [build-system]"
    return "has neither pyproject.toml nor setup.py"


def _read_toml(path: Path) -> dict[str, object]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as fault:
        raise errors.BadInput("this file is no UTF-8 text", where=path, cure="save it as UTF-8") from fault
    except tomllib.TOMLDecodeError as fault:
        found = re.search(r"^(?P<said>.*) \(at line (?P<line>\d+), column (?P<column>\d+)\)", str(fault))
        where = f"{path}:{found['line']}:{found['column']}" if found else str(path)
        said = found["said"] if found else str(fault)
        raise errors.BadInput(f"this file is no TOML: {said}", where=where, cure="correct it there") from fault


def _refuse_missing(pattern: Path, tree: git.WorkTree | None, report: Report, *, is_glob: bool) -> None:
    """Refuse the submodules that `pattern` names and that are not checked out, and tell of what is left out."""
    for name in tree.submodules if tree is not None else ():
        if tree is not None and _names(pattern, tree.top / name):
            found = missing.not_checked_out(name, tree)
            raise errors.BadInput(found.what, where=tree.top / name, cure=found.cure)
    for name in tree.left_out if tree is not None else ():
        folder = PurePath(name).parent
        if tree is None or PurePath(name).name not in MARKS or not _names(pattern, tree.top / folder, exactly=True):
            continue
        said = f"a sparse checkout leaves out the library {folder}"
        cure = git.typed(tree.top, "sparse-checkout", "add", folder)
        if not is_glob:
            raise errors.BadInput(said, where=tree.top / folder, cure=f"`{cure}`")
        report.warning(f"{said}, and no wheel of it is built: `{cure}`")


def _names(pattern: Path, place: Path, *, exactly: bool = False) -> bool:
    """Whether a pattern names `place`, or something in it."""
    for wanted, part in zip(pattern.parts, place.parts, strict=False):
        if wanted == "**" or not fnmatch.fnmatchcase(part, wanted):
            return False
    wants, has = len(pattern.parts), len(place.parts)
    return wants == has if exactly else wants >= has


class Sources(NamedTuple):
    """What a library's wheel is made of: the digest of all that decides it, and where it comes from.

    `names` are the files that come along, and `outside` the files and folders beyond the library's own that do, all
    relative to it; of those that git ignores `ignored` tells. It `varies` where variables or ignored
    files decide the wheel too, which no commit has, and `lacks_tags` where the version counts from a tag and the
    clone has none behind its commit. Of the folders `unreadable` nothing comes along.
    """

    digest: str
    names: tuple[str, ...]
    outside: tuple[str, ...]
    ignored: ignored.Ignored
    asks_git: bool
    lacks_tags: bool
    varies: bool
    unreadable: tuple[str, ...] = ()
    files: Mapping[str, object] = MappingProxyType({})
    told: Mapping[str, object] = MappingProxyType({})
    """All that the digest is over, by name: files relative to the library, and what git and variables told."""


def look_at(
    library: Path,
    *,
    environ: Mapping[str, str],
    run: processes.Runner,
    include: Sequence[str] = (),
    tree: git.WorkTree | None = None,
) -> Sources:
    """The sources of a wheel of `library`: contents, paths and executable bits decide it, never times.

    Files outside the folder that its settings name or its links lead to count too, the variables that its build
    reads, and git where the build asks it. `include` are globs of files that count although git ignores them. `tree`
    is the work tree around it, if that has just been read. Raises StepFailed for a file that cannot be read.
    """
    try:
        known, texts = list_files(library, run=run, tree=tree), _texts(library)
        unreadable: list[OSError] = []
        folders = ignored.Folders(library, known)
        everything = files.walk(
            library,
            skip=lambda entry: is_junk(entry) or (files.is_folder(entry) and folders.is_beside(Path(entry.path))),
            onerror=unreadable.append,
        )
        shipping = {**texts, **_texts(library, "MANIFEST.in")}
        left = ignored.sort(library, names=known, everything=everything, texts=shipping, include=include)
        names, settings = sorted({*known, *left.brought}), "".join(texts.values())
        programs, named = _follow(library, _programs(library, names, settings))
        outside = _outside(library, names, "\n".join((settings, *programs)), named)
        asks_git, asks_tags = surroundings.asks_git(settings, programs), surroundings.asks_tags(settings, programs)
        inside = _hash_all(library, names)
        beyond = {name: _hash_outside(library, name, run) for name in outside}
        told_by_git = surroundings.describe_git(library, run=run) if asks_git else []
        variables = surroundings.read_variables(settings, programs, environ)
    except OSError as fault:
        raise errors.StepFailed(
            f"a file of the library cannot be read: {fault.strerror}",
            where=fault.filename or library,
            cure="make it readable, or have git ignore it",
        ) from fault
    closed = tuple(str(each.filename) for each in unreadable)
    digest = files.digest({"files": inside, "outside": beyond, "git": told_by_git, "variables": variables})
    told = {"git": told_by_git, **{f"the variable {name}": value for name, value in variables.items()}}
    return Sources(
        digest=digest,
        names=tuple(names),
        outside=_beyond(library, outside),
        ignored=left,
        asks_git=asks_git,
        lacks_tags=asks_tags and told_by_git[-1:] == [""],
        varies=bool(variables or left.brought),
        unreadable=closed,
        files={**inside, **beyond},
        told=told,
    )


def _beyond(library: Path, outside: Iterable[str]) -> tuple[str, ...]:
    paths = [Path(os.path.realpath(library / name)) for name in outside]
    return tuple(
        os.path.relpath(each, library.resolve()) for each in paths if each.exists() and not _holds(each, library)
    )


def list_files(library: Path, *, run: processes.Runner, tree: git.WorkTree | None = None) -> list[str]:
    """The library's files, sorted: those that git tracks or would track, without git all but what tools make."""
    names = git.list_files(library, runner=run, tree=tree) or []
    return names if any(name in MARKS for name in names) else walk(library)


def walk(folder: Path) -> list[str]:
    """The files and links below `folder`, sorted, but for what tools make. Links to folders are not entered.

    Raises OSError for a folder that cannot be read.
    """

    def refuse(fault: OSError) -> None:
        raise fault

    return files.walk(folder, skip=is_junk, onerror=refuse)


def read_name(library: Path) -> str:
    """The distribution's name, where the library's settings say it plainly; else its folder's, mostly the same."""
    return _read(library, "name", r"[\w.-]+") or library.name


def read_version(library: Path) -> str | None:
    """The version, in whatever form, where the library's settings say it plainly; else None."""
    return _read(library, "version", r"[^\s\"'():]+", in_toml=r"[^\"'\n]*")


def _read(library: Path, key: str, form: str, *, in_toml: str = "") -> str | None:
    texts = _texts(library)
    about = "".join(_SECTIONS.findall(texts.get("pyproject.toml", "")))
    places = (
        (rf"""^[ \t]*{key}[ \t]*=[ \t]*["']({in_toml or form})["']""", about),
        (rf"^{key}\s*=\s*({form})\s*$", texts.get("setup.cfg", "")),
        (rf"""(?:^|[(,\s]){key}\s*=\s*["']({form})["']{_WHOLE}""", texts.get("setup.py", "")),
    )
    found = (match for pattern, text in places if (match := re.search(pattern, text, re.MULTILINE)))
    return next((match[1] for match in found), None)


def find_need(library: Path, name: str) -> str:
    """`file:line` of the first line in the library's settings that has `name` with a path."""
    return _find_line(library, rf"\b{'[-_.]+'.join(map(re.escape, name.split('-')))}\b.*(?:/|path)")


def find_version(library: Path, version: str) -> str:
    """`file:line` of the first line in the library's settings that has the text `version`, or the empty version."""
    return _find_line(library, re.escape(version) or r"""^\s*version\s*=\s*["']{2}""")


def find_variable(library: Path, name: str) -> str:
    """`file:line` of the first line of the programs in the library's folder that names the variable."""
    programs = sorted(path.name for path in library.glob("*.py"))
    return _find_line(library, rf"""["']{name}["']""", *programs, *MARKS)


def _find_line(library: Path, pattern: str, *named: str) -> str:
    """The place of the first line that matches in the files of settings or those `named`, else the last of them."""
    place = str(library)
    for file, text in _texts(library, *named).items():
        place = str(library / file)
        for number, line in enumerate(text.splitlines(), start=1):
            if re.search(pattern, line, re.IGNORECASE):
                return f"{place}:{number}"
    return place


def _texts(library: Path, *named: str) -> dict[str, str]:
    """The texts of the library's files of settings, or of those `named`, by their names, each with a line end."""
    paths = [library / name for name in named or (*MARKS, "setup.cfg")]
    return {path.name: f"{_text(path)}\n" for path in paths if path.is_file()}


def _programs(library: Path, names: Iterable[str], settings: str) -> list[str]:
    """What a build may execute: the Python files beside pyproject.toml, and those that the settings name."""
    folders = [folder.strip("\"' ./") for each in _BACKEND_PATH.findall(settings) for folder in each.split(",")]
    executed = _EXECUTED.findall(settings)

    def is_program(name: str) -> bool:
        module = name.removesuffix(".py").removesuffix("/__init__").removeprefix("src/").replace("/", ".")
        from_backend = any(folder and name.startswith(f"{folder}/") for folder in folders)
        is_beside = "/" not in name and name not in _OTHERS and not name.startswith("test_")
        return is_beside or from_backend or any(f"{each}.".startswith(f"{module}.") for each in executed)

    own = {name for name in names if name.endswith(".py") and is_program(name)}
    named = {name for name in _PROGRAM.findall(settings) if (library / name).is_file()}
    return sorted(own | named)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _follow(library: Path, programs: Iterable[str]) -> tuple[list[str], set[Path]]:
    """The texts of the programs, and of those that they call or import; and the files around the library they name."""
    texts: dict[Path, str] = {}
    named: set[Path] = set()
    todo = [library / name for name in programs]
    while todo:
        path = todo.pop()
        if path not in texts:
            texts[path] = _text(path)
            found = _named(library, texts[path])
            named.update(each for each in found if not each.is_relative_to(library))
            todo += filter(_is_program, found)
    return list(texts.values()), named


def _is_program(path: Path) -> bool:
    if path.suffix == ".py":
        return True
    with path.open("rb") as stream:  # it may be a large file of data
        return stream.read(2) == b"#!"


def _named(library: Path, program: str) -> set[Path]:
    """The files that a program names, in the library or else around it.

    It may put a path together: a file counts in each of these folders, and in those that the program names there.
    """
    around = git.top(library) or library
    above = [each for each in library.parents if each.is_relative_to(around)]
    modules = {module.replace(".", "/") for module in _IMPORTED.findall(program)}
    called = {*_FILE.findall(program), *(f"{module}{end}" for module in modules for end in (".py", "/__init__.py"))}
    inside = {library / name for name in called if (library / name).exists()}
    beyond = [name for name in called if library / name not in inside]
    folders = [*above, *(path for folder in above for name in beyond if (path := folder / name).is_dir())]
    found = {*inside, *(folder / name for folder in folders for name in beyond)}
    return {path for path in found if path.is_file()}


def _outside(library: Path, names: Iterable[str], texts: str, named: Iterable[Path]) -> list[str]:
    """The links among the library's files, and what its settings and programs name outside the folder, sorted."""
    links = [name for name in names if (library / name).is_symlink()]
    beyond = [os.path.relpath(path, library) for path in named]
    return sorted({*links, *beyond, *(name.strip() for name in _OUTSIDE.findall(texts))})


def _is_library(path: Path) -> bool:
    """Whether a wheel can be built of the folder: many have a pyproject.toml for the settings of tools alone."""
    about = path / MARKS[0]
    if (path / MARKS[1]).is_file() or not about.is_file():
        return (path / MARKS[1]).is_file()
    text = _text(about)
    return _has_package(path / "setup.cfg") or (_ABOUT.search(text) is not None and _NO_PACKAGE.search(text) is None)


def _has_package(setup: Path) -> bool:
    """Whether there is a setup.cfg that describes a package, not only settings of tools."""
    return setup.is_file() and _SETUP.search(_text(setup)) is not None


def is_junk(entry: os.DirEntry[str]) -> bool:
    """Whether tools have made it, or it is neither a file nor a folder."""
    if not files.is_folder(entry):
        # pipes and sockets: reading one waits for ever
        return entry.name.endswith(".pyc") or not (entry.is_symlink() or entry.is_file())
    if entry.name in _BUILT:
        return _is_library(Path(entry.path).parent)
    return entry.name in _JUNK or entry.name.endswith(".egg-info") or files.is_environment(entry.path)


def _hash_all(folder: Path, names: Iterable[str]) -> dict[str, tuple[str, str]]:
    return {name: files.fingerprint(folder / name) for name in names}


def _hash_outside(library: Path, name: str, run: processes.Runner) -> object:
    """The fingerprint of the file, or of all files of the folder, at `name`; none of a folder around the library."""
    path = Path(os.path.realpath(library / name))
    try:
        mode = path.stat().st_mode
    except OSError:  # a sentence in the settings can look like a path
        return None
    if stat.S_ISREG(mode):
        return files.fingerprint(path)
    if not stat.S_ISDIR(mode) or _holds(path, library):
        return None
    return _hash_all(path, git.list_files(path, runner=run) or walk(path))


def _holds(path: Path, library: Path) -> bool:
    """Whether `path` is around the library, as git's root is."""
    return library.resolve().is_relative_to(path)

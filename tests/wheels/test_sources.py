from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import errors, files, processes
from mlops_tasks.checkout import git as ours
from mlops_tasks.report import Report
from mlops_tasks.wheels import copying, sources
from tests.support.repositories import commit, git, make_library, write


def digest(library: Path) -> str:
    return sources.look_at(library, environ={}, run=processes.run_command).digest


def find(
    base: Path, *patterns: str, tree: ours.WorkTree | None = None, report: Report | None = None
) -> tuple[Path, ...]:
    return sources.find_libraries(patterns, base=base, tree=tree, report=report or Report())


def copy(library: Path, *, top: Path, into: Path) -> Path:
    return copying.copy_library(library, into, top=top, run=processes.run_command)


def say_version(folder: Path) -> tuple[str, str, str]:
    """What the plugins that take a version from git ask it; no answer counts as one."""
    questions = (
        ["describe", "--tags", "--long", "--always", "--dirty"],
        ["status", "--porcelain", "--untracked-files=no"],
        ["rev-parse", "--abbrev-ref", "HEAD"],
    )
    one, other, third = (
        subprocess.run(["git", *question], cwd=folder, capture_output=True, text=True, check=False).stdout
        for question in questions
    )
    return one, other, third


def test_libraries_are_found_by_folder_and_glob_each_once(tmp_path: Path) -> None:
    one, other = make_library(tmp_path, "one"), make_library(tmp_path, "other")
    write(tmp_path, {"libs/notes/readme.txt": "no library"})

    assert find(tmp_path, "libs/*", "libs/one") == (one, other)


@pytest.mark.parametrize("patterns", [[], ["nothing/*"], ["libs"]], ids=["none set", "no match", "no library"])
def test_where_there_is_no_library_it_says_so(tmp_path: Path, patterns: list[str]) -> None:
    make_library(tmp_path)

    with pytest.raises(errors.BadInput, match="no library found") as caught:
        find(tmp_path, *patterns)

    assert "`libraries`" in caught.value.cure


class Heard(Report):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def detail(self, text: str) -> None:
        self.lines.append(text)

    def warning(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize(
    ("files", "is_library"),
    [
        pytest.param({"pyproject.toml": "[project]\n"}, True, id="project"),
        pytest.param({"pyproject.toml": "[ build-system ]\n"}, True, id="build-system"),
        pytest.param({"pyproject.toml": 'project.name = "x"\n'}, True, id="dotted"),
        pytest.param({"pyproject.toml": "[tool.poetry]\n"}, True, id="poetry"),
        pytest.param({"pyproject.toml": "[tool.ruff]\n", "setup.py": ""}, True, id="setup.py"),
        pytest.param({"pyproject.toml": "[tool.ruff]\n", "setup.cfg": "[metadata]\n"}, True, id="setup.cfg"),
        pytest.param({"pyproject.toml": "[tool.ruff]\n", "setup.cfg": "[flake8]\n"}, False, id="a tool's setup.cfg"),
        pytest.param({"pyproject.toml": "[tool.uv.workspace]\n"}, False, id="a workspace"),
        pytest.param({"pyproject.toml": "[tool.ruff]\n# [project]\n"}, False, id="tools alone"),
        pytest.param({"pyproject.toml": ""}, False, id="empty"),
        pytest.param({"pyproject.toml": "[project]\n[tool.uv]\npackage = false\n"}, False, id="none to uv"),
        pytest.param(
            {"pyproject.toml": "[tool.poetry]\nname = 'x'\npackage-mode = false\n"}, False, id="none to poetry"
        ),
        pytest.param({"pyproject.toml": "[tool.poetry]\n[tool.x]\npackage = false\n"}, True, id="another tool's word"),
    ],
)
def test_a_folder_with_settings_for_tools_alone_is_passed_over_and_told(
    tmp_path: Path, files: dict[str, str], is_library: bool
) -> None:
    one = make_library(tmp_path, "one")
    write(tmp_path / "libs" / "notebooks", files)
    heard = Heard()

    found = find(tmp_path, "libs/*", report=heard)

    assert found == ((tmp_path / "libs" / "notebooks", one) if is_library else (one,))
    assert [line.split(":")[0] for line in heard.lines] == ([] if is_library else ["libs/notebooks is passed over"])
    if not is_library:
        with pytest.raises(
            errors.BadInput, match=r"libs/notebooks (has (a|nothing in its)|says in its) pyproject\.toml"
        ):
            find(tmp_path, "libs/notebooks")


@pytest.mark.parametrize("pattern", ["libs/*", "libs/broken"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"syntax error(\n", r"no TOML: .*"),
        (b"\xff\xfe[\x00p\x00", "no UTF-8 text"),
        (b"[tool.x]\na=1\na=2\n", "no TOML"),
    ],
)
def test_a_damaged_pyproject_is_no_reason_to_go_on_without_the_library(
    tmp_path: Path, pattern: str, content: bytes, said: str
) -> None:
    make_library(tmp_path, "one")
    write(tmp_path / "libs" / "broken", {"pyproject.toml": ""})
    (tmp_path / "libs" / "broken" / "pyproject.toml").write_bytes(content)

    with pytest.raises(errors.BadInput, match=said) as caught:
        find(tmp_path, pattern)
    assert str(caught.value.where).startswith(f"{tmp_path}/libs/broken/pyproject.toml")


@pytest.mark.parametrize("pattern", ["libs/*", "libs/shared", "*/sh*", "libs/shared/python"])
def test_a_library_in_a_submodule_that_is_not_checked_out_is_refused(tmp_path: Path, pattern: str) -> None:
    make_library(tmp_path, "one")
    (tmp_path / "libs" / "shared").mkdir()
    tree = ours.WorkTree(tmp_path, "main", None, dirty=False, submodules=("libs/shared", "libs/one/vendor"))

    with pytest.raises(errors.BadInput, match="libs/shared is a submodule that is not checked out") as caught:
        find(tmp_path, pattern, tree=tree)

    assert caught.value.cure == f"`git -C {tmp_path} submodule update --init libs/shared`"
    assert find(tmp_path, "libs/one", "libs/o*", tree=tree) == (tmp_path / "libs" / "one",)


def test_a_library_that_a_sparse_checkout_leaves_out_is_told_and_refused_by_its_name(tmp_path: Path) -> None:
    one, heard = make_library(tmp_path, "one"), Heard()
    left_out = ("libs/other/pyproject.toml", "libs/other/a.py", "libs/one/tests/data/pyproject.toml")
    tree = ours.WorkTree(tmp_path, "main", None, dirty=False, left_out=left_out)

    assert find(tmp_path, "libs/*", tree=tree, report=heard) == (one,)

    cure = f"`git -C {tmp_path} sparse-checkout add libs/other`"
    assert heard.lines == [f"a sparse checkout leaves out the library libs/other, and no wheel of it is built: {cure}"]
    with pytest.raises(errors.BadInput, match="leaves out the library libs/other"):
        find(tmp_path, "libs/other", tree=tree)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda lib: (lib / "mylib" / "__init__.py").write_text("A = 2\n"), id="content"),
        pytest.param(lambda lib: (lib / "mylib" / "new.py").write_text(""), id="new file"),
        pytest.param(lambda lib: (lib / "mylib" / "__init__.py").rename(lib / "mylib" / "b.py"), id="name"),
        pytest.param(lambda lib: (lib / "mylib" / "__init__.py").chmod(0o755), id="executable"),
        pytest.param(lambda lib: (lib.parent / "READ ME.md").write_text("2"), id="readme outside"),
        pytest.param(lambda lib: (lib.parent / "shared" / "a.txt").write_text("2"), id="folder outside"),
        pytest.param(lambda lib: (lib.parent / "LICENSE").write_text("2"), id="end of a link"),
    ],
)
@pytest.mark.parametrize("with_git", [True, False], ids=["git", "no git"])
def test_the_digest_watches_all_that_a_wheel_is_made_of(
    tmp_path: Path, change: Callable[[Path], Any], with_git: bool
) -> None:
    tool = '[tool.hatch.build.targets.wheel.force-include]\n"../shared" = "mylib/shared"\n'
    library = make_library(tmp_path, project=f'readme = "../READ ME.md"\n{tool}')
    write(library.parent, {"READ ME.md": "1", "shared/a.txt": "1", "LICENSE": "1"})
    (library / "LICENSE").symlink_to("../LICENSE")
    if with_git:
        commit(tmp_path)
    before = digest(library)
    os.utime(library / "pyproject.toml", (1, 1))
    assert digest(library) == before

    change(library)

    assert digest(library) != before


def test_a_file_around_the_library_that_its_setup_py_puts_together_counts(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    setup = 'from pathlib import Path\nV = (Path(__file__).resolve().parents[2] / "VERSION.txt").read_text()\n'
    write(library, {"setup.py": setup})
    write(tmp_path, {"VERSION.txt": "1.0"})
    commit(tmp_path)
    before = digest(library)

    write(tmp_path, {"VERSION.txt": "1.1"})

    assert digest(library) != before


@pytest.mark.parametrize(
    "program",
    [
        pytest.param('sys.path.append(join(ROOT, "tools"))\nfrom version import V\n', id="imported"),
        pytest.param("sys.path.append(ROOT)\nimport tools.version\n", id="imported by its folder"),
        pytest.param('run(["python", join(ROOT, "tools", "version.py")])\n', id="called"),
        pytest.param('read("../../tools/version.py")\n', id="by a relative path"),
        pytest.param('call(["./make.sh"])\n', id="by a script"),
    ],
)
def test_a_program_around_the_library_counts_and_so_does_what_it_reads(tmp_path: Path, program: str) -> None:
    library = make_library(tmp_path)
    write(library, {"hatch_build.py": program, "make.sh": "#!/bin/sh\npython '../../tools/version.py'\n"})
    write(tmp_path, {"tools/version.py": 'import os\nV = os.environ["NUMBER"]\n'})
    commit(tmp_path)

    def look(number: str) -> str:
        return sources.look_at(library, environ={"NUMBER": number}, run=processes.run_command).digest

    before = look("1")
    assert look("2") != before
    write(tmp_path, {"tools/version.py": 'V = "1"\n'})
    assert look("1") != before


def test_the_digest_does_not_watch_the_rest_of_the_repository(tmp_path: Path) -> None:
    tool = '[tool.setuptools_scm]\nroot = "../.."\n'
    library = make_library(tmp_path, project=tool)
    (library / "around").symlink_to("..")
    before = digest(library)

    write(tmp_path, {"notes.txt": "1", "libs/notes.txt": "1"})

    assert digest(library) == before


def test_a_commit_counts_only_where_the_version_comes_from_git(tmp_path: Path) -> None:
    plain, versioned = make_library(tmp_path, "plain"), make_library(tmp_path, "versioned")
    write(versioned, {"setup.cfg": "[options]\nsetup_requires = setuptools_scm\n"})
    commit(tmp_path, "v1")
    before = digest(plain), digest(versioned)

    git("commit", "-q", "--allow-empty", "-m", "more", cwd=tmp_path)

    assert digest(plain) == before[0]
    assert digest(versioned) != before[1]


def test_without_git_the_leavings_of_tools_are_passed_over_but_no_package_of_their_name(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    leavings = [
        "build/lib/old.py",
        "dist/x.whl",
        "mylib/__pycache__/x.pyc",
        "env/pyvenv.cfg",
        "mylib.egg-info/PKG-INFO",
    ]
    write(library, dict.fromkeys((*leavings, "mylib/build/__init__.py", "mylib/dist/__init__.py"), ""))

    files = sources.list_files(library, run=processes.run_command)

    assert files == ["mylib/__init__.py", "mylib/build/__init__.py", "mylib/dist/__init__.py", "pyproject.toml"]


def test_a_pipe_is_passed_over(tmp_path: Path) -> None:
    library = make_library(tmp_path)
    before = digest(library)

    os.mkfifo(library / "mylib" / "pipe")

    assert digest(library) == before


def test_without_git_links_reach_what_they_point_at(tmp_path: Path) -> None:
    write(tmp_path, {"shared/a.txt": "1", "outside/b.txt": "2", "top/data/c.txt": "3"})
    library = make_library(tmp_path / "top")
    for name, end in (
        ("shared", "../../../../shared"),
        ("data", "../../../data"),
        ("b.txt", "../../../../outside/b.txt"),
    ):
        (library / "mylib" / name).symlink_to(end)

    place = copy(library, top=tmp_path / "top", into=tmp_path / "copy")

    reached = [(place / "mylib" / name).read_text() for name in ("shared/a.txt", "data/c.txt", "b.txt")]
    assert reached == ["1", "3", "2"]


@pytest.mark.parametrize("with_git", [True, False], ids=["git", "no git"])
def test_large_files_elsewhere_are_linked_and_the_librarys_own_copied(tmp_path: Path, with_git: bool) -> None:
    top = tmp_path / "top"
    library = make_library(top)
    for path in (library / "mylib" / "model.bin", top / "data.bin"):
        path.write_bytes(bytes(copying.LARGE + 1))
    if with_git:
        commit(top)

    place = copy(library, top=top, into=tmp_path / "copy")

    assert (tmp_path / "copy" / "data.bin").samefile(top / "data.bin")
    assert not (place / "mylib" / "model.bin").samefile(library / "mylib" / "model.bin")


def _plain(library: Path) -> Path:
    return library


def _detach(library: Path) -> Path:
    git("checkout", "-q", "--detach", cwd=library)
    return library


def _delete(library: Path) -> Path:
    (library / "mylib" / "__init__.py").unlink()
    return library


def _have_no_file_modes(library: Path) -> Path:
    """As on the file systems that WSL shares with Windows."""
    git("config", "core.fileMode", "false", cwd=library)
    (library / "mylib" / "__init__.py").chmod(0o777)
    return library


def _have_windows_line_ends(library: Path) -> Path:
    git("config", "core.autocrlf", "true", cwd=library)
    (library / "mylib" / "__init__.py").write_bytes(b"A = 1\r\n")
    git("add", ".", cwd=library)
    return library


def _filter(library: Path) -> Path:
    git("config", "filter.upper.clean", "tr a-z A-Z", cwd=library)
    attributes = library / git("rev-parse", "--git-path", "info/attributes", cwd=library)
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text("*.txt filter=upper\n")
    write(library, {"mylib/a.txt": "abc\n"})
    git("add", ".", cwd=library)
    git("commit", "-q", "-m", "filtered", cwd=library)
    return library


def _split_index(library: Path) -> Path:
    git("update-index", "--split-index", cwd=library)
    return library


def _link_work_tree(library: Path) -> Path:
    other = library.parents[2] / "linked"
    git("worktree", "add", "-q", "-b", "other", str(other), cwd=library)
    return other / "libs" / "mylib"


def _share_objects(library: Path) -> Path:
    one, other = (library.parents[2] / name for name in ("one", "other"))
    git("clone", "-q", "--shared", str(library.parents[1]), str(one), cwd=library)
    git("clone", "-q", "--shared", str(one), str(other), cwd=library)
    return other / "libs" / "mylib"


def _clone_shallow(library: Path) -> Path:
    clone = library.parents[2] / "clone"
    git("clone", "-q", "--depth", "1", f"file://{library.parents[1]}", str(clone), cwd=library)
    return clone / "libs" / "mylib"


def _make_submodule(library: Path) -> Path:
    outer = library.parents[2] / "outer"
    outer.mkdir()
    git("init", "-q", cwd=outer)
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.parents[1]), "inner", cwd=outer)
    return outer / "inner" / "libs" / "mylib"


def _leave_submodule_out(library: Path) -> Path:
    top, clone = library.parents[1], library.parents[2] / "without"
    git("clone", "-q", str(top), str(library.parents[2] / "sub"), cwd=library)
    allow = ("-c", "protocol.file.allow=always")
    git(*allow, "submodule", "--quiet", "add", str(library.parents[2] / "sub"), "libs/sub", cwd=top)
    git("commit", "-q", "-m", "sub", cwd=top)
    git("clone", "-q", str(top), str(clone), cwd=library)
    return clone / "libs" / "mylib"


SITUATIONS = (
    _leave_submodule_out,
    _plain,
    _detach,
    _delete,
    _have_no_file_modes,
    _have_windows_line_ends,
    _filter,
    _split_index,
    _link_work_tree,
    _share_objects,
    _clone_shallow,
    _make_submodule,
)


@pytest.mark.parametrize("begin", SITUATIONS, ids=lambda begin: begin.__name__.strip("_"))
def test_git_says_the_same_in_the_copy(tmp_path: Path, begin: Callable[[Path], Path]) -> None:
    first = make_library(tmp_path / "top")
    commit(tmp_path / "top", "v1.5")
    library = begin(first)

    place = copy(library, top=tmp_path, into=tmp_path / "copy")

    said = say_version(place)
    assert said == say_version(library)
    assert said[0].startswith("v1.5-")
    assert said[0].endswith("-dirty\n") == (begin is _delete)


def test_settings_of_git_reach_the_copy_whatever_their_value(tmp_path: Path) -> None:
    library = make_library(tmp_path / "top")
    commit(tmp_path / "top")
    values = {"filter.a.b c.clean": 'sed "s/\\t/; #/" \\\n  é', "core.fileMode": "false", "filter.x.required": ""}
    for key, value in values.items():
        git("config", key, value, cwd=library)
    with (tmp_path / "top" / ".git" / "config").open("a") as stream:
        stream.write("[core]\n\tignorecase\n")

    copy(library, top=tmp_path, into=tmp_path / "copy")

    ask = ["git", "config", "--local", "-z", "--get-regexp", r"^(core\.(filemode|ignorecase)|filter\.)"]
    one, other = (
        dict(line.partition("\n")[::2] for line in subprocess.check_output(ask, cwd=each, text=True).split("\0"))
        for each in (library, tmp_path / "copy")
    )
    assert other == {**one, "core.ignorecase": "true"}
    assert other["filter.a.b c.clean"] == values["filter.a.b c.clean"]


def test_a_file_elsewhere_that_cannot_be_read_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = make_library(tmp_path / "top")
    commit(tmp_path / "top")
    write(tmp_path / "top", {"out/secret.bin": "1"})
    real = files.copy

    def refuse(source: Path, target: Path, **more: Any) -> None:
        if source.name in {"secret.bin", denied}:
            raise PermissionError(13, "Permission denied", str(source))
        real(source, target, **more)

    monkeypatch.setattr(files, "copy", refuse)
    denied = ""
    place = copy(library, top=tmp_path, into=tmp_path / "copy")
    assert (place / "mylib" / "__init__.py").is_file()

    denied = "__init__.py"
    with pytest.raises(PermissionError):
        copy(library, top=tmp_path, into=tmp_path / "again")


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = make_library(tmp_path)
    (library / "mylib" / "closed").mkdir()
    real = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(errors.StepFailed, match="cannot be read: Permission denied") as caught:
        digest(library)
    assert caught.value.where == str(library / "mylib" / "closed")

    commit(tmp_path)
    found = sources.look_at(library, environ={}, run=processes.run_command)
    assert found.unreadable == (str(library / "mylib" / "closed"),)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "lib"
    library.mkdir()
    (library / "pyproject.toml").write_text("")

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files, "fingerprint", refuse)

    with pytest.raises(errors.StepFailed, match="cannot be read: Permission denied") as caught:
        digest(library)
    assert caught.value.where == str(library / "pyproject.toml")


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        (
            "pyproject.toml",
            '[build-system]\nrequires = ["x"]\n[project]\nversion = "1"\nname = "my-lib"  # ours\n',
            "my-lib",
        ),
        ("pyproject.toml", '[tool.poetry]\nauthors = ["[a]"]\nname = "my.lib"\n', "my.lib"),
        ("pyproject.toml", '[[tool.mypy.overrides]]\nname = "other"\n', "folder"),
        ("setup.cfg", "[metadata]\nname = my_lib\n", "my_lib"),
        ("setup.py", 'setup(version="1", name="my-lib")\n', "my-lib"),
        ("setup.py", "setup(name=NAME)\n", "folder"),
        ("setup.py", 'setup(name="my-" + NAME)\n', "folder"),
        ("setup.py", "setup(\n    name = 'my-lib',\n)\n", "my-lib"),
    ],
)
def test_a_librarys_name_is_read_where_it_stands_plainly(tmp_path: Path, file: str, text: str, name: str) -> None:
    write(tmp_path, {f"folder/{file}": text})

    assert sources.read_name(tmp_path / "folder") == name


@pytest.mark.parametrize(
    ("file", "text", "version"),
    [
        ("pyproject.toml", '[project]\nversion = "1.0 beta"  # soon\n', "1.0 beta"),
        ("pyproject.toml", '[project]\nname = "x"\nversion = ""\n', ""),
        ("pyproject.toml", '[project]\n# version = "see there"\ndynamic = ["version"]\n', None),
        ("setup.cfg", "[metadata]\nversion = attr: mylib.VERSION\n", None),
        ("setup.py", 'setup(version="1.0")\n', "1.0"),
        ("setup.py", 'setup(\n    version="1.0",  # ours\n)\n', "1.0"),
        ("setup.py", 'VERSION = "2"\nversion = "1.0"\n\nsetup(version=version)\n', "1.0"),
        ("setup.py", 'setup(version="1.0."+os.environ["NUMBER"])\n', None),
        ("setup.py", 'setup(version="1.0."\n    + NUMBER)\n', None),
        ("setup.py", 'setup(version="1.0.{}".format(NUMBER))\n', None),
        ("setup.py", 'setup(version="1.0.%s" % NUMBER)\n', None),
        ("setup.py", 'setup(version="1.0." "7")\n', None),
        ("setup.py", 'setup(version="1.0" if FINAL else NUMBER)\n', None),
    ],
)
def test_a_version_is_read_where_it_stands_whole(tmp_path: Path, file: str, text: str, version: str | None) -> None:
    write(tmp_path, {file: text})

    assert sources.read_version(tmp_path) == version


def test_a_folder_with_setup_cfg_alone_is_passed_over_and_told_where_it_describes_a_package(tmp_path: Path) -> None:
    one = make_library(tmp_path, "one")
    write(tmp_path / "libs", {"old/setup.cfg": "[metadata]\nname = old\n", "notes/setup.cfg": "[flake8]\n"})
    heard = Heard()

    assert find(tmp_path, "libs/*", report=heard) == (one,)
    assert heard.lines == ["libs/old is passed over: it has neither pyproject.toml nor setup.py"]

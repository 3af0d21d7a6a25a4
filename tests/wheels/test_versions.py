from __future__ import annotations

import base64
import csv
import hashlib
import os
import stat
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from mlops_tasks import processes
from mlops_tasks.report import Report
from mlops_tasks.wheels import building, metadata, sources, versions
from tests.support.repositories import LIBRARY, git, write
from tests.support.tiny_wheels import make_wheel

DIGEST = "0123456789abcdef"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """One of a repository's libraries, with a commit of its own."""
    top = tmp_path / "repository"
    write(top, {"libs/mylib/pyproject.toml": LIBRARY, "libs/mylib/mylib/__init__.py": "ANSWER = 42\n", "README.md": ""})
    git("init", "-q", "-b", "main", cwd=top)
    commit(top, "first")
    return top / "libs" / "mylib"


def commit(folder: Path, message: str) -> str:
    git("add", ".", cwd=folder)
    git("commit", "-q", "--allow-empty", "-m", message, cwd=folder)
    return git("rev-parse", "HEAD", cwd=folder)


def choose(library: Path) -> str:
    outside = sources.look_at(library, environ={}, run=processes.run_command).outside
    return versions.choose_local(library, list(outside), digest=DIGEST, run=processes.run_command).version


def test_it_is_the_commit_that_last_changed_the_library(library: Path) -> None:
    own = git("rev-parse", "HEAD", cwd=library)
    write(library.parents[1], {"README.md": "changed\n", "other.py": ""})
    beside = commit(library.parents[1], "beside it")
    write(library.parents[1], {"dirty.py": ""})

    assert choose(library) == f"g{own[:12]}"
    assert own != beside


def test_it_moves_with_the_library(library: Path) -> None:
    before = choose(library)
    write(library, {"mylib/__init__.py": "ANSWER = 0\n"})
    after = commit(library, "changed")

    assert choose(library) == f"g{after[:12]}" != before


@pytest.mark.parametrize("name", ["mylib/__init__.py", "mylib/new.py"])
@pytest.mark.parametrize(
    "hide",
    [
        pytest.param(["config", "status.showUntrackedFiles", "no"], id="untracked files"),
        pytest.param(["update-index", "--skip-worktree", "libs/mylib/mylib/__init__.py"], id="skip-worktree"),
        pytest.param(["update-index", "--assume-unchanged", "libs/mylib/mylib/__init__.py"], id="assume-unchanged"),
    ],
)
def test_no_setting_of_git_hides_that_the_sources_differ_from_the_commit(
    library: Path, name: str, hide: list[str]
) -> None:
    git(*hide, cwd=library.parents[1])
    assert choose(library).startswith("g")

    write(library, {name: "ANSWER = 0\n"})

    assert choose(library) == "d0123456789ab"


@pytest.mark.parametrize(
    ("setting", "change"),
    [
        pytest.param(
            "filter.strip.clean=sed 's/.*/ANSWER = 42/'", lambda path: path.write_text("A = 0\n"), id="filter"
        ),
        pytest.param("core.fileMode=false", lambda path: path.chmod(0o755), id="mode"),
        pytest.param(
            "core.autocrlf=true",
            lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n")),
            id="line ends",
        ),
    ],
)
def test_what_git_passes_for_unchanged_with_other_bytes_has_no_commits_version(
    library: Path, setting: str, change: Callable[[Path], Any]
) -> None:
    write(library, {".gitattributes": "*.py filter=strip\n"})
    commit(library, "attributes")
    git("config", *setting.split("=", 1), cwd=library)
    assert choose(library).startswith("g")

    change(library / "mylib" / "__init__.py")

    assert git("diff", "--numstat", cwd=library) == ""
    assert choose(library) == "d0123456789ab"


def test_a_library_of_which_a_sparse_checkout_leaves_files_out_has_no_commits_version(library: Path) -> None:
    write(library, {"mylib/data/a.txt": "1"})
    commit(library, "data")
    assert choose(library).startswith("g")

    git("update-index", "--skip-worktree", "mylib/data/a.txt", cwd=library)
    (library / "mylib" / "data" / "a.txt").unlink()

    assert choose(library) == "d0123456789ab"


@pytest.mark.parametrize("name", ["mylib/__init__.py", "mylib/new.py"])
def test_it_is_the_sources_digest_where_they_differ_from_the_commit(library: Path, name: str) -> None:
    write(library, {name: "ANSWER = 0\n"})

    assert choose(library) == "d0123456789ab"


def test_what_the_library_links_to_counts_and_the_repository_around_it_does_not(library: Path) -> None:
    (library / "README.md").symlink_to("../../README.md")
    (library / "setup.cfg").write_text("[tool:scm]\nroot = ../..\n")
    linked = commit(library, "linked")
    write(library.parents[1], {"other.py": ""})
    commit(library.parents[1], "beside it")
    assert choose(library) == f"g{linked[:12]}"

    write(library.parents[1], {"README.md": "changed\n"})
    assert choose(library) == "d0123456789ab"
    after = commit(library.parents[1], "readme")
    assert choose(library) == f"g{after[:12]}"


def test_a_shallow_clone_whose_history_ends_before_it_goes_by_the_digest(library: Path, tmp_path: Path) -> None:
    origin = library.parents[1]
    write(origin, {"README.md": "changed\n"})
    commit(origin, "beside it")
    clone = ["git", "clone", "-q", f"file://{origin}"]
    subprocess.run([*clone, "--depth", "1", str(tmp_path / "shallow")], check=True)
    subprocess.run([*clone, str(tmp_path / "whole")], check=True)

    shallow = tmp_path / "shallow" / "libs" / "mylib"
    assert choose(shallow) == "d0123456789ab"
    why = versions.choose_local(shallow, [], digest=DIGEST, run=processes.run_command).why
    assert why == "the clone is shallow and may lack the commit that last changed it"
    assert choose(tmp_path / "whole" / "libs" / "mylib") == choose(library) != "d0123456789ab"


def test_it_is_the_digest_without_git_and_before_the_first_commit(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": LIBRARY})
    assert choose(tmp_path) == "d0123456789ab"

    git("init", "-q", cwd=tmp_path)
    assert choose(tmp_path) == "d0123456789ab"


@pytest.mark.parametrize(
    ("version", "expected"), [("1.0", "1.0+g01"), ("1.0+cpu", "1.0+cpu.g01"), ("1.0-RC1", "1.0rc1+g01")]
)
def test_it_is_added_to_what_is_there(version: str, expected: str) -> None:
    assert versions.append_local(version, "g01") == expected


@pytest.mark.parametrize("needed", ["==1.0", ">=1.0", "<=1.0", "~=1.0", "==1.*"])
def test_what_is_asked_for_without_it_is_satisfied_with_it(needed: str) -> None:
    assert SpecifierSet(needed).contains(versions.append_local("1.0", "g0123456789ab"))


SETUP = """\
from setuptools import setup

setup(
    name="my-lib", version="1.0", packages=["my_lib"], scripts=["my_tool"],
    long_description="A text.\\n\\nVersion: none of METADATA's own\\n",
)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel with a folder for its scripts, which bears the version as well."""
    top = tmp_path_factory.mktemp("top")
    write(top / "lib", {"setup.py": SETUP, "my_lib/__init__.py": "A = 1\n", "my_tool": "#!python\nprint('hello')\n"})
    with (
        building.environments(os.environ, run=processes.run_command) as beside,
        building.built(top / "lib", top=top, beside=beside, report=Report(), log_file=top.parent / "log") as wheel,
    ):
        return wheel.rename(top / wheel.name)


def record_of(wheel: zipfile.ZipFile) -> dict[str, tuple[str, str]]:
    (name,) = (each for each in wheel.namelist() if each.endswith(".dist-info/RECORD"))
    return {path: (digest, size) for path, digest, size in csv.reader(wheel.read(name).decode().splitlines())}


def test_it_says_its_new_version_wherever_it_said_the_old_one(built: Path) -> None:
    new = versions.with_version(built, "1.0+g0123456789ab")

    with zipfile.ZipFile(new) as wheel:
        said = next(wheel.read(name).decode() for name in wheel.namelist() if name.endswith("METADATA"))
        folders = {name.partition("/")[0] for name in wheel.namelist()}
    assert new.name == "my_lib-1.0+g0123456789ab-py3-none-any.whl"
    assert folders == {"my_lib", "my_lib-1.0+g0123456789ab.dist-info", "my_lib-1.0+g0123456789ab.data"}
    assert said.splitlines().count("Version: 1.0+g0123456789ab") == 1
    assert "Version: none of METADATA's own" in said
    assert metadata.read(new).version == "1.0+g0123456789ab"


def test_a_folder_of_the_librarys_own_that_is_called_like_one_of_a_wheel_keeps_its_name(tmp_path: Path) -> None:
    made = make_wheel(tmp_path, "my-lib", "1.0")
    with zipfile.ZipFile(made, "a") as wheel:
        wheel.writestr("models-1.0.data/weights", "0")

    with zipfile.ZipFile(versions.with_version(made, "2.0")) as wheel:
        folders = {name.partition("/")[0] for name in wheel.namelist()}

    assert folders == {"my_lib.py", "my_lib-2.0.dist-info", "models-1.0.data"}


def test_its_record_has_the_hash_and_the_size_of_every_file(built: Path) -> None:
    with zipfile.ZipFile(versions.with_version(built, "2.0")) as wheel:
        recorded = record_of(wheel)

        assert set(recorded) == set(wheel.namelist())
        for name, (digest, size) in recorded.items():
            data = wheel.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (("", "") if name.endswith("RECORD") else (f"sha256={expected}", str(len(data))))


def test_nothing_else_changes(built: Path) -> None:
    new = versions.with_version(built, "2.0")

    with zipfile.ZipFile(built) as before, zipfile.ZipFile(new) as after:
        for one, other in zip(before.infolist(), after.infolist(), strict=True):
            assert one.filename.rpartition("/")[2] == other.filename.rpartition("/")[2]
            assert (one.date_time, one.external_attr, one.compress_type) == (
                other.date_time,
                other.external_attr,
                other.compress_type,
            )
            if not one.filename.endswith(("METADATA", "RECORD")):
                assert before.read(one) == after.read(other)
        (script,) = (each for each in after.infolist() if each.filename.endswith("my_tool"))
    assert script.external_attr >> 16 & stat.S_IXUSR


def test_the_same_wheel_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    copy = tmp_path / built.name
    copy.write_bytes(built.read_bytes())

    assert versions.with_version(copy, "2.0").read_bytes() == versions.with_version(built, "2.0").read_bytes()

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from mlops_tasks import processes
from mlops_tasks.wheels import local_versions, sources
from tests.support.repositories import LIBRARY, git, write

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
    outside = sources.list_outside(library, run=processes.run_command)
    return local_versions.choose(library, outside, digest=DIGEST, run=processes.run_command)


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

    assert choose(tmp_path / "shallow" / "libs" / "mylib") == "d0123456789ab"
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
    assert local_versions.append(version, "g01") == expected


@pytest.mark.parametrize("needed", ["==1.0", ">=1.0", "<=1.0", "~=1.0", "==1.*"])
def test_what_is_asked_for_without_it_is_satisfied_with_it(needed: str) -> None:
    assert SpecifierSet(needed).contains(local_versions.append("1.0", "g0123456789ab"))

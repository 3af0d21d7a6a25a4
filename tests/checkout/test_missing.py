from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mlops_tasks import processes
from mlops_tasks.checkout import git, missing
from tests.support.repositories import commit, write
from tests.support.repositories import git as run

LFS = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"


def tree(top: Path, *, submodules: tuple[str, ...] = (), left_out: tuple[str, ...] = ()) -> git.WorkTree:
    return git.WorkTree(top, "main", None, dirty=False, submodules=submodules, left_out=left_out)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(LFS, "a Git LFS pointer: `git lfs pull`", id="lfs"),
        pytest.param("/annex/objects/SHA256E-s1--0.csv\n", "a git-annex pointer: `git annex get`", id="annex"),
        pytest.param("a,b\n1,2\n" * 20, None, id="data"),
        pytest.param("", None, id="empty"),
        pytest.param(f"# {LFS}", None, id="about pointers"),
        pytest.param(LFS + "x" * 2000, None, id="larger than a pointer"),
    ],
)
def test_a_pointer_in_the_place_of_data_is_named(tmp_path: Path, text: str, expected: str | None) -> None:
    write(tmp_path, {"data/a.csv": text})

    found = missing.find(tmp_path, ["data/a.csv"], tree=None, shown="projects/p")

    assert [str(each) for each in found] == ([f"projects/p/data/a.csv is {expected}"] if expected else [])


def test_links_of_git_annex_and_files_of_dvc_are_named_while_their_data_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv.dvc": "outs:\n", "b.csv.dvc": "outs:\n", "b.csv": "1", ".dvc/config": ""})
    (tmp_path / "c.csv").symlink_to(".git/annex/objects/x/y/c")
    (tmp_path / "d.csv").symlink_to("nowhere")

    found = missing.find(tmp_path, ["a.csv.dvc", "b.csv.dvc", "c.csv", "d.csv", "gone"], tree=None)

    assert [each.what for each in found] == [
        "a.csv.dvc is a DVC pointer whose data is not there",
        "c.csv is a git-annex pointer",
    ]


def test_many_pointers_are_one_sentence(tmp_path: Path) -> None:
    write(tmp_path, {"a": LFS, "b": LFS, "c": LFS})

    assert [each.what for each in missing.find(tmp_path, "abc", tree=None)] == ["a is a Git LFS pointer (and 2 more)"]


def test_submodules_and_what_a_sparse_checkout_leaves_out_count_where_they_belong_to_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    repository = tree(tmp_path, submodules=("libs/a/my sub", "other"), left_out=("libs/a/x/1", "libs/a/x/2", "rest/y"))

    found = missing.find(tmp_path / "libs" / "a", [], tree=repository)

    assert [str(each) for each in found] == [
        "libs/a/my sub is a submodule that is not checked out: `git submodule update --init 'libs/a/my sub'`",
        "a sparse checkout leaves out libs/a/x/1 and 1 more: `git sparse-checkout add libs/a/x`",
    ]
    beside = missing.find(tmp_path / "libs" / "b", [], tree=repository, beside=[tmp_path / "other"])
    assert [each.what for each in beside] == ["other is a submodule that is not checked out"]


@pytest.mark.parametrize("mode", ["--cone", "--no-cone"])
def test_what_a_sparse_checkout_leaves_out_is_brought_by_the_command_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    write(tmp_path, {"libs/a/pkg/data.csv": "1", "libs/a/pkg/a.py": "", "b/rest": ""})
    commit(tmp_path)
    run("sparse-checkout", "set", mode, *(["b"] if mode == "--cone" else ["/*", "!*.csv"]), cwd=tmp_path)
    monkeypatch.chdir(tmp_path)

    def find() -> list[missing.Missing]:
        return missing.find(tmp_path / "libs", [], tree=git.read(tmp_path, runner=processes.run_command))

    (found,) = find()
    run(*shlex.split(found.cure.strip("`"))[1:], cwd=tmp_path)
    assert find() == []
    assert (tmp_path / "libs" / "a" / "pkg" / "data.csv").read_text() == "1"


def test_what_brings_a_submodule_works_as_typed_from_another_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")

    found = missing.not_checked_out("libs/shared", tree(tmp_path))

    assert found.cure == f"`git -C {tmp_path} submodule update --init libs/shared`"


@pytest.mark.parametrize(
    ("path", "is_in_it"), [("other", True), ("other/inner", True), ("another", False), (".", False)]
)
def test_a_folder_in_a_submodule_that_is_not_checked_out_is_told_from_others(
    tmp_path: Path, path: str, is_in_it: bool
) -> None:
    found = missing.find_submodule(tmp_path / path, tree(tmp_path, submodules=("other",)))

    assert (found is not None) is is_in_it
    assert missing.find_submodule(tmp_path / path, None) is None

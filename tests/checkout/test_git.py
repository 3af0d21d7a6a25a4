from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_tasks import errors, processes
from mlops_tasks.checkout import git as ours

Git = Callable[..., str]


def read(folder: Path) -> ours.WorkTree | None:
    return ours.read(folder, runner=processes.run_command)


@pytest.fixture
def repository(tmp_path: Path, git: Git) -> Path:
    folder = tmp_path / "a repository"
    folder.mkdir()
    git("init", "-q", "-b", "main", cwd=folder)
    (folder / "file").write_text("1")
    git("add", ".", cwd=folder)
    git("commit", "-q", "-m", "first", cwd=folder)
    return folder


def test_a_clean_work_tree_has_a_top_a_branch_and_a_commit(repository: Path, git: Git) -> None:
    inner = repository / "inner"
    inner.mkdir()

    tree = read(inner)

    assert tree is not None
    assert (tree.top, tree.branch, tree.dirty) == (repository, "main", False)
    assert tree.commit == git("rev-parse", "HEAD", cwd=repository)


@pytest.mark.parametrize(("name", "dirty"), [("file", True), ("untracked", True), ("x.ignored", False)])
def test_changes_and_untracked_files_make_it_dirty_ignored_ones_do_not(
    repository: Path, git: Git, name: str, dirty: bool
) -> None:
    (repository / ".gitignore").write_text("*.ignored\n")
    git("add", ".", cwd=repository)
    git("commit", "-q", "-m", "ignore", cwd=repository)

    (repository / name).write_text("2")

    tree = read(repository)
    assert tree is not None
    assert tree.dirty is dirty


def test_before_the_first_commit_there_is_a_branch_and_no_commit(tmp_path: Path, git: Git) -> None:
    git("init", "-q", "-b", "fresh")

    tree = read(tmp_path)

    assert tree is not None
    assert (tree.branch, tree.commit) == ("fresh", None)


def test_a_detached_head_has_no_branch_and_names_those_that_point_at_it(repository: Path, git: Git) -> None:
    git("branch", "feature/one", cwd=repository)
    git("checkout", "-q", "--detach", cwd=repository)

    tree = read(repository)

    assert tree is not None
    assert tree.branch is None
    assert tree.commit is not None
    assert git_branches(repository, tree.commit) == ("feature/one", "main")


def test_remote_branches_count_where_no_local_one_points_there(repository: Path, git: Git, tmp_path: Path) -> None:
    git("branch", "feature/two", cwd=repository)
    git("clone", "-q", "--depth", "1", f"file://{repository}", "clone", "-b", "feature/two")
    clone = tmp_path / "clone"
    git("checkout", "-q", "--detach", cwd=clone)
    git("branch", "-q", "-D", "feature/two", cwd=clone)

    tree = read(clone)

    assert tree is not None
    assert tree.commit is not None
    assert git_branches(clone, tree.commit) == ("feature/two",)


def git_branches(folder: Path, commit: str) -> tuple[str, ...]:
    return ours.branches_at(folder, commit, runner=processes.run_command)


def test_a_linked_worktree_and_a_submodule_have_tops_of_their_own(repository: Path, git: Git, tmp_path: Path) -> None:
    git("worktree", "add", "-q", "-b", "linked", str(tmp_path / "linked"), cwd=repository)
    git("clone", "-q", str(repository), "outer")
    git(
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        str(repository),
        "sub",
        cwd=tmp_path / "outer",
    )

    linked, sub = read(tmp_path / "linked"), read(tmp_path / "outer" / "sub")

    assert linked is not None
    assert sub is not None
    assert (linked.top, linked.branch) == (tmp_path / "linked", "linked")
    assert sub.top == tmp_path / "outer" / "sub"


def test_outside_a_repository_and_without_git_there_is_no_work_tree(tmp_path: Path, repository: Path) -> None:
    def no_git(command: object, *, cwd: object = None, env: object = None) -> processes.Completed:
        raise FileNotFoundError("git")

    assert read(tmp_path) is None
    assert read(repository / ".git") is None
    assert ours.read(repository, runner=no_git) is None


def test_a_work_tree_that_git_refuses_is_not_taken_for_none(repository: Path) -> None:
    def wary(command: object, *, cwd: object = None, env: object = None) -> processes.Completed:
        said = "fatal: detected dubious ownership\nTo add an exception: git config --global --add safe.directory /x"
        return processes.Completed([], 128, "", said)

    with pytest.raises(errors.StepFailed, match="dubious ownership") as caught:
        ours.read(repository, runner=wary)

    assert f"safe.directory '{repository}'" in caught.value.cure


def test_a_git_that_dies_without_a_word_is_told_by_its_exit_code(repository: Path) -> None:
    def killed(command: object, *, cwd: object = None, env: object = None) -> processes.Completed:
        return processes.Completed([], -9, "", "")

    with pytest.raises(errors.StepFailed, match="exit code -9"):
        ours.read(repository, runner=killed)


def test_files_are_those_that_git_would_track_and_that_are_there(repository: Path, git: Git, tmp_path: Path) -> None:

    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository), "sub", cwd=repository)
    (repository / ".gitignore").write_text("*.ignored\n")
    for name in ("new", "x.ignored", "größe"):
        (repository / name).write_text("")
    (repository / "file").unlink()

    assert ours.list_files(repository, runner=processes.run_command) == [
        ".gitignore",
        ".gitmodules",
        "größe",
        "new",
        "sub/file",
    ]


def test_a_renamed_file_may_have_any_name(repository: Path, git: Git) -> None:
    (repository / "# notes").write_text("a long line that git knows again\n")
    git("add", ".", cwd=repository)
    git("commit", "-q", "-m", "notes", cwd=repository)
    git("mv", "# notes", "plain", cwd=repository)

    tree = read(repository)

    assert tree is not None
    assert (tree.branch, tree.dirty) == ("main", True)


@pytest.mark.parametrize("kind", ["linked work tree", "empty folder"])
def test_a_git_folder_that_leads_nowhere_is_told_with_the_way_out(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "a clone"
    folder.mkdir()
    if kind == "empty folder":
        (folder / ".git").mkdir()
        said, cure = "its .git is a folder without a repository in it", "check it out anew; or "
    else:
        (folder / ".git").write_text("gitdir: /gone/main/.git/worktrees/feature\n")
        said = "its .git leads to /gone/main/.git/worktrees/feature, which is not there"
        cure = "mount the repository that it belongs to at that path; or "

    with pytest.raises(errors.StepFailed) as caught:
        read(folder)

    assert said in caught.value.what
    assert caught.value.cure == f"{cure}rm -r '{folder}/.git' and give `--branch NAME`"

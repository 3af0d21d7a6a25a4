from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def _show_no_untracked_files(repository: Path, git: Git) -> None:
    git("config", "status.showUntrackedFiles", "no", cwd=repository)
    (repository / "new").write_text("")


def _assume_unchanged(repository: Path, git: Git) -> None:
    git("update-index", "--assume-unchanged", "file", cwd=repository)
    (repository / "file").write_text("2")


def _assume_unchanged_and_remove(repository: Path, git: Git) -> None:
    git("update-index", "--assume-unchanged", "file", cwd=repository)
    (repository / "file").unlink()


def _skip_worktree(repository: Path, git: Git) -> None:
    git("update-index", "--skip-worktree", "file", cwd=repository)
    (repository / "file").write_text("2")


def _lead_a_link_elsewhere(repository: Path, git: Git) -> None:
    (repository / "link").symlink_to("file")
    git("add", ".", cwd=repository)
    git("commit", "-q", "-m", "link", cwd=repository)
    git("update-index", "--assume-unchanged", "link", cwd=repository)
    tree = read(repository)
    assert tree is not None
    assert not tree.dirty
    (repository / "link").unlink()
    (repository / "link").symlink_to("other")


def _ignore_a_submodule(repository: Path, git: Git) -> None:
    git("clone", "-q", str(repository), "other")
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../other", "sub")
    git(*add, cwd=repository)
    git("commit", "-q", "-m", "sub", cwd=repository)
    git("config", "submodule.sub.ignore", "all", cwd=repository)
    git("config", "diff.ignoreSubmodules", "all", cwd=repository)
    (repository / "sub" / "file").write_text("2")


def _hide_within_a_submodule(repository: Path, git: Git) -> None:
    git("clone", "-q", str(repository), "other")
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../other", "sub")
    git(*add, cwd=repository)
    git("commit", "-q", "-m", "sub", cwd=repository)
    git("update-index", "--skip-worktree", "file", cwd=repository / "sub")
    tree = read(repository)
    assert tree is not None
    assert not tree.dirty
    (repository / "sub" / "file").write_text("2")


HIDING = (
    _hide_within_a_submodule,
    _show_no_untracked_files,
    _assume_unchanged,
    _assume_unchanged_and_remove,
    _skip_worktree,
    _lead_a_link_elsewhere,
    _ignore_a_submodule,
)


@pytest.mark.parametrize("hide", HIDING, ids=lambda hide: hide.__name__.strip("_"))
def test_a_change_that_gits_settings_hide_makes_it_dirty(
    repository: Path, git: Git, hide: Callable[[Path, Git], None]
) -> None:
    hide(repository, git)

    tree = read(repository)

    assert tree is not None
    assert tree.dirty


def test_what_git_was_told_not_to_look_at_and_cannot_read_makes_it_dirty(repository: Path, git: Git) -> None:
    git("update-index", "--assume-unchanged", "file", cwd=repository)

    def run(
        command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> processes.Completed:
        if "hash-object" in command:
            return processes.Completed(command, 128, "", "fatal: could not open 'file' for reading")
        return processes.run_command(command, cwd=cwd, env=env)

    tree = ours.read(repository, runner=run)

    assert tree is not None
    assert tree.dirty


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_what_git_was_told_not_to_look_at_is_clean_while_it_is_as_committed(
    repository: Path, git: Git, flag: str
) -> None:
    git("config", "filter.upper.clean", "tr a-z A-Z", cwd=repository)
    (repository / ".gitattributes").write_text("*.txt filter=upper\n")
    (repository / "a b.txt").write_text("abc")
    git("add", ".", cwd=repository)
    git("commit", "-q", "-m", "filtered", cwd=repository)
    git("update-index", flag, "file", "a b.txt", cwd=repository)

    tree = read(repository)

    assert tree is not None
    assert not tree.dirty


def test_what_is_not_checked_out_is_named_and_is_no_change(repository: Path, git: Git, tmp_path: Path) -> None:
    git("clone", "-q", str(repository), "other")
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../other", "libs/sub")
    git(*add, cwd=repository)
    (repository / "left out").mkdir()
    (repository / "left out" / "a").write_text("")
    git("add", ".", cwd=repository)
    git("commit", "-q", "-m", "sub", cwd=repository)
    git("clone", "-q", str(repository), "clone")
    git("update-index", "--skip-worktree", "left out/a", cwd=tmp_path / "clone")
    (tmp_path / "clone" / "left out" / "a").unlink()

    tree, whole = read(tmp_path / "clone"), read(repository)

    assert tree is not None
    assert whole is not None
    assert (tree.submodules, tree.left_out, tree.dirty) == (("libs/sub",), ("left out/a",), False)
    assert (whole.submodules, whole.left_out) == ((), ())


def test_our_folder_may_be_a_link_to_another_disk(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (repository / ".mlops").symlink_to(tmp_path / "disk")

    tree = read(repository)

    assert tree is not None
    assert not tree.dirty
    assert ours.list_files(repository, runner=processes.run_command) == ["file"]


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


@pytest.mark.parametrize("name", ["", "inner", "inner/deeper", "sub", "ignored"])
def test_a_tree_that_was_just_read_lists_the_files_that_git_would(repository: Path, git: Git, name: str) -> None:
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository), "sub", cwd=repository)
    (repository / ".gitignore").write_text("*.ignored\nignored/\n")
    for each in ("inner/größe", "inner/deeper/a b", "inner/x.ignored", "innermost/other", "ignored/file", "sub/new"):
        (repository / each).parent.mkdir(exist_ok=True)
        (repository / each).write_text("")
    git("add", "inner", "sub", cwd=repository)
    (repository / "inner" / "untracked").write_text("")
    folder = repository / name
    listed = ours.list_files(folder, runner=processes.run_command)

    found = ours.list_files(folder, runner=processes.run_command, tree=read(repository))

    assert found == listed
    assert bool(found) is (name != "ignored")


def test_a_folder_that_the_tree_spells_otherwise_is_asked_of_git(repository: Path) -> None:
    """As on a disk that ignores case: the folder is there by the user's name too."""
    (repository / "inner").mkdir()
    (repository / "inner" / "file").write_text("")
    tree = read(repository)
    assert tree is not None
    spelt = tree._replace(entries=tuple(each._replace(name=each.name.upper()) for each in tree.entries))

    found = ours.list_files(repository / "inner", runner=processes.run_command, tree=spelt)

    assert found == ["file"]

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_tasks import errors, processes
from mlops_tasks.checkout import branch as branches
from tests.support.repositories import git

CI = {"GITLAB_CI": "true", "CI_COMMIT_REF_NAME": "from-ci", "CI_JOB_URL": "https://ci/1"}


def gather(root: Path, branch: str | None = None, environ: dict[str, str] | None = None) -> branches.Facts:
    return branches.gather(
        root, branch=branch, branch_origin="--branch", environ=environ or {}, runner=processes.run_command
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git("init", "-q", "-b", "from-git", cwd=tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "first", cwd=tmp_path)
    return tmp_path


def test_the_users_word_comes_before_ci_and_ci_before_git(repository: Path) -> None:
    assert gather(repository).branch == "from-git"
    assert gather(repository, environ=CI).branch == "from-ci"
    assert gather(repository, "mine", CI).branch == "mine"


def test_why_says_who_won_and_what_the_others_would_have_said(repository: Path) -> None:
    assert gather(repository, "mine", CI).why == (
        "branch mine: given by --branch",
        "passed over: from-ci (GitLab CI says so by CI_COMMIT_REF_NAME)",
        "passed over: from-git (checked out in git)",
    )


def test_a_detached_head_is_the_one_branch_that_points_at_it(repository: Path) -> None:
    git("checkout", "-q", "--detach", cwd=repository)

    assert gather(repository).branch == "from-git"


def test_a_detached_head_of_several_branches_or_none_is_its_short_commit(repository: Path) -> None:
    git("branch", "another", cwd=repository)
    git("checkout", "-q", "--detach", cwd=repository)
    commit = git("rev-parse", "HEAD", cwd=repository)
    several = gather(repository)
    git("commit", "-q", "--allow-empty", "-m", "second", cwd=repository)
    none = gather(repository)

    assert several.branch == commit[:12]
    assert "several branches point at it: another, from-git" in several.why[0]
    assert none.branch == git("rev-parse", "HEAD", cwd=repository)[:12]
    assert "no branch points at it" in none.why[0]


def test_a_repository_without_commits_has_its_branch_already(tmp_path: Path) -> None:
    git("init", "-q", "-b", "fresh", cwd=tmp_path)

    found = gather(tmp_path)

    assert (found.branch, found.commit) == ("fresh", None)


def test_without_git_the_folder_itself_is_the_top(tmp_path: Path) -> None:
    found = gather(tmp_path, environ=CI)

    assert (found.top, found.commit, found.dirty) == (tmp_path, None, None)
    assert found.ci_url == "https://ci/1"


def test_where_nobody_knows_a_branch_it_says_what_to_pass(tmp_path: Path) -> None:
    with pytest.raises(errors.BadInput, match="no branch is known") as caught:
        gather(tmp_path)

    assert "--branch NAME" in caught.value.cure
    assert "MLOPS_BRANCH" in caught.value.cure


def test_a_missing_git_is_named(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(errors.BadInput, match="git is not installed") as caught:
        gather(repository)

    assert "install git" in caught.value.cure


OTHER = "0123456789" * 4


def test_a_commit_that_is_not_the_ci_jobs_own_is_doubted(repository: Path) -> None:
    head = git("rev-parse", "HEAD", cwd=repository)

    doubt = gather(repository, environ={**CI, "CI_COMMIT_SHA": OTHER}).doubt

    assert f"CI_COMMIT_REF_NAME of GitLab CI names the branch from-ci, whose commit is {OTHER[:12]}" in doubt
    assert f"{head[:12]} of from-git is checked out" in doubt
    assert "`--branch from-git`" in doubt


def test_the_jobs_own_commit_is_not_doubted_nor_what_the_user_says_nor_a_merge_of_it(repository: Path) -> None:
    head = git("rev-parse", "HEAD", cwd=repository)
    git("checkout", "-q", "-b", "pull", cwd=repository)
    git("commit", "-q", "--allow-empty", "-m", "second", cwd=repository)
    theirs = git("rev-parse", "HEAD", cwd=repository)
    git("checkout", "-q", "from-git", cwd=repository)

    assert not gather(repository, environ={**CI, "CI_COMMIT_SHA": head.upper()}).doubt
    assert not gather(repository, "mine", environ={**CI, "CI_COMMIT_SHA": OTHER}).doubt
    assert not gather(repository, environ={**CI, "CI_COMMIT_SHA": "HEAD"}).doubt
    assert not gather(repository, environ=CI).doubt
    git("merge", "-q", "--no-ff", "-m", "merge", "pull", cwd=repository)
    assert not gather(repository, environ={**CI, "CI_COMMIT_SHA": theirs}).doubt

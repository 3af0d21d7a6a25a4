from __future__ import annotations

from pathlib import Path

import pytest

from mlops_tasks import processes
from mlops_tasks.checkout import git as checkout
from mlops_tasks.checkout import repository
from tests.support.repositories import git


@pytest.mark.parametrize(
    ("url", "name"),
    [
        pytest.param("https://github.com/team/Churn.git", "Churn", id="https"),
        pytest.param("git@github.com:team/Churn.git", "Churn", id="ssh"),
        pytest.param("ssh://git@host:2222/team/Churn", "Churn", id="ssh with a port"),
        pytest.param("https://gitlab-ci-token:s3cret@gitlab.com/group/sub/Churn.git", "Churn", id="with a password"),
        pytest.param("https://github.com/fork/Churn/", "Churn", id="a fork's, with a slash"),
        pytest.param("https://org@dev.azure.com/org/My%20Project/_git/My%20Repo", "My Repo", id="Azure"),
        pytest.param("git@ssh.dev.azure.com:v3/org/My%20Project/My%20Repo", "My Repo", id="Azure by ssh"),
        pytest.param("codecommit::eu-west-1://profile@Churn", "Churn", id="CodeCommit"),
        pytest.param("/srv/git/Churn.git", "Churn", id="a path"),
        pytest.param("/srv/git/Churn/.git", "Churn", id="a clone's own folder"),
        pytest.param("/srv/100%25", "100%25", id="a path is no URL"),
        pytest.param("file:///srv/git/Churn.git", "Churn", id="a file URL"),
        pytest.param("https://host/Churn?token=s3cret", "Churn", id="with a query"),
        pytest.param("https://ada:s3cret@host", "host", id="a host alone"),
        pytest.param("https://ada:s3/cret@host", "host", id="a password with a slash"),
        pytest.param("https://[host/Churn", "Churn", id="no URL at all"),
        pytest.param("..", "", id="nothing"),
    ],
)
def test_a_repository_is_called_by_the_last_part_of_its_url(url: str, name: str) -> None:
    assert repository.name_in(url) == name


def find(folder: Path) -> str:
    tree = checkout.read(folder, runner=processes.run_command)
    return repository.find_name(folder, tree.remotes if tree else {})


def test_the_remote_origin_comes_before_others_and_any_before_the_folders_name(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert find(folder) == "folder"
    git("init", "-q", cwd=folder)
    assert find(folder) == "folder"

    git("remote", "add", "backup", "https://host/copy.git", cwd=folder)
    assert find(folder) == "copy"

    git("remote", "add", "origin", "https://host/churn.git", cwd=folder)
    git("remote", "set-url", "--add", "origin", "https://host/second.git", cwd=folder)
    assert find(folder) == "churn"


def test_a_linked_work_tree_is_of_the_same_repository(tmp_path: Path) -> None:
    git("init", "-q", "-b", "main", cwd=tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "first", cwd=tmp_path)
    git("remote", "add", "origin", "https://host/churn.git", cwd=tmp_path)
    git("worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"), cwd=tmp_path)

    assert find(tmp_path / "linked") == "churn"

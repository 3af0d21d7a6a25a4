from __future__ import annotations

import subprocess
from typing import Any

from mlops_tasks.pipeline import history
from tests.support.repositories import git

CHILD = {"mlflow.parentRunId": "0" * 32}


def test_the_runs_before_are_of_the_same_branch_project_and_entry_point_and_no_children(tracked: Any) -> None:
    first, second = tracked.log(), tracked.log(status="FAILED")
    tracked.log(**{"mlflow.source.name": "other"})
    tracked.log(**{"mlflow.project.entryPoint": "evaluate"})
    tracked.log(**CHILD)
    this = tracked.log()
    tracked.log()

    found = history.history_of(tracked.context(), this)

    assert [each.run_id for each in found.earlier(5)] == [second.run_id, first.run_id]
    assert [each.run_id for each in found.earlier(5, finished=True)] == [first.run_id]
    assert [each.run_id for each in found.earlier(1)] == [second.run_id]


def test_mains_last_finished_run_is_found_by_the_template(tracked: Any) -> None:
    tracked.log()
    last = tracked.log()
    tracked.log(status="FAILED")
    this = tracked.log("feature")

    found = history.history_of(tracked.context(branch="feature"), this)

    assert found.main is not None
    assert found.main.run_id == last.run_id


def test_where_the_template_has_no_branch_main_is_found_by_its_tag(tracked: Any) -> None:
    shared = f"/Shared/{tracked.folder.name}"
    last = tracked.log(experiment=shared)
    this = tracked.log("feature", experiment=shared)

    found = history.history_of(tracked.context(branch="feature", experiment="/Shared/{repository}"), this)

    assert found.main is not None
    assert found.main.run_id == last.run_id
    assert found.earlier(5) == []


def test_on_main_itself_main_is_the_finished_run_before(tracked: Any) -> None:
    before, this = tracked.log(), tracked.log()
    tracked.log()

    found = history.history_of(tracked.context(), this)

    assert found.main is not None
    assert found.main.run_id == before.run_id


def test_without_a_run_of_main_there_is_none_and_no_experiment_is_made(tracked: Any) -> None:
    this = tracked.log("feature")

    assert history.history_of(tracked.context(branch="feature"), this).main is None
    assert tracked.store.find_named(f"/Shared/{tracked.folder.name}/p/main") is None


def test_the_best_is_the_branchs_best_earlier_finished_run_in_the_direction_that_is_asked(tracked: Any) -> None:
    low, high = tracked.log(metrics={"auc": 0.7}), tracked.log(metrics={"auc": 0.8})
    tracked.log(metrics={"auc": 0.99}, status="FAILED")
    tracked.log(metrics={"auc": float("nan")})
    tracked.log(metrics={"loss": 1})
    this = tracked.log(metrics={"auc": 0.9})

    found = history.history_of(tracked.context(), this)

    best = [found.best("auc", direction) for direction in (1, -1)]
    assert [each.run_id for each in best if each] == [high.run_id, low.run_id]
    assert found.best("f1", 1) is None


def test_the_default_branch_is_the_remotes_else_main_else_master(tracked: Any) -> None:
    folder = tracked.folder
    assert tracked.context().default_branch == "main"

    git("init", "-q", "-b", "trunk", cwd=folder)
    git("commit", "-q", "--allow-empty", "-m", "a", cwd=folder)
    assert tracked.context().default_branch == "main"
    git("branch", "master", cwd=folder)
    assert tracked.context().default_branch == "master"
    git("branch", "main", cwd=folder)
    assert tracked.context().default_branch == "main"
    git("update-ref", "refs/remotes/upstream/trunk", "HEAD", cwd=folder)
    git("symbolic-ref", "refs/remotes/upstream/HEAD", "refs/remotes/upstream/trunk", cwd=folder)
    assert tracked.context().default_branch == "trunk"
    git("update-ref", "refs/remotes/origin/release/next", "HEAD", cwd=folder)
    git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/release/next", cwd=folder)
    assert tracked.context().default_branch == "release/next"


def test_a_clone_knows_the_default_branch_of_its_origin(tracked: Any) -> None:
    folder = tracked.folder / "origin"
    folder.mkdir()
    git("init", "-q", "-b", "develop", cwd=folder)
    git("commit", "-q", "--allow-empty", "-m", "a", cwd=folder)
    subprocess.run(["git", "clone", "-q", folder, tracked.folder / "clone"], check=True)

    assert type(tracked)(tracked.store, tracked.folder / "clone").context().default_branch == "develop"

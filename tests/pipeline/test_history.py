from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import errors
from mlops_tasks.pipeline import history
from mlops_tasks.release import Attempt, Release, Run
from mlops_tasks.settings import SETTINGS, Settings
from mlops_tasks.steps.context import Context
from mlops_tasks.tracking.client import Tracking
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


def test_a_run_in_a_named_environment_has_only_that_ones_before_it(tracked: Any) -> None:
    prod, dev = {"mlops.environment": "prod"}, {"mlops.environment": "dev"}
    before = tracked.log(**prod)
    tracked.log(**dev)
    tracked.log()
    this = tracked.log(**prod)

    found = history.history_of(tracked.context(), this)

    assert [each.run_id for each in found.earlier(5)] == [before.run_id]
    assert found.main is not None
    assert found.main.run_id == before.run_id


def test_a_run_of_a_target_has_none_of_a_named_environment_before_it(tracked: Any) -> None:
    before = tracked.log()
    tracked.log(**{"mlops.environment": "dev"})
    this = tracked.log()

    assert [each.run_id for each in history.history_of(tracked.context(), this).earlier(5)] == [before.run_id]


ENVIRONMENTS = {"prod": {"extends": "local", "experiment": "/Prod/{repository}/{branch}"}, "dev": {}}


def test_an_environments_last_run_is_this_branchs_there_else_the_default_branchs(
    tracked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracked.store.uri)
    config = {"project": "p", "environments": ENVIRONMENTS}
    settings = Settings.read(config=config, environ={}, flags={"branch": "feature", "profile": "mine"})
    this = tracked.log("feature")
    context = replace(tracked.context(branch="feature"), settings=settings)
    vars(context)["target"] = tracked.context().target
    found = history.history_of(context, this)
    assert found.in_environment("prod") is None
    with pytest.raises(errors.BadInput, match="nothing of p has finished in prod"):
        found.find("prod")

    mains = tracked.log(experiment=f"/Prod/{tracked.folder.name}/main", **{"mlops.environment": "prod"})
    assert [run.run_id for run in (found.in_environment("prod"), found.find("prod")[1]) if run] == [mains.run_id] * 2
    own = tracked.log("feature", experiment=f"/Prod/{tracked.folder.name}/feature", **{"mlops.environment": "prod"})
    tracked.log("feature", experiment=f"/Prod/{tracked.folder.name}/feature", **{"mlops.environment": "dev"})
    there = found.in_environment("prod")
    assert (there and there.run_id, found.in_environment("local")) == (own.run_id, None)


def test_another_environments_settings_are_those_of_the_configuration() -> None:
    config = {"project": "p", "profile": "mine", "environments": {"prod": {"profile": "theirs"}}}
    here = Settings.read(
        config=config, environ={"MLOPS_EXPERIMENT": "/x"}, flags={"target": "databricks", "branch": "b", "profile": "f"}
    )

    there = here.in_environment("prod")

    assert (there.env, there.profile, there.branch, there.experiment) == (
        "prod",
        "theirs",
        "b",
        SETTINGS["experiment"].default,
    )
    assert here.in_environment("databricks") is here


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


def record(context: Context, run: Run) -> None:
    context.places.create()
    context.record.save(Release(target="local", project="p", branch=context.facts.branch, run=run))


def test_the_branchs_last_run_is_the_recorded_one_else_the_last_that_ended(tracked: Any) -> None:
    recorded, last = tracked.log("feature"), tracked.log("feature")
    tracked.log("feature", status="RUNNING")
    context = tracked.context(branch="feature")

    assert history.of_branch(context).this.run_id == last.run_id
    record(context, recorded)
    assert history.of_branch(context).this.run_id == recorded.run_id
    other = tracked.context(branch="feature", entry_point="evaluate", origins={"entry_point": "--entry-point"})
    with pytest.raises(errors.OutOfOrder, match="entry point evaluate"):
        history.of_branch(other)
    tracked.store._client.delete_run(recorded.run_id)
    assert history.of_branch(context).this.run_id == last.run_id


def test_a_branch_without_a_run_is_told_with_what_makes_one(tracked: Any, tmp_path: Path) -> None:
    nowhere = type(tracked)(Tracking(f"sqlite:///{tmp_path / 'none.db'}", artifacts=tmp_path), tracked.folder)

    for each in (tracked, nowhere):
        said = r"no run of the branch feature has ended in .*/feature \(project p, entry point main\)"
        with pytest.raises(errors.OutOfOrder, match=said) as refused:
            history.of_branch(each.context(branch="feature"))
        assert "`inv release` makes one" in refused.value.cure
    assert not (tmp_path / "none.db").exists()


def test_a_run_is_named_by_its_branch_its_id_or_the_beginning_of_that(tracked: Any) -> None:
    other = tracked.log("other")
    tracked.log("other", status="FAILED")
    this = tracked.log("feature")
    context = tracked.context(branch="feature")
    found = history.history_of(context, this)
    context.places.create()
    ended = Attempt(id="a", run_id=other.run_id, ended=True)
    context.record.save_attempt(Release(target="local", project="p", branch="other", attempt=ended, run=other))

    assert [label for label, _ in map(found.find, ("other", other.run_id, other.run_id[:8]))] == [
        "other",
        other.run_id[:8],
        other.run_id[:8],
    ]
    assert {run.run_id for _, run in map(found.find, ("other", other.run_id, other.run_id[:8]))} == {other.run_id}


def test_a_run_that_cannot_be_compared_with_is_refused_with_the_reason(tracked: Any) -> None:
    this = tracked.log("feature")
    foreign, gone = tracked.log(**{"mlflow.source.name": "scoring"}), tracked.log()
    tracked.store._client.delete_run(gone.run_id)
    found = history.history_of(tracked.context(branch="feature"), this)

    for named, said in {
        "nobody": "no run of a branch nobody has finished .project p, entry point main",
        "abcdef12": "no run of a branch abcdef12 has finished .* no run from here has an id that begins with abcdef12",
        foreign.run_id: f"run {foreign.run_id} is of scoring, and this one of p",
        gone.run_id: f"there is no run {gone.run_id}: it was deleted",
        "0" * 32: "there is no run 000",
    }.items():
        with pytest.raises(errors.BadInput, match=said) as refused:
            found.find(named)
        assert refused.value.where == "--with"


def test_a_branch_that_is_called_as_an_id_is_found_where_no_run_has_that(tracked: Any) -> None:
    other, this = tracked.log("0123456789abcdef" * 2), tracked.log("feature")

    found = history.history_of(tracked.context(branch="feature"), this).find("0123456789abcdef" * 2)

    assert found[1].run_id == other.run_id


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

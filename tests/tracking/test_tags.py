from __future__ import annotations

import dataclasses

from mlops_tasks.release import Release
from mlops_tasks.tracking import tags as run_tags


def test_a_run_in_a_named_environment_has_its_name_and_any_other_has_none() -> None:
    plain = Release(target="local", project="training", branch="main")
    named = dataclasses.replace(plain, environment="prod")

    tags, without = (
        run_tags.describe(each, ci_url="", entry_point="main", user="ada", tags={}) for each in (named, plain)
    )

    assert tags["mlops.environment"] == "prod"
    assert "mlops.environment" not in without


def test_the_commit_is_under_mlflows_own_tag_and_under_ours_and_under_neither_where_there_is_none() -> None:
    release = Release(target="local", project="training", branch="main", commit="4f2a", dirty=True)
    nowhere = dataclasses.replace(release, commit=None)

    tags, without = (
        run_tags.describe(each, ci_url="", entry_point="main", user="ada", tags={}) for each in (release, nowhere)
    )

    assert (tags["mlflow.source.git.commit"], tags["mlops.commit"], tags["mlops.dirty"]) == ("4f2a", "4f2a", "true")
    assert not {"mlflow.source.git.commit", "mlops.commit"} & without.keys()

"""The templates of a project that others stand before: what they are filled with, and what is missing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import errors
from mlops_tasks.pipeline import templates
from mlops_tasks.release import Attempt, Checked, Names, Release, Run
from mlops_tasks.settings import Settings
from mlops_tasks.steps.context import Context

GATE = Checked("auc >= 1", met=False, value=0.5, bound=1.0, because="auc is 0.5")


def settings(**parameters: str) -> Settings:
    score = {"project": "q", "name": "score", "parameters": parameters, "run_name": "on {training.run_id}"}
    found = {"branch": "main", "projects": [{"project": "p", "name": "training"}, score]}
    return Settings.read(config=found, environ={}, flags={"project": "score"})


def context_of(tracked: Any, **parameters: str) -> Context:
    made = tracked.context()
    return made.beside(settings(**parameters))  # type: ignore[no-any-return]


def record_run(context: Context, run: Run, *, branch: str = "main") -> Release:
    """The release of the project p that ended in that run, as it is kept."""
    path = context.beside(context.settings.earlier[0]).runs_folder / f"{run.run_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    release = Release(target="local", project="p", branch=branch, names=Names("/as recorded", "wheels"), run=run)
    path.write_text(json.dumps(release.to_dict()))
    return release


def test_values_are_those_of_the_last_finished_run(tracked: Any) -> None:
    context = context_of(
        tracked,
        uri="runs:/{training.run_id}/model",
        of="{training.experiment} {training.experiment_id}",
        auc="{training.metrics.auc}",
        where="{{{branch}}} {environment}",
    )
    run = tracked.log(metrics={"auc": 0.8125})
    record_run(context, run)

    found = templates.fill(context, {}).settings

    assert found.parameters == {
        "uri": f"runs:/{run.run_id}/model",
        "of": f"/Shared/{tracked.folder.name}/p/main {run.experiment_id}",
        "auc": "0.8125",
        "where": "{main} local",
    }
    assert found.run_name == f"on {run.run_id}"
    assert templates.fill(context, {}).facts is context.facts


def test_the_runs_of_the_same_command_come_first(tracked: Any) -> None:
    context = context_of(tracked)
    run, other = tracked.log(), tracked.log()
    record_run(context, run)
    made = {"training": record_run(context, other)}
    (context.beside(context.settings.earlier[0]).runs_folder / f"{other.run_id}.json").unlink()

    assert templates.fill(context, made).settings.run_name == f"on {other.run_id}"
    assert templates.fill(context, {}).settings.run_name == f"on {run.run_id}"


@pytest.mark.parametrize(
    "change",
    [{"status": "FAILED"}, {"gates": (GATE,)}, {"entry_point": "other"}],
    ids=["failed", "gate not met", "another entry point"],
)
def test_a_run_that_is_none_to_go_on_from_is_passed_over(tracked: Any, change: dict[str, Any]) -> None:
    context = context_of(tracked)
    run = tracked.log()
    record_run(context, run._replace(**change))
    record_run(context, tracked.log(), branch="feature")

    with pytest.raises(errors.OutOfOrder) as caught:
        templates.fill(context, {})

    assert caught.value.what == (
        "score takes {training.run_id}, and no run of training on the branch main has finished here"
    )
    assert caught.value.where == "mlops.projects.score.run_name (configuration)"
    assert "`--project`" in caught.value.cure


def test_a_run_whose_record_is_cut_off_is_passed_over_with_a_warning(tracked: Any) -> None:
    context = context_of(tracked, auc="{training.metrics.auc}", uri="{training.run_id}")
    run = tracked.log(metrics={"auc": 0.8})
    record_run(context, run)
    broken = context.beside(context.settings.earlier[0]).runs_folder / "cut-off.json"
    broken.write_text('{"version"')

    assert templates.fill(context, {}).settings.parameters["uri"] == run.run_id
    assert context.report.warnings == [f"the record of this release is cut off or not JSON: {broken}"]  # type: ignore[attr-defined]


def test_a_metric_that_was_not_logged_is_refused_with_the_run_and_the_near_name(tracked: Any) -> None:
    context = context_of(tracked, threshold="{training.metrics.acu}")
    run = tracked.log(metrics={"auc": 0.8})
    record_run(context, run)

    with pytest.raises(errors.OutOfOrder) as caught:
        templates.fill(context, {})

    assert caught.value.what == (
        f"score takes {{training.metrics.acu}}, and run {run.run_id} of training has not logged acu; did you mean auc?"
    )
    assert caught.value.where == "mlops.projects.score.parameters.threshold (configuration)"


def test_a_metric_that_is_no_number_is_none_to_go_on_with(tracked: Any) -> None:
    context = context_of(tracked, threshold="{training.metrics.auc}")
    run = tracked.log(metrics={"auc": math.nan})
    record_run(context, run)

    with pytest.raises(errors.OutOfOrder, match=f"run {run.run_id} of training has logged nan as auc"):
        templates.fill(context, {})


def test_a_metric_that_the_record_lacks_is_asked_of_the_store(tracked: Any) -> None:
    context = context_of(tracked, threshold="{training.metrics.auc}")
    run = tracked.log(metrics={"auc": 0.8})
    record_run(context, run._replace(metrics={}))

    assert templates.fill(context, {}).settings.parameters == {"threshold": "0.8"}


def test_where_nothing_is_needed_yet_something_stands_for_each_value(tracked: Any, tmp_path: Path) -> None:
    context = context_of(tracked, auc="{training.metrics.auc}", of="{training.experiment}")

    found = templates.fill(context, {}, is_needed=False)

    assert found.settings.parameters == {"auc": "0", "of": "/experiment"}
    assert found.settings.run_name == f"on {'0' * 32}"
    assert "{training.metrics.auc} is known once training has run: here a specimen stands for it" in context.warned


def test_a_project_that_is_not_listed_keeps_its_texts(tracked: Any) -> None:
    context = tracked.context(parameters={"json": '{"a": 1}'})

    assert templates.fill(context, {}) is context
    assert replace(context.settings).parameters == {"json": '{"a": 1}'}


def test_projects_in_one_folder_have_their_own_last_run(tracked: Any) -> None:
    listed = [{"project": "p", "name": name, "entry_point": name} for name in ("fit", "score")]
    fit, score = Settings.read_each(config={"branch": "main", "projects": listed}, environ={}, flags={})
    contexts = {each.listed_as: tracked.context().beside(each) for each in (fit, score)}
    release = Release(target="local", project="p", branch="main")
    for name, context in contexts.items():
        run = tracked.log()._replace(entry_point=name)
        release = replace(
            release, run=run, attempt=Attempt(run.run_id, run_id=run.run_id, entry_point=name, ended=True)
        )
        context.record.save(release)
        context.record.save_attempt(release)

    found = {name: templates.load_own(context) for name, context in contexts.items()}

    assert {name: each.run.entry_point for name, each in found.items() if each and each.run} == {
        "fit": "fit",
        "score": "score",
    }

"""What both targets and both backends promise: one repository, released by the same commands, and looked at alike."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mlops_tasks import Pipeline, Settings, errors
from mlops_tasks.targets.base import Target
from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.server import Workspace
from tests.support import sites
from tests.support.inv import Said, inv
from tests.support.repositories import make_repository

pytest_plugins = ["tests.fake_workspace.fixture"]

TRAIN = """\
import sys
import mlflow, mylib
with mlflow.start_run():
    mlflow.log_metric("answer", mylib.ANSWER)
print("TEXT", sys.argv[2])
"""
CLUSTER = json.dumps({**sites.SPARK_CLUSTER, "spark_version": "15.4.x-scala2.12"})
SETTINGS = "mlops: {{project: training, libraries: [libs/*], poll_interval: 0.2, target: {}, backend: {}}}\n"
GATES = ("--require", "answer >= 42", "--require", "answer >= main * 1.02")
AWKWARD = 'it\'s "q" = $HOME é'


class Place(NamedTuple):
    """A repository that is released to one target, and has been, in a run and a failing one."""

    name: str
    folder: Path
    released: Said
    failed: Said
    workspace: Workspace | None = None

    @property
    def target(self) -> Target:
        settings = Settings(project="training", target=self.name)
        return Pipeline(self.folder, settings).context.target

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The records of the runs, the first one first."""
        folder = self.folder / ".mlops" / "training" / self.name / "runs"
        found = [json.loads(path.read_text()) for path in folder.glob("*.json")]
        return sorted(found, key=lambda record: record["run"]["status"], reverse=True)  # FINISHED, FAILED


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("local", "auto"), marks=pytest.mark.full, id="local"),
        pytest.param(("databricks", "auto"), id="databricks"),
        pytest.param(("databricks", "databricks"), marks=pytest.mark.full, id="MLflow's backend"),
    ],
)
def place(
    request: pytest.FixtureRequest, mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    target, backend = request.param
    texts = {"TRAIN": TRAIN, "SETTINGS": SETTINGS.format(target, backend)}
    folder = tmp_path_factory.mktemp(target) / "a repository"
    if target == "local":
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow leaves it behind wherever it was told one
            made = _released("local", make_repository(folder, MLPROJECT=sites.SPARK, CLUSTER=CLUSTER, **texts))
        yield made
        return
    with sites.opened(folder, mlflow_server, CLUSTER=CLUSTER, **texts) as site:
        yield _released("databricks", site.folder)._replace(workspace=site.workspace)


@pytest.fixture(autouse=True)
def logged_in(place: Place, plain_environment: None) -> Iterator[None]:
    """After the variables of whoever runs the tests are gone."""
    with sites.entered(place.workspace) if place.workspace else contextlib.nullcontext():
        yield


def _released(name: str, folder: Path) -> Place:
    released = inv("release", "-P", f"text={AWKWARD}", *GATES, cwd=folder)
    return Place(name, folder, released, inv("run", "--entry-point", "fail", cwd=folder))


def test_a_release_ends_well_with_one_line_a_step(place: Place) -> None:
    assert place.released.code == 0, place.released.err
    steps = [line.split()[0] for line in place.released.out.splitlines() if line[:1].isalpha()]
    assert steps[:5] == ["name", "build-wheel", "deploy", "patch", "run"]
    assert f"TEXT {AWKWARD}" in place.released.err


def test_the_record_holds_the_same_facts(place: Place) -> None:
    good, bad = place.runs

    assert list(good) == list(bad)
    facts = [
        *("run_id", "experiment_id", "status", "backend", "url", "entry_point", "job_run_id", "log", "metrics"),
        *("timed_out", "reason", "trace"),
    ]
    assert (list(good["run"]), list(bad["run"])) == ([*facts, "gates"], facts)
    assert (good["run"]["status"], bad["run"]["status"]) == ("FINISHED", "FAILED")
    assert good["run"]["metrics"] == {"answer": 42.0}
    assert good["attempt"]["ended"] is True


def test_a_failing_entry_point_exits_5_and_its_output_is_shown_and_kept(place: Place) -> None:
    assert place.failed.code == 5
    assert "about to fail" in place.failed.err
    assert "about to fail" in (place.folder / place.runs[1]["run"]["log"]).read_text()


def test_runs_of_one_branch_land_in_one_experiment_the_newest_first(place: Place) -> None:
    good, bad = place.runs

    past = place.target.runs.tracking.search_runs([good["run"]["experiment_id"]], tags={}, limit=5)

    assert [each.run_id for each in past] == [bad["run"]["run_id"], good["run"]["run_id"]]
    assert [each.tags["mlflow.project.entryPoint"] for each in past] == ["fail", "main"]
    assert past[1].metrics == {"answer": 42.0}


def test_a_finished_run_is_held_to_its_gates_and_says_so_everywhere(place: Place) -> None:
    good, _ = place.runs
    met, compared = good["run"]["gates"]

    assert (met["gate"], met["met"], met["value"], met["bound"]) == ("answer >= 42", True, 42.0, 42.0)
    assert (compared["met"], compared["bound"]) == (True, None)
    assert "nothing to compare with: no other run of main has finished and met" in compared["because"]
    assert "gate         met: answer >= 42 (answer is 42)" in place.released.out
    past = place.target.runs.tracking.search_runs([good["run"]["experiment_id"]], tags={"mlops.gate": "met"}, limit=5)
    assert [each.run_id for each in past] == [good["run"]["run_id"]]


def test_the_runs_are_compared_as_a_table_a_comment_and_data(place: Place, tmp_path: Path) -> None:
    good, bad = (each["run"]["run_id"] for each in place.runs)

    data = inv("compare", "--with", good, "--format", "json", cwd=place.folder)
    table = inv("compare", "--with", good[:8], "--last", "1", cwd=place.folder)
    wanted = ("--entry-point", "main", "--format", "markdown", "--plot", str(tmp_path / "a.html"))
    comment = inv("compare", *wanted, cwd=place.folder)

    assert (data.code, table.code, comment.code) == (0, 0, 0), data.err + table.err + comment.err
    assert [each["run_id"] for each in data.json["runs"]] == [bad, good]
    assert data.json["runs"][1]["parameters"] == {"text": AWKWARD}
    assert data.json["differing"][0] == "text"
    head, *rows = table.out.splitlines()
    assert head.split() == ["this", "run", good[:8]]
    assert rows[0].split()[0] == "text"
    assert rows[-1].split() == ["answer", "42"]
    assert "### `training` on `main`" in comment.out
    assert "| `answer` | 42 |" in comment.out
    assert "- met: `answer >= 42`" not in comment.out  # the record is of the run after it
    assert (tmp_path / "a.html").read_text().count("data:image/svg+xml") == 2


def test_a_deployed_wheel_can_be_had_and_another_cannot(place: Place) -> None:
    uri = place.target.absolute_uri(place.runs[0]["deployed"][0]["uri"])

    assert place.target.is_reachable(uri)
    assert not place.target.is_reachable(uri.replace("mylib", "other"))


def test_unchanged_wheels_are_left_alone(place: Place) -> None:
    said = inv("deploy", cwd=place.folder)

    assert said.code == 0, said.err
    assert "(1 kept)" in said.out


def test_an_experiment_that_is_not_there_is_refused(place: Place) -> None:
    said = inv("run", "--experiment-id", "4711", cwd=place.folder)

    assert said.code == 2
    assert "no experiment with the id 4711" in said.err


def test_the_backend_is_chosen_with_a_reason_and_an_unknown_one_refused(place: Place) -> None:
    context = Pipeline(place.folder, Settings(project="training")).context  # `backend` is auto
    chosen = {"local": ("local", "the target is local"), "databricks": ("databricks-jobs", "runtime 15.4")}

    backend, why = place.target.choose_backend(context.settings, context.project, context.cluster_spec)

    assert (backend, chosen[place.name][1] in why) == (chosen[place.name][0], True)
    with pytest.raises(errors.BadInput, match="the backend nowhere"):
        place.target.choose_backend(replace(context.settings, backend="nowhere"), context.project, None)


def test_a_wheel_root_of_the_other_target_is_refused(place: Place) -> None:
    elsewhere = {"local": "dbfs:/wheels", "databricks": "a/folder"}[place.name]

    said = inv("name", "--wheel-root", elsewhere, cwd=place.folder)

    assert said.code == 2
    assert "wheel_root" in said.err


@pytest.mark.parametrize("fault", [KeyError("uid not found: 12345"), OSError("No username set in the environment")])
def test_a_user_without_a_name_goes_by_a_number_as_each_python_reports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def refuse() -> str:
        raise fault

    monkeypatch.setattr(getpass, "getuser", refuse)
    target = Pipeline(make_repository(tmp_path), Settings(project="training")).context.target

    assert target.user() == f"uid-{os.getuid()}"

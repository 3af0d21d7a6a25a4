from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import yaml

from mlops_tasks import errors
from mlops_tasks.pipeline import attempt, conclusion, history, pipeline
from mlops_tasks.pipeline.inputs import NOTHING
from mlops_tasks.release import Attempt, Release, Run
from mlops_tasks.settings import Settings, gates


def judge(text: str, *, strict: bool = False, **metrics: float) -> tuple[bool, str]:
    found = conclusion.judge(gates.parse(text), metrics, {}, strict=strict)
    return found.met, found.because


@pytest.mark.parametrize(
    ("text", "met", "because"),
    [
        ("auc >= 0.79", True, "auc is 0.8"),
        ("auc >= 0.79 + 0.02", False, "auc is 0.8, compared with 0.81"),
        ("acu >= 0.79", False, "acu was not logged; did you mean auc?"),
        ("f1 >= 0.79", False, "f1 was not logged; logged are: auc, nothing"),
        ("nothing < 1", False, "nothing is NaN"),
    ],
)
def test_a_gate_says_the_value_and_what_it_was_compared_with(text: str, met: bool, because: str) -> None:
    assert judge(text, auc=0.8, nothing=math.nan) == (met, because)


def test_of_a_run_that_logged_nothing_that_is_said() -> None:
    assert judge("auc >= 0.79") == (False, "auc was not logged; nothing was logged")


def conclude(tracked: Any, run: Run, *require: str, **settings: Any) -> Release:
    context = tracked.context(require=list(require), **settings)
    release = Release(target="local", project="p", branch=context.settings.branch or "", run=run)
    release = replace(release, attempt=Attempt(id="a", run_id=run.run_id, ended=True))
    context.places.create()
    context.record.save(release)
    concluded = conclusion.conclude(context, release)
    assert context.record.load() == concluded
    return concluded


def test_the_step_run_shows_its_run_beside_the_one_before_it(tracked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [tracked.log(metrics={"auc": value}) for value in (0.8, 0.9)]
    release = Release(target="local", project="p", branch="main", run=runs[1])
    monkeypatch.setattr(attempt, "take_run", lambda *_: release)
    context = tracked.context()
    context.project_folder.mkdir()

    pipeline._take(context, "run", NOTHING)

    ((columns, rows),) = context.report.tables
    assert columns[1] == "this run"
    assert ["auc", "0.9", "0.8"] in [[cell.split(" ")[0] for cell in row] for row in rows]


def test_each_gate_is_told_with_the_runs_that_it_was_compared_with(tracked: Any) -> None:
    main = tracked.log(metrics={"auc": 0.8, "loss": 0.5})
    best = tracked.log("feature", metrics={"auc": 0.82})
    tracked.log("feature", metrics={"auc": 0.7})
    this = tracked.log("feature", metrics={"auc": 0.81, "loss": 0.501})

    found = conclude(tracked, this, "auc >= best - 0.02", "loss <= main * 1.02", branch="feature").run

    assert found is not None
    assert [(each.gate, each.met) for each in found.gates] == [
        ("auc >= best - 0.02", True),
        ("loss <= main * 1.02", True),
    ]
    assert [each.because for each in found.gates] == [
        f"auc is 0.81, compared with 0.8 (the best before 0.82, run {best.run_id[:8]})",
        f"loss is 0.501, compared with 0.51 (main's last 0.5, run {main.run_id[:8]})",
    ]
    assert tracked.store.read_tags(this.run_id)["mlops.gate"] == "met"


def test_a_gate_that_is_not_met_ends_with_6_and_leaves_the_run_finished_and_the_gates_on_record(tracked: Any) -> None:
    this = tracked.log(metrics={"auc": 0.5})

    with pytest.raises(errors.GateNotMet) as refused:
        conclude(tracked, this, "auc >= 0.79", "auc > 0")

    assert refused.value.exit_code == 6
    assert refused.value.what == (
        f"run {this.run_id} finished, and 1 of 2 gates is not met:\n"
        "  not met: auc >= 0.79 (auc is 0.5)\n  met: auc > 0 (auc is 0.5)"
    )
    assert refused.value.release is not None
    context = tracked.context()
    recorded = context.record.load()
    assert recorded == refused.value.release
    assert recorded.run.unmet[0].gate == "auc >= 0.79"
    assert json.loads(context.record.path.read_text())["run"]["gates"][1] == {
        "gate": "auc > 0",
        "met": True,
        "value": 0.5,
        "bound": 0.0,
        "because": "auc is 0.5",
    }
    assert tracked.store.read_tags(this.run_id)["mlops.gate"] == "not met"
    assert tracked.store.read_run(this.run_id).status == "FINISHED"


@pytest.mark.parametrize("gate", ["auc >= main", "auc >= best", "auc >= main * 2 - best"])
def test_with_nothing_to_compare_with_a_gate_passes_with_a_word_or_fails_where_that_is_asked(
    tracked: Any, gate: str
) -> None:
    this = tracked.log("feature", metrics={"auc": 0.5})

    found = conclude(tracked, this, gate, branch="feature").run
    assert found is not None
    assert found.gates[0].because.startswith("there is nothing to compare with: no ")
    with pytest.raises(errors.GateNotMet, match="nothing to compare with, and strict is set: no "):
        conclude(tracked, this, gate, branch="feature", strict=True)


def test_a_run_of_main_that_logged_no_number_is_nothing_to_compare_with(tracked: Any) -> None:
    main = tracked.log(metrics={"loss": 1})
    this = tracked.log("feature", metrics={"auc": 0.5})

    found = conclude(tracked, this, "auc >= main", branch="feature").run

    assert found is not None
    assert found.gates[0].because == (
        f"there is nothing to compare with: main's last (run {main.run_id[:8]}) has no number for auc"
    )


def test_a_run_that_a_gate_kept_out_is_not_what_the_next_one_is_compared_with(tracked: Any) -> None:
    accepted = tracked.log(metrics={"auc": 0.8})
    refused = tracked.log(metrics={"auc": 0.7})
    with pytest.raises(errors.GateNotMet):
        conclude(tracked, refused, "auc >= main", branch="main")

    with pytest.raises(errors.GateNotMet, match=rf"the run before on main 0\.8, run {accepted.run_id[:8]}"):
        conclude(tracked, tracked.log(metrics={"auc": 0.7}), "auc >= main", branch="main")


def test_however_many_newer_ones_were_kept_out_the_last_good_run_counts(tracked: Any) -> None:
    tracked.log(metrics={"auc": 0.95}, **{"mlops.gate": "met"})
    for _ in range(history.LOOKED_AT[0] + 1):
        tracked.log(metrics={"auc": 0.5}, **{"mlops.gate": "not met"})

    with pytest.raises(errors.GateNotMet, match=r"compared with 0\.95"):
        conclude(tracked, tracked.log("feature", metrics={"auc": 0.7}), "auc >= main", branch="feature")


@pytest.mark.parametrize("metrics", [{"auc": float("nan")}, {"loss": 1.0}])
def test_a_run_without_a_number_does_not_hide_the_ones_before_it(tracked: Any, metrics: dict[str, float]) -> None:
    tracked.log(metrics={"auc": 0.8})
    tracked.log(metrics=metrics)

    with pytest.raises(errors.GateNotMet, match=r"compared with 0\.8"):
        conclude(tracked, tracked.log("feature", metrics={"auc": 0.7}), "auc >= main", branch="feature")


@pytest.mark.parametrize("gate", ["auc >= main", "auc >= best"])
def test_the_runs_of_one_sweep_are_compared_with_what_was_there_before_it(tracked: Any, gate: str) -> None:
    tracked.log(metrics={"auc": 0.6})
    tracked.log(metrics={"auc": 0.9}, **{"mlops.sweep": "a1"})
    this = tracked.log(metrics={"auc": 0.7}, **{"mlops.sweep": "a1"})

    found = conclude(tracked, this, gate, branch="main").run

    assert found is not None
    assert found.gates[0].bound == 0.6


def test_a_gate_whose_other_side_comes_to_no_number_is_not_met(tracked: Any) -> None:
    tracked.log(metrics={"auc": 0.6})

    with pytest.raises(errors.GateNotMet, match=r"auc is 0\.7, and what it is compared with is no number"):
        conclude(tracked, tracked.log("feature", metrics={"auc": 0.7}), "auc >= 1 / (main - main)", branch="feature")


def test_the_record_of_a_run_without_gates_does_not_mention_them(tracked: Any) -> None:
    found = conclude(tracked, tracked.log(metrics={"auc": 0.5}))

    assert "gates" not in found.to_dict()["run"]


def test_gates_survive_the_record_with_nan_and_without_a_value(tracked: Any) -> None:
    this = tracked.log(metrics={"auc": math.nan})

    with pytest.raises(errors.GateNotMet) as refused:
        conclude(tracked, this, "auc >= 0", "f1 >= 0")

    assert refused.value.release is not None
    assert [each["value"] for each in refused.value.release.to_dict()["run"]["gates"]] == [None, None]


@pytest.mark.parametrize(("gate", "repeats"), [("auk >= 0.9", False), ("auc >= 0.9", True)])
def test_no_command_is_said_that_would_repeat_a_metrics_wrong_name(tracked: Any, gate: str, repeats: bool) -> None:
    with pytest.raises(errors.GateNotMet) as refused:
        conclude(tracked, tracked.log(metrics={"auc": 0.5}), gate)

    assert ("did you mean auc?" in refused.value.what) is not repeats
    assert ("`inv run`" in refused.value.cure) is repeats, "with the flags that were given"


def test_what_the_store_cannot_say_leaves_no_gate_met(tracked: Any) -> None:
    gone = Run(run_id="0" * 32, experiment_id="1", status="FINISHED", backend="local", url="", entry_point="main")

    with pytest.raises(errors.WorkspaceError, match=r"gates could not be checked: .* no longer knows"):
        conclude(tracked, gone._replace(metrics={"auc": 1.0}), "auc >= main")


def test_an_unmet_gate_is_told_with_the_line_that_it_is_written_in(tracked: Any) -> None:
    file = tracked.folder / "invoke.yaml"
    file.write_text("mlops:\n  project: p\n  require: [auc > 1]\n  environments:\n    dev:\n      require: auc > 2\n")
    config = yaml.safe_load(file.read_text())["mlops"]
    settings = Settings.read(
        config=config, environ={}, flags={"branch": "main", "env": "dev", "require": ["auc > 3"]}, config_file=str(file)
    )
    this = tracked.log(metrics={"auc": 0.5})
    context = replace(tracked.context(), settings=settings)
    vars(context)["target"] = tracked.context().target
    context.places.create()
    attempt = Attempt(id="a", run_id=this.run_id, ended=True)
    release = Release(target="local", project="p", branch="main", run=this, attempt=attempt)

    with pytest.raises(errors.GateNotMet) as refused:
        conclusion.conclude(context, release)

    assert refused.value.where == f"{file}:3:3, {file}:6:7, --require"


@pytest.mark.parametrize("require", [[], ["auc >= main"]], ids=["no gate", "a gate"])
def test_a_fault_of_the_settings_after_the_run_is_told_as_what_came_after_it(tracked: Any, require: list[str]) -> None:
    this = tracked.log("feature", metrics={"auc": 0.5})
    asked = {"branch": "feature", "experiment": "/Shared/{nobody}"}

    if not require:
        assert conclude(tracked, this, **asked).run is not None
        return
    with pytest.raises(errors.StepFailed, match=f"run {this.run_id} finished, and its gates could not be checked"):
        conclude(tracked, this, *require, **asked)

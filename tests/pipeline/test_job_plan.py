"""The job that a run is made of, from the settings and the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import errors
from mlops_tasks.pipeline import job_plan
from mlops_tasks.pipeline.inputs import NOTHING, Inputs
from mlops_tasks.release import Deployed, Patched, Release
from mlops_tasks.settings import Settings
from tests.support.contexts import make_context
from tests.support.projects import write
from tests.support.workspaces import Heard


class Warned(Heard):
    def warning(self, text: str) -> None:
        self.lines.append(text)


def choose(
    folder: Path, entry_point: str, *, parameters: dict[str, str], flags: list[str]
) -> tuple[dict[str, str], Heard]:
    """The parameters that are left of those in invoke.yaml and of the flags, and what is said."""
    heard = Warned()
    settings = Settings.read(
        config={"project": "p", "branch": "main", "entry_point": entry_point, "parameters": parameters},
        environ={},
        flags={"parameters": flags},
    )
    context = make_context(folder, report=heard)
    vars(context)["settings"] = settings  # with the origins that only `read` knows
    return job_plan.choose_parameters(context, say=True), heard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p").mkdir()
    write(tmp_path / "p")
    return tmp_path


def test_a_parameter_of_the_settings_that_the_entry_point_lacks_is_left_out_and_said(folder: Path) -> None:
    given, heard = choose(folder, "main", parameters={"alpha": "1", "c": "0.5"}, flags=["seed=2"])

    assert given == {"alpha": "1", "seed": "2"}
    assert heard.lines == ["c (mlops.parameters (configuration)) is left out: main has no such parameter"]


def test_one_that_is_nearly_a_declared_one_is_asked_about(folder: Path) -> None:
    given, heard = choose(folder, "main", parameters={"alhpa": "1"}, flags=[])

    assert given == {}
    assert "is alpha meant?" in heard.lines[0]


def test_what_is_given_by_hand_is_passed_on_and_said(folder: Path) -> None:
    given, heard = choose(folder, "main", parameters={"c": "0.5"}, flags=["alpha=1", "depth=7", "c=1"])

    assert given == {"c": "1", "alpha": "1", "depth": "7"}
    assert heard.lines == [
        "main declares no parameter c: it is passed on as --c",
        "main declares no parameter depth: it is passed on as --depth",
    ]


def test_a_script_takes_all_of_them(folder: Path) -> None:
    given, heard = choose(folder, "train.py", parameters={"c": "0.5"}, flags=["d=1"])

    assert given == {"c": "0.5", "d": "1"}
    assert heard.lines == []


@pytest.mark.parametrize("name", ["mlops.branch", "mlops.gate", "mlops.mine"])
def test_a_tag_by_which_runs_are_compared_is_nobodys_to_give(folder: Path, name: str) -> None:
    with pytest.raises(errors.BadInput, match=f"the tag {name} is one that mlops_tasks sets itself"):
        job_plan.check_job(make_context(folder, tags={name: "main"}), {}, backend="local")


@pytest.mark.parametrize("name", ["a;b", "$(id)", "../a", "/a", "a//b", ".", "x" * 251, "a\nb"])
def test_a_name_that_mlflow_does_not_record_is_refused_before_a_run_is_begun(folder: Path, name: str) -> None:
    context = make_context(folder, tags={name: "1"})
    with pytest.raises(errors.BadInput, match="MLflow records no parameter of this name"):
        job_plan.check_job(context, {"a b/c.d-e:f_1": "", name: "1"}, backend="local")
    with pytest.raises(errors.BadInput, match="MLflow records no tag of this name"):
        job_plan.check_job(context, {".hidden": "1"}, backend="local")


@pytest.mark.parametrize("target", ["local", "databricks"])
def test_a_plain_name_of_an_experiment_is_taken_here_and_refused_on_databricks(folder: Path, target: str) -> None:
    context = make_context(folder, target=target)
    release, inputs = Release(target=target, project="p", branch="main"), Inputs(experiment_name="My_Models")

    if target == "local":
        assert job_plan._experiment_name(context, release, inputs) == "My_Models"
        return
    with pytest.raises(errors.BadInput) as caught:
        job_plan._experiment_name(context, release, inputs)
    assert caught.value.where == "--experiment-name"


def test_wheels_that_env_manager_local_leaves_out_are_named_once(folder: Path) -> None:
    heard = Warned()
    context = make_context(folder, report=heard, env_manager="local", entry_point="check")
    wheels = tuple(
        Deployed(distribution=name, uri=f"w/{name}-1-py3-none-any.whl", sha256="") for name in ("pytest", "my-lib")
    )
    release = Release(
        target="local", project="p", branch="main", deployed=wheels, patched=Patched(project_dir="p", references=())
    )

    for _ in range(2):
        job_plan.prepare(context, release, NOTHING)

    said = "env_manager local installs nothing, and this interpreter lacks: my-lib"
    assert [line for line in heard.lines if line.startswith("env_manager")] == [said]


NUMBER = "name: x\nentry_points: {main: {parameters: {c: {type: float, default: 1}, u: {type: uri, default: 'a:b'}}, "
NUMBER += 'command: "python train.py {c} {u}"}}\n'


@pytest.mark.parametrize(
    ("settings", "more", "where", "cure"),
    [
        ({"config": {"parameters": {"c": "abc"}}}, {}, "mlops.parameters.c (configuration)", "write a number there"),
        ({"config": {"parameters": {"u": "x"}}}, {}, "mlops.parameters.u (configuration)", "write SCHEME://... there"),
        (
            {"environ": {"MLOPS_PARAMETERS": '{"c": "abc"}'}},
            {},
            "MLOPS_PARAMETERS (environment) c",
            "write a number there",
        ),
        ({"flags": {"parameters": ["c=abc"]}}, {}, "MLproject", "pass -P c=NUMBER"),
        ({}, {"c": "abc"}, "--sweep", "write a number there"),
    ],
)
def test_a_value_of_another_type_is_refused_where_it_comes_from(
    folder: Path, settings: dict[str, dict[str, object]], more: dict[str, str], where: str, cure: str
) -> None:
    (folder / "p" / "MLproject").write_text(NUMBER)
    sources: dict[str, Any] = {"environ": {}, "flags": {}, **settings}
    config = {"project": "p", "branch": "main", **sources.pop("config", {})}
    context = make_context(folder).with_settings(Settings.read(config=config, **sources))
    given = job_plan.choose_parameters(context, more=more)

    with pytest.raises(errors.BadInput) as caught:
        job_plan.resolve(context, given, more=more)

    assert str(caught.value.where).endswith(where)
    assert caught.value.cure.startswith(cure)

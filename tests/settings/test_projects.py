"""Several projects in the settings: how they are read, which one is meant, and what their templates may name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks import errors
from mlops_tasks.settings import Settings, projects
from mlops_tasks.settings.projects import Reference

TRAINING: dict[str, Any] = {"project": "projects/training", "parameters": {"c": 1}, "cluster": "small.json"}
SCORE: dict[str, Any] = {"project": "projects/score", "parameters": {"run": "{training.run_id}"}}


def read_each(
    *listed: Any, environ: Mapping[str, str] | None = None, config: Mapping[str, Any] | None = None, **flags: object
) -> tuple[Settings, ...]:
    found = {"projects": list(listed or (TRAINING, SCORE)), **(config or {})}
    return Settings.read_each(config=found, environ=environ or {}, flags=flags)


def refused(*listed: Any, **given: Any) -> str:
    with pytest.raises(errors.BadInput) as caught:
        read_each(*listed, **given)
    return str(caught.value)


def test_each_project_has_its_own_values_and_all_others_from_above() -> None:
    above = {"libraries": ["libs/*"], "parameters": {"seed": 7, "c": 0}, "backend": "auto"}

    training, score = read_each(config=above)

    assert (training.listed_as, training.project, training.cluster) == ("training", "projects/training", "small.json")
    assert (training.parameters, training.libraries) == ({"seed": "7", "c": "1"}, ("libs/*",))
    assert (score.listed_as, score.cluster) == ("score", None)
    assert score.parameters == {"seed": "7", "c": "0", "run": "{training.run_id}"}
    assert score.origins["parameters.run"] == "mlops.projects.score.parameters (configuration)"
    assert score.place_of("cluster: x") == "cluster: x"
    assert training.place_of("cluster") == "mlops.projects.training.cluster (configuration)"
    assert (training.earlier, score.earlier) == ((), (training,))


@pytest.mark.parametrize("listed", [None, "projects/training", 7])
def test_a_project_that_is_no_mapping_is_called_by_its_number(listed: object) -> None:
    said = refused(TRAINING, listed)

    assert said.startswith(f"mlops.projects.2 (configuration) must be a mapping of settings, not {listed!r}\n")


def test_an_environment_wins_over_a_project_and_flags_over_both() -> None:
    config = {"environments": {"dev": {"parameters": {"c": 5}, "cluster": "dev.json"}}}

    assert read_each(config=config, env="dev")[0].parameters == {"c": "5"}
    assert read_each(config=config, env="dev")[0].cluster == "dev.json"
    assert read_each(config=config, env="dev", parameters=["c=9"])[0].parameters == {"c": "9"}


@pytest.mark.parametrize(
    ("named", "meant", "project"),
    [
        ("score", "score", "projects/score"),
        ("projects/score", "score", "projects/score"),
        ("./projects/score/", "score", "projects/score"),
        ("elsewhere", "", "elsewhere"),
        ("https://host/repository#score", "", "https://host/repository#score"),
    ],
)
def test_a_flag_or_a_variable_names_one_of_them_or_another_project(named: str, meant: str, project: str) -> None:
    for found in (read_each(project=named), read_each(environ={"MLOPS_PROJECT": named})):
        assert [(each.listed_as, each.project) for each in found] == [(meant, project)]


def test_a_task_that_takes_one_is_refused_with_the_names() -> None:
    with pytest.raises(errors.BadInput) as caught:
        Settings.read(config={"projects": [TRAINING, SCORE]}, environ={}, flags={})

    assert str(caught.value) == (
        "2 projects are listed, and this takes one of them: training, score\n"
        "  in: invoke.yaml\n  do: give `--project NAME`"
    )
    assert Settings.read(config={"projects": [TRAINING]}, environ={}, flags={}).listed_as == "training"


def test_two_listed_projects_may_be_entry_points_of_one_folder() -> None:
    one, two = ({"project": "p", "name": name, "entry_point": name} for name in ("fit", "score"))

    assert [each.listed_as for each in read_each(one, two)] == ["fit", "score"]
    assert [each.project for each in read_each(one, two, project="p")] == ["p"]


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ([[]], "mlops.projects.1 (configuration) must be a mapping of settings, not []"),
        ([{}], "mlops.projects.1.project (configuration) is missing"),
        ([{"project": "a b"}], "mlops.projects.1 (configuration) needs a `name`, as its folder's is none: 'a b'"),
        ([{"project": "p", "name": "a/b"}], "mlops.projects.1.name (configuration) is no name"),
        ([{"project": "p", "paramters": {}}], "mlops.projects.p.paramters (configuration) is not a setting; did you"),
        ([{"project": "p", "compute": "x"}], "mlops.projects.p.compute (configuration) must be one of serverless"),
        ([{"project": "p", "libraries": "x"}], "mlops.projects.p.libraries (configuration) is of all projects"),
        ([{"project": "p", "target": "local"}], "mlops.projects.p.target (configuration) is of all projects"),
        ([{"project": "p"}, {"project": "x/P"}], "mlops.projects.P.name (configuration) is no name of its own"),
        ([{"project": "a-b"}, {"project": "a_b"}], "the first project is called a-b too"),
    ],
)
def test_what_is_wrong_in_the_list_is_told_with_its_place(listed: list[Any], said: str) -> None:
    assert said in refused(*listed)


def test_all_faults_are_told_at_once() -> None:
    told = refused(
        {"project": "p", "clustr": "x", "tags": {"t": "{x}"}}, {"project": "q", "run_name": "}"}, project="q"
    )

    assert told.startswith("3 settings are wrong:")
    assert "do: correct them in invoke.yaml" in told


@pytest.mark.parametrize("listed", [{}, [], "training", 3], ids=str)
def test_what_is_no_list_is_refused(listed: Any) -> None:
    with pytest.raises(errors.BadInput, match=r"mlops.projects \(configuration\) must be a list of mappings"):
        Settings.read_each(config={"projects": listed}, environ={}, flags={})


def test_one_project_and_several_are_not_for_one_file() -> None:
    assert "mlops.project (configuration) stands beside mlops.projects" in refused(config={"project": "p"})
    sets = {"dev": {"project": "p"}}
    assert "mlops.environments.dev.project (configuration)" in refused(config={"environments": sets}, env="dev")


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{score.run_id}", "takes {score.run_id} from score itself: a project takes values of earlier ones alone"),
        ("{report.run_id}", "takes {report.run_id} from a later project: a project takes values of earlier ones"),
        ("{trainig.run_id}", "has {trainig.run_id}, which names no value; did you mean training.run_id?"),
        ("{training.runid}", "did you mean training.run_id?"),
        ("{training.metrics.}", "did you mean training.metrics.NAME?"),
        ("{training}", "has {training}, which names no value"),
        ("{brnch}", "did you mean branch?"),
        ("{}", "has {}, which names no value"),
        ('{"a": 1}', "{{ and }} stand for braces"),
        ("a{b", "has a { alone at character 2: write {{ for the brace"),
        ("ab}", "has a } alone at character 3: write }} for the brace"),
    ],
)
def test_a_template_that_leads_to_nothing_is_refused_with_its_place(template: str, why: str) -> None:
    score = {**SCORE, "parameters": {"run": template}}

    told = refused(TRAINING, score, {"project": "report"})

    assert told.startswith("mlops.projects.score.parameters.run (configuration) ")
    assert why in told


def test_projects_that_take_values_of_each_other_are_refused() -> None:
    training = {**TRAINING, "tags": {"of": "{score.run_id}"}}

    assert "mlops.projects.training.tags.of (configuration) takes {score.run_id} from a later" in refused(
        training, SCORE
    )


def test_a_flag_with_a_template_is_named_as_the_place() -> None:
    assert refused(project="score", parameters=["run={x.y}"]).startswith("-P run has {x.y}, which names no value")
    assert refused(environ={"MLOPS_TAGS": '{"t": "{x}"}'}).count("MLOPS_TAGS (environment) t has {x}") == 2


def test_the_flags_of_one_project_are_not_those_of_the_others() -> None:
    (score,) = read_each(project="score", entry_point="batch", parameters=["c={training.metrics.auc}"], branch="b")

    assert (score.entry_point, score.parameters["c"]) == ("batch", "{training.metrics.auc}")
    assert (score.earlier[0].entry_point, score.earlier[0].parameters) == ("main", {"c": "1"})
    assert score.earlier[0].branch == "b"


def test_in_another_environment_it_is_the_same_project() -> None:
    (score,) = read_each(config={"environments": {"dev": {"cluster": "dev.json"}}}, project="./projects/score")

    found = score.in_environment("dev")

    assert (found.listed_as, found.cluster, found.parameters) == ("score", "dev.json", score.parameters)


def test_without_a_list_nothing_is_a_template() -> None:
    found = Settings.read(config={"project": "p", "parameters": {"json": '{"a": 1}'}}, environ={}, flags={})

    assert found.parameters == {"json": '{"a": 1}'}


NAMES = st.from_regex(projects.NAME, fullmatch=True)
METRICS = st.text(st.characters(exclude_characters="{}"), min_size=1)
REFERENCES = st.one_of(
    st.sampled_from(projects.OF_RELEASE).map(lambda value: Reference("", value)),
    st.builds(Reference, NAMES, st.one_of(st.sampled_from(projects.OF_RUN), METRICS.map(projects.METRICS.__add__))),
)


@given(st.lists(st.one_of(st.text(), REFERENCES)))
def test_a_template_has_the_texts_and_values_that_were_written_into_it(parts: list[str | Reference]) -> None:
    written = [
        str(part) if isinstance(part, Reference) else part.replace("{", "{{").replace("}", "}}") for part in parts
    ]
    template = "".join(written)

    assert projects.fill(template, lambda named: f"<{named}>") == "".join(
        f"<{part}>" if isinstance(part, Reference) else part for part in parts
    )
    assert [each for each in projects.parse(template) if not isinstance(each, str)] == [
        part for part in parts if not isinstance(part, str)
    ]


@given(st.text("{}.ab"))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    faults = projects.check({"parameters": {"x": text}}, {}, "b", ["a", "b"])

    assert all(each.startswith("parameters x ") for each in faults)
    if "{" not in text and "}" not in text:
        assert faults == []

"""Environments: sets of settings by name, what they extend, which one is meant, and who may release to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks import errors
from mlops_tasks.settings import SETTINGS, Settings, environments, gates

SETS: dict[str, Any] = {
    "dev": {"target": "databricks", "profile": "dev", "parameters": {"epochs": 3}},
    "prod": {"extends": "dev", "profile": "prod", "branches": ["main", "release/*"], "clean": True},
    "rehearsal": {"parameters": {"epochs": 1, "seed": 7}},
}


def read(
    sets: Any = None, environ: Mapping[str, str] | None = None, config: Mapping[str, Any] | None = None, **flags: object
) -> Settings:
    found = {"project": "p", "environments": SETS if sets is None else sets, **(config or {})}
    return Settings.read(config=found, environ=environ or {}, flags=flags)


def refused(*arguments: Any, **flags: Any) -> str:
    with pytest.raises(errors.BadInput) as caught:
        read(*arguments, **flags)
    return str(caught.value)


def test_without_a_name_all_is_as_without_environments() -> None:
    settings = read()

    assert (settings.env, settings.environment, settings.target) == (None, "local", "local")
    assert settings == Settings(project="p")


def test_a_name_chooses_a_set_of_settings() -> None:
    settings = read(env="dev")

    assert (settings.environment, settings.target, settings.profile) == ("dev", "databricks", "dev")
    assert replace(settings, branch="other").environment == "dev"


@pytest.mark.parametrize("config", [{"env": "prod"}, {}], ids=["file", "nothing"])
def test_the_flag_wins_over_the_variable_which_wins_over_the_file(config: dict[str, str]) -> None:
    assert read(config=config).environment == config.get("env", "local")
    assert read(None, {"MLOPS_ENV": "rehearsal"}, config).environment == "rehearsal"
    assert read(None, {"MLOPS_ENV": "rehearsal"}, config, env="dev").environment == "dev"


def test_a_set_has_what_it_extends_and_its_own_values_win() -> None:
    sets = {**SETS, "eu": {"extends": "prod", "parameters": {"region": "eu", "epochs": 9}}}

    settings = read(sets, env="eu")

    assert (settings.target, settings.profile) == ("databricks", "prod")
    assert settings.parameters == {"epochs": "9", "region": "eu"}
    assert settings.environments["eu"].branches == ("main", "release/*")


def test_a_set_stands_between_the_file_and_the_variables() -> None:
    config = {"profile": "file", "entry_point": "file", "run_name": "file", "compute": "serverless"}
    sets = {"dev": {"entry_point": "set", "run_name": "set", "timeout": 60}}

    settings = read(sets, {"MLOPS_RUN_NAME": "variable"}, config, env="dev", timeout="90")

    assert settings.profile == "file"
    assert settings.entry_point == "set"
    assert settings.run_name == "variable"
    assert settings.timeout == 90


def test_parameters_and_tags_of_a_set_are_added_to_those_of_the_file_and_win() -> None:
    config = {"parameters": {"epochs": 10, "alpha": 0.5}, "tags": {"team": "a"}}
    sets = {"dev": {"parameters": {"epochs": 3}, "tags": {"stage": "dev"}}}

    settings = read(sets, None, config, env="dev", parameters=["alpha=1"])

    assert settings.parameters == {"epochs": "3", "alpha": "1"}
    assert settings.tags == {"team": "a", "stage": "dev"}


def test_an_origin_names_the_set_that_holds_the_value() -> None:
    settings = read({"dev": {"wheel_root": "/Volumes/a/b/c", "parameters": {"n": 1}}}, env="dev")

    assert settings.origins["wheel_root"] == "mlops.environments.dev.wheel_root (configuration)"
    assert settings.origins["parameters.n"] == "mlops.environments.dev.parameters (configuration)"
    assert settings.place_of("wheel_root") == "mlops.environments.dev.wheel_root (configuration)"
    assert settings.place_of("project") == "project"


@pytest.mark.parametrize("flags", [{"target": "databricks"}, {"env": "databricks"}], ids=["target", "env"])
def test_a_target_is_the_environment_of_its_name_with_what_is_set_for_that(flags: dict[str, str]) -> None:
    sets = {**SETS, "databricks": {"profile": "shared"}}

    settings = read(sets, None, {"env": "rehearsal"}, **flags)

    assert (settings.env, settings.environment, settings.target) == (None, "databricks", "databricks")
    assert settings.profile == "shared"


def test_the_local_environment_may_extend_another_and_stays_local() -> None:
    settings = read({**SETS, "local": {"extends": "dev", "target": None}})

    assert settings.target == "local"
    assert settings.parameters == {"epochs": "3"}


def test_a_set_that_names_no_target_has_the_files() -> None:
    assert read(env="rehearsal").target == "local"
    assert read(None, {"MLOPS_TARGET": "local"}, {"target": "databricks"}, env="rehearsal").target == "databricks"


@pytest.mark.parametrize(
    ("environ", "flags", "said"),
    [
        pytest.param({}, {"env": "dev", "target": "local"}, "--target is local, and the target of dev", id="flags"),
        pytest.param(
            {"MLOPS_ENV": "rehearsal", "MLOPS_TARGET": "databricks"},
            {},
            "MLOPS_TARGET (environment) is",
            id="variables",
        ),
    ],
)
def test_a_target_that_contradicts_the_environment_beside_it_is_refused(
    environ: dict[str, str], flags: dict[str, str], said: str
) -> None:
    assert said in refused(None, environ, **flags)


@pytest.mark.parametrize(
    ("sets", "flags", "said"),
    [
        pytest.param(None, {"env": "prd"}, "--env names no environment: prd; did you mean prod?", id="near"),
        pytest.param(None, {"target": "dev"}, "--target takes a target, and dev is an environment", id="as a target"),
        pytest.param({}, {"env": "x"}, "--env names no environment: x (there are: local, databricks)", id="unknown"),
        pytest.param(None, {"env": "all"}, "--env names no environment: all (`inv doctor` alone", id="all"),
        pytest.param(
            {"a": {"extends": "pord"}, "prod": None},
            {},
            "mlops.environments.a.extends (configuration) names no environment: pord; did you mean prod?",
            id="extends an unknown one",
        ),
        pytest.param(
            {"a": {"extends": "b"}, "b": {"extends": "c"}, "c": {"extends": "b"}},
            {},
            "mlops.environments.b.extends (configuration) leads in a circle: b extends c extends b",
            id="a circle",
        ),
        pytest.param({"a": {"extends": "a"}}, {}, "leads in a circle: a extends a", id="a circle of one"),
        pytest.param({"local": {"target": "databricks"}}, {}, "of the environment local is always local", id="local"),
        pytest.param(
            {"a": {"target": "aws"}}, {}, "a.target (configuration) must be one of local, databricks", id="target"
        ),
        pytest.param({"a": {"env": "b"}}, {}, "mlops.environments.a.env (configuration) is not a setting", id="env"),
        pytest.param(
            {"a": ["x"]}, {}, "mlops.environments.a (configuration) must be a mapping of settings", id="a list"
        ),
        pytest.param("dev", {}, "must be a mapping of environments, not 'dev'", id="text"),
        pytest.param({"a/b": None}, {}, "mlops.environments.a/b (configuration) is no name", id="a slash"),
        pytest.param(
            {"all": None}, {}, "mlops.environments.all (configuration) is no name: all means", id="called all"
        ),
        pytest.param({"best": None}, {}, "best means another run in a gate; choose another one", id="called best"),
        pytest.param({"a": {"clean": "yes"}}, {}, "a.clean (configuration) must be true or false", id="clean"),
    ],
)
def test_what_is_wrong_with_an_environment_is_said(sets: Any, flags: dict[str, str], said: str) -> None:
    assert said in refused(sets, **flags)


def test_the_faults_of_all_sets_are_told_at_once_whichever_is_chosen() -> None:
    sets = {"dev": {"wheelroot": "x", "profile": "dev"}, "prod": {"timeout": "soon", "brances": ["main"]}}

    said = refused(sets, None, {"workers": "perhaps"}, env="dev")

    assert "4 settings are wrong:" in said
    assert "mlops.environments.dev.wheelroot (configuration) is not a setting; did you mean wheel_root?" in said
    assert "mlops.environments.prod.timeout (configuration) must be a number of seconds above 0, not 'soon'" in said
    assert "mlops.environments.prod.brances (configuration) is not a setting; did you mean branches?" in said
    assert "mlops.workers (configuration) must be true or false" in said


def test_a_mistyped_key_of_the_file_may_mean_the_environments() -> None:
    assert "did you mean environments?" in refused({}, None, {"enviroments": {}})


def test_settings_made_in_python_take_a_target_as_an_environment_and_no_other() -> None:
    assert Settings(project="p", env="databricks").target == "databricks"
    with pytest.raises(errors.BadInput, match=r"env names no environment: prod \(there are: local, databricks\)"):
        Settings(project="p", env="prod")


@pytest.mark.parametrize(
    ("branch", "may"),
    [
        *(("main", True), ("release/1", True), ("release/1/2", True), ("feature/main", False), ("Main", False)),
        *(("someone:main", False), ("3f2a9c1d0b7e", False)),
    ],
)
def test_a_branch_is_let_in_by_its_whole_name(branch: str, may: bool) -> None:
    refusal = read().environments["prod"].refuse(branch, dirty=False)

    assert (refusal is None) is may


@pytest.mark.parametrize(("dirty", "may"), [(False, True), (True, False), (None, False)])
def test_a_clean_work_tree_is_one_that_git_finds_unchanged(dirty: bool | None, may: bool) -> None:
    assert (read().environments["prod"].refuse("main", dirty=dirty) is None) is may
    assert read().environments["dev"].refuse("main", dirty=dirty) is None


def test_no_branch_is_let_in_where_none_is_listed() -> None:
    refusal = read({"frozen": {"branches": []}}).environments["frozen"].refuse("main", dirty=False)

    assert refusal is not None
    assert refusal.what == "the branch main may not release to frozen, which lets in no branch"


def test_a_refusal_knows_the_set_in_which_it_is_written() -> None:
    refusal = read({**SETS, "eu": {"extends": "prod"}}).environments["eu"].refuse("x", dirty=False)

    assert refusal is not None
    assert (refusal.key, refusal.written_in) == ("branches", "prod")


KEYS = st.sampled_from([*sorted(SETTINGS), "extends", "branches", "clean"]) | st.text()
NAMES = st.sampled_from(["a", "b", "c", "local", "databricks"])
VALUES = NAMES | st.none() | st.booleans() | st.floats() | st.lists(st.text()) | st.dictionaries(st.text(), st.text())


@given(
    st.dictionaries(NAMES | st.text(), st.none() | VALUES | st.dictionaries(KEYS, VALUES)),
    NAMES | st.text(min_size=1),
)
def test_whatever_the_environments_hold_is_read_or_refused_as_bad_input(sets: Any, env: str) -> None:
    try:
        settings = read(sets, env=env)
    except errors.BadInput:
        return
    assert settings.environment == env.strip()
    assert replace(settings) == settings
    assert settings.environment not in {"local", "databricks"} or settings.environment == settings.target


@given(st.dictionaries(NAMES, st.fixed_dictionaries({"extends": NAMES}), min_size=1))
def test_sets_that_extend_each_other_end_or_are_refused(sets: dict[str, dict[str, str]]) -> None:
    def ends(name: str) -> bool:
        seen = set()
        while name in sets and name not in seen:
            seen.add(name)
            name = sets[name]["extends"]
        return name not in seen and name in {*sets, "local", "databricks"}

    if all(ends(name) for name in sets):
        assert read(sets, env=next(iter(sets))).environment == next(iter(sets))
    else:
        assert "circle" in (said := refused(sets)) or "names no environment" in said


def test_no_environment_is_called_as_a_gate_calls_another_run() -> None:
    assert {gates.MAIN, gates.BEST} <= set(environments.RESERVED)

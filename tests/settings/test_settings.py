from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks import errors
from mlops_tasks.settings import SETTINGS, Settings, setting_types


def read(
    config: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, **flags: object
) -> Settings:
    return Settings.read(config={"project": "training", **(config or {})}, environ=environ or {}, flags=flags)


def test_a_flag_wins_over_a_variable_which_wins_over_the_configuration() -> None:
    config, environ = {"entry_point": "from_yaml"}, {"MLOPS_ENTRY_POINT": "from_variable"}

    assert read().entry_point == "main"
    assert read(config).entry_point == "from_yaml"
    assert read(config, environ).entry_point == "from_variable"
    assert read(config, environ, entry_point="from_flag").entry_point == "from_flag"


def test_each_value_says_where_it_came_from() -> None:
    settings = read({"target": "local"}, {"MLOPS_BRANCH": "x"}, entry_point="evaluate")

    assert settings.origins["target"] == "mlops.target (configuration)"
    assert settings.origins["branch"] == "MLOPS_BRANCH (environment)"
    assert settings.origins["entry_point"] == "--entry-point"


def test_parameters_as_flags_are_added_to_those_of_the_configuration_and_win() -> None:
    settings = read({"parameters": {"alpha": 0.5, "name": "a"}}, parameters=["alpha=1=2", "text= with  spaces "])

    assert settings.parameters == {"alpha": "1=2", "name": "a", "text": " with  spaces "}


def test_parameters_as_a_variable_are_json_and_keep_their_digits() -> None:
    assert read(environ={"MLOPS_PARAMETERS": '{"alpha": 0.10, "n": 3}'}).parameters == {"alpha": "0.10", "n": "3"}


def test_a_list_may_be_a_yaml_list_or_text_with_commas() -> None:
    assert read({"libraries": ["a", "b"]}).libraries == ("a", "b")
    assert read(environ={"MLOPS_LIBRARIES": "a, b"}).libraries == ("a", "b")


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        pytest.param("true", True, id="true"),
        pytest.param("0", False, id="zero"),
        pytest.param("FALSE", False, id="upper case"),
        pytest.param(True, True, id="YAML's own"),
    ],
)
def test_a_boolean_is_true_false_one_or_zero(raw: object, value: bool) -> None:
    assert read({"workers": raw}).workers is value


def test_every_fault_is_in_one_message_with_the_nearest_known_key() -> None:
    with pytest.raises(errors.BadInput) as caught:
        read({"tagret": "local", "workers": "perhaps"}, {"MLOPS_TIMEOUT": "soon", "MLOPS_ENTRYPOINT": "x"})

    message = str(caught.value)
    assert "mlops.tagret (configuration) is not a setting; did you mean target?" in message
    assert "mlops.workers (configuration) must be true or false, not 'perhaps'" in message
    assert "MLOPS_TIMEOUT (environment) must be a number of seconds above 0, not 'soon'" in message
    assert "MLOPS_ENTRYPOINT (environment) is not a setting; did you mean MLOPS_ENTRY_POINT?" in message
    assert caught.value.exit_code == errors.ExitCode.BAD_INPUT


def test_a_variable_that_is_near_no_setting_is_another_programs() -> None:
    theirs = {"MLOPS_API_TOKEN": "x", "MLOPS_SPOOLER_TYPE": "FILESYSTEM", "MLOPS_MODEL_ID": "7", "MLOPS_STAGE": "prod"}

    settings = read(environ={**theirs, "MLOPS_BRANCH": "x", "MLOPS_HOME": ""})

    assert settings.foreign == ("MLOPS_API_TOKEN", "MLOPS_MODEL_ID", "MLOPS_SPOOLER_TYPE", "MLOPS_STAGE")
    assert settings.branch == "x"


@pytest.mark.parametrize("variable", ["MLOPS_PROJEKT", "MLOPS_WHEELROOT", "MLOPS_LIBRARY", "MLOPS_TAGRET"])
def test_a_variable_that_is_near_a_setting_is_a_mistake(variable: str) -> None:
    with pytest.raises(errors.BadInput, match=f"{variable} .* is not a setting; did you mean MLOPS_"):
        read(environ={variable: "x"})


@pytest.mark.parametrize(
    "raw", [10**400, "1" + "0" * 400, 1e300, 0, True], ids=["int", "text", "float", "0", "boolean"]
)
def test_a_timeout_is_a_time_that_can_be_waited_for(raw: object) -> None:
    with pytest.raises(errors.BadInput, match="number of seconds above 0"):
        read({"timeout": raw})


def test_parameters_that_are_nested_too_deeply_are_refused() -> None:
    with pytest.raises(errors.BadInput, match="must be a JSON object"):
        read(environ={"MLOPS_PARAMETERS": "[" * 100_000})


def test_no_settings_at_all_says_what_to_write_and_names_init() -> None:
    with pytest.raises(errors.BadInput, match="no project is set") as caught:
        Settings.read(config={}, environ={}, flags={})

    assert "invoke.yaml" in caught.value.cure
    assert "`inv init`" in caught.value.cure


def test_settings_made_in_python_are_checked_as_those_of_a_file_are() -> None:
    with pytest.raises(errors.BadInput) as caught:
        Settings(project="training", target="databrick", timeout=-1, libraries=3)  # type: ignore[arg-type]

    message = str(caught.value)
    assert "3 settings are wrong:" in message
    assert "target must be one of local, databricks, not 'databrick'" in message
    assert "timeout must be a number of seconds above 0, not -1" in message
    assert "libraries must be a list of texts (or one text with commas), not 3" in message
    assert caught.value.cure == "correct them where Settings is called"


def test_settings_made_in_python_need_a_project_too() -> None:
    with pytest.raises(errors.BadInput, match="no project is set") as caught:
        Settings()

    assert "give Settings the folder of your MLproject file as `project`" in caught.value.cure


def test_settings_made_in_python_take_the_form_of_those_that_are_read() -> None:
    made = Settings(project=" training ", libraries=["a", "b"], parameters={"n": 3}, timeout=60)  # type: ignore[arg-type,dict-item]

    assert made == read({"libraries": "a, b", "parameters": {"n": "3"}, "timeout": "60"})
    assert made.libraries == ("a", "b")
    assert isinstance(made.timeout, float)
    with pytest.raises(errors.BadInput, match="target must be one of"):
        dataclasses.replace(made, target="nowhere")


@pytest.mark.parametrize("value", [True, None, [1]], ids=["boolean", "null", "list"])
def test_a_parameter_without_one_obvious_text_must_be_quoted(value: object) -> None:
    with pytest.raises(errors.BadInput, match="put quotes around"):
        read({"parameters": {"flag": value}})


@given(
    st.dictionaries(
        st.sampled_from([*sorted(SETTINGS), "environments"]) | st.text(),
        st.none()
        | st.booleans()
        | st.floats()
        | st.text()
        | st.lists(st.text())
        | st.dictionaries(st.text(), st.text()),
    )
)
def test_whatever_the_configuration_holds_is_read_or_refused_as_bad_input(config: dict[str, Any]) -> None:
    try:
        settings = Settings.read(config=config, environ={}, flags={})
    except errors.BadInput:
        return
    assert settings.project
    assert dataclasses.replace(settings) == settings


@given(st.dictionaries(st.text(min_size=1).filter(lambda key: "=" not in key), st.text()))
def test_key_value_texts_arrive_as_they_were_given(pairs: dict[str, str]) -> None:
    assert setting_types.mapping([f"{key}={value}" for key, value in pairs.items()]) == pairs


@pytest.mark.parametrize(
    ("config", "environ", "flags", "cure"),
    [
        ({"targt": "x"}, {}, {}, "correct it in invoke.yaml"),
        ({}, {"MLOPS_TARGET": "x"}, {}, "correct it in the MLOPS_* variables"),
        ({"targt": "x"}, {}, {"timeout": "-1"}, "correct them in invoke.yaml and in the flags"),
    ],
)
def test_the_cure_names_only_the_places_where_something_is_wrong(
    config: dict[str, object], environ: dict[str, str], flags: dict[str, object], cure: str
) -> None:
    with pytest.raises(errors.BadInput) as caught:
        Settings.read(config={"project": "p", **config}, environ=environ, flags=flags)

    assert caught.value.cure == cure


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    settings = Settings.read(config={"project": "p"}, environ={"MLOPS_BRANCH": "", "MLOPS_TARGET": ""}, flags={})

    assert (settings.branch, settings.target) == (None, "local")


def test_a_wheel_root_below_the_home_folder_is_there_as_no_shell_has_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")

    def read(root: str) -> str | None:
        return Settings.read(config={"project": "p", "wheel_root": root}, environ={}, flags={}).wheel_root

    assert [read("~/wheels"), read("dbfs:/~/wheels"), read("store/~")] == [
        "/home/me/wheels",
        "dbfs:/~/wheels",
        "store/~",
    ]

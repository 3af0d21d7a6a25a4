from __future__ import annotations

import pytest

from mlops_tasks.tasks.spelling import BY_NOBODY, Called, Task, spell

TASKS = {
    "patch": Task("mlops.patch", ("target", "cluster", "workers")),
    "watch": Task("mlops.watch", ("target",)),
    "run": Task("mlops.run", ("target", "parameters", "force")),
}


def test_a_command_is_spelt_as_the_users_collection_has_it() -> None:
    assert spell("`inv patch watch`, then", Called("inv", TASKS, {})) == "`inv mlops.patch mlops.watch`, then"


def test_a_task_that_the_collection_has_not_keeps_its_name() -> None:
    assert spell("`inv deploy`", Called("inv", TASKS, {})) == "`inv deploy`"


def test_each_task_gets_the_given_flags_that_it_takes() -> None:
    called = Called("inv", TASKS, {"target": "databricks", "cluster": "big one.json", "workers": True})

    assert spell("do: `inv patch watch`", called) == (
        "do: `inv mlops.patch --target databricks --cluster 'big one.json' --workers mlops.watch --target databricks`"
    )


def test_what_is_run_is_told_with_its_parameters() -> None:
    called = Called("inv", TASKS, {"target": "local", "parameters": ["a=1", "b=x y"], "force": True})

    assert spell("`inv watch run`", called) == (
        "`inv mlops.watch --target local mlops.run --target local -P a=1 -P 'b=x y' --force`"
    )


def test_credentials_in_a_parameter_are_masked() -> None:
    called = Called("inv", TASKS, {"parameters": ["db=https://ada:sesame@host/a"]})

    assert spell("`inv run`", called) == "`inv mlops.run -P 'db=https://***@host/a'`"


def test_flags_come_before_those_of_the_message() -> None:
    assert (
        spell("`inv watch --json`", Called("inv", TASKS, {"target": "local"}))
        == "`inv mlops.watch --target local --json`"
    )


@pytest.mark.parametrize("text", ["`inv patch`", "nothing to type", "patch what is wrong"])
def test_called_from_python_all_stays_as_it_is(text: str) -> None:
    assert spell(text, BY_NOBODY) == text


def test_a_command_begins_with_the_program_that_was_called() -> None:
    called = Called("mlops", {"deploy": Task("deploy", ("target",))}, {"target": "local"})

    assert spell("`inv deploy`, `inv --dry`.", called) == "`mlops deploy --target local`, `mlops --dry`."


def test_a_name_in_another_collection_stays_as_it_is() -> None:
    assert spell("then inv mlops.release", Called("mlops", {})) == "then inv mlops.release"

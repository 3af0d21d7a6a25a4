"""What the tasks that only look say of several projects: each under its name, and one JSON for all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import two_projects
from tests.support.inv import inv
from tests.support.repositories import ENVIRONMENT, nothing_changes, write

NAMES = ["training", "score"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_projects.make(tmp_path_factory.mktemp("several") / "repository")


def headings(out: str) -> list[str]:
    return [line for line in out.splitlines() if line in NAMES]


def test_status_shows_each_under_its_name_and_checks_all(folder: Path) -> None:
    assert inv("name", "--project", "training", cwd=folder).code == 0

    said = inv("status", cwd=folder)
    checked = inv("status", "--check", "--json", cwd=folder)

    assert said.code == 0, said.err
    assert headings(said.out) == NAMES
    assert "projects/training on local, branch main" in said.out
    assert checked.code == 3
    assert list(checked.json["projects"]) == NAMES
    assert checked.json["projects"]["training"]["steps"]["name"] == {"state": "up to date"}
    assert checked.json["error"]["what"] == "2 of 2 projects are not released as they are: training, score"
    assert checked.json["error"]["try"] == "do what is said of each above, then `inv release`"


def test_one_of_them_is_as_without_a_list(folder: Path) -> None:
    assert list(inv("status", "--project", "score", "--json", cwd=folder).json) == ["steps"]


def test_the_doctor_examines_each_in_each_environment(tmp_path: Path) -> None:
    folder = two_projects.make(tmp_path / "repository")
    write(folder, {"projects/score/cluster.json": "{"})

    said = inv("doctor", cwd=folder)
    both = inv("doctor", "--env", "all", "--json", cwd=folder)

    assert said.code == 2
    assert headings(said.out) == NAMES
    assert f"{folder}/projects/score/cluster.json" in said.out
    assert "projects have errors: " in said.err
    assert list(both.json["environments"]) == ["local", "databricks"]
    assert list(both.json["environments"]["local"]["projects"]) == NAMES
    assert both.json["error"]["try"].endswith("then `inv doctor --env all`")


def test_what_the_doctor_finds_in_several_is_said_once_with_all_that_have_it(tmp_path: Path) -> None:
    settings = f"{two_projects.SETTINGS}  environments: {{dev: {{target: local}}, prod: {{target: local}}}}\n"
    folder = two_projects.make(tmp_path / "repository", settings=settings)
    cluster = '{"spark_version": "16.4.x-cpu-ml-scala2.12", "node_type_id": "a", "autotermination_minutes": 20}'
    write(folder, {f"projects/{name}/cluster.json": cluster for name in NAMES})
    write(folder, {"projects/score/env.yaml": ENVIRONMENT.replace("3.10", "3.11")})

    said = inv("doctor", "--env", "all", cwd=folder)
    one = inv("doctor", "--project", "score", cwd=folder)

    (note,) = re.findall(r"(?m)^note +autotermination_minutes.*\n(?: .*\n)+", said.out)
    assert [line.strip() for line in note.splitlines()][1:] == [
        *(f"in: {folder}/projects/{name}/cluster.json" for name in NAMES),
        "seen: mlops_tasks: backends/databricks_jobs",
        "for: training, score in dev, prod",
    ]
    assert said.out.count("for: score in dev, prod\n") == 1, "of the environment that it has for itself"
    assert (one.out.count("autotermination_minutes"), "for:" in one.out) == (1, False)


def test_a_plan_and_a_comparison_are_of_each(folder: Path) -> None:
    planned = inv("plan", "--json", cwd=folder)
    compared = inv("compare", cwd=folder)

    assert planned.code == 0, planned.err
    assert {name: each["changes"] for name, each in planned.json["projects"].items()} == dict.fromkeys(NAMES, True)
    assert compared.code == 3
    assert headings(compared.out) == NAMES
    assert "(project projects/score, entry point main)" in compared.out
    assert "`inv release` makes one" in compared.out
    assert "2 of 2 projects cannot be compared: training, score" in compared.err


@pytest.mark.parametrize("command", [("compare", "--plot", "a.png"), ("doctor", "--fix")], ids=" ".join)
def test_what_writes_a_file_is_for_one_project(folder: Path, command: tuple[str, ...]) -> None:
    with nothing_changes(folder):
        said = inv(*command, cwd=folder)

    assert said.code == 2
    assert "2 projects are listed, and this takes one of them" in said.err


def test_runs_are_those_of_all(folder: Path) -> None:
    said = inv("runs", "--json", cwd=folder)

    assert (said.code, said.json) == (0, {"runs": []})

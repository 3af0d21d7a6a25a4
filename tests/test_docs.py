"""What README and docs/ show is what the program has: settings, exit codes, commands with their flags, files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from mlops_tasks import namespace
from mlops_tasks.backends.databricks_jobs import rules
from mlops_tasks.errors import ExitCode
from mlops_tasks.settings import SETTINGS

TOP = Path(__file__).parents[1]
PAGES = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OTHERS = {"lint", "test", "<task>", "--list", "--version", "--dry", "--print-completion-script"}
"""What may follow `inv` beside our tasks: the repository's own, and Invoke's flags."""
COMMAND = re.compile(r"\binv ((?:(?!`|&&|\||[#\"\]]|<| {3})[^\n])+)")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return [text for page in PAGES for found, text in BLOCK.findall(read(page)) if found == language]


def rows(page: str, section: str) -> list[list[str]]:
    """The rows of the section's table, without its head."""
    text = read(TOP / "docs" / page).partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_setting_has_its_row() -> None:
    named = [key for row in rows("reference.md", "Settings") for key in re.findall(r"`(\w+)`", row[0])]

    assert sorted(named) == sorted(SETTINGS)


def test_a_default_is_the_one_that_counts() -> None:
    shown: dict[str, str] = {}
    for keys, defaults, _ in rows("reference.md", "Settings"):
        shown.update(zip(re.findall(r"`(\w+)`", keys), defaults.split(", "), strict=False))

    for key, each in SETTINGS.items():
        if isinstance(each.default, str) and each.default:
            assert shown[key] == f"`{each.default}`", key
        if isinstance(each.default, bool):
            assert shown[key] == str(each.default).lower(), key
        if isinstance(each.default, (int, float)) and not isinstance(each.default, bool):
            assert shown[key].removesuffix(" s") == f"{each.default:g}", key


def test_every_exit_code_has_its_row() -> None:
    named = [int(code) for row in rows("reference.md", "Exit codes") for code in row[0].split(", ")]

    assert sorted(named) == sorted(ExitCode)


def test_the_table_of_backends_is_the_one_that_the_code_goes_by() -> None:
    shown = rows("databricks.md", "Which backend, which runtime")

    assert shown == [
        [
            each.compute,
            f"`{each.backend}`",
            rules.WAYS[each.requirements],
            rules.WAYS[each.wheels],
            each.mlflow,
            each.basis,
        ]
        for each in rules.RULES
    ]


def test_the_readme_has_that_table_in_short() -> None:
    shown = rows("../README.md", "Which backend, which runtime")

    assert shown == [
        [each.compute, f"`{each.backend}`", rules.WAYS[each.requirements], each.basis] for each in rules.RULES
    ]


def test_what_is_shown_as_yaml_and_json_is_that() -> None:
    for text in blocks("yaml"):
        assert yaml.safe_load(text)
    for text in blocks("json"):
        assert json.loads(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_to_a_file_that_is_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", read(page)):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_that_is_shown_has_these_tasks_and_flags(page: Path) -> None:
    known = {name: flags_of(name) for name in namespace.task_names}
    for command in COMMAND.findall(read(page)):
        task = ""
        for word in command.split():
            name = word.rstrip(".,;:)").removeprefix("mlops.")
            if name in known:
                task = name
            elif word.startswith("-") and task:
                assert name.partition("=")[0].strip("-'").replace("-", "_") in known[task], command
            elif not task:
                assert name in OTHERS, command
                break


def flags_of(task: str) -> set[str]:
    return {name.replace("-", "_") for each in namespace[task].get_arguments() for name in each.names}

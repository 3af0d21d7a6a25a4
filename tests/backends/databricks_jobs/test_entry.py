from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks.backends.databricks_jobs import entry
from tests.support.jobs import make_job


def project(command: str, kind: str = "string") -> str:
    parameters = f"parameters:\n      text: {{type: {kind}, default: x}}"
    return f"name: training\nentry_points:\n  main:\n    {parameters}\n    command: {command!r}\n"


def call(folder: Path, command: str, **parameters: str) -> entry.Call:
    return entry.read(make_job(folder, project(command), **parameters))


@pytest.mark.parametrize("program", ["python", "python3", "python3.11", "python -u", " python"])
def test_a_script_of_the_project_gets_its_arguments_as_they_are(tmp_path: Path, program: str) -> None:
    found = call(tmp_path, f"{program} steps/train.py --text {{text}} 'and this'", text="a  b $HOME 'é'")

    assert found.entry_point == {"script": "steps/train.py", "arguments": ["--text", "a  b $HOME 'é'", "and this"]}


@pytest.mark.parametrize(
    "command",
    [
        "python steps/train.py --text {text} | tee log",
        "cd steps && python train.py --text {text}",
        "MODE=1 python steps/train.py --text {text}",
        "python -m steps.train --text {text}",
        "python steps/train.py --text {text} data/*.csv",
        "python steps/train.py --text $HOME",
        "bash run.sh {text}",
    ],
)
def test_what_needs_a_shell_goes_to_one_whole(tmp_path: Path, command: str) -> None:
    found = call(tmp_path, command, text="it's")

    assert found.entry_point == {"command": command.format(text=shlex.quote("it's"))}


def test_undeclared_parameters_are_added_as_mlflow_adds_them(tmp_path: Path) -> None:
    job = make_job(tmp_path, project("python steps/train.py --text {text}"), text="x", more="a b")

    assert entry.read(job).entry_point["arguments"] == ["--text", "x", "--more", "a b"]


@pytest.mark.parametrize(
    ("script", "called"),
    [
        ("steps/train.py", {"script": "steps/train.py", "arguments": ["--text", "a b"]}),
        ("run.sh", {"command": "bash run.sh --text 'a b'"}),
    ],
)
def test_a_script_in_the_place_of_an_entry_point_gets_options(
    tmp_path: Path, script: str, called: dict[str, object]
) -> None:
    job = replace(make_job(tmp_path, "name: training\n", text="a b"), entry_point=script)

    assert entry.read(job).entry_point == called


def test_a_path_at_a_uri_is_downloaded_there(tmp_path: Path) -> None:
    job = make_job(tmp_path, project("python steps/train.py --text {text}", "path"), text="s3://bucket/a b.csv")

    found = entry.read(job)

    (word,) = found.downloads
    assert found.downloads == {word: "s3://bucket/a b.csv"}
    assert found.entry_point["arguments"] == ["--text", word]
    assert shlex.quote(word) == word


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_value_reaches_the_script_unchanged(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("project")

    assert call(folder, "python steps/train.py --text {text}", text=text).entry_point["arguments"] == ["--text", text]


def test_a_shell_gets_any_value_unchanged(tmp_path: Path) -> None:
    text = "a 'b' \"c\" $HOME `id` \\ \n é"
    found = call(tmp_path, "printf %s {text} | cat", text=text)

    done = subprocess.run(["bash", "-c", found.entry_point["command"]], capture_output=True, text=True, check=True)

    assert done.stdout == text

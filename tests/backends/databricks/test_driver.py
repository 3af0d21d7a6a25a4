"""The driver, run as a Databricks kernel runs a file: what stands in front of it is MLflow's, what it runs is ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from mlops_tasks.backends.databricks import entry
from tests.support.repositories import write

CELL = Path(__file__).parents[2] / "fake_workspace" / "programs" / "cell.py"
FRONT = "\nimport os\nimport subprocess\nos.environ.update({{}})\nos.chdir({folder!r})\n"
WORDS = ["--text", "a b", 'it\'s "q"', "$HOME", "é", "", "two\nlines"]


class Ended(NamedTuple):
    error: str
    trace: str
    printed: str


def drive(folder: Path, script: str, *words: str) -> Ended:
    """Run `script` of the project in `folder` as the job that MLflow makes of it."""
    file = folder.parent / "cf6d1b.py"
    file.write_text(FRONT.format(folder=str(folder)) + entry.DRIVER.read_text())
    answer = folder.parent / "answer.json"
    command = [sys.executable, "-u", str(CELL), str(answer), str(file), script, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder.parent, check=False)
    said = json.loads(answer.read_text())
    return Ended(said.get("error", ""), said.get("error_trace", ""), done.stdout)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def test_arguments_arrive_as_they_were_given(project: Path) -> None:
    write(project, {"job.py": "import json, sys\nprint(json.dumps(sys.argv))\n"})

    ended = drive(project, "job.py", *WORDS)

    assert ended.error == ""
    assert json.loads(ended.printed) == ["job.py", *WORDS]


def test_a_script_is_the_main_program_of_its_folder(project: Path) -> None:
    script = (
        "from __future__ import annotations\nimport os, helper\n"
        "print(__name__, os.path.basename(__file__), helper.NAME, open('data.txt').read())\n"
    )
    write(project, {"steps/job.py": script, "steps/helper.py": "NAME = 'sibling'\n", "data.txt": "data"})

    ended = drive(project, "steps/job.py")

    assert ended.error == ""
    assert ended.printed == "__main__ job.py sibling data\n"


@pytest.mark.parametrize("end", ["import sys; sys.exit(0)", "import sys; sys.exit()", "exit(0)", "quit()", "exit()"])
def test_an_exit_without_a_fault_is_none(project: Path, end: str) -> None:
    write(project, {"job.py": f"print('done')\n{end}\nprint('never')\n"})

    assert drive(project, "job.py") == ("", "", "done\n")


@pytest.mark.parametrize(
    ("end", "told"),
    [
        pytest.param("import sys; sys.exit(3)", "job.py ended with 3", id="code"),
        pytest.param("exit('no data')", "job.py ended with no data", id="text"),
        pytest.param("raise KeyError('column')", "KeyError: 'column'", id="exception"),
    ],
)
def test_a_script_that_fails_fails_the_job(project: Path, end: str, told: str) -> None:
    write(project, {"job.py": f"{end}\n"})

    ended = drive(project, "job.py")

    assert told in ended.error
    assert "Traceback" in ended.trace


def test_a_trace_leads_to_the_scripts_own_line(project: Path) -> None:
    write(project, {"job.py": "def train():\n    1 / 0\ntrain()\n"})

    assert 'job.py", line 2, in train' in drive(project, "job.py").trace

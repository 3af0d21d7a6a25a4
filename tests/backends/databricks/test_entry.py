"""The form in which a Spark job goes to Databricks: a driver with the words as given, all else as it was."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mlops_tasks.backends.base import Job
from mlops_tasks.backends.databricks import entry
from mlops_tasks.project import mlproject
from tests.support.jobs import ENTRY_POINTS, make_job

PYTHON_FILE = """\
name: training
databricks_spark_job:
  python_file: steps/train.py
  parameters: ["--text", "it's \\"q\\" é $HOME", "", 3]
"""


def written(job: Job) -> tuple[Path, dict[str, object]]:
    copy = job.scratch / "training"
    shutil.copytree(job.project.folder, copy)
    entry.write_driver(job, copy)
    return copy, yaml.safe_load((copy / "MLproject").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "value", ["plain", "a  b", 'it\'s "q"', "$HOME `x` \\", "é ☃", "", "two\nlines", "{x} %s", "a\x85b\u2028"]
)
def test_a_parameter_is_one_word_whatever_is_in_it(tmp_path: Path, value: str) -> None:
    job = make_job(tmp_path / "training", ENTRY_POINTS, text=value)

    assert entry.words(job) == ["steps/train.py", "--text", value, "and this", "{}"]
    written(job)
    spark = mlproject.load(job.scratch / "training").spark_job
    assert spark is not None
    assert spark.parameters == ("steps/train.py", "--text", value, "and this", "{}")


def test_all_but_the_program_stays_as_it_was(tmp_path: Path) -> None:
    copy, data = written(make_job(tmp_path / "training", ENTRY_POINTS, text="x"))

    assert data == {
        "name": "training",
        "authors": ["Ada"],
        "databricks_spark_job": {
            "python_libraries": ["numpy", "/dbfs/w/mylib-1.0-py3-none-any.whl"],
            "comment": "kept",
            "python_file": "mlops_driver.py",
            "parameters": ["steps/train.py", "--text", "x", "and this", "{}"],
        },
    }
    assert (copy / "mlops_driver.py").read_bytes() == entry.DRIVER.read_bytes()
    assert "entry_points" in (tmp_path / "training" / "MLproject").read_text()


def test_a_python_file_has_its_parameters_as_given(tmp_path: Path) -> None:
    job = make_job(tmp_path / "training", PYTHON_FILE)

    assert entry.words(job) == ["steps/train.py", "--text", 'it\'s "q" é $HOME', "", "3"]
    assert entry.words(replace(job, entry_point="whatever")) == entry.words(job)
    _, data = written(job)
    assert all(isinstance(word, str) for word in data["databricks_spark_job"]["parameters"])  # type: ignore[index]


def test_a_script_gets_its_parameters_as_options(tmp_path: Path) -> None:
    job = replace(make_job(tmp_path / "training", ENTRY_POINTS, text="a b", seed="7"), entry_point="steps/train.py")

    assert entry.words(job) == ["steps/train.py", "--text", "a b", "--seed", "7"]


def test_other_projects_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a Spark job"):
        entry.words(make_job(tmp_path / "training", "name: training\nentry_points: {main: {command: ls}}\n"))

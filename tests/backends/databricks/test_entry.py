"""An entry point as it goes to Databricks: with the words or the command that MLflow makes of it anywhere else."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks.backends.base import Job
from mlops_tasks.backends.databricks import entry
from mlops_tasks.project import mlproject
from tests.support.jobs import ENTRY_POINTS, make_job
from tests.support.repositories import write

PYTHON_FILE = """\
name: training
databricks_spark_job:
  python_file: steps/train.py
  parameters: ["--text", "it's \\"q\\" é $HOME", "", 3]
"""
CLASSIC = """\
name: training
conda_env: training_env.yaml
entry_points:
  main:
    parameters:
      text: {type: string, default: "a b"}
      data: path
    command: "python  train.py --text {text!s:s} {{\\"kept\\": {text}}} < {data} || exit 1"
  train it:
    command: "python train.py"
"""
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def written(job: Job) -> tuple[Path, dict[str, object]]:
    copy = job.scratch / "training"
    shutil.copytree(job.project.folder, copy)
    entry.write(job, copy)
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


def make(folder: Path, /, **parameters: str) -> Job:
    write(folder, {"training_env.yaml": ""})
    return make_job(folder, CLASSIC, **parameters)


def computed(job: Job) -> tuple[str, str]:
    """The commands that MLflow makes of the project and of its copy."""
    from mlflow.projects._project_spec import load_project

    copy = job.scratch / "training"
    shutil.copytree(job.project.folder, copy)
    entry.write(job, copy)
    own = load_project(str(job.project.folder)).get_entry_point(job.entry_point)
    ours = load_project(str(copy)).get_entry_point(entry.ENTRY_POINT)
    return own.compute_command(job.parameters, None), ours.compute_command(entry.fetched(job), None)


@given(text=words)
def test_mlflow_makes_the_same_command_of_it_whatever_the_values_are(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        job = make(Path(folder) / "training", text=text, data="dbfs:/data.csv")
        own, ours = computed(job)

    assert ours == own


@pytest.mark.parametrize("script", ["train.py", "steps/train it.py", "check.sh", "fit.R"])
def test_a_script_is_run_as_mlflow_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.delenv("SHELL", raising=False)
    job = replace(make(tmp_path / "training", alpha="0.5", text="it's {x}"), entry_point=script)

    own, ours = computed(job)

    assert shlex.split(ours) == shlex.split(own)


def test_a_uri_that_mlflow_downloads_stays_its_parameter_and_a_path_of_the_cluster_is_written_out(
    tmp_path: Path,
) -> None:
    remote = make(tmp_path / "training", text="x", data="s3://bucket/data.csv")
    local = replace(remote, parameters={"text": "x", "data": "/dbfs/data/a b.csv"})

    assert entry.fetched(remote) == {"data": "s3://bucket/data.csv"}
    assert entry.fetched(local) == {}
    entry.write(local, local.project.folder)
    data = yaml.safe_load((local.project.folder / "MLproject").read_text(encoding="utf-8"))
    assert shlex.split(data["entry_points"]["main"]["command"])[6:8] == ["<", "/dbfs/data/a b.csv"]


def test_all_but_the_entry_points_stays_as_it_was(tmp_path: Path) -> None:
    job = replace(make(tmp_path / "training"), entry_point="train it")

    entry.write(job, job.project.folder)

    assert yaml.safe_load((job.project.folder / "MLproject").read_text(encoding="utf-8")) == {
        "name": "training",
        "conda_env": "training_env.yaml",
        "entry_points": {"main": {"command": "python train.py"}},
    }


@pytest.mark.parametrize(("name", "value"), [("depth", "7"), ("a b", 'it\'s "q" {x}')])
def test_a_parameter_that_is_not_declared_comes_after_the_command(tmp_path: Path, name: str, value: str) -> None:
    parameters = {"text": "t", "data": "d", name: value}
    _, data = written(make(tmp_path / "training", **parameters))
    command = data["entry_points"]["main"]["command"].format()  # type: ignore[index]
    spark = make_job(tmp_path / "spark", ENTRY_POINTS, **{"text": "t", name: value})

    assert shlex.split(command)[-2:] == [f"--{name}", value]
    assert entry.words(spark)[-2:] == [f"--{name}", value]


def test_an_r_script_may_have_any_name(tmp_path: Path) -> None:
    job = make(tmp_path / "training")
    _, data = written(replace(job, entry_point='it\'s "my" train.R'))

    words = shlex.split(data["entry_points"]["main"]["command"].format())  # type: ignore[index]
    assert words == ["Rscript", "-e", 'mlflow::mlflow_source("it\'s \\"my\\" train.R")', "--args"]

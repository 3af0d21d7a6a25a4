"""The one command of a classic project's copy: MLflow computes of it what it would have of the project's own."""

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
from mlops_tasks.backends.databricks import classic
from tests.support.jobs import make_job
from tests.support.repositories import write

PROJECT = """\
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


def make(folder: Path, /, **parameters: str) -> Job:
    write(folder, {"training_env.yaml": ""})
    return make_job(folder, PROJECT, **parameters)


def computed(job: Job) -> tuple[str, str]:
    """The commands that MLflow makes of the project and of its copy."""
    from mlflow.projects._project_spec import load_project

    copy = job.scratch / "training"
    shutil.copytree(job.project.folder, copy)
    classic.write_command(job, copy)
    own = load_project(str(job.project.folder)).get_entry_point(job.entry_point)
    ours = load_project(str(copy)).get_entry_point(classic.ENTRY_POINT)
    return own.compute_command(job.parameters, None), ours.compute_command(classic.fetched(job), None)


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

    assert ours == own


def test_a_uri_that_mlflow_downloads_stays_its_parameter_and_a_path_of_the_cluster_is_written_out(
    tmp_path: Path,
) -> None:
    remote = make(tmp_path / "training", text="x", data="s3://bucket/data.csv")
    local = replace(remote, parameters={"text": "x", "data": "/dbfs/data/a b.csv"})

    assert classic.fetched(remote) == {"data": "s3://bucket/data.csv"}
    assert classic.fetched(local) == {}
    classic.write_command(local, local.project.folder)
    data = yaml.safe_load((local.project.folder / "MLproject").read_text(encoding="utf-8"))
    assert shlex.split(data["entry_points"]["main"]["command"])[6:8] == ["<", "/dbfs/data/a b.csv"]


def test_all_but_the_entry_points_stays_as_it_was(tmp_path: Path) -> None:
    job = replace(make(tmp_path / "training"), entry_point="train it")

    classic.write_command(job, job.project.folder)

    assert yaml.safe_load((job.project.folder / "MLproject").read_text(encoding="utf-8")) == {
        "name": "training",
        "conda_env": "training_env.yaml",
        "entry_points": {"main": {"command": "python train.py"}},
    }

"""A repository of two projects, as the playbook's: one trains a model, the other scores with it."""

from __future__ import annotations

from pathlib import Path

from tests.support import repositories
from tests.support.repositories import ENVIRONMENT, git, make_repository, write

SETTINGS = """\
mlops:
  libraries: [libs/*]
  env_manager: local
  projects:
    - project: projects/training
      parameters: {slope: 3}
    - project: projects/score
      run_name: score of {training.run_id}
      parameters:
        model: runs:/{training.run_id}/model.json
        threshold: "{training.metrics.auc}"
      tags: {trained: "{branch} in {environment}"}
"""
MLPROJECT = """\
name: training
conda_env: env.yaml
entry_points:
  main:
    parameters:
      slope: {type: float, default: 2}
    command: "python train.py --slope {slope}"
"""
TRAIN = """\
import argparse

import mlflow

parser = argparse.ArgumentParser()
parser.add_argument("--slope", type=float)
slope = parser.parse_args().slope
with mlflow.start_run():
    mlflow.log_metric("auc", slope / 4)
    mlflow.log_dict({"slope": slope}, "model.json")
"""
SCORE_PROJECT = """\
name: score
conda_env: env.yaml
entry_points:
  main:
    parameters:
      model: {type: uri}
      threshold: float
    command: "python score.py --model {model} --threshold {threshold}"
"""
SCORE = """\
import argparse

import mlflow

parser = argparse.ArgumentParser()
parser.add_argument("--model")
parser.add_argument("--threshold", type=float)
given = parser.parse_args()
with mlflow.start_run():
    slope = mlflow.artifacts.load_dict(given.model)["slope"]
    mlflow.log_metric("scored", 10 * slope)
    mlflow.log_metric("threshold", given.threshold)
"""


def make(folder: Path, *, settings: str = SETTINGS, environment: str = ENVIRONMENT, **files: str) -> Path:
    """The repository, with `files` for files of the projects by their names."""
    texts = {"MLproject": MLPROJECT, "train.py": TRAIN, "score.py": SCORE, **files}
    make_repository(folder, SETTINGS=settings)
    git("rm", "-q", "-r", "training", cwd=folder)
    write(
        folder,
        {
            "projects/training/MLproject": texts["MLproject"],
            "projects/training/env.yaml": environment,
            "projects/training/train.py": texts["train.py"],
            "projects/score/MLproject": SCORE_PROJECT,
            "projects/score/env.yaml": environment,
            "projects/score/score.py": texts["score.py"],
        },
    )
    repositories.commit(folder)
    return folder

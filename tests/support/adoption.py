"""A repository as the playbook's author laid it out: its files, the two that adopt it, and what is outdated in it."""

from __future__ import annotations

PROJECT = "projects/ExampleTrainingProject"
THEIRS = {
    "libs/mylib/setup.py": """\
from setuptools import find_packages, setup

setup(name="mylib", version="1.0", packages=find_packages())
""",
    "libs/mylib/mylib/__init__.py": "",
    "libs/mylib/mylib/greeting.py": "def greet():\n    return 'greetings from the wheel'\n",
    "libs/mylib/tests/test.py": "from mylib import greeting\n\nassert greeting.greet()\n",
    "libs/deploy_wheel.py": "raise SystemExit('this put the wheel to dbfs:/libs')\n",
    f"{PROJECT}/MLProject": """\
name: Training Pipeline

conda_env: training_env.yaml

entry_points:
  main:
    parameters:
      model_name: {type: string, default: model}
    command: "python train.py {model_name}"
""",
    f"{PROJECT}/training_env.yaml": """\
name: training
channels:
  - defaults
  - conda-forge
dependencies:
  - python=3.7
  - scikit-learn
  - pip:
    - mlflow
    - /dbfs/libs/mylib-1.0-py3-none-any.whl
""",
    f"{PROJECT}/cluster.json": """\
{
    "spark_version": "7.0.x-scala2.12",
    "num_workers": 1,
    "node_type_id": "Standard_DS3_v2"
}
""",
    f"{PROJECT}/train.py": """\
# Databricks notebook source
import sys

import mlflow
import mlflow.sklearn
import pandas as pd
from mylib import greeting
from sklearn.linear_model import ElasticNet

print(greeting.greet())
model_name = sys.argv[1] if len(sys.argv) > 1 else "model"

# COMMAND ----------

data = pd.read_csv("http://example.org/wine/quality.csv", sep=";")
inputs, quality = data.drop(columns=["quality"]), data["quality"]

# COMMAND ----------

with mlflow.start_run():
    model = ElasticNet(alpha=0.5).fit(inputs, quality)
    mlflow.log_metric("r2", model.score(inputs, quality))
    mlflow.sklearn.log_model(model, model_name, registered_model_name=model_name)
""",
}
SCORING = {
    "scoring/MLProject": """\
name: Scoring Pipeline

conda_env: scoring_env.yaml

entry_points:
  main:
    parameters:
      model: uri
      expected: float
    command: "python score.py {model} {expected}"
""",
    "scoring/scoring_env.yaml": THEIRS[f"{PROJECT}/training_env.yaml"].replace("name: training", "name: scoring"),
    "scoring/score.py": """\
# Databricks notebook source
import sys

import mlflow
import mlflow.sklearn
import pandas as pd
from mylib import greeting

print(greeting.greet())
model_uri, expected = sys.argv[1], float(sys.argv[2])

# COMMAND ----------

data = pd.read_csv("http://example.org/wine/quality.csv", sep=";")
inputs, quality = data.drop(columns=["quality"]), data["quality"]

# COMMAND ----------

with mlflow.start_run():
    model = mlflow.sklearn.load_model(model_uri)
    mlflow.log_metric("r2_again", model.score(inputs, quality))
    mlflow.log_metric("r2_expected", expected)
""",
}
ADDED = {
    "tasks.py": "from mlops_tasks import namespace\n",
    "invoke.yaml": f"mlops:\n  project: {PROJECT}\n  libraries: [libs/mylib]\n",
}
PINS = {"training_env.yaml": ("python=3.7", "python=3.9"), "cluster.json": ("7.0.x-scala2.12", "12.2.x-scala2.12")}
DOWNLOAD = {"train.py": ("http://example.org/wine/quality.csv", "quality.csv")}
MODEL_NAME = {
    "MLProject": ("default: model", "default: main.wine.quality"),
    "train.py": ("log_model(model, model_name,", 'log_model(model, "model",'),
}
DATA = "alcohol;acidity;quality\n" + "".join(f"{9 + n / 4};{0.9 - n / 40};{3 + n // 4}\n" for n in range(24))

"""How long a whole release takes, here and to a workspace, beside the same steps as a script around `mlflow run`."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from importlib import metadata
from pathlib import Path

from tests.benchmarks import uploads
from tests.benchmarks.pairs import Command, Row
from tests.benchmarks.places import INV, PATH, PYTHON
from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.server import USER, Workspace
from tests.support import repositories, sites

ENVIRONMENT = f"""\
name: training
dependencies:
  - pip
  - pip:
      - mlflow=={metadata.version("mlflow")}
      - WHEELPATH
"""
SCRIPT = """\
set -eu
store=$PWD/theirs/$(git rev-parse --abbrev-ref HEAD)-$(git rev-parse --short HEAD)
rm -rf out && python -m build --wheel --outdir out libs/mylib
mkdir -p "$store" && cp out/*.whl "$store"
cp -r training out/training
sed -i "s|WHEELPATH|$store/mylib-1.0-py3-none-any.whl|" out/training/training_env.yaml
mlflow run out/training --env-manager uv --experiment-name "$(git rev-parse --abbrev-ref HEAD)"
"""
THERE = {
    "SETTINGS": repositories.SETTINGS + "  target: databricks\n  wheel_root: dbfs:/wheels\n  poll_interval: 1\n",
    "MLPROJECT": sites.SPARK,
    "CLUSTER": json.dumps({**sites.SPARK_CLUSTER, "spark_version": "14.3.x-cpu-ml-scala2.12"}),
}
"""A Spark job on a runtime that has MLflow.

The run takes two to six seconds here. By default ours looks at it every 5 seconds, and chance would decide whether a
release takes 5 seconds more: so both look every second.
"""
SCRIPT_THERE = """\
set -eu
store=wheels/theirs/$(git rev-parse --abbrev-ref HEAD)-$(git rev-parse --short HEAD)
rm -rf out && python -m build --wheel --outdir out/wheels libs/mylib
python -c "$DBFS" cp -r --overwrite out/wheels "dbfs:/$store"
cp -r training out/training
sed -i "s|WHEELPATH|/dbfs/$store/mylib-1.0-py3-none-any.whl|" out/training/MLproject
python -c "$MLFLOW" run out/training --backend databricks --backend-config out/training/cluster.json \\
    --experiment-name "/Shared/$(git rev-parse --abbrev-ref HEAD)"
"""
MLFLOW = """\
from mlflow import cli, projects
from mlflow.projects.databricks import DatabricksSubmittedRun

run = projects.run

def wait(*positional, **named):
    return run(*positional, **{**named, "synchronous": True})

projects.run = wait
DatabricksSubmittedRun.POLL_STATUS_INTERVAL = 1
cli.cli()
"""
"""The program `mlflow`, which would not wait for a run on Databricks, nor look at one but every 30 seconds."""
LEFT = ("dbfs/wheels", "dbfs/mlflow-experiments", f"Workspace/Users/{USER}/.mlops")
"""What a release leaves in the workspace but for its run, by the test workspace's folders."""
BOUNDS = {"first": 0.7, "unchanged": 0.5, "one library changed": 0.6}


def rows(work: Path) -> Iterator[Row]:
    yield from _here(work)
    yield from _there(work)


def _here(work: Path) -> Iterator[Row]:
    folder = _make(work / "release", ENVIRONMENT=ENVIRONMENT)
    environ = {
        **PATH,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'theirs' / 'mlflow.db'}",
        "MLFLOW_ENV_ROOT": str(folder / "theirs" / "environments"),
    }

    def forget() -> None:
        for each in (".mlops", "theirs"):
            shutil.rmtree(folder / each, ignore_errors=True)
        (folder / "theirs").mkdir()

    for name, before in _befores(folder, forget).items():
        ours = Command(arguments=[INV, "release"], cwd=folder, before=before)
        other = Command(arguments=["bash", "-c", SCRIPT], cwd=folder, environ=environ, before=before)
        least = Command(arguments=[PYTHON, "-c", "import mlflow.projects"], cwd=folder)
        yield Row(name=f"release here, {name}", ours=ours, other=other, bound=BOUNDS[name], limit=least)


def _there(work: Path) -> Iterator[Row]:
    """Clusters are at hand, with what they had at the pair that does not count: they install what is new to them."""
    folder = _make(work / "release to a workspace", **THERE)
    with closing(MlflowServer(work / "mlflow")) as server, Workspace(mlflow=server, reuse=True) as workspace:
        server.start()
        workspace.faults.shape(latency=uploads.LATENCY, bandwidth=100 * uploads.MBIT)
        environ = {**PATH, **workspace.environment}
        programs = {"MLFLOW_TRACKING_URI": "databricks", "DBFS": uploads.DBFS, "MLFLOW": MLFLOW}

        def forget() -> None:
            for each in (folder / ".mlops", *(workspace.root / place for place in LEFT)):
                shutil.rmtree(each, ignore_errors=True)

        for name, before in _befores(folder, forget).items():
            ours = Command(arguments=[INV, "release"], cwd=folder, environ=environ, before=before)
            script = ["bash", "-c", SCRIPT_THERE]
            other = Command(arguments=script, cwd=folder, environ={**environ, **programs}, before=before)
            yield Row(name=f"release to a workspace, {name}", ours=ours, other=other, bound=1.0)


def _make(folder: Path, **texts: str) -> Path:
    """A repository in which git does not see what the script makes."""
    repositories.make_repository(folder, **texts)
    with (folder / ".git" / "info" / "exclude").open("a") as excluded:
        excluded.write("out/\ntheirs/\n")
    return folder


def _befores(folder: Path, forget: Callable[[], object]) -> Mapping[str, Callable[[], object]]:
    """What is done before each release, by the words for it."""
    numbers = itertools.count()

    def change() -> None:
        repositories.write(folder, {"libs/mylib/mylib/__init__.py": f"ANSWER = {next(numbers)}\n"})
        repositories.commit(folder)

    return {"first": forget, "unchanged": lambda: None, "one library changed": change}

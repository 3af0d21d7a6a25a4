"""How long a whole release takes on this machine, beside the same steps as a shell script around `mlflow run`."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from tests.benchmarks.pairs import Command, Row
from tests.benchmarks.places import INV, PATH, PYTHON
from tests.support import repositories

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
BOUNDS = {"first": 0.7, "unchanged": 0.5, "one library changed": 0.6}


def rows(work: Path) -> Iterator[Row]:
    folder = repositories.make_repository(work / "release", ENVIRONMENT=ENVIRONMENT)
    environ = {
        **PATH,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'theirs' / 'mlflow.db'}",
        "MLFLOW_ENV_ROOT": str(folder / "theirs" / "environments"),
    }
    for name in ("out/", "theirs/"):
        with (folder / ".git" / "info" / "exclude").open("a") as excluded:
            excluded.write(f"{name}\n")
    numbers = itertools.count()

    def forget() -> None:
        for each in (".mlops", "theirs"):
            shutil.rmtree(folder / each, ignore_errors=True)
        (folder / "theirs").mkdir()

    def change() -> None:
        repositories.write(folder, {"libs/mylib/mylib/__init__.py": f"ANSWER = {next(numbers)}\n"})
        repositories.commit(folder)

    befores: dict[str, Callable[[], object]] = {
        "first": forget,
        "unchanged": lambda: None,
        "one library changed": change,
    }
    for name, before in befores.items():
        ours = Command(arguments=[INV, "release"], cwd=folder, before=before)
        other = Command(arguments=["bash", "-c", SCRIPT], cwd=folder, environ=environ, before=before)
        least = Command(arguments=[PYTHON, "-c", "import mlflow.projects"], cwd=folder)
        yield Row(name=f"release here, {name}", ours=ours, other=other, bound=BOUNDS[name], limit=least)

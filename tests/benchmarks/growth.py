"""How the cost grows with the project's files, those of the repository around it, the wheels and the earlier runs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.pairs import Command, Row
from tests.benchmarks.places import INV, PYTHON, make_libraries
from tests.support import repositories

NO_LIBRARIES = "mlops:\n  project: training\n  env_manager: local\n"
PROJECT = {
    "MLPROJECT": "name: training\nconda_env: training_env.yaml\nentry_points: {main: {command: python train.py}}\n",
    "ENVIRONMENT": "name: training\ndependencies: [python, pip]\n",
    "CLUSTER": "{}",
    "TRAIN": "import mlflow\nwith mlflow.start_run():\n    mlflow.log_metric('auc', 0.5)\n",
}
EARLIER = """\
import sys
from mlflow import MlflowClient
from mlflow.entities import Metric
client = MlflowClient(f"sqlite:///{sys.argv[1]}")
(experiment,) = (each for each in client.search_experiments() if each.experiment_id != "0")
(run,) = client.search_runs([experiment.experiment_id])
for number in range(1, int(sys.argv[2])):
    made = client.create_run(experiment.experiment_id, run.info.start_time - number, run.data.tags)
    client.log_batch(made.info.run_id, [Metric("auc", number / 1000, 0, 0)])
    client.set_terminated(made.info.run_id, "FINISHED")
"""


def rows(work: Path) -> Iterator[Row]:
    yield from _patches(work)
    yield _surroundings(work)
    yield from _wheels(work)
    yield from _comparisons(work)


def _patches(work: Path) -> Iterator[Row]:
    for number, size in ((10, 100), (1000, 100), (20_000, 100), (1, 1 << 30)):
        folder = repositories.make_repository(work / f"{number} files", SETTINGS=NO_LIBRARIES, **PROJECT)
        for index in range(number):
            path = folder / "training" / "data" / str(index // 200) / f"{index}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((b"%d\n" % index).ljust(size, b"."))
        repositories.commit(folder)
        subprocess.run([INV, "name", "build-wheel", "deploy"], cwd=folder, check=True, capture_output=True)
        copied = folder / ".mlops" / "copied"

        def forget(folder: Path = folder, copied: Path = copied) -> None:
            shutil.rmtree(copied, ignore_errors=True)
            for staged in (folder / ".mlops").rglob("staged"):
                shutil.rmtree(staged)

        yield Row(
            name=f"patch, files: {number} of {size} bytes",
            ours=Command(arguments=[INV, "patch"], cwd=folder, before=forget),
            other=Command(arguments=["cp", "-r", folder / "training", copied], cwd=folder, before=forget),
            bound=2.5,
        )
        shutil.rmtree(folder, ignore_errors=True)  # git may be at work in it


def _surroundings(work: Path) -> Row:
    """Up to `patch`, all anew, and without a library, whose building would hide what the files around it cost."""
    sides = []
    for number in (50_000, 0):
        folder = repositories.make_repository(work / f"{number} around", SETTINGS=NO_LIBRARIES, **PROJECT)
        for index in range(number):
            path = folder / "around" / str(index // 200) / f"{index}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{index}\n")
        _pack(folder)

        def forget(folder: Path = folder) -> None:
            shutil.rmtree(folder / ".mlops", ignore_errors=True)

        steps: list[str | Path] = [INV, "name", "build-wheel", "deploy", "patch"]
        sides.append(Command(arguments=steps, cwd=folder, before=forget))
    return Row(name="to patch, files around the project: 50000 / 0", ours=sides[0], other=sides[1], bound=10.0)


def _pack(folder: Path) -> None:
    """Commit all, as a clone has it, and leave git nothing to do in the background while others are timed."""
    repositories.git("config", "gc.auto", "0", cwd=folder)
    repositories.git("add", ".", cwd=folder)
    repositories.git("commit", "-q", "--allow-empty", "-m", "all", cwd=folder)
    repositories.git("gc", "-q", cwd=folder)


def _wheels(work: Path) -> Iterator[Row]:
    one = make_libraries(work / "1 wheel", 1)
    for number in (10, 100):
        folder = make_libraries(work / f"{number} wheels", number)
        sides = []
        for each in (folder, one):
            subprocess.run([INV, "name", "build-wheel"], cwd=each, check=True, capture_output=True)

            def forget(folder: Path = each) -> None:
                shutil.rmtree(folder / ".mlops" / "workspace", ignore_errors=True)

            sides.append(Command(arguments=[INV, "deploy"], cwd=each, before=forget))
        yield Row(name=f"deploy here, wheels: {number} / 1", ours=sides[0], other=sides[1], bound=float(number))


def _comparisons(work: Path) -> Iterator[Row]:
    sides = []
    for number in (1000, 100, 10):
        folder = repositories.make_repository(work / f"{number} runs", SETTINGS=NO_LIBRARIES, **PROJECT)
        subprocess.run([INV, "release"], cwd=folder, check=True, capture_output=True)
        fill: list[str | Path] = [PYTHON, "-c", EARLIER, folder / ".mlops" / "mlflow.db", str(number)]
        subprocess.run(fill, check=True, capture_output=True)
        sides.append(Command(arguments=[INV, "compare"], cwd=folder))
    for side, number in zip(sides, (1000, 100), strict=False):
        yield Row(name=f"compare, runs: {number} / 10", ours=side, other=sides[-1], bound=2.0)

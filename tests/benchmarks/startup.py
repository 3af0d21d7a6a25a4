"""How long `inv --list` and `inv name` take, beside bare Invoke with an empty task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.pairs import Command, Row
from tests.benchmarks.places import INV
from tests.support import repositories

BARE = "from invoke import task\n\n@task\ndef empty(c):\n    pass\n"
SETTINGS = "mlops:\n  project: training\n"


def rows(work: Path) -> Iterator[Row]:
    bare, ours = work / "bare", work / "ours"
    project = {"invoke.yaml": SETTINGS, "training/MLproject": "name: training\n"}
    for folder, tasks in ((bare, BARE), (ours, repositories.TASKS)):
        repositories.write(folder, {"tasks.py": tasks, **project})
        repositories.commit(folder)
    other = Command(arguments=[INV, "empty"], cwd=bare)
    for task, bound in (("--list", 1.1), ("name", 1.15)):
        yield Row(name=f"inv {task}", ours=Command(arguments=[INV, task], cwd=ours), other=other, bound=bound)

from __future__ import annotations

import os
from pathlib import Path

from mlops_tasks import runner, state
from mlops_tasks.report import Silent
from mlops_tasks.targets import environments
from tests.inv import git


def test_the_folder_ignores_itself(tmp_path: Path) -> None:
    git("init", "-q", cwd=tmp_path)

    state.StateFolder(tmp_path).create()
    state.StateFolder(tmp_path).create()

    assert git("status", "--porcelain", cwd=tmp_path) == ""


def make_aged(folder: Path, count: int, *, suffix: str = "") -> list[Path]:
    """`count` entries with names like a digest's, the first one the oldest."""
    paths = [folder / f"{number:016x}{suffix}" for number in range(count)]
    for age, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if suffix else path.mkdir()
        os.utime(path, (age, age))
    return paths


def test_pruning_keeps_the_newest_and_what_is_in_use(tmp_path: Path) -> None:
    places = state.StateFolder(tmp_path)
    staged = tmp_path / "record" / "staged"
    copies = make_aged(staged, state.KEPT + 3)
    logs = make_aged(tmp_path / "record" / "runs", state.KEPT + 2, suffix=".log")
    (staged / ".git").mkdir()

    places.prune(tmp_path / "record", keep=copies[0] / "training")

    assert sorted(staged.iterdir()) == sorted([staged / ".git", copies[0], *copies[3:]])
    assert sorted((tmp_path / "record" / "runs").iterdir()) == logs[2:]


def test_an_environment_that_was_not_used_for_longest_makes_room_for_new_ones(tmp_path: Path) -> None:
    old = make_aged(tmp_path, state.KEPT + 1)

    with environments.built(
        ["six"],
        constraints=[],
        project=tmp_path,
        folder=tmp_path,
        environ=os.environ,
        run=runner.run_command,
        report=Silent(),
    ) as path:
        assert (path / "bin" / "python").exists()

    assert not old[0].exists()
    assert not old[1].exists()
    assert old[2].exists()

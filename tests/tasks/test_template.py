from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import mlops_tasks
from mlops_tasks import processes
from mlops_tasks.report import Report
from mlops_tasks.settings import Settings
from mlops_tasks.wheels import building

PACKAGE = Path(mlops_tasks.__file__).parent
TEMPLATE = PACKAGE / "template"
PROJECT = TEMPLATE / "projects" / "training"
LIBRARY = TEMPLATE / "libs" / "tumor_features"


def run_python(*arguments: str, cwd: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", sorted(TEMPLATE.rglob("*.py")), ids=lambda path: path.name)
def test_the_code_is_python_3_8(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))


def test_the_library_passes_its_own_tests(tmp_path: Path) -> None:
    plain = ["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", os.devnull]

    done = run_python("-m", "pytest", *plain, str(LIBRARY / "tests"), cwd=tmp_path, path=str(LIBRARY / "src"))

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", ["train.py", pytest.param("evaluate.py", marks=pytest.mark.full)])
def test_a_script_fails_loudly_without_the_library(script: str) -> None:
    done = run_python(script, cwd=PROJECT)

    assert done.returncode == 1
    assert "tumor_features is not installed" in done.stderr


def test_the_placeholder_stands_for_the_driver_and_for_the_workers() -> None:
    environment = yaml.safe_load((PROJECT / "training_env.yaml").read_text())
    cluster = json.loads((PROJECT / "cluster.json").read_text())

    assert "WHEELPATH" in environment["dependencies"][-1]["pip"]
    assert cluster["libraries"] == [{"whl": "WHEELPATH"}]


def test_the_settings_hold_those_in_comments_too() -> None:
    text = re.sub(r"^  # ", "  ", (TEMPLATE / "invoke.yaml").read_text(), flags=re.MULTILINE)
    entry_points = yaml.safe_load((PROJECT / "MLproject").read_text())["entry_points"]

    settings = Settings.read(config=yaml.safe_load(text)["mlops"], environ={}, flags={})

    assert settings.timeout == 3600
    assert set(settings.parameters) < set(entry_points["main"]["parameters"])


def test_every_file_ships(tmp_path: Path) -> None:
    files = {path for path in TEMPLATE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    top = PACKAGE.parent

    with (
        building.environments(os.environ, run=processes.run_command) as beside,
        building.built(top, top=top, beside=beside, report=Report(), log_file=tmp_path / "log") as wheel,
        zipfile.ZipFile(wheel) as archive,
    ):
        shipped = set(archive.namelist())

    assert {path.relative_to(top).as_posix() for path in files} <= shipped
    assert TEMPLATE / ".gitignore" in files

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_tasks import errors
from mlops_tasks.commands import init
from mlops_tasks.report import Silent
from tests.inv import git, inv

TEMPLATE = Path(init.__file__).parents[1] / "template"


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def detail(self, text: str) -> None:
        self.lines.append(text)


def test_an_empty_folder_gets_the_whole_project_and_the_next_command(tmp_path: Path) -> None:
    heard = Heard()

    made = init.lay_down(tmp_path, report=heard)

    assert {"tasks.py", "invoke.yaml", ".gitignore", "projects/training/MLproject"} <= set(made)
    assert sorted(made) == sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    )
    assert heard.lines[-1] == "next: inv release"


def test_what_is_laid_down_can_be_named_and_built_at_once(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "mlops_tasks", str(tmp_path)], check=True, capture_output=True)
    git("init", "-q", "-b", "main", cwd=tmp_path)

    said = inv("name", "build-wheel", "deploy", "patch", cwd=tmp_path)

    assert said.code == 0, said.err
    assert git("status", "--porcelain", "--ignored", ".mlops", cwd=tmp_path) == "!! .mlops/"


def test_laying_it_down_again_changes_nothing(tmp_path: Path) -> None:
    init.lay_down(tmp_path, report=Silent())

    assert init.lay_down(tmp_path, report=Silent()) == ()


def test_an_existing_file_is_never_overwritten_and_nothing_else_is_written(tmp_path: Path) -> None:
    theirs = tmp_path / "projects" / "training" / "train.py"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")

    with pytest.raises(errors.BadInput, match=r"projects/training/train\.py"):
        init.lay_down(tmp_path, report=Silent())

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [theirs]
    assert theirs.read_text() == "theirs"


def test_a_tasks_file_of_their_own_stays_and_they_are_shown_what_to_add(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("# theirs")
    heard = Heard()

    init.lay_down(tmp_path, report=heard)

    assert (tmp_path / "tasks.py").read_text() == "# theirs"
    assert "tasks.py is yours and stays as it is; ours is:" in heard.lines
    assert any("from mlops_tasks import namespace" in line for line in heard.lines)


def test_inv_init_lays_it_down_beside_the_tasks_file(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("from mlops_tasks import namespace\n")

    said = inv("init", cwd=tmp_path)

    assert said.code == 0, said.err
    assert (tmp_path / "projects" / "training" / "MLproject").is_file()


@pytest.mark.parametrize("path", sorted(TEMPLATE.rglob("*.py")), ids=lambda path: path.name)
def test_the_bundled_code_is_python_3_8(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))


def test_the_bundled_library_passes_its_own_tests(tmp_path: Path) -> None:
    library = TEMPLATE / "libs" / "tumor_features"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        "-c",
        "/dev/null",
    ]

    done = subprocess.run(
        [*command, str(library / "tests")],
        env={"PYTHONPATH": str(library / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_the_bundled_script_fails_loudly_without_its_library() -> None:
    done = subprocess.run(
        [sys.executable, "evaluate.py"],
        cwd=TEMPLATE / "projects" / "training",
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "tumor_features is not installed" in done.stderr


def test_without_a_tasks_file_python_itself_lays_it_down_or_says_why_not(tmp_path: Path) -> None:
    (tmp_path / "projects" / "training").mkdir(parents=True)
    (tmp_path / "projects" / "training" / "MLproject").write_text("theirs")

    done = subprocess.run(
        [sys.executable, "-m", "mlops_tasks", str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "projects/training/MLproject" in done.stderr


def test_a_dry_run_says_what_it_would_make_and_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("from mlops_tasks import namespace\n")

    for arguments in (["init", "--dry-run"], ["--dry", "init"]):
        said = inv(*arguments, cwd=tmp_path)
        assert "projects/training/MLproject" in said.out
        assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["tasks.py"]

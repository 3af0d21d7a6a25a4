from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlops_tasks import errors
from mlops_tasks.report import Report
from mlops_tasks.tasks import init
from tests.support.inv import inv
from tests.support.repositories import git


class Heard(Report):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def detail(self, text: str) -> None:
        self.lines.append(text)


def test_an_empty_folder_gets_the_whole_project_and_the_next_command(tmp_path: Path) -> None:
    heard = Heard()

    made = init.write_template(tmp_path, report=heard)

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
    init.write_template(tmp_path, report=Report())

    assert init.write_template(tmp_path, report=Report()) == ()


def test_an_existing_file_is_never_overwritten_and_nothing_else_is_written(tmp_path: Path) -> None:
    theirs = tmp_path / "projects" / "training" / "train.py"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")

    with pytest.raises(errors.BadInput, match=r"projects/training/train\.py"):
        init.write_template(tmp_path, report=Report())

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [theirs]
    assert theirs.read_text() == "theirs"


@pytest.mark.parametrize("name", ["libs", "projects/training"])
def test_a_file_where_a_folder_belongs_is_named_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    theirs = tmp_path / name
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("theirs")

    with pytest.raises(errors.BadInput, match=name):
        init.write_template(tmp_path, report=Report())

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [theirs]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("theirs")

    with pytest.raises(errors.BadInput, match="here"):
        init.write_template(tmp_path / "here", report=Report())


def test_nothing_is_written_through_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    (folder / "projects" / "training").mkdir(parents=True)
    (folder / "projects" / "training" / "train.py").symlink_to(tmp_path / "outside")

    with pytest.raises(errors.BadInput, match=r"train\.py"):
        init.write_template(folder, report=Report())

    assert [path.name for path in tmp_path.iterdir()] == ["repository"]


def test_beside_tasks_of_their_own_the_lines_to_add_keep_both(tmp_path: Path) -> None:
    theirs = "from invoke import task\n\n@task\ndef my_task(c):\n    pass\n"
    (tmp_path / "tasks.py").write_text(theirs)
    heard = Heard()

    init.write_template(tmp_path, report=heard)

    assert (tmp_path / "tasks.py").read_text() == theirs
    assert heard.lines[-1] == "next: add those lines, then inv mlops.release"
    first = heard.lines.index("tasks.py is yours and stays as it is; add to it:") + 1
    added = [line.strip() for line in heard.lines[first:] if line.startswith("    ")]
    (tmp_path / "tasks.py").write_text("\n".join([theirs, *added]))
    listed = inv("--list", cwd=tmp_path).out
    assert "my-task" in listed
    assert "mlops.release" in listed


def test_settings_of_their_own_come_with_the_lines_to_add_first(tmp_path: Path) -> None:
    (tmp_path / "invoke.yaml").write_text("run: {echo: true}\n")
    heard, again = Heard(), Heard()

    init.write_template(tmp_path, report=heard)
    added = [line.removeprefix("    ") for line in heard.lines if line.startswith("    ")]
    (tmp_path / "invoke.yaml").write_text("\n".join(["run: {echo: true}", *added, ""]))
    init.write_template(tmp_path, report=again)

    assert "  project: projects/training" in added
    assert heard.lines[-1] == "next: add those lines, then inv release"
    assert again.lines[-1] == "next: inv release"
    assert inv("name", "--branch", "main", cwd=tmp_path).code == 0


def test_the_next_command_has_the_name_that_the_users_collection_gives_it(tmp_path: Path) -> None:
    mine = "from invoke import Collection\nfrom mlops_tasks import namespace as ours\nns = Collection(mlops=ours)\n"
    (tmp_path / "tasks.py").write_text(mine)

    here, there = inv("mlops.init", cwd=tmp_path), inv("mlops.init", "--folder", "other", cwd=tmp_path)

    assert here.err.endswith("  next: inv mlops.release\n")
    assert there.err.endswith("  next: inv release\n")


def test_a_tasks_file_that_has_ours_already_needs_nothing(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("from mlops_tasks import namespace\n")
    heard = Heard()

    init.write_template(tmp_path, report=heard)

    assert "tasks.py is yours and stays as it is" in heard.lines
    assert heard.lines[-1] == "next: inv release"


def test_a_gitignore_of_their_own_stays_and_they_are_shown_what_to_add(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("theirs\n")
    heard = Heard()

    init.write_template(tmp_path, report=heard)

    assert (tmp_path / ".gitignore").read_text() == "theirs\n"
    assert {".gitignore is yours and stays as it is; add to it:", "    mlruns/"} <= set(heard.lines)
    assert "    .mlops/" not in heard.lines


@pytest.mark.parametrize("repository", [True, False])
def test_a_folder_below_a_git_repository_is_in_it(repository: bool, tmp_path: Path) -> None:
    if repository:
        git("init", "-q", "-b", "main", cwd=tmp_path)
    heard = Heard()

    init.write_template(tmp_path / "below", report=heard)

    assert any("no git repository" in line for line in heard.lines) is not repository


def test_inv_init_lays_it_down_beside_the_tasks_file(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("from mlops_tasks import namespace\n")

    said = inv("init", cwd=tmp_path)

    assert said.code == 0, said.err
    assert (tmp_path / "projects" / "training" / "MLproject").is_file()


def test_the_files_made_can_be_had_as_json(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("from mlops_tasks import namespace\n")

    first, second = inv("init", "--json", cwd=tmp_path), inv("init", "--json", cwd=tmp_path)

    assert "projects/training/MLproject" in first.json["made"]
    assert all((tmp_path / name).is_file() for name in first.json["made"])
    assert second.json == {"made": []}


def test_without_a_tasks_file_python_itself_lays_it_down_or_says_why_not(tmp_path: Path) -> None:
    (tmp_path / "projects" / "training").mkdir(parents=True)
    (tmp_path / "projects" / "training" / "MLproject").write_text("theirs")

    done = subprocess.run(
        [sys.executable, "-m", "mlops_tasks", str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "projects/training/MLproject" in done.stderr
    assert "with `python -m mlops_tasks NAME`" in done.stderr


def test_a_dry_run_says_what_it_would_make_and_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("from mlops_tasks import namespace\n")

    for arguments in (["init", "--dry-run"], ["--dry", "init"]):
        said = inv(*arguments, cwd=tmp_path)
        assert "projects/training/MLproject" in said.out
        assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["tasks.py"]


def test_a_project_of_ones_own_gets_the_two_files_that_a_release_needs(tmp_path: Path) -> None:
    heard = Heard()
    (tmp_path / "libs").write_text("theirs, and no folder")

    made = init.write_template(tmp_path, minimal=True, report=heard)

    assert made == ("invoke.yaml", "tasks.py")
    assert heard.lines[-1] == "next: name your own folders in invoke.yaml, then inv doctor"


def test_of_the_two_files_one_that_is_there_already_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("mine = 1\n")
    subprocess.run([sys.executable, "-m", "mlops_tasks", "--minimal", str(tmp_path)], check=True, capture_output=True)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["invoke.yaml", "tasks.py"]
    assert (tmp_path / "tasks.py").read_text() == "mine = 1\n"

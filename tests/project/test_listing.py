from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from mlops_tasks import errors, processes, report
from mlops_tasks.project import staging

Git = Callable[..., str]


class Warnings(report.Report):
    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, text: str) -> None:
        self.said.append(text)


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def list_files(
    folder: Path,
    *,
    include: Sequence[str] = (),
    run: processes.Runner = processes.run_command,
    to: Warnings | None = None,
) -> tuple[str, ...]:
    return staging.list_files(folder, include=include, needed=["MLproject"], run=run, report=to or Warnings())


def without_git(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> processes.Completed:
    raise FileNotFoundError(command[0])


def test_what_git_ignores_stays_behind_and_include_brings_it_back(tmp_path: Path, git: Git) -> None:
    git("init", "-q")
    write(tmp_path, "p/MLproject", "p/new ñ.py", "p/data/a/b.csv", "p/data/c.bin", "p/gone.py")
    (tmp_path / ".gitignore").write_text("data/\n")
    git("add", ".")
    (tmp_path / "p" / "gone.py").unlink()
    assert list_files(tmp_path / "p") == ("MLproject", "new ñ.py")
    assert list_files(tmp_path / "p", include=["data/**/*.csv"]) == ("MLproject", "data/a/b.csv", "new ñ.py")
    assert list_files(tmp_path / "p", include=["data"])[1:3] == ("data/a/b.csv", "data/c.bin")


def test_secrets_and_environments_stay_behind_though_git_does_not_ignore_them(tmp_path: Path, git: Git) -> None:
    git("init", "-q")
    write(tmp_path, "MLproject", ".env", "myenv/pyvenv.cfg", "myenv/bin/python", "a.egg-info/x", "s/__pycache__/x.pyc")
    assert list_files(tmp_path) == ("MLproject",)
    assert list_files(tmp_path, include=[".env"]) == (".env", "MLproject")


@pytest.mark.parametrize("run", [processes.run_command, without_git])
def test_without_a_repository_or_git_the_same_names_stay_behind(tmp_path: Path, run: processes.Runner) -> None:
    write(tmp_path, "MLproject", "a/b.py", ".env", ".venv/x", "env/pyvenv.cfg", "mlruns/0/meta.yaml", ".mlops/r.json")
    (tmp_path / "link").symlink_to("a")
    if run is without_git:
        (tmp_path / ".git").mkdir()
    assert list_files(tmp_path, run=run) == ("MLproject", "a/b.py", "link")


def test_a_repository_in_the_repository_is_listed_too(tmp_path: Path, git: Git) -> None:
    git("init", "-q")
    write(tmp_path, "MLproject", "inner/a.py", "inner/b.log", "inner/.gitignore")
    (tmp_path / "inner" / ".gitignore").write_text("*.log\n")
    git("init", "-q", cwd=tmp_path / "inner")
    assert list_files(tmp_path) == ("MLproject", "inner/.gitignore", "inner/a.py")


def test_a_project_that_git_ignores_as_a_whole_is_staged_whole(tmp_path: Path, git: Git) -> None:
    git("init", "-q")
    (tmp_path / ".gitignore").write_text("p/\n")
    write(tmp_path, "p/MLproject", "p/a.py")
    said = Warnings()
    assert list_files(tmp_path / "p", to=said) == ("MLproject", "a.py")
    assert "git ignores" in said.said[0]


def test_a_git_that_refuses_is_not_taken_for_no_git(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("nonsense\n")
    with pytest.raises(errors.StepFailed, match="git refuses"):
        list_files(tmp_path)


def test_a_link_on_the_way_to_an_included_file_stands_for_what_is_behind_it(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/a.csv", "p/MLproject")
    (tmp_path / "p" / "data").symlink_to(tmp_path / "elsewhere")
    assert list_files(tmp_path / "p", include=["data/*.csv", "data"]) == ("MLproject", "data")


def test_an_include_that_leads_out_is_refused_and_one_that_matches_nothing_is_said(tmp_path: Path) -> None:
    write(tmp_path, "MLproject")
    said = Warnings()
    assert list_files(tmp_path, include=["*.csv"], to=said) == ("MLproject",)
    assert "'*.csv'" in said.said[0]
    for pattern in ("../x", "/etc/*"):
        with pytest.raises(errors.BadInput, match="leads out"):
            list_files(tmp_path, include=[pattern])


def test_a_folder_that_vanished_is_said(tmp_path: Path) -> None:
    write(tmp_path, "MLproject")
    shutil.rmtree(tmp_path)
    with pytest.raises(errors.StepFailed, match="cannot be read"):
        list_files(tmp_path)

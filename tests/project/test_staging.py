from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from mlops_tasks import errors, files, processes, report
from mlops_tasks.project import staging


class Warnings(report.Report):
    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, text: str) -> None:
        self.said.append(text)


def make_project(folder: Path) -> Path:
    (folder / "p" / "src").mkdir(parents=True)
    (folder / "p" / "MLproject").write_text("name: x\n")
    (folder / "p" / "src" / "run.sh").write_text("true\n")
    (folder / "p" / "src" / "run.sh").chmod(0o700)
    (folder / "p" / "MLproject").chmod(0o600)
    return folder / "p"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def stage(project: Path, root: Path, names: Sequence[str], to: report.Report | None = None) -> Path:
    with staging.drafted(project, (), staged_root=root) as draft:
        hashes = staging.hash_files(project, names)
        return staging.settle(draft, project, hashes, staged_root=root, report=to or report.Report())


def test_what_was_written_into_the_draft_gives_it_its_own_place(tmp_path: Path) -> None:
    project, root = make_project(tmp_path), tmp_path / "staged"
    plain = stage(project, root, ["MLproject", "src/run.sh"])
    hashes = staging.hash_files(project, ["MLproject", "src/run.sh"])
    with staging.drafted(project, ["MLproject"], staged_root=root) as draft:
        (draft / "MLproject").write_text("name: patched\n")
        (draft / "cluster.json").write_text("{}")
        patched = staging.settle(draft, project, hashes, staged_root=root, report=report.Report())

    assert patched != plain
    assert staging.is_as_settled(patched)
    assert names_in(patched) == ["MLproject", "cluster.json", "src"]


def test_a_patched_file_stays_where_the_disk_ignores_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, root = make_project(tmp_path), tmp_path / "staged"
    (project / "conda.yaml").write_text("unpatched\n")
    real = os.path.lexists

    def is_there(path: str) -> bool:
        folder, name = os.path.split(path)
        return real(path) or (real(folder) and name.lower() in {each.name.lower() for each in Path(folder).iterdir()})

    monkeypatch.setattr(os.path, "lexists", is_there)
    with staging.drafted(project, (), staged_root=root) as draft:
        (draft / "Conda.yaml").write_text("patched\n")
        hashes = staging.hash_files(project, ["MLproject", "conda.yaml"])
        patched = staging.settle(draft, project, hashes, staged_root=root, report=report.Report())

    assert names_in(patched) == ["Conda.yaml", "MLproject"]


def test_nothing_is_copied_where_the_same_content_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, root = make_project(tmp_path), tmp_path / "staged"
    first = stage(project, root, ["MLproject", "src/run.sh"])
    copied: list[Path] = []
    monkeypatch.setattr("mlops_tasks.files.copy", lambda source, *_, **__: copied.append(source))

    assert stage(project, root, ["MLproject", "src/run.sh"]) == first
    assert copied == []


def test_the_same_files_get_the_same_place_whatever_their_modes_and_times(tmp_path: Path) -> None:
    project, root = make_project(tmp_path), tmp_path / "staged"
    first = stage(project, root, ["MLproject", "src/run.sh"])
    (project / "MLproject").chmod(0o666)
    os.utime(project / "MLproject", (1, 1))
    assert stage(project, root, ["MLproject", "src/run.sh"]) == first
    assert first.parent.parent == root
    assert (len(first.parent.name), first.name) == (16, "p")
    assert [oct(path.stat().st_mode & 0o777) for path in (first, first / "MLproject", first / "src/run.sh")] == [
        "0o755",
        "0o644",
        "0o755",
    ]
    assert names_in(root) == [first.parent.name]


def test_other_content_gets_another_place(tmp_path: Path) -> None:
    project, root = make_project(tmp_path), tmp_path / "staged"
    first = stage(project, root, ["MLproject"])
    (project / "MLproject").write_text("name: y\n")
    assert stage(project, root, ["MLproject"]) != first
    assert stage(make_project(tmp_path / "p" / "q"), root, ["MLproject"]) == first


def test_a_staged_copy_that_somebody_changed_is_made_anew(tmp_path: Path) -> None:
    project, root = make_project(tmp_path), tmp_path / "staged"
    first = stage(project, root, ["MLproject"])
    (first / "MLproject").write_text("name: changed\n")
    assert stage(project, root, ["MLproject"]) == first
    assert (first / "MLproject").read_text() == "name: x\n"


def test_an_unchanged_staged_copy_is_used_again(tmp_path: Path) -> None:
    project, root = make_project(tmp_path), tmp_path / "staged"
    inode = (stage(project, root, ["MLproject"]) / "MLproject").stat().st_ino
    assert (stage(project, root, ["MLproject"]) / "MLproject").stat().st_ino == inode


def test_nothing_is_left_of_a_copy_that_failed(tmp_path: Path) -> None:
    project, root = make_project(tmp_path), tmp_path / "staged"
    gone = {"MLproject": "644 0", "none": "644 0"}
    with (
        pytest.raises(errors.StepFailed, match="cannot be staged"),
        staging.drafted(project, (), staged_root=root) as it,
    ):
        staging.settle(it, project, gone, staged_root=root, report=report.Report())
    assert names_in(root) == []


def test_a_full_disk_says_to_make_room(tmp_path: Path) -> None:
    project, root = make_project(tmp_path), tmp_path / "staged"
    with (
        pytest.raises(errors.StepFailed, match="make room"),
        staging._translated(project),
    ):
        raise OSError(errno.ENOSPC, "No space left on device", str(root))


def test_links_inside_are_kept_and_links_that_lead_out_are_said(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    (project / "inside").symlink_to("src/run.sh")
    (project / "whole").symlink_to(project / "src" / "run.sh")
    (project / "out").symlink_to("../secret")
    (tmp_path / "secret").write_text("x")
    said = Warnings()
    staged = stage(project, tmp_path / "staged", ["inside", "whole", "out", "src/run.sh"], said)
    assert (staged / "inside").readlink() == (staged / "whole").readlink() == Path("src/run.sh")
    assert [text.split(" ")[0] for text in said.said] == ["out"]


def test_what_is_no_file_is_not_staged(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    os.mkfifo(project / "pipe")
    said = Warnings()
    assert not (stage(project, tmp_path / "staged", ["MLproject", "pipe"], said) / "pipe").exists()
    assert "pipe" in said.said[0]


def test_a_pipe_in_a_staged_copy_blocks_neither_a_run_nor_the_next_patch(tmp_path: Path) -> None:
    project, root = make_project(tmp_path), tmp_path / "staged"
    staged = stage(project, root, ["MLproject"])
    os.mkfifo(staged / "pipe")

    assert not staging.is_as_settled(staged)
    with staging.disposable(staged) as work:
        assert names_in(work) == ["MLproject"]
    assert names_in(stage(project, root, ["MLproject"])) == ["MLproject"]


def test_the_hashes_tell_content_mode_and_where_links_lead(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    (project / "link").symlink_to("a")
    names = ["MLproject", "src/run.sh", "link"]
    before = staging.hash_files(project, names)
    (project / "src" / "run.sh").chmod(0o600)
    (project / "link").unlink()
    (project / "link").symlink_to("b")
    after = staging.hash_files(project, names)
    assert [name for name in names if before[name] != after[name]] == ["src/run.sh", "link"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    def refuse(path: str) -> tuple[str, str]:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    project = make_project(tmp_path)
    with pytest.raises(errors.StepFailed, match="cannot be read: Permission denied") as caught:
        staging.hash_files(project, ["MLproject"], look=refuse)
    assert caught.value.where == str(project / "MLproject")


def test_an_empty_git_repository_hides_the_one_around_it(tmp_path: Path) -> None:
    for _ in range(2):
        staging.separate_from_git(tmp_path / "staged", run=processes.run_command)
    done = subprocess.run(["git", "remote", "-v"], cwd=tmp_path / "staged", capture_output=True, text=True, check=True)
    assert (done.stdout, (tmp_path / "staged" / ".git").is_dir()) == ("", True)


def test_a_missing_git_is_no_reason_to_fail(tmp_path: Path) -> None:
    def missing(
        command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> processes.Completed:
        raise FileNotFoundError(command[0])

    staging.separate_from_git(tmp_path / "staged", run=missing)
    assert names_in(tmp_path / "staged") == []


def test_a_run_works_in_a_copy_that_goes_with_it(tmp_path: Path) -> None:
    project, root = make_project(tmp_path), tmp_path / "staged"
    staged = stage(project, root, ["MLproject"])

    with staging.disposable(staged) as work:
        assert (work.name, names_in(work)) == (staged.name, ["MLproject"])
        (work / "MLproject").write_text("changed")

    assert stage(project, root, ["MLproject"]) == staged
    assert names_in(root) == [staged.parent.name]


def test_half_a_repository_around_the_staged_copies_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    def fail(
        command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> processes.Completed:
        (tmp_path / "staged" / ".git").mkdir()
        return processes.Completed(command, 128, "", "fatal: No space left on device")

    with pytest.raises(errors.StepFailed, match="No space left") as caught:
        staging.separate_from_git(tmp_path / "staged", run=fail)
    assert caught.value.cure.startswith("make room")
    assert names_in(tmp_path / "staged") == []


def test_a_run_that_finds_no_room_for_its_copy_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path, *, leads_to: object) -> None:
        raise OSError(errno.EFBIG, "File too large", str(source))

    staged = stage(make_project(tmp_path), tmp_path / "staged", ["MLproject"])
    monkeypatch.setattr("mlops_tasks.files.copy", refuse)
    with pytest.raises(errors.StepFailed, match="File too large") as caught, staging.disposable(staged):
        pass
    assert caught.value.cure == "make room, then `inv run`"


@pytest.mark.parametrize("target", ["./data/a", "data//a", "data/../data/a"])
@pytest.mark.parametrize("is_known", [True, False])
def test_a_link_may_be_spelt_in_any_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, *, is_known: bool
) -> None:
    project = make_project(tmp_path)
    (project / "data").mkdir()
    (project / "data" / "a").write_text("1")
    (project / "link").symlink_to(target)
    later = time.time() + (2 * files.CLOCK_STEP if is_known else 0)
    monkeypatch.setattr(time, "time", lambda: later)
    look, names = files.Fingerprints(), ["MLproject", "data/a", "link"]
    hashes = staging.hash_files(project, names, look=look)

    with staging.drafted(project, ["MLproject"], staged_root=tmp_path / "staged") as draft:
        staged = staging.settle(
            draft, project, hashes, staged_root=tmp_path / "staged", report=report.Report(), look=look
        )

    assert staging.is_as_settled(staged)
    assert os.readlink(staged / "link") == target  # noqa: PTH115 - a path would be another spelling

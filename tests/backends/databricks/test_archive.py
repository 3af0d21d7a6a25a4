"""The archive that a run is made from: MLflow's own, put there first, whole, and never over another one."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_tasks import errors, processes
from mlops_tasks.backends.databricks import archive
from mlops_tasks.report import Report
from mlops_tasks.stores import dbfs
from mlops_tasks.workspace import api, login
from tests.fake_workspace.server import Workspace
from tests.support import sites
from tests.support.jobs import ENTRY_POINTS, make_job
from tests.support.repositories import write

CLASSIC = 'entry_points: {main: {parameters: {text: string}, command: "python steps/train.py {text}"}}\n'
FOLDER = "dbfs/mlflow-experiments/7/projects-code"


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with Workspace() as started:
        yield started
    assert not started.crashes, started.crashes[0]


@pytest.fixture
def store(workspace: Workspace) -> dbfs.DbfsStore:
    found = login.resolve(None, workspace.environment)
    return dbfs.DbfsStore(api.Workspace(login=found, report=Report(), pause=lambda seconds: None))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    write(
        tmp_path / "training", {"MLproject": "name: x\n", "train.py": "1\n", "mlruns/0/meta.yaml": "", "a/mlruns": ""}
    )
    return tmp_path / "training"


def upload(copy: Path, store: dbfs.DbfsStore, attempt: str = "a1") -> str:
    return archive.upload(copy, "7", attempt=attempt, store=store, report=Report())


def there(workspace: Workspace) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (workspace.root / FOLDER).iterdir()}


def test_the_archive_has_the_name_that_mlflow_gives_it(copy: Path, store: dbfs.DbfsStore, workspace: Workspace) -> None:
    """MLflow's own uploader finds it, and so sends nothing."""
    from mlflow.projects.databricks import DatabricksJobRunner

    uri = upload(copy, store)
    with sites.entered(workspace):
        found = DatabricksJobRunner("databricks")._upload_project_to_dbfs(str(copy), "7")

    assert f"dbfs:{found.removeprefix('/dbfs')}" == uri
    assert workspace.requests.of("POST", "/dbfs/.*") == []
    (name,) = there(workspace)
    with tarfile.open(workspace.root / FOLDER / name) as archive:
        assert [each for each in archive.getnames() if "mlruns" in each] == []
        assert "mlflow-project/train.py" in archive.getnames()


def test_the_same_content_is_sent_once(copy: Path, store: dbfs.DbfsStore, workspace: Workspace) -> None:
    first = upload(copy, store)
    workspace.requests.clear()

    assert upload(copy, store, "a2") == first
    assert workspace.requests.of("POST", ".*") == []


@pytest.mark.parametrize("broken", [b"", b"half"])
def test_a_broken_archive_is_neither_used_nor_overwritten(
    copy: Path, store: dbfs.DbfsStore, workspace: Workspace, broken: bytes
) -> None:
    name = upload(copy, store).rpartition("/")[2]
    (workspace.root / FOLDER / name).write_bytes(broken)

    other = upload(copy, store).rpartition("/")[2]

    assert other != name
    assert there(workspace)[name] == broken
    assert len(there(workspace)[other]) > 100


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"cut": 10}])
def test_an_upload_that_fails_for_a_moment_is_repeated_whole(
    copy: Path,
    store: dbfs.DbfsStore,
    workspace: Workspace,
    fault: dict[str, object],
    after: bool,
) -> None:
    for path in ("put", "move"):
        workspace.faults.add("POST", f"/api/2.0/dbfs/{path}", call=1, after=after, **fault)

    name = upload(copy, store).rpartition("/")[2]

    found = there(workspace)
    assert [each for each in found if not each.startswith(".")] == [name]
    with tarfile.open(workspace.root / FOLDER / name) as archive:
        assert "mlflow-project/train.py" in archive.getnames()


def test_a_store_that_keeps_less_than_was_sent_is_found_out(
    copy: Path, store: dbfs.DbfsStore, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbfs.DbfsStore, "write", lambda *_: "")

    with pytest.raises(errors.WorkspaceError, match="does not hold what was sent"):
        upload(copy, store)


def test_every_attempt_has_a_copy_of_its_own_with_the_driver_of_a_spark_job(tmp_path: Path) -> None:
    job = make_job(tmp_path / "staged" / "0123" / "training", ENTRY_POINTS, text="x")
    scratch = tmp_path / "attempts" / "a1"
    write(scratch, {"training/left": "by a crash"})

    with archive.copied_project(
        replace(job, release_folder=tmp_path, attempt="a1"), run=processes.run_command, report=Report()
    ) as made:
        assert made == scratch / "training"
        names = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
        assert names == {"MLproject", "mlops_driver.py", "steps/train.py"}

    assert not scratch.exists()
    assert not (job.project.folder / "mlops_driver.py").exists()
    assert (scratch.parent / ".git").is_dir()


def test_nothing_of_the_project_is_left_among_the_machines_temporary_files(
    tmp_path: Path, store: dbfs.DbfsStore, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.projects.databricks import DatabricksJobRunner

    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    job = replace(make_job(tmp_path / "training", CLASSIC, text="x"), release_folder=tmp_path / ".mlops", attempt="a1")

    with archive.copied_project(job, run=processes.run_command, report=Report()) as made:
        upload(made, store)
        with sites.entered(workspace):
            DatabricksJobRunner("databricks")._upload_project_to_dbfs(str(made), "7")

    assert list(temporary.iterdir()) == []
    assert not job.scratch.exists()


@pytest.mark.parametrize("place", [".mlops/staged/0123/training", "a project patched in place"])
@pytest.mark.parametrize("is_absolute", [True, False])
@pytest.mark.parametrize("content", [ENTRY_POINTS, CLASSIC], ids=["spark", "classic"])
def test_a_linked_mlproject_is_written_to_in_the_copy_alone(
    tmp_path: Path, place: str, is_absolute: bool, content: str
) -> None:
    folder = tmp_path / place
    job = make_job(folder, content, text="of this run")
    shared = folder.parent / "shared"
    (folder / "MLproject").rename(shared)
    (folder / "MLproject").symlink_to(shared if is_absolute else "../shared")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)

    with archive.copied_project(
        replace(job, release_folder=tmp_path / ".mlops", attempt="a1"), run=processes.run_command, report=Report()
    ) as made:
        assert "of this run" in (made / "MLproject").read_text()
        assert (made / "steps" / "train.py").is_file()

    assert shared.read_text() == content

"""What a run on Databricks is made from: a copy of the staged project for each attempt, and its archive in DBFS.

MLflow's backend packs and uploads the project itself, but sends an empty body when it repeats that, and finds the
empty file under the archive's name for ever after; and it takes an archive that somebody else has just put there for
a fault. So the archive is made by MLflow's own function and put there first, verified: MLflow finds it and goes on.
"""

from __future__ import annotations

import contextlib
import posixpath
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mlops_tasks import errors, files, processes
from mlops_tasks.backends.base import Job
from mlops_tasks.backends.databricks import classic, entry
from mlops_tasks.project import listing, staging
from mlops_tasks.report import Report
from mlops_tasks.stores import dbfs
from mlops_tasks.stores.base import holds

MARKER = ".mlops-attempt"


@contextlib.contextmanager
def copied_project(job: Job, *, run: processes.Runner, report: Report) -> Iterator[Path]:
    """The attempt's own copy, by whose path the job and the MLflow run can be found.

    What is to be run is written into it in a form that MLflow carries whole. It is gone after the block, and the path
    goes on being a name.
    """
    try:
        try:
            copy = _copy_project(job, run=run, report=report)
        except OSError as fault:  # shutil.Error is one
            raise errors.StepFailed(
                f"the project cannot be copied for its run: {fault.strerror or 'see that folder'}",
                where=job.scratch,
                cure="make room there, or make it writable; then repeat",
            ) from fault
        yield copy
    finally:
        shutil.rmtree(job.scratch, ignore_errors=True)


def _copy_project(job: Job, *, run: processes.Runner, report: Report) -> Path:
    source, copy = job.project.folder, job.scratch / job.project.folder.name
    staging.separate_from_git(job.scratch.parent, run=run)
    shutil.rmtree(copy, ignore_errors=True)
    if job.is_staged:
        shutil.copytree(source, copy, symlinks=True)
    else:  # patched in place: what git ignores stays behind, as it does in staging
        names = listing.list_files(source, include=(), needed=(), run=run, report=report)
        for name in names:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, copy / name, follow_symlinks=False)
    _make_plain(copy / job.project.mlproject, source / job.project.mlproject)
    if job.project.spark_job is not None:
        entry.write_driver(job, copy)
    else:
        classic.write_command(job, copy)
    return copy


def _make_plain(path: Path, original: Path) -> None:
    """A link in the copy leads to the user's own file, which must not be written to."""
    path.unlink()
    shutil.copy2(original, path)


def upload(copy: Path, experiment_id: str, *, attempt: str, store: dbfs.DbfsStore, report: Report) -> str:
    """Put the archive of `copy` where MLflow would; the answer is its URI.

    A broken one that is there already is left alone: a marker in the copy gives this one another name.
    """
    folder = f"dbfs:/mlflow-experiments/{experiment_id}/projects-code"
    with tempfile.TemporaryDirectory() as temporary:
        archive = _pack(copy, Path(temporary))
        there = store.list_files(folder)
        if archive.name in there and there[archive.name].size != archive.stat().st_size:
            report.warning(f"{folder}/{archive.name} is broken; the project goes there under another name")
            (copy / MARKER).write_text(attempt, encoding="utf-8")
            archive = _pack(copy, Path(temporary))
        if archive.name not in there:
            _put(archive, folder, store=store, report=report)
    return f"{folder}/{archive.name}"


def _pack(copy: Path, folder: Path) -> Path:
    """The very archive that MLflow makes of `copy`, named by its content (mlflow.projects.databricks)."""
    from mlflow.projects.databricks import DB_TARFILE_ARCHIVE_NAME
    from mlflow.utils.file_utils import make_tarfile

    packed = folder / "project.tar.gz"
    make_tarfile(str(packed), str(copy), DB_TARFILE_ARCHIVE_NAME, custom_filter=_without_runs)
    return packed.rename(folder / f"{files.file_sha256(packed)}.tar.gz")


def _without_runs(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """MLflow leaves out what is called mlruns."""
    return None if posixpath.basename(member.name) == "mlruns" else member


def _put(archive: Path, folder: str, *, store: dbfs.DbfsStore, report: Report) -> None:
    size = archive.stat().st_size
    store.make_folder(folder)
    with report.transfer("sending the project", size) as moved:
        store.write(archive, folder, moved)
    if not holds(store, archive, folder):
        raise errors.WorkspaceError(
            f"{archive.name} does not hold what was sent", where=folder, cure="repeat; if it stays so, look at DBFS"
        )

"""Copy the staged project for an attempt, and put the archive of the copy into DBFS, where MLflow finds it.

MLflow's backend packs and uploads the project itself. But it sends an empty body when it repeats the upload, and
takes the empty file for the archive ever after; and it fails where another process has just put the archive there.
So the archive that MLflow would make is made here, uploaded and verified before MLflow looks for it.
"""

from __future__ import annotations

import contextlib
import gzip
import posixpath
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from mlops_tasks import errors, files, processes
from mlops_tasks.backends.base import Job
from mlops_tasks.backends.databricks import entry
from mlops_tasks.project import staging
from mlops_tasks.report import Report
from mlops_tasks.stores import dbfs
from mlops_tasks.stores.base import holds

MARKER = ".mlops-attempt"
Filter = Callable[[tarfile.TarInfo], "tarfile.TarInfo | None"]


@contextlib.contextmanager
def copied_project(job: Job, *, run: processes.Runner, report: Report) -> Iterator[Path]:
    """The attempt's own copy, with the entry point written into it, for the length of the block.

    Its path is in the names of the job and of the MLflow run, by which they can be found. StepFailed where the copy
    cannot be written.
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
        with _mlflow_packs_as_here():
            yield copy
    finally:
        shutil.rmtree(job.scratch, ignore_errors=True)


@contextlib.contextmanager
def _mlflow_packs_as_here() -> Iterator[None]:
    """MLflow packs the copy again when it submits; its function leaves the whole tar among the temporary files."""
    from mlflow.utils import file_utils

    theirs, file_utils.make_tarfile = file_utils.make_tarfile, make_tarfile
    try:
        yield
    finally:
        file_utils.make_tarfile = theirs


def make_tarfile(output_filename: str, source_dir: str, archive_name: str, custom_filter: Filter | None = None) -> None:
    """Pack as mlflow.utils.file_utils.make_tarfile does (2.17 to 3.17), byte for byte, with no other file made."""

    def without_time(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        member.mtime = 0
        return custom_filter(member) if custom_filter else member

    with (
        Path(output_filename).open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        tar.add(source_dir, arcname=archive_name, filter=without_time)


def _copy_project(job: Job, *, run: processes.Runner, report: Report) -> Path:
    source, copy = job.project.folder, job.scratch / job.project.folder.name
    staging.separate_from_git(job.scratch.parent, run=run)
    shutil.rmtree(copy, ignore_errors=True)
    if job.is_staged:
        shutil.copytree(source, copy, symlinks=True)
    else:  # patched in place: what git ignores stays behind, as it does in staging
        names = staging.list_files(source, include=(), needed=(), run=run, report=report)
        for name in names:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, copy / name, follow_symlinks=False)
    mlproject = copy / job.project.mlproject
    mlproject.unlink()  # a link would lead to the user's own file, which must not be written to
    shutil.copy2(source / job.project.mlproject, mlproject)
    entry.write(job, copy)
    return copy


def upload(copy: Path, experiment_id: str, *, attempt: str, store: dbfs.DbfsStore, report: Report) -> str:
    """Put the archive of `copy` where MLflow looks for it; the answer is its URI.

    A broken one that is there already is left alone: a marker file in the copy gives this one another name.
    WorkspaceError where the store does not hold what was sent.
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
            store.make_folder(folder)
            with report.transfer("sending the project", archive.stat().st_size) as moved:
                store.write(archive, folder, moved)
            if not holds(store, archive, folder):
                raise errors.WorkspaceError(
                    f"{archive.name} does not hold what was sent",
                    where=folder,
                    cure="repeat the command; if that does not help, look at DBFS",
                )
    return f"{folder}/{archive.name}"


def _pack(copy: Path, folder: Path) -> Path:
    """The same archive that MLflow makes of `copy`, named by its content (mlflow.projects.databricks)."""
    from mlflow.projects.databricks import DB_TARFILE_ARCHIVE_NAME

    packed = folder / "project.tar.gz"
    make_tarfile(str(packed), str(copy), DB_TARFILE_ARCHIVE_NAME, custom_filter=_without_runs)
    return packed.rename(folder / f"{files.file_sha256(packed)}.tar.gz")


def _without_runs(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """MLflow leaves out what is called mlruns."""
    return None if posixpath.basename(member.name) == "mlruns" else member

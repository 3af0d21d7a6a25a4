"""Put what a run needs into the workspace: the project as an archive, the driver program, the run's own file.

Each file is named by its content, so that nothing is sent twice and nothing is overwritten under a run.
"""

from __future__ import annotations

import fnmatch
import gzip
import json
import stat
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from mlops_tasks import errors, files
from mlops_tasks.report import Report
from mlops_tasks.stores.base import Store, holds

DRIVER = Path(__file__).with_name("driver.py")
DRIVER_NAME = DRIVER.name
_EPOCH = 315532800
"""The time of every file in an archive: 1980, the first that all formats can write."""


def send_project(folder: Path, names: Sequence[str], *, into: str, store: Store, report: Report) -> tuple[str, str]:
    """The URI and the SHA-256 of an archive of the files `names` in `folder`, which is put `into` the store."""
    with tempfile.TemporaryDirectory(prefix="mlops-") as temporary:
        packed = Path(temporary, "project")
        with packed.open("wb") as stream:
            pack(folder, names, stream)
        sha256 = files.file_sha256(packed)
        archive = packed.rename(packed.with_name(f"{sha256}.tar.gz"))
        return _send(archive, into, store=store, report=report, what="the project"), sha256


def pack(folder: Path, names: Sequence[str], stream: IO[bytes]) -> None:
    """Write the files and links `names` as a tar.gz that is the same for the same contents, on every machine."""
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(names):
            path = folder / name
            member = tarfile.TarInfo(name)
            member.mtime = _EPOCH
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                member.type, member.linkname = tarfile.SYMTYPE, str(path.readlink())
                archive.addfile(member)
                continue
            member.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
            member.size = status.st_size
            with path.open("rb") as content:
                archive.addfile(member, content)


def send_wheel(path: Path, *, into: str, store: Store, report: Report) -> str:
    """The URI of the wheel in the folder `into`, which is named by its content and that of the wheels beside it."""
    return _send(path, into, store=store, report=report, what=path.name)


def send_driver(driver_root: str, *, version: str, store: Store, report: Report) -> str:
    """The path of the driver program among the workspace's files; `version` is this package's."""
    folder = f"{driver_root.rstrip('/')}/{version}-{files.file_sha256(DRIVER)[:16]}"
    return _send(DRIVER, folder, store=store, report=report, what="the driver program")


def send_text(name: str, text: str, *, into: str, store: Store, report: Report) -> str:
    """The URI of a file with that text, whose name ends as `name` does."""
    with tempfile.TemporaryDirectory(prefix="mlops-") as temporary:
        stem, dot, suffix = name.rpartition(".")
        path = Path(temporary, f"{stem}-{files.sha256(text.encode())[:12]}{dot}{suffix}")
        path.write_text(text, encoding="utf-8")
        return _send(path, into, store=store, report=report, what=name)


def find_run(folder: str, store: Store) -> tuple[str, str] | None:
    """The URI of the file that an earlier try has left in `folder` for the driver program, and the MLflow run in it."""
    name = next((each for each in store.list_files(folder) if fnmatch.fnmatch(each, "run-*.json")), None)
    if name is None:
        return None
    uri = f"{folder}/{name}"
    return uri, str(json.loads(store.read(uri))["variables"]["MLFLOW_RUN_ID"])


def send_run(run: Mapping[str, Any], *, into: str, store: Store, report: Report) -> str:
    """The URI of the file that the driver program reads; no parameter of a user's is on any command line."""
    return send_text("run.json", json.dumps(run, indent=1, ensure_ascii=True), into=into, store=store, report=report)


def _send(source: Path, folder: str, *, store: Store, report: Report, what: str) -> str:
    """WorkspaceError where the store does not hold what was sent."""
    if holds(store, source, folder):
        return f"{folder}/{source.name}"
    store.make_folder(folder)
    with report.transfer(f"sending {what}", source.stat().st_size) as moved:
        uri = store.write(source, folder, moved)
    if not holds(store, source, folder):
        raise errors.WorkspaceError(
            f"{source.name} does not hold what was sent", where=folder, cure="repeat the command"
        )
    return uri

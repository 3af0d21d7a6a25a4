from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from mlops_tasks import files
from mlops_tasks.backends.databricks_jobs import shipment
from mlops_tasks.report import Report
from mlops_tasks.stores.folder import FolderStore
from tests.support.repositories import write


def packed(folder: Path, *names: str) -> bytes:
    stream = io.BytesIO()
    shipment.pack(folder, names, stream)
    return stream.getvalue()


def test_the_same_project_gives_the_same_archive_whenever_and_by_whomever_it_is_packed(tmp_path: Path) -> None:
    for name, mode in (("one", 0o644), ("two", 0o600)):
        write(tmp_path / name, {"train.py": "print()\n", "data/é x.csv": "1\n"})
        (tmp_path / name / "train.py").chmod(mode)
        (tmp_path / name / "link").symlink_to("train.py")
    os.utime(tmp_path / "two" / "train.py", (1, 1))

    first = packed(tmp_path / "one", "train.py", "data/é x.csv", "link")

    assert packed(tmp_path / "two", "link", "data/é x.csv", "train.py") == first


def test_an_archive_has_contents_links_and_what_may_be_executed(tmp_path: Path) -> None:
    write(tmp_path, {"run.sh": "echo\n", "train.py": "print()\n", "left.txt": "x"})
    (tmp_path / "run.sh").chmod(0o700)
    (tmp_path / "link").symlink_to("train.py")

    with tarfile.open(fileobj=io.BytesIO(packed(tmp_path, "run.sh", "train.py", "link"))) as archive:
        members = {each.name: each for each in archive.getmembers()}
        content = archive.extractfile("train.py")
        text = content.read() if content else b""

    assert {name: each.mode for name, each in members.items() if each.isfile()} == {"run.sh": 0o755, "train.py": 0o644}
    assert members["link"].linkname == "train.py"
    assert (text, {each.uid for each in members.values()}) == (b"print()\n", {0})


def test_what_is_sent_is_named_by_its_content_and_sent_once(tmp_path: Path) -> None:
    write(tmp_path / "project", {"train.py": "print()\n"})
    store = FolderStore(top=tmp_path)

    uri, sha256 = shipment.send_project(
        tmp_path / "project", ["train.py"], into="store/projects", store=store, report=Report()
    )
    first = (tmp_path / uri).stat().st_mtime_ns
    again, _ = shipment.send_project(
        tmp_path / "project", ["train.py"], into="store/projects", store=store, report=Report()
    )

    assert uri == again == f"store/projects/{sha256}.tar.gz"
    assert files.file_sha256(tmp_path / uri) == sha256
    assert (tmp_path / uri).stat().st_mtime_ns == first


def test_the_run_that_an_earlier_try_told_of_is_found_in_the_store(tmp_path: Path) -> None:
    store = FolderStore(top=tmp_path)
    assert shipment.find_run("runs/1", store) is None

    uri = shipment.send_run({"variables": {"MLFLOW_RUN_ID": "r1"}}, into="runs/1", store=store, report=Report())

    assert shipment.find_run("runs/1", store) == (uri, "r1")


def test_texts_of_other_contents_have_other_names(tmp_path: Path) -> None:
    store = FolderStore(top=tmp_path)

    sent = [shipment.send_run({"attempt": each}, into="runs/1", store=store, report=Report()) for each in "aab"]

    assert sent[0] == sent[1] != sent[2]
    assert Path(sent[0]).name.startswith("run-")

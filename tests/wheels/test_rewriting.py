from __future__ import annotations

import base64
import csv
import hashlib
import os
import stat
import zipfile
from pathlib import Path

import pytest

from mlops_tasks import processes
from mlops_tasks.report import Report
from mlops_tasks.wheels import building, metadata, rewriting
from tests.support.repositories import write

SETUP = """\
from setuptools import setup

setup(
    name="my-lib", version="1.0", packages=["my_lib"], scripts=["my_tool"],
    long_description="A text.\\n\\nVersion: none of METADATA's own\\n",
)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel with a folder for its scripts, which bears the version as well."""
    top = tmp_path_factory.mktemp("top")
    write(top / "lib", {"setup.py": SETUP, "my_lib/__init__.py": "A = 1\n", "my_tool": "#!python\nprint('hello')\n"})
    with building.built(top / "lib", top=top, environ=os.environ, run=processes.run_command, report=Report()) as wheel:
        return wheel.rename(top / wheel.name)


def record_of(wheel: zipfile.ZipFile) -> dict[str, tuple[str, str]]:
    (name,) = (each for each in wheel.namelist() if each.endswith(".dist-info/RECORD"))
    return {path: (digest, size) for path, digest, size in csv.reader(wheel.read(name).decode().splitlines())}


def test_it_says_its_new_version_wherever_it_said_the_old_one(built: Path) -> None:
    new = rewriting.with_version(built, "1.0+g0123456789ab")

    with zipfile.ZipFile(new) as wheel:
        said = next(wheel.read(name).decode() for name in wheel.namelist() if name.endswith("METADATA"))
        folders = {name.partition("/")[0] for name in wheel.namelist()}
    assert new.name == "my_lib-1.0+g0123456789ab-py3-none-any.whl"
    assert folders == {"my_lib", "my_lib-1.0+g0123456789ab.dist-info", "my_lib-1.0+g0123456789ab.data"}
    assert said.splitlines().count("Version: 1.0+g0123456789ab") == 1
    assert "Version: none of METADATA's own" in said
    assert metadata.read(new).version == "1.0+g0123456789ab"


def test_its_record_has_the_hash_and_the_size_of_every_file(built: Path) -> None:
    with zipfile.ZipFile(rewriting.with_version(built, "2.0")) as wheel:
        recorded = record_of(wheel)

        assert set(recorded) == set(wheel.namelist())
        for name, (digest, size) in recorded.items():
            data = wheel.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (("", "") if name.endswith("RECORD") else (f"sha256={expected}", str(len(data))))


def test_nothing_else_changes(built: Path) -> None:
    new = rewriting.with_version(built, "2.0")

    with zipfile.ZipFile(built) as before, zipfile.ZipFile(new) as after:
        for one, other in zip(before.infolist(), after.infolist(), strict=True):
            assert one.filename.rpartition("/")[2] == other.filename.rpartition("/")[2]
            assert (one.date_time, one.external_attr, one.compress_type) == (
                other.date_time,
                other.external_attr,
                other.compress_type,
            )
            if not one.filename.endswith(("METADATA", "RECORD")):
                assert before.read(one) == after.read(other)
        (script,) = (each for each in after.infolist() if each.filename.endswith("my_tool"))
    assert script.external_attr >> 16 & stat.S_IXUSR


def test_the_same_wheel_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    copy = tmp_path / built.name
    copy.write_bytes(built.read_bytes())

    assert rewriting.with_version(copy, "2.0").read_bytes() == rewriting.with_version(built, "2.0").read_bytes()

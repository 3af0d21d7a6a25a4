from __future__ import annotations

import base64
import csv
import hashlib
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from mlops_tasks import errors
from mlops_tasks.wheels import metadata, needs, wheel_files

HEAD = "Metadata-Version: 2.1\nName: app\nVersion: 1.0\n"
TEXT = "\n\nRequires-Dist: common @ file:///in/the/description\n"


def make_wheel(folder: Path, *asked: str) -> Path:
    path, about = folder / "app-1.0-py3-none-any.whl", "app-1.0.dist-info"
    header = HEAD + "\n".join(f"Requires-Dist: {each}" for each in asked)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("app.py", "A = 1\n")
        archive.writestr(f"{about}/METADATA", header + TEXT)
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr(
            f"{about}/RECORD", f"app.py,,\n{about}/METADATA,sha256=old,1\n{about}/WHEEL,,\n{about}/RECORD,,\n"
        )
    return path


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("common @ file:///tmp/mlops-x/sources/libs/common", "common"),
        ("common @ git+file:///home/ada/common", "common"),
        ("common @ ../common", "common"),
        (
            'My.Common[plots,ml] @ file:///a%20b/common ; python_version >= "3.8"',
            'my-common[ml,plots]; python_version >= "3.8"',
        ),
        ("common @ https://example.org/common-1.0-py3-none-any.whl", None),
        ("common @ git+https://example.org/common", None),
        ("common>=1.0", None),
    ],
)
def test_a_path_of_this_machine_becomes_the_name_and_nothing_else_changes(
    tmp_path: Path, asked: str, expected: str | None
) -> None:
    path = make_wheel(tmp_path, "numpy>=1", asked)
    assert bool(metadata.read(path).by_path) is (expected is not None)

    needs.ask_by_name(path)

    with zipfile.ZipFile(path) as wheel:
        said = wheel.read("app-1.0.dist-info/METADATA")
        recorded = {
            name: rest for name, *rest in csv.reader(wheel.read("app-1.0.dist-info/RECORD").decode().splitlines())
        }
    assert said.decode() == f"{HEAD}Requires-Dist: numpy>=1\nRequires-Dist: {expected or asked}{TEXT}"
    digest = base64.urlsafe_b64encode(hashlib.sha256(said).digest()).rstrip(b"=").decode()
    assert recorded["app-1.0.dist-info/METADATA"] == [f"sha256={digest}", str(len(said))]
    assert metadata.read(path).by_path == frozenset()


def test_two_builds_of_a_wheel_whose_paths_differ_give_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        made.append(make_wheel(tmp_path / name, f"common @ file:///tmp/{name}/common"))
        needs.ask_by_name(made[-1])

    assert made[0].read_bytes() == made[1].read_bytes()


@pytest.mark.parametrize(
    ("version", "cure"),
    [
        ("1.0-feature_login", "1.0+feature.login"),
        ("1.0rc1-PR#7", "1.0rc1+pr.7"),
        ("feature", "0+feature"),
    ],
)
def test_a_version_that_pip_does_not_take_is_named_with_one_that_it_takes(
    tmp_path: Path, version: str, cure: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
    path = tmp_path / f"app-{version.replace('-', '_')}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("app.dist-info/METADATA", f"Metadata-Version: 2.1\nName: app\nVersion: {version}\n")

    with pytest.raises(errors.BadInput, match="gives itself the version") as caught:
        needs.read_built(tmp_path, path)

    assert f"'{version}'" in caught.value.what
    assert caught.value.where == f"{tmp_path / 'pyproject.toml'}:2"
    assert f"write {cure}," in caught.value.cure
    Version(cure)


@given(st.text())
def test_whatever_a_library_calls_itself_the_version_that_is_proposed_is_one(said: str) -> None:
    proposed = re.match(r"write (\S+), or", needs.wrong_version(Path("/nowhere"), said).cure)

    assert proposed is not None
    Version(proposed[1])


def test_a_wheel_with_a_version_of_pep_440_is_not_refused_for_it(tmp_path: Path) -> None:
    assert needs.read_built(tmp_path, make_wheel(tmp_path)).version == "1.0"


def test_a_built_wheel_that_says_another_name_than_its_file_is_told_of_the_library(tmp_path: Path) -> None:
    path = make_wheel(tmp_path).rename(tmp_path / "other-1.0-py3-none-any.whl")

    with pytest.raises(
        errors.BadInput, match=r"gives other-1\.0-py3-none-any\.whl, which no installer takes"
    ) as caught:
        needs.read_built(tmp_path, path)

    assert caught.value.where == str(tmp_path)


def test_a_wheel_given_by_hand_that_needs_a_path_is_refused(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "common @ file:///home/ada/common")

    with pytest.raises(errors.BadInput, match="needs common by a path of this machine") as caught:
        wheel_files.read_given([path], top=tmp_path)

    assert caught.value.where == str(path)

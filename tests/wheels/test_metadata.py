from __future__ import annotations

import contextlib
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks import errors
from mlops_tasks.release import Wheel
from mlops_tasks.wheels import metadata, wheel_files


def make_wheel(folder: Path, name: str, *requires: str, says: str = "", version: str = "1.0") -> Path:
    about = f"Metadata-Version: 2.1\nName: {says or name}\nVersion: {version}\n"
    about += "".join(f"Requires-Dist: {each}\n" for each in requires)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}-1.0.dist-info/METADATA", about)
        archive.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: hands (1)\n")
    return path


def order(folder: Path, *wheels: Path) -> list[str]:
    return [wheel.distribution for wheel in wheel_files.read_given(wheels, top=folder)]


def test_a_wheel_says_what_it_is(tmp_path: Path) -> None:
    found = metadata.read(make_wheel(tmp_path, "my_lib", "Num.Py>=1", "nonsense !", says="My-Lib"))

    assert found == metadata.Metadata(
        distribution="My-Lib",
        version="1.0",
        requires=frozenset({"num-py"}),
        requires_python="",
        generator="hands (1)",
        is_empty=True,
    )


def test_a_wheel_says_which_python_it_needs(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "mylib", version="1.0\nRequires-Python: >=3.8")

    assert metadata.read(path).requires_python == ">=3.8"


@pytest.mark.parametrize("name", ["x.whl", "mylib-1.0-py3-none-any.whl"])
def test_what_is_no_wheel_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("no zip")

    with pytest.raises(errors.BadInput, match="not a wheel"):
        metadata.read(tmp_path / name)


def test_a_pointer_in_the_place_of_a_wheel_is_refused_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "app-1.0-py3-none-any.whl"
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n")

    with pytest.raises(errors.BadInput, match="this is a Git LFS pointer") as caught:
        metadata.read(path)

    assert caught.value.cure == "`git lfs pull`"


def test_a_wheel_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.BadInput, match="no such file"):
        metadata.read(tmp_path / "mylib-1.0-py3-none-any.whl")


@pytest.mark.parametrize(("says", "version"), [("other", "1.0"), ("mylib", "2.0"), ("mylib", "")])
def test_a_wheel_under_another_wheels_name_is_refused(tmp_path: Path, says: str, version: str) -> None:
    with pytest.raises(errors.BadInput, match="not a wheel"):
        metadata.read(make_wheel(tmp_path, "mylib", says=says, version=version))


@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), length=st.floats(0.5, 1))
def test_a_damaged_wheel_is_read_or_refused(place: float, byte: int, length: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = make_wheel(Path(folder), "mylib", *(f"need{number}" for number in range(20)))
        data = bytearray(path.read_bytes())
        data[int(place * len(data))] = byte
        path.write_bytes(data[: int(length * len(data))] if length < 0.6 else data)
        with contextlib.suppress(errors.BadInput):
            assert metadata.read(path).distribution.lower() == "mylib"


def test_what_a_wheel_needs_comes_before_it(tmp_path: Path) -> None:
    app, base = make_wheel(tmp_path, "app", "zbase>=1", "numpy"), make_wheel(tmp_path, "zbase")

    assert order(tmp_path, app, base) == ["zbase", "app"]
    assert order(tmp_path, base, app) == ["zbase", "app"]


def test_what_only_an_extra_needs_does_not_order(tmp_path: Path) -> None:
    app, base = make_wheel(tmp_path, "app", "zbase"), make_wheel(tmp_path, "zbase", 'app; extra == "test"')

    assert order(tmp_path, app, base) == ["zbase", "app"]


def test_wheels_that_need_each_other_come_by_name(tmp_path: Path) -> None:
    one, other = make_wheel(tmp_path, "one", "other"), make_wheel(tmp_path, "other", "one")

    assert order(tmp_path, other, one) == ["one", "other"]


def test_the_content_of_a_folder_depends_on_names_and_hashes_not_on_order() -> None:
    def wheel(name: str, sha256: str) -> Wheel:
        return Wheel(distribution=name, version="1", file=f"w/{name}-1-py3-none-any.whl", sha256=sha256, size=1)

    one, other = wheel("a", "00"), wheel("b", "11")

    assert metadata.content([one, other]) == metadata.content([other, one])
    assert metadata.content([one]) != metadata.content([wheel("a", "11")])
    assert len(metadata.content([one])) == 16

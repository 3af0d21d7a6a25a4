from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks.project import requirement


@pytest.mark.parametrize(
    ("entry", "path", "distribution"),
    [
        ("/dbfs/libs/My_Lib-1.0-py3-none-any.whl", "/dbfs/libs/My_Lib-1.0-py3-none-any.whl", "my-lib"),
        (
            "./dist/my.lib-1.0-1-cp311-cp311-linux_x86_64.WHL",
            "./dist/my.lib-1.0-1-cp311-cp311-linux_x86_64.WHL",
            "my-lib",
        ),
        ("lib@https://h/lib-1-py3-none-any.whl#sha256=ab", "https://h/lib-1-py3-none-any.whl", "lib"),
        ("WHEELPATH/lib-1-py3-none-any.whl", "WHEELPATH/lib-1-py3-none-any.whl", "lib"),
        ("lib-1-py3-none-any.whl  # why", "lib-1-py3-none-any.whl", "lib"),
        ("lib @ file:///WHEELPATH", "file:///WHEELPATH", "lib"),
    ],
)
def test_an_entry_that_names_a_wheel_is_taken_apart(entry: str, path: str, distribution: str) -> None:
    found = requirement.read(entry, placeholder="WHEELPATH")
    assert found is not None
    assert (found.path, found.distribution, found.stands_for_all) == (path, distribution, False)


@pytest.mark.parametrize("entry", ["WHEELPATH", "dbfs:/x/WHEELPATH", "WHEELPATH[a] ; os_name == 'nt'"])
def test_a_placeholder_stands_for_all_wheels(entry: str) -> None:
    found = requirement.read(entry, placeholder="WHEELPATH")
    assert found is not None
    assert found.stands_for_all


@pytest.mark.parametrize(
    "entry", ["", "numpy==2", "-e .", "--find-links WHEELPATH", "-r x.whl", "one\nWHEELPATH", "x.whl --upgrade", "whl"]
)
def test_anything_else_is_no_entry_for_a_wheel(entry: str) -> None:
    assert requirement.read(entry, placeholder="WHEELPATH") is None


def test_extras_and_marker_are_read_and_a_hash_is_let_go() -> None:
    found = requirement.read("a-1-py3-none-any.whl[x, y]#sha256=1 --hash=sha256:2 ; os_name=='nt' # c", placeholder="W")
    assert found is not None
    assert (found.extras, found.marker) == ("x, y", "os_name=='nt'")


@given(st.text() | st.text(alphabet="aW-@[]#; ./whl:", max_size=30))
def test_any_text_is_an_entry_or_is_not(entry: str) -> None:
    found = requirement.read(entry, placeholder="W")
    assert found is None or found.path in entry

"""The local target by itself: what a place means on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.contexts import make_context


@pytest.mark.parametrize(
    ("stored", "usable"),
    [
        ("a b/x.whl", "file://{top}/a%20b/x.whl"),
        ("/elsewhere/x.whl", "file:///elsewhere/x.whl"),
        ("file:///elsewhere/x.whl", "file:///elsewhere/x.whl"),
        ("/Volumes/a/b/c/x.whl", "/Volumes/a/b/c/x.whl"),
        ("dbfs:/w/x.whl", "dbfs:/w/x.whl"),
        ("https://host/x.whl", "https://host/x.whl"),
    ],
)
def test_a_wheel_of_this_machine_gets_a_file_url_and_a_place_elsewhere_stays(
    tmp_path: Path, stored: str, usable: str
) -> None:
    assert make_context(tmp_path).target.absolute_uri(stored) == usable.format(top=tmp_path)

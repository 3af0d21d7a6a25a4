"""Every spelling of a place is read in one module."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlops_tasks.stores import uris


@pytest.mark.parametrize(
    ("spelt", "place"),
    [
        ("/dbfs/w/x.whl", "dbfs:/w/x.whl"),
        ("/dbfs//w/x.whl", "dbfs:/w/x.whl"),
        ("file:/dbfs/w/x.whl", "dbfs:/w/x.whl"),
        ("file:///dbfs/w/a%20b.whl", "dbfs:/w/a b.whl"),
        ("dbfs:/w/x.whl", "dbfs:/w/x.whl"),
        ("dbfs:/Volumes/a/b/c/x.whl", "/Volumes/a/b/c/x.whl"),
        ("file:///Volumes/a/b/c/x.whl", "/Volumes/a/b/c/x.whl"),
        ("/dbfs/Volumes/a/b/c/x.whl", "/Volumes/a/b/c/x.whl"),
        ("/Workspace/Shared/x.whl", "/Workspace/Shared/x.whl"),
        ("file:/Workspace/Shared/x.whl", "/Workspace/Shared/x.whl"),
        ("/home/me/x.whl", "/home/me/x.whl"),
        ("file:///home/me/x.whl", "file:///home/me/x.whl"),
        ("https://host/dbfs/x.whl", "https://host/dbfs/x.whl"),
        ("/dbfsx/x.whl", "/dbfsx/x.whl"),
    ],
)
def test_a_place_in_a_workspace_is_known_in_every_spelling(spelt: str, place: str) -> None:
    assert uris.from_cluster(spelt) == place
    assert uris.from_cluster(place) == place


@pytest.mark.parametrize(
    ("uri", "is_here"),
    [
        ("dist/x.whl", True),
        ("/home/me/x.whl", True),
        ("file:///home/me/x.whl", True),
        ("file:/home/me/x.whl", True),
        ("/dbfs/w/x.whl", False),
        ("file:/dbfs/w/x.whl", False),
        ("/Volumes/a/b/c/x.whl", False),
        ("dbfs:/Volumes/a/b/c/x.whl", False),
        ("https://host/x.whl", False),
        ("s3://bucket/x.whl", False),
    ],
)
def test_a_file_of_this_machine_is_told_from_places_elsewhere(uri: str, is_here: bool) -> None:
    assert uris.is_here(uri) is is_here


@pytest.mark.parametrize(
    ("root", "is_folder"),
    [
        *[(each, True) for each in ("wheels", "/home/me/wheels", "C:/wheels", "a b/c")],
        *[(each, False) for each in ("dbfs:/w", "/dbfs/w", "/Volumes/a/b/c", "/Workspace/w", "/Shared/w", "s3://b/w")],
    ],
)
def test_a_root_for_wheels_is_a_folder_or_a_place_in_a_workspace_however_that_is_spelt(
    root: str, is_folder: bool
) -> None:
    assert uris.is_folder(root) is is_folder


@pytest.mark.parametrize(
    ("uri", "said", "cure"),
    [
        ("http:/h/x.whl", "no host follows http://", "write http://h/x.whl"),
        ("HTTPS:h/x.whl", "no host follows https://", "write https://h/x.whl"),
        ("https:///h/x.whl", "no host follows https://", "write https://h/x.whl"),
        ("dbfs:wheels/x.whl", "no file on DBFS", "write dbfs:/wheels/x.whl"),
        ("dbfs:x.whl", "no file on DBFS", "write dbfs:/x.whl"),
        ("dbfs://wheels/x.whl", "no file on DBFS", "write dbfs:/wheels/x.whl"),
        ("dbfs:/dbfs/x.whl", "no file on DBFS", "write dbfs:/x.whl"),
        ("/dbfs/../etc/x.whl", "no `.` and no `..`", "without them"),
        ("/Volumes/a/b/c/../x.whl", "no `.` and no `..`", "without them"),
        ("/Workspace/./x.whl", "no `.` and no `..`", "without them"),
        ("/Volumes/a/b/x.whl", "no file in a volume", "write /Volumes/CATALOG/SCHEMA/VOLUME/NAME.whl"),
        *[(f"{each}://c@b/x.whl", f"the scheme {each}", "of dbfs:/") for each in ("s3", "gs", "abfss", "ftp")],
    ],
)
def test_a_wheels_uri_that_no_installer_takes_has_a_fault_and_a_cure(uri: str, said: str, cure: str) -> None:
    fault = uris.find_fault(uris.from_cluster(uri))

    assert fault is not None
    assert said in fault[0]
    assert cure in fault[1]


@pytest.mark.parametrize(
    "uri",
    [
        *["http://h/x.whl", "HTTPS://h:8080/a/../x.whl?sig=/../#sha256=0", "https://ada:pw@h/x.whl", "https://[::1]/x"],
        *["dbfs:/x.whl", "/dbfs/w//x.whl", "file:/dbfs/w/x.whl", "dbfs:/Volumes/a/b/c/x.whl", "/Workspace/x.whl"],
        *["/Volumes/a/b/c/d/x.whl", "dbfs:/a..b/x.whl", "../x.whl", "./a:b/x.whl", "C:/x.whl", "file:dist/x.whl"],
    ],
)
def test_a_wheels_uri_that_some_installer_takes_has_no_fault(uri: str) -> None:
    assert uris.find_fault(uris.from_cluster(uri)) is None


NAMES = ["a b", "%2F", "x.whl", "..", "é", "?", "#", "[", "dbfs"]
PARTS = st.sampled_from(["/", "//", "dbfs:", "file:", "/dbfs/", "/Volumes/", "/Workspace/", *NAMES])


@given(st.lists(PARTS, max_size=7).map("".join))
@example("file:///dbfs/dbfs:/Volumes/x")
def test_a_place_is_read_once_and_is_here_or_elsewhere(text: str) -> None:
    place = uris.from_cluster(text)

    assert uris.from_cluster(place) == place
    assert not (uris.is_here(text) and place.startswith(uris.REMOTE))
    assert uris.is_here(place) == uris.is_here(text)
    if place.startswith(uris.DBFS) and not text.startswith(uris.DBFS):
        assert uris.to_cluster(place).startswith(uris.FUSE)

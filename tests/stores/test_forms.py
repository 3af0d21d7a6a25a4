from __future__ import annotations

import pytest
from packaging import requirements

from mlops_tasks.stores import forms


@pytest.mark.parametrize(
    ("uri", "entry"),
    [
        ("file:///a%20b/x-1-py3-none-any.whl", "x[e] @ file:///a%20b/x-1-py3-none-any.whl ; os_name == 'nt'"),
        ("dbfs:/w/x.whl", "/dbfs/w/x.whl[e] ; os_name == 'nt'"),
        ("dbfs:///w/x.whl", "/dbfs/w/x.whl[e] ; os_name == 'nt'"),
        ("/Volumes/c/s/v/x.whl", "/Volumes/c/s/v/x.whl[e] ; os_name == 'nt'"),
        ("/Workspace/Shared/x.whl", "/Workspace/Shared/x.whl[e] ; os_name == 'nt'"),
        ("s3://b/x.whl", "x[e] @ s3://b/x.whl ; os_name == 'nt'"),
    ],
)
def test_pip_gets_a_path_where_the_cluster_has_one_and_else_a_name_at_a_uri(uri: str, entry: str) -> None:
    assert forms.pip_entry(uri, "x", extras="e", marker="os_name == 'nt'") == entry


def test_without_extras_and_marker_nothing_is_added() -> None:
    assert forms.pip_entry("file:///x.whl", "x") == "x @ file:///x.whl"
    assert forms.pip_entry("dbfs:/x.whl", "x") == "/dbfs/x.whl"


def test_a_named_entry_is_a_requirement_by_the_standard() -> None:
    found = requirements.Requirement(forms.pip_entry("file:///x%2B1.whl", "x", extras="a,b", marker="os_name == 'nt'"))
    assert (found.url, found.extras, str(found.marker)) == ("file:///x%2B1.whl", {"a", "b"}, 'os_name == "nt"')


def test_a_library_is_named_by_the_uri_itself() -> None:
    assert forms.library_entry("dbfs:/w/x.whl") == "dbfs:/w/x.whl"

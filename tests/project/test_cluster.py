from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlops_tasks import errors
from mlops_tasks.project import cluster

FLAT: dict[str, Any] = {"spark_version": "13.3.x", "num_workers": 2}
WHEEL = {"whl": "dbfs:/x.whl"}


def read(folder: Path, data: object) -> cluster.ClusterSpec:
    path = folder / "cluster.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return cluster.read(path)


@pytest.mark.parametrize(
    ("data", "form"),
    [
        ({**FLAT, "libraries": [WHEEL]}, "flat"),
        ({"new_cluster": FLAT, "libraries": [WHEEL]}, "wrapped"),
        ({"cluster_spec": FLAT, "libraries": [WHEEL]}, "cluster_spec"),
        ({"cluster_spec": {"new_cluster": FLAT, "libraries": [WHEEL]}}, "cluster_spec"),
    ],
)
def test_each_form_says_the_same(tmp_path: Path, data: dict[str, Any], form: str) -> None:
    spec = read(tmp_path, data)
    assert (spec.cluster, spec.libraries, spec.form, spec.others) == (FLAT, (WHEEL,), form, {})
    assert spec.is_flat is False
    cluster.write_wrapped(tmp_path / "wrapped.json", spec, spec.libraries)
    assert json.loads((tmp_path / "wrapped.json").read_text()) == {"new_cluster": FLAT, "libraries": [WHEEL]}
    assert json.loads(cluster.flat_text(spec)) == FLAT


def test_an_existing_cluster_stays_what_it_is(tmp_path: Path) -> None:
    spec = read(tmp_path, {"existing_cluster_id": "1-a", "libraries": []})
    cluster.write_wrapped(tmp_path / "new.json", spec, [WHEEL])
    assert json.loads((tmp_path / "new.json").read_text()) == {"libraries": [WHEEL], "existing_cluster_id": "1-a"}


@pytest.mark.parametrize(
    ("data", "existing"),
    [
        ({"existing_cluster_id": "1-a"}, "1-a"),
        ({"new_cluster": {"existing_cluster_id": "1-a"}}, "1-a"),
        ({"new_cluster": FLAT, "existing_cluster_id": "1-a"}, "1-a"),
        (FLAT, None),
    ],
)
def test_an_existing_cluster_is_found_wherever_it_is_named(tmp_path: Path, data: object, existing: str | None) -> None:
    assert read(tmp_path, data).existing == existing


def test_a_spec_that_is_named_goes_before_the_projects_own(tmp_path: Path) -> None:
    assert cluster.find(None, tmp_path) is None
    read(tmp_path, FLAT)
    assert cluster.find(None, tmp_path) == tmp_path / "cluster.json"
    assert cluster.find(tmp_path / "big.json", tmp_path) == tmp_path / "big.json"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "must be a JSON object"),
        ({"libraries": {}}, "list of objects"),
        ({"libraries": ["x"]}, "list of objects"),
        ({"new_cluster": 1}, "`new_cluster` must be"),
        ('{\n\t"a": 1\n\t"b"}', r"cluster\.json:3:2"),
        ('{"a": {"b": 1,\n"b": 2}}', r"b is there twice\n  in: .*cluster\.json:2:1"),
    ],
)
def test_an_ill_formed_spec_is_refused(tmp_path: Path, data: object, said: str) -> None:
    with pytest.raises(errors.BadInput, match=said):
        read(tmp_path, data)

from __future__ import annotations

import pytest

from mlops_tasks import errors
from mlops_tasks.tracking import bounds


@pytest.mark.parametrize(
    ("mlflow", "lacking"),
    [
        ("3.17.2", []),
        ("3.13.0", []),
        ("3.12.0", ["sqlalchemy<2.1"]),
        ("2.17.2", ["sqlalchemy<2.1"]),
        ("2.4.1", ["sqlalchemy<2.1", "setuptools<81"]),
    ],
)
def test_an_older_mlflow_lacks_upper_bounds(mlflow: str, lacking: list[str]) -> None:
    assert bounds.lacking(mlflow) == lacking


def test_an_mlflow_that_cannot_work_with_what_is_beside_it_is_told_so_with_what_to_type(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        bounds, "BOUNDS", (bounds.Bound("3", "packaging<1"), bounds.Bound("3", "nowhere-to-be-found<1"))
    )
    bounds.check_here("3.0")

    with pytest.raises(errors.StepFailed, match=r"MLflow 2\.9.*does not work with packaging") as caught:
        bounds.check_here("2.9")

    assert caught.value.cure == "pip install 'packaging<1'"


def test_the_installed_mlflow_is_known_without_importing_it() -> None:
    client = bounds.read_client()

    assert client is not None
    assert client.version.split(".")[0].isdigit()
    assert client.requires_python.startswith(">=3.")

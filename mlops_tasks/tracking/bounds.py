"""The MLflow that is installed here, and the upper bounds that older ones lack: what they stand on has moved on."""

from __future__ import annotations

import contextlib
from importlib import metadata
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.version import Version

from mlops_tasks import errors

DISTRIBUTIONS = ("mlflow", "mlflow-skinny")
"""The packages that each have an MLflow to log with."""


class Client(NamedTuple):
    """The MLflow that is installed here."""

    version: str
    requires_python: str


class Bound(NamedTuple):
    """MLflow below `until` does not work with what `requirement` leaves out."""

    until: str
    requirement: str


BOUNDS = (
    Bound("3.13", "sqlalchemy<2.1"),  # its store imports FallbackAsyncAdaptedQueuePool
    Bound("2.16.2", "setuptools<81"),  # it imports pkg_resources
)


def lacking(mlflow: str) -> list[str]:
    """The requirements that MLflow of this version should have made."""
    return [each.requirement for each in BOUNDS if Version(mlflow) < Version(each.until)]


def check_here(mlflow: str) -> None:
    """Raise StepFailed where the MLflow that is installed here cannot work with what is installed beside it."""
    for each in map(Requirement, lacking(mlflow)):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found = metadata.version(each.name)
            if not each.specifier.contains(found, prereleases=True):
                raise errors.StepFailed(
                    f"MLflow {mlflow}, which is installed here, does not work with {each.name} {found}",
                    where="the environment of `inv`",
                    cure=f"pip install '{each}'",
                )


def read_client() -> Client | None:
    """The installed MLflow, by its metadata alone: to import it takes seconds."""
    for name in DISTRIBUTIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            about = metadata.metadata(name)
            return Client(version=str(about["Version"]), requires_python=str(about["Requires-Python"] or ""))
    return None

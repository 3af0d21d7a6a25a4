"""The Databricks runtime that a `spark_version` names: its Python, its MLflow, its end of support.

Of a runtime that is newer than these tables all three are unknown: nothing is guessed.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Literal, NamedTuple

Basis = Literal["documented", "seen", "assumed"]
"""How a fact about Databricks is known: published by its makers, seen in its clients' code, or neither."""

RELEASES = "https://docs.databricks.com/release-notes/runtime.html"
_NAME = re.compile(r"(?P<major>\d+)(?:\.(?P<minor>\d+))?\.x(?:-(?P<flavour>.*))?")


class Version(NamedTuple):
    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


PROJECTS_END = Version(13, 0)
"""From here on MLflow Projects other than Spark jobs do not run."""
DBFS_LIBRARIES_END = Version(15, 0)
"""From here on no library is installed from DBFS: of 14.3 and 15.1 that is documented, of 15.0 nothing is."""
EGGS_END = Version(14, 0)
WORKSPACE_FILES_BEGIN = Version(11, 3)
WORKSPACE_WHEELS_BEGIN = Version(13, 1)
VOLUMES_BEGIN = Version(13, 3)
REQUIREMENTS_BEGIN = Version(15, 0)
NEWEST = Version(19, 99)
"""The last that this table knows: every 19."""


class _Era(NamedTuple):
    first: Version
    python: str
    basis: Basis


_ERAS = (
    _Era(Version(18, 0), "3.12", "assumed"),
    _Era(Version(16, 0), "3.12", "seen"),
    _Era(Version(15, 0), "3.11", "seen"),
    _Era(Version(13, 0), "3.10", "seen"),
    _Era(Version(11, 0), "3.9", "seen"),
    _Era(Version(9, 0), "3.8", "seen"),
    _Era(Version(8, 0), "3.8", "assumed"),
    _Era(Version(7, 0), "3.7", "documented"),
)
_MLFLOW = {
    Version(14, 3): "2.9.2",
    Version(15, 4): "2.13.1",
    Version(16, 4): "2.21.3",
    Version(17, 3): "3.0.1",
    Version(18, 0): "3.8.1",
    Version(19, 0): "3.12.0",
}
DATED_ENDS = {
    Version(9, 1): date(2024, 9, 23),
    Version(10, 4): date(2025, 3, 18),
    Version(11, 3): date(2025, 10, 19),
    Version(12, 2): date(2026, 3, 1),
    Version(13, 3): date(2026, 8, 22),
    Version(14, 3): date(2027, 2, 1),
    Version(15, 4): date(2027, 8, 19),
    Version(16, 4): date(2028, 5, 9),
    Version(17, 0): date(2025, 12, 23),
    Version(17, 1): date(2026, 2, 1),
    Version(17, 2): date(2026, 3, 26),
    Version(17, 3): date(2028, 10, 22),
}
_SHORT_LIVED_END = date(2025, 11, 9)
"""Six months after 16.4, before which all short-lived runtimes below 17 came out: each has support for half a year."""


class Runtime(NamedTuple):
    """One runtime. `python` is major and minor only; `mlflow` is what its ML flavour brings.

    `python` is None for what is not known, `end_of_support` also for what has no date yet.
    """

    version: Version
    is_ml: bool
    is_gpu: bool
    is_photon: bool
    python: str | None
    python_basis: Basis
    mlflow: str | None
    end_of_support: date | None

    @property
    def is_known(self) -> bool:
        return self.python is not None

    def __str__(self) -> str:
        return f"runtime {self.version}{' ML' if self.is_ml else ''}"


def parse(spark_version: str) -> Runtime | None:
    """The runtime of a `spark_version` such as `15.4.x-cpu-ml-scala2.12`; None for a name of any other form."""
    found = _NAME.fullmatch(spark_version.strip())
    if found is None:
        return None
    version = Version(int(found["major"]), int(found["minor"] or 0))
    words = set((found["flavour"] or "").split("-"))
    era = next((each for each in _ERAS if each.first <= version <= NEWEST), None)
    return Runtime(
        version=version,
        is_ml="ml" in words,
        is_gpu="gpu" in words,
        is_photon="photon" in words,
        python=era.python if era else None,
        python_basis=era.basis if era else "assumed",
        mlflow=_MLFLOW.get(version) if "ml" in words else None,
        end_of_support=DATED_ENDS.get(version, _SHORT_LIVED_END if version < Version(17, 0) else None),
    )

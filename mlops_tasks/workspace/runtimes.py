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
_NAME = re.compile(
    r"(?P<major>\d+)\.(?:(?P<minor>\d+)\.)?x(?:-(?P<flavour>[a-z0-9-]*?)(?:-?scala(?P<scala>\d+\.\d+))?)?"
)
_ALIKE = re.compile(r"\D*?(?P<major>\d+)(?:\.(?P<minor>\d+))?(?P<rest>.*)")
EVERY_MINOR = 99
"""The minor of a name such as `18.x-scala2.13`: from 18 on it stands for the newest of that major."""


class Version(NamedTuple):
    major: int
    minor: int

    def __str__(self) -> str:
        return str(self.major) if self.minor == EVERY_MINOR else f"{self.major}.{self.minor}"


PROJECTS_END = Version(13, 0)
"""From here on MLflow Projects other than Spark jobs do not run."""
DBFS_LIBRARIES_END = Version(15, 0)
"""From here on no library is installed from DBFS: of 14.3 and 15.1 that is documented, of 15.0 nothing is."""
EGGS_END = Version(14, 0)
WORKSPACE_FILES_BEGIN = Version(11, 3)
WORKSPACE_WHEELS_BEGIN = Version(13, 1)
VOLUMES_BEGIN = Version(13, 3)
REQUIREMENTS_BEGIN = Version(15, 0)
MLFLOW_EVERYWHERE = Version(15, 4)
"""From here on the runtimes without -ml- bring an MLflow too."""
NEWEST = Version(19, EVERY_MINOR)
"""The last that this table knows: every 19."""
_UMBRELLAS_BEGIN = 18


class _Era(NamedTuple):
    first: Version
    pythons: tuple[str, ...]
    basis: Basis


_ERAS = (
    _Era(Version(18, 0), ("3.12",), "documented"),
    _Era(Version(16, 0), ("3.12",), "seen"),
    _Era(Version(15, 0), ("3.11",), "seen"),
    _Era(Version(13, 0), ("3.10",), "seen"),
    _Era(Version(11, 0), ("3.9",), "seen"),
    _Era(Version(9, 0), ("3.8",), "seen"),
    _Era(Version(8, 0), ("3.8",), "assumed"),
    _Era(Version(7, 0), ("3.7",), "documented"),
    _Era(Version(0, 0), ("2.7", "3.5", "3.6", "3.7"), "assumed"),
)
"""The last row is of what is older than the table: at most as good as the first of it."""
_MLFLOW = {
    Version(14, 3): "2.9.2",
    Version(15, 4): "2.13.1",
    Version(16, 4): "2.21.3",
    Version(17, 3): "3.0.1",
    Version(18, EVERY_MINOR): "3.8.1",
    Version(19, EVERY_MINOR): "3.12.0",
}
LONG_TERM_ENDS = {
    Version(9, 1): date(2024, 9, 23),
    Version(10, 4): date(2025, 3, 18),
    Version(11, 3): date(2025, 10, 19),
    Version(12, 2): date(2026, 3, 1),
    Version(13, 3): date(2026, 8, 22),
    Version(14, 3): date(2027, 2, 1),
    Version(15, 4): date(2027, 8, 19),
    Version(16, 4): date(2028, 5, 9),
    Version(17, 3): date(2028, 10, 22),
    Version(18, EVERY_MINOR): date(2029, 6, 10),
}
"""The runtimes with long-term support, from the oldest, and its last day."""
DATED_ENDS = {
    **LONG_TERM_ENDS,
    Version(17, 0): date(2025, 12, 23),
    Version(17, 1): date(2026, 2, 1),
    Version(17, 2): date(2026, 3, 26),
}
_SHORT_LIVED_END = date(2025, 11, 9)
"""Six months after 16.4, before which all short-lived runtimes below 17 came out: each has support for half a year."""
_LAST_MINORS = {7: 6, 8: 4, 9: 1, 10: 5, 11: 3, 12: 2, 13: 3, 14: 3, 15: 4, 16: 4, 17: 3}
"""Of each major that gets no further minor."""
_TWO_SCALAS = Version(16, 4)
_SCALA_213_BEGINS = Version(17, 0)
_SCALA_212_BEGINS = Version(7, 0)
_FLAVOURS = {
    "",
    "aarch64",
    "aarch64-photon",
    "cpu-ml",
    "esr",
    "gpu-ml",
    "hls",
    "hls-photon",
    "photon",
    "photon-aarch64",
}
"""What stands between the version and Scala's, from 7.0 on."""


class Runtime(NamedTuple):
    """One runtime. `pythons` are those that it may have, major and minor only; `mlflow` is what its ML flavour brings.

    `pythons` is empty for what is not known, `end_of_support` is None also for what has no date yet.
    """

    version: Version
    is_ml: bool
    is_gpu: bool
    is_photon: bool
    pythons: tuple[str, ...]
    python_basis: Basis
    mlflow: str | None
    end_of_support: date | None
    name: str = ""

    @property
    def is_known(self) -> bool:
        return bool(self.pythons)

    @property
    def python(self) -> str | None:
        """Its Python, where there is one that it may have."""
        return self.pythons[0] if len(self.pythons) == 1 else None

    @property
    def python_said(self) -> str:
        return self.python or f"{self.pythons[-1]} at most"

    @property
    def brings_mlflow(self) -> bool:
        return self.is_ml or self.version >= MLFLOW_EVERYWHERE

    def has_ended(self, today: date) -> bool:
        return self.end_of_support is not None and today > self.end_of_support

    def __str__(self) -> str:
        return f"runtime {self.version}{' ML' if self.is_ml else ''}"


class Environment(NamedTuple):
    """What a version of the environment of serverless compute has; `mlflow` is None where it has none."""

    python: str
    mlflow: str | None
    ends: date | None


ENVIRONMENTS = {
    "1": Environment("3.10", None, date(2027, 3, 12)),
    "2": Environment("3.11", None, date(2027, 11, 21)),
    "3": Environment("3.12", None, date(2028, 6, 13)),
    "4": Environment("3.12", "2.22.0", date(2028, 8, 13)),
    "5": Environment("3.12", "3.8.1", date(2029, 2, 25)),
    "6": Environment("3.12", "3.12.0", None),
}
"""By its version, from the oldest; MLflow of 4 is mlflow-skinny."""


def parse(spark_version: str) -> Runtime | None:
    """The runtime of a `spark_version` such as `15.4.x-cpu-ml-scala2.12`; None for a name of any other form."""
    found = _NAME.fullmatch(spark_version.strip())
    if found is None:
        return None
    major = int(found["major"])
    version = Version(major, int(found["minor"] or (EVERY_MINOR if major >= _UMBRELLAS_BEGIN else 0)))
    words = set((found["flavour"] or "").split("-"))
    era = next((each for each in _ERAS if each.first <= version <= NEWEST), None)
    return Runtime(
        version=version,
        is_ml="ml" in words,
        is_gpu="gpu" in words,
        is_photon="photon" in words,
        pythons=era.pythons if era else (),
        python_basis=era.basis if era else "assumed",
        mlflow=_MLFLOW.get(version) if "ml" in words else None,
        end_of_support=DATED_ENDS.get(version, _SHORT_LIVED_END if version < Version(17, 0) else None),
        name=spark_version.strip(),
    )


def find_fault(spark_version: str) -> str | None:
    """Why no runtime can have that name, as the rest of a sentence; None for a name that one may have.

    Of a name with a colon (`custom:...`, `auto:...`) nothing is known, and of a newer runtime's little.
    """
    if ":" in spark_version or spark_version.startswith("apache-spark-"):
        return None
    found = _NAME.fullmatch(spark_version)
    if found is None or found["scala"] is None:
        return "is no runtime's name, such as 16.4.x-scala2.12 or 16.4.x-cpu-ml-scala2.12"
    return _find_wrong_number(int(found["major"]), found["minor"]) or _find_wrong_kind(spark_version, found)


def _find_wrong_number(major: int, minor: str | None) -> str | None:
    if minor is None and major < _UMBRELLAS_BEGIN:
        return f"names no minor version, which only runtimes from {_UMBRELLAS_BEGIN} on may leave out"
    last = _LAST_MINORS.get(major)
    if last is not None and int(minor or 0) > last:
        return f"names no runtime: the last {major} is {major}.{last}"
    return None


def _find_wrong_kind(spark_version: str, found: re.Match[str]) -> str | None:
    runtime = parse(spark_version)
    version = runtime.version if runtime is not None else NEWEST
    scalas, flavour = scalas_of(version), found["flavour"]
    if scalas and found["scala"] not in scalas:
        return f"names no runtime: {version} has Scala {' or '.join(scalas)}"
    if version >= _SCALA_212_BEGINS and flavour not in _FLAVOURS:
        return f"names no kind of runtime that is known: {flavour} (there are {', '.join(sorted(_FLAVOURS)[1:])})"
    return None


def scalas_of(version: Version) -> tuple[str, ...]:
    """The versions of Scala that a runtime is offered with; empty where that is not known."""
    if not _SCALA_212_BEGINS <= version <= NEWEST:
        return ()
    if version == _TWO_SCALAS:
        return ("2.12", "2.13")
    return ("2.13",) if version >= _SCALA_213_BEGINS else ("2.12",)


def spell(version: Version, *, like: str = "") -> str:
    """The `spark_version` of a runtime, of the flavour and Scala that `like` has, where `version` has them."""
    alike = _ALIKE.fullmatch(like.lower())
    words = set(re.split(r"[^a-z0-9]+", alike["rest"])) if alike else set()
    flavour = "gpu-ml-" if "gpu" in words else "cpu-ml-" if "ml" in words else "photon-" if "photon" in words else ""
    scalas = scalas_of(version)
    named = like.lower().replace(" ", "")
    scala = next((each for each in scalas if f"scala{each}" in named), scalas[0])
    return f"{version}.x-{flavour}scala{scala}"


def guess(spark_version: str) -> Runtime | None:
    """The known runtime that a misspelt name most likely means: `16.4-cpu-ml`, `15.4 LTS ML`, `17.3.x-scala2.12`."""
    alike = _ALIKE.fullmatch(spark_version)
    if alike is None or ":" in spark_version or spark_version.startswith("apache-spark-"):
        return None
    major = int(alike["major"])
    minor = int(alike["minor"]) if alike["minor"] else EVERY_MINOR
    version = Version(major, minor)
    is_known = version <= NEWEST and (major >= _UMBRELLAS_BEGIN or minor <= _LAST_MINORS.get(major, -1))
    return parse(spell(version, like=spark_version)) if is_known else None

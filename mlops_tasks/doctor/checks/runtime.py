"""Checks of the runtime that the cluster spec names: known, supported, with a Python that fits the environment's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from mlops_tasks.doctor import findings
from mlops_tasks.doctor.subject import Subject
from mlops_tasks.workspace import runtimes

PYTHONS = findings.Evidence("documented", "https://devguide.python.org/versions/")
SPARK_PYTHONS = findings.Evidence("seen", "pyspark: pyspark/worker_util.py (PYTHON_VERSION_MISMATCH)")

PYTHON_ENDS = {
    "2.7": date(2020, 1, 1),
    "3.5": date(2020, 9, 30),
    "3.6": date(2021, 12, 23),
    "3.7": date(2023, 6, 27),
    "3.8": date(2024, 10, 7),
    "3.9": date(2025, 10, 31),
    "3.10": date(2026, 10, 31),
    "3.11": date(2027, 10, 31),
    "3.12": date(2028, 10, 31),
}
"""When each Python gets its last security fix."""
SUPPORTED = runtimes.Version(16, 4)
"""A runtime with long-term support."""


def check_known(subject: Subject) -> Iterator[findings.Finding]:
    named = subject.described_cluster.get("spark_version")
    runtime = subject.runtime
    if named is None or (runtime is not None and runtime.is_known):
        return
    newer = runtime is not None and runtime.version > runtimes.NEWEST
    yield findings.RUNTIMES.note(
        f"spark_version {named} is {'newer than' if newer else 'not in'} this package's table of runtimes: "
        "nothing that depends on its Python was checked",
        where=subject.place_of("spark_version"),
        cure="read its release notes for Python and MLflow",
    )


def check_supported(subject: Subject) -> Iterator[findings.Finding]:
    runtime = subject.runtime
    if runtime is None or runtime.end_of_support is None or subject.today <= runtime.end_of_support:
        return
    since = (
        f"since {runtime.end_of_support.day} {runtime.end_of_support:%B %Y}"
        if runtime.version in runtimes.DATED_ENDS
        else "any more"
    )
    yield findings.RUNTIMES.warning(
        f"{runtime} (spark_version {subject.described_cluster['spark_version']}) is not supported {since}, and "
        "Databricks may remove it without notice",
        where=subject.place_of("spark_version"),
        cure=f"choose a runtime with long-term support, such as {_suggest(subject, runtime)}",
    )


def _suggest(subject: Subject, old: runtimes.Runtime) -> str:
    """A supported runtime of the same flavour, on which a classic project does not run as it is."""
    flavour = "gpu-ml-" if old.is_gpu else "cpu-ml-" if old.is_ml else ""
    form = "" if subject.runs_on(SUPPORTED) else ", and write the project as a Spark job for it (`inv doctor --fix`)"
    return f"{SUPPORTED}.x-{flavour}scala2.12{form}"


def check_python_alive(subject: Subject) -> Iterator[findings.Finding]:
    asked = subject.python
    end = PYTHON_ENDS.get(asked or "")
    if end is None or subject.today <= end:
        return
    yield PYTHONS.warning(
        f"the environment asks for Python {asked}, which ended in {end:%B %Y}: newer packages no longer support it",
        where=subject.place_of_python(),
        cure=_renew(subject),
    )


def _renew(subject: Subject) -> str:
    own = subject.runtime.python if subject.runtime is not None else None
    if own is None:
        return "ask for a newer Python"
    if own != subject.python:
        return f"ask for python={own}, the runtime's own"
    cure = "it is the runtime's own: choose a newer runtime"
    rewrite = " and write the project as a Spark job (`inv doctor --fix`)"
    return cure if subject.runs_on(runtimes.PROJECTS_END) else cure + rewrite


def check_python_fits(subject: Subject) -> Iterator[findings.Finding]:
    """The driver of a classic project runs the environment's Python, the workers the runtime's."""
    runtime, asked = subject.runtime, subject.python
    if not subject.is_classic or runtime is None or runtime.python is None or asked in {None, runtime.python}:
        return
    yield SPARK_PYTHONS.assumed(when=runtime.python_basis == "assumed").warning(
        f"the environment asks for Python {asked}, and {runtime} has {runtime.python}: code that the driver "
        "sends to Spark's workers (a UDF) fails between two Pythons",
        where=subject.place_of_python(),
        cure=f"ask for python={runtime.python}, or send no code to Spark's workers",
    )

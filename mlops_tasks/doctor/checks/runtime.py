"""Checks of the runtime that the cluster spec names: known, supported, with a Python that fits the environment's."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_tasks.doctor import cures, findings
from mlops_tasks.doctor.subject import Subject
from mlops_tasks.workspace import runtimes

PYTHONS = findings.Evidence("documented", "https://devguide.python.org/versions/")
SPARK_PYTHONS = findings.Evidence("seen", "pyspark: pyspark/worker_util.py (PYTHON_VERSION_MISMATCH)")
VERSIONS = findings.Evidence("documented", "https://github.com/databrickslabs/dbx/issues/782")


def check_name(subject: Subject) -> Iterator[findings.Finding]:
    """Databricks takes any name when a job is submitted, and fails the run when it makes the cluster."""
    named = subject.spark_version
    fault = runtimes.find_fault(named) if named is not None else None
    if fault is not None:
        meant = runtimes.guess(named or "")
        yield VERSIONS.error(
            f"spark_version {named} {fault}",
            where=subject.place_of("spark_version"),
            cure=cures.move(subject, to=meant if meant is not None and cures.suits(subject, meant) else None),
        )


def check_offered(subject: Subject) -> Iterator[findings.Finding]:
    """The workspace's own word. What has no support any more may be left out of its list and start all the same."""
    named, offered, runtime = subject.spark_version, subject.offered_runtimes, subject.runtime
    if named is None or offered is None or named in offered or ":" in named or runtimes.find_fault(named):
        return
    if runtime is None or not runtime.has_ended(subject.today):
        yield findings.WORKSPACE.error(
            f"the workspace has no runtime {named}",
            where=subject.place_of("spark_version"),
            cure=cures.move(subject),
        )


def check_known(subject: Subject) -> Iterator[findings.Finding]:
    named, runtime = subject.spark_version, subject.runtime
    if named is None or (runtime is not None and runtime.is_known) or runtimes.find_fault(named):
        return
    if runtime is None or named in (subject.offered_runtimes or ()):
        yield findings.RUNTIMES.note(
            f"spark_version {named} is not in this package's table of runtimes: nothing that depends on its Python "
            "was checked",
            where=subject.place_of("spark_version"),
            cure="read its release notes for Python and MLflow",
        )
    elif subject.offered_runtimes is None:
        yield findings.RUNTIMES.warning(
            f"spark_version {named} is newer than this package's table of runtimes, which ends with "
            f"{runtimes.NEWEST}: whether there is such a runtime, and what depends on its Python, was not checked",
            where=subject.place_of("spark_version"),
            cure="check the name: `inv doctor --target databricks` asks the workspace for its runtimes",
        )


def check_supported(subject: Subject) -> Iterator[findings.Finding]:
    runtime = subject.runtime
    if runtime is None or runtime.end_of_support is None or not runtime.has_ended(subject.today):
        return
    since = (
        f"since {runtime.end_of_support.day} {runtime.end_of_support:%B %Y}"
        if runtime.version in runtimes.DATED_ENDS
        else "any more"
    )
    yield findings.RUNTIMES.warning(
        f"{runtime} (spark_version {subject.spark_version}) is not supported {since}, and "
        "Databricks may remove it without notice",
        where=subject.place_of("spark_version"),
        cure=cures.move(subject),
    )


def check_python_alive(subject: Subject) -> Iterator[findings.Finding]:
    asked = subject.python
    end = cures.PYTHON_ENDS.get(asked or "")
    if end is None or subject.today <= end:
        return
    yield PYTHONS.warning(
        f"the environment asks for Python {asked}, which ended in {end:%B %Y}: newer packages no longer support it",
        where=subject.place_of_python(),
        cure=cures.renew_python(subject),
    )


def check_python_fits(subject: Subject) -> Iterator[findings.Finding]:
    """The driver of a classic project runs the environment's Python, the workers the runtime's."""
    runtime, asked = subject.runtime, subject.python
    if not subject.is_classic or runtime is None or asked is None or asked in {*runtime.pythons, runtime.python}:
        return
    if runtime.is_known:
        yield SPARK_PYTHONS.assumed(when=runtime.python_basis == "assumed").warning(
            f"the environment asks for Python {asked}, and {runtime} has {runtime.python_said}: code that the driver "
            "sends to Spark's workers (a UDF) fails between two Pythons",
            where=subject.place_of_python(),
            cure=f"send no code to Spark's workers, or {cures.renew_python(subject)}",
        )

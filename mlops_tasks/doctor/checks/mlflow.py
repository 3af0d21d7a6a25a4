"""Checks of MLflow's versions: its backend installs the version used here on a classic project's cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from mlops_tasks.doctor import cures, findings
from mlops_tasks.doctor.subject import Subject
from mlops_tasks.wheels import fitting

NEWEST = {"3.8": "2.17.2", "3.9": "3.1.4"}
"""The newest MLflow that works here, for each Python that the current MLflow no longer supports."""
ENVIRONMENT_NEWEST = {"3.7": "1.30.1", **NEWEST}
"""The newest of all."""
OLDEST = Version("2.17")
"""The oldest MLflow that this package works with."""


def check_runtime_fits(subject: Subject) -> Iterator[findings.Finding]:
    client, runtime = subject.forced_mlflow, subject.runtime
    if client is None or runtime is None or not runtime.is_known:
        return
    if not any(fitting.allows(client.requires_python, each) for each in runtime.pythons):
        yield findings.MLFLOW_BACKEND.assumed(when=runtime.python_basis == "assumed").error(
            f"MLflow's backend installs its own version, {client.version}, on the cluster: that needs Python "
            f"{client.requires_python}, and {runtime} has {runtime.python_said}",
            where=subject.place_of("spark_version"),
            cure=_spare(subject),
        )


def check_environment_fits(subject: Subject) -> Iterator[findings.Finding]:
    """The entry point logs with the MLflow of the environment YAML, beside the one on the cluster that starts it."""
    client, asked, runtime = subject.forced_mlflow, subject.python, subject.runtime
    if client is None or asked is None or fitting.allows(client.requires_python, asked):
        return
    newest = f" (at most {ENVIRONMENT_NEWEST[asked]})" if asked in ENVIRONMENT_NEWEST else ""
    pythons = runtime.pythons if runtime is not None else ()
    is_old = pythons and not any(fitting.allows(client.requires_python, each) for each in pythons)
    yield findings.MLFLOW_BACKEND.warning(
        f"the environment's Python {asked} cannot run MLflow {client.version}, which starts the entry point: the entry "
        f"point gets an older one{newest}",
        where=subject.place_of_python(),
        cure=_spare(subject) if is_old else cures.renew_python(subject),
    )


def check_pin(subject: Subject) -> Iterator[findings.Finding]:
    client = subject.forced_mlflow
    if client is None or subject.environment is None:
        return
    for line, asked in subject.asked_mlflow:
        if not asked.url and not asked.specifier.contains(client.version, prereleases=True):
            said = line if line in subject.environment.conda else asked
            yield findings.MLFLOW_BACKEND.warning(
                f"the environment asks for {said}, and MLflow {client.version} starts it on the cluster: two versions "
                "work on one run",
                where=subject.place_of_requirement(line),
                cure=f"ask for {asked.name}=={client.version}{_instead(subject, asked.specifier)}",
            )


def check_spark_job_has_it(subject: Subject) -> Iterator[findings.Finding]:
    """A Spark job gets its MLflow from the runtime or from its own libraries, never from the client."""
    importing = subject.lacks_mlflow if subject.is_spark_job and subject.uses_mlflow_backend else None
    if importing is not None:
        yield findings.RUNTIMES.assumed().warning(
            f"{importing.path.name} imports mlflow, which {subject.runtime} may not have (ML runtimes do), and nothing "
            "installs it",
            where=subject.project_text.path if subject.project_text is not None else "",
            cure="list mlflow under databricks_spark_job: python_libraries",
        )


def _instead(subject: Subject, asked: SpecifierSet) -> str:
    """The other way: an MLflow that fits what is asked for, where one is known that works here and on the cluster."""
    oldest = _oldest_python(subject)
    newest = Version(NEWEST.get(oldest, "1" if oldest and _numbers(oldest) < _numbers("3.8") else "99"))
    for text in (*(each.version for each in asked), *NEWEST.values()):
        with contextlib.suppress(InvalidVersion):
            if OLDEST <= Version(text) <= newest and asked.contains(text):
                return f", or install mlflow=={text} here"
    return ""


def _spare(subject: Subject) -> str:
    """An MLflow that both Pythons can run, or the form that gets none from here."""
    oldest = _oldest_python(subject)
    older = NEWEST.get(oldest)
    if older is None:
        return cures.move(subject)
    others = [asked for _, asked in subject.asked_mlflow if not asked.url and not asked.specifier.contains(older)]
    too = f", ask for {others[0].name}=={older} in the environment" if others else ""
    return f"install mlflow=={older} here, the newest for Python {oldest}{too}, or {cures.move(subject)}"


def _oldest_python(subject: Subject) -> str:
    """The oldest of the Pythons that get an MLflow, the runtime's and the environment's; empty where none is known."""
    pythons = [*(subject.runtime.pythons[-1:] if subject.runtime is not None else ()), *filter(None, [subject.python])]
    return min(pythons, key=_numbers, default="")


def _numbers(python: str) -> tuple[int, ...]:
    return tuple(map(int, python.split(".")))

"""Checks of MLflow's versions: its backend installs the version used here on a classic project's cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.specifiers import SpecifierSet

from mlops_tasks.doctor import findings
from mlops_tasks.doctor.subject import Client, Subject
from mlops_tasks.project import requirements

NAMES = {"mlflow", "mlflow-skinny"}
NEWEST = {"3.7": "1.30.1", "3.8": "2.17.2", "3.9": "3.1.4"}
"""The newest MLflow for each Python that the current MLflow no longer supports."""
_IMPORT = re.compile(r"^\s*(?:import|from)\s+mlflow\b", re.MULTILINE)
OLDEST = "2.17"
"""The oldest MLflow that this package works with."""


def check_runtime_fits(subject: Subject) -> Iterator[findings.Finding]:
    client, runtime = _forced(subject), subject.runtime
    if client is None or runtime is None or runtime.python is None:
        return
    if not SpecifierSet(client.requires_python).contains(f"{runtime.python}.99"):
        yield findings.MLFLOW_BACKEND.assumed(when=runtime.python_basis == "assumed").error(
            f"MLflow's backend installs its own version, {client.version}, on the cluster: that needs Python "
            f"{client.requires_python}, and {runtime} has {runtime.python}",
            where=subject.place_of("spark_version"),
            cure=_spare(runtime.python),
        )


def check_environment_fits(subject: Subject) -> Iterator[findings.Finding]:
    """The entry point logs with the MLflow of the environment YAML, beside the one on the cluster that starts it."""
    client, asked = _forced(subject), subject.python
    if client is None or asked is None:
        return
    fitting = SpecifierSet(client.requires_python)
    if fitting.contains(f"{asked}.99"):
        return
    own = subject.runtime.python if subject.runtime is not None else None
    newest = f" (at most {NEWEST[asked]})" if asked in NEWEST else ""
    yield findings.MLFLOW_BACKEND.warning(
        f"the environment's Python {asked} cannot run MLflow {client.version}, which starts the entry point: the entry "
        f"point gets an older one{newest}",
        where=subject.place_of_python(),
        cure=f"ask for a Python that fits {fitting}" if own is None or fitting.contains(f"{own}.99") else _spare(own),
    )


def check_pin(subject: Subject) -> Iterator[findings.Finding]:
    client = _forced(subject)
    if client is None or subject.environment is None:
        return
    for line in subject.environment.pip:
        asked = requirements.parse(line)
        if asked is None or asked.name not in NAMES or asked.url:
            continue
        if not asked.specifier.contains(client.version, prereleases=True):
            yield findings.MLFLOW_BACKEND.warning(
                f"the environment asks for {asked}, and MLflow {client.version} starts it on the cluster: two "
                "versions work on one run",
                where=subject.place_of_requirement(line),
                cure=f"ask for {asked.name}=={client.version}, or install one here that fits ({OLDEST} or newer)",
            )


def check_spark_job_has_it(subject: Subject) -> Iterator[findings.Finding]:
    """A Spark job gets its MLflow from the runtime or from its own libraries, never from the client."""
    runtime = subject.runtime
    if runtime is None or runtime.is_ml or not subject.is_spark_job:
        return
    listed = [requirements.parse(line) for line in (*subject.python_libraries, *subject.packages)]
    importing = next((each for each in subject.scripts if _IMPORT.search(each.text)), None)
    if importing is not None and not any(each is not None and each.name in NAMES for each in listed):
        yield findings.RUNTIMES.assumed().warning(
            f"{importing.path.name} imports mlflow, which {runtime} may not have (ML runtimes do), and nothing "
            "installs it",
            where=subject.project_text.path if subject.project_text is not None else "",
            cure="list mlflow under databricks_spark_job: python_libraries, or choose a runtime with -ml-",
        )


def _forced(subject: Subject) -> Client | None:
    """The MLflow that the backend installs on the cluster: none for a Spark job, or beside an MLflow from git."""
    from_git = any(each.startswith("git+https://github.com/") and "/mlflow" in each for each in subject.packages)
    return subject.mlflow if subject.is_classic and subject.uses_mlflow_backend and not from_git else None


def _spare(python: str) -> str:
    """The cure on a runtime with that Python; on runtimes with a newer one a classic project does not run."""
    newest = NEWEST.get(python, "1")
    older = f"install mlflow=={newest} here, the newest for Python {python}, or " if newest[0] != "1" else ""
    return f"{older}write the project as a Spark job (`inv doctor --fix`), which gets no MLflow from here"

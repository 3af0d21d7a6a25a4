"""The MLflow that is installed here: its backend installs the same version on the cluster of a classic project."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.specifiers import SpecifierSet

from mlops_tasks.doctor import findings
from mlops_tasks.doctor.subject import Subject
from mlops_tasks.project import requirements

NAMES = {"mlflow", "mlflow-skinny"}
NEWEST = {"3.7": "1.30.1", "3.8": "2.17.2", "3.9": "3.1.4"}
"""The newest MLflow for each Python that the current one has left."""
_IMPORT = re.compile(r"^\s*(?:import|from)\s+mlflow\b", re.MULTILINE)
OLDEST = "2.17"
"""The oldest that this package works with."""


def check_runtime_fits(subject: Subject) -> Iterator[findings.Finding]:
    found = subject.runtime
    if subject.mlflow is None or found is None or found.python is None or not _is_forced(subject):
        return
    if SpecifierSet(subject.mlflow.requires_python).contains(f"{found.python}.99"):
        return
    yield findings.error(
        f"MLflow's backend installs its own version, {subject.mlflow.version}, on the cluster: that needs Python "
        f"{subject.mlflow.requires_python}, and {found} has {found.python}",
        where=subject.place_of("spark_version"),
        cure=_spare(found.python),
        basis=findings.weakest("seen", found.python_basis),
        source=findings.MLFLOW_BACKEND,
    )


def check_environment_fits(subject: Subject) -> Iterator[findings.Finding]:
    """The YAML's Python has to hold the MLflow that the YAML gets; the one of the cluster runs beside it."""
    asked = subject.python
    if subject.mlflow is None or asked is None or not _is_forced(subject):
        return
    fitting = SpecifierSet(subject.mlflow.requires_python)
    if fitting.contains(f"{asked}.99"):
        return
    own = subject.runtime.python if subject.runtime is not None else None
    newest = f" (at most {NEWEST[asked]})" if asked in NEWEST else ""
    yield findings.warning(
        f"the environment's Python {asked} cannot hold MLflow {subject.mlflow.version}, which starts it: the entry "
        f"point gets an older one{newest}",
        where=subject.place_of_python(),
        cure=f"ask for a Python that fits {fitting}" if own is None or fitting.contains(f"{own}.99") else _spare(own),
        basis="seen",
        source=findings.MLFLOW_BACKEND,
    )


def check_pin(subject: Subject) -> Iterator[findings.Finding]:
    if subject.mlflow is None or subject.environment is None or not _is_forced(subject):
        return
    for line in subject.environment.pip:
        asked = requirements.parse(line)
        if asked is None or asked.name.lower() not in NAMES or asked.url:
            continue
        if not asked.specifier.contains(subject.mlflow.version, prereleases=True):
            yield findings.warning(
                f"the environment asks for {asked}, and MLflow {subject.mlflow.version} will start it on the cluster: "
                "two versions share one run",
                where=subject.place_of_requirement(line),
                cure=f"ask for {asked.name}=={subject.mlflow.version}, or install one here that fits "
                f"({OLDEST} or newer)",
                basis="seen",
                source=findings.MLFLOW_BACKEND,
            )


def check_spark_job_has_it(subject: Subject) -> Iterator[findings.Finding]:
    """A Spark job gets no MLflow from its client: the runtime brings one, or its own libraries do."""
    runtime, job = subject.runtime, subject.project.spark_job if subject.project is not None else None
    if runtime is None or runtime.is_ml or job is None:
        return
    lines = [*job.python_libraries, *subject.packages()]
    importing = next((each for each in subject.scripts if _IMPORT.search(each.text)), None)
    if importing is not None and not any(_names_mlflow(line) for line in lines):
        yield findings.warning(
            f"{importing.path.name} imports mlflow, which {runtime} may not have (ML runtimes do), and nothing "
            "installs it",
            where=subject.project_text.path if subject.project_text is not None else "",
            cure="list mlflow under databricks_spark_job: python_libraries, or choose a runtime with -ml-",
            basis="assumed",
            source=findings.RUNTIMES,
        )


def _names_mlflow(line: str) -> bool:
    asked = requirements.parse(line)
    return asked is not None and asked.name.lower() in NAMES


def _is_forced(subject: Subject) -> bool:
    """MLflow leaves its version out for a Spark job, and where a library is an MLflow from git."""
    from_git = any(each.startswith("git+https://github.com/") and "/mlflow" in each for each in subject.packages())
    return subject.is_classic and subject.uses_mlflow_backend and not from_git


def _spare(python: str) -> str:
    """The ways out where the runtime has that Python: on those with a newer one such a project does not run."""
    newest = NEWEST.get(python, "1")
    older = f"install mlflow=={newest} here, the newest for Python {python}, or " if newest[0] != "1" else ""
    return f"{older}write the project as a Spark job (`inv doctor --fix`), which gets no MLflow from here"

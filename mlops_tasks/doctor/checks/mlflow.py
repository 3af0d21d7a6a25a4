"""The MLflow that is installed here: its backend installs the same version on the cluster of a classic project."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.specifiers import SpecifierSet

from mlops_tasks.doctor import findings, sources
from mlops_tasks.doctor.subject import Plan
from mlops_tasks.project import requirements

NAMES = {"mlflow", "mlflow-skinny"}
NEWEST = {"3.7": "1.30.1", "3.8": "2.17.2", "3.9": "3.1.4"}
"""The newest MLflow for each Python that the current one has left."""
_IMPORT = re.compile(r"^\s*(?:import|from)\s+mlflow\b", re.MULTILINE)
OLDEST = "2.17"
"""The oldest that this package works with."""


def check_runtime_fits(plan: Plan) -> Iterator[findings.Finding]:
    found = plan.runtime
    if plan.mlflow is None or found is None or found.python is None or not _is_forced(plan):
        return
    if SpecifierSet(plan.mlflow.requires_python).contains(f"{found.python}.99"):
        return
    yield findings.error(
        f"MLflow's backend installs its own version, {plan.mlflow.version}, on the cluster: that needs Python "
        f"{plan.mlflow.requires_python}, and {found} has {found.python}",
        where=plan.place_of("spark_version"),
        cure=_spare(found.python),
        basis=findings.weakest("seen", found.python_basis),
        source=sources.MLFLOW_BACKEND,
    )


def check_environment_fits(plan: Plan) -> Iterator[findings.Finding]:
    """The YAML's Python has to hold the MLflow that the YAML gets; the one of the cluster runs beside it."""
    asked = plan.python
    if plan.mlflow is None or asked is None or not _is_forced(plan):
        return
    fitting = SpecifierSet(plan.mlflow.requires_python)
    if fitting.contains(f"{asked}.99"):
        return
    own = plan.runtime.python if plan.runtime is not None else None
    newest = f" (at most {NEWEST[asked]})" if asked in NEWEST else ""
    yield findings.warning(
        f"the environment's Python {asked} cannot hold MLflow {plan.mlflow.version}, which starts it: the entry point "
        f"gets an older one{newest}",
        where=plan.place_of_python(),
        cure=f"ask for a Python that fits {fitting}" if own is None or fitting.contains(f"{own}.99") else _spare(own),
        basis="seen",
        source=sources.MLFLOW_BACKEND,
    )


def check_pin(plan: Plan) -> Iterator[findings.Finding]:
    if plan.mlflow is None or plan.environment is None or not _is_forced(plan):
        return
    for line in plan.environment.pip:
        asked = requirements.parse(line)
        if asked is None or asked.name.lower() not in NAMES or asked.url:
            continue
        if not asked.specifier.contains(plan.mlflow.version, prereleases=True):
            yield findings.warning(
                f"the environment asks for {asked}, and MLflow {plan.mlflow.version} will start it on the cluster: "
                "two versions share one run",
                where=plan.place_of_requirement(line),
                cure=f"ask for {asked.name}=={plan.mlflow.version}, or install one here that fits ({OLDEST} or newer)",
                basis="seen",
                source=sources.MLFLOW_BACKEND,
            )


def check_spark_job_has_it(plan: Plan) -> Iterator[findings.Finding]:
    """A Spark job gets no MLflow from its client: the runtime brings one, or its own libraries do."""
    runtime, job = plan.runtime, plan.project.spark_job if plan.project is not None else None
    if runtime is None or runtime.is_ml or job is None:
        return
    lines = [*job.python_libraries, *plan.packages()]
    importing = next((each for each in plan.scripts if _IMPORT.search(each.text)), None)
    if importing is not None and not any(_names_mlflow(line) for line in lines):
        yield findings.warning(
            f"{importing.path.name} imports mlflow, which {runtime} may not have (ML runtimes do), and nothing "
            "installs it",
            where=plan.project_text.path if plan.project_text is not None else "",
            cure="list mlflow under databricks_spark_job: python_libraries, or choose a runtime with -ml-",
            basis="assumed",
            source=sources.RUNTIMES,
        )


def _names_mlflow(line: str) -> bool:
    asked = requirements.parse(line)
    return asked is not None and asked.name.lower() in NAMES


def _is_forced(plan: Plan) -> bool:
    """MLflow leaves its version out for a Spark job, and where a library is an MLflow from git."""
    from_git = any(each.startswith("git+https://github.com/") and "/mlflow" in each for each in plan.packages())
    return plan.is_classic and plan.uses_mlflow_backend and not from_git


def _spare(python: str) -> str:
    """The ways out where the runtime has that Python: on those with a newer one such a project does not run."""
    newest = NEWEST.get(python, "1")
    older = f"install mlflow=={newest} here, the newest for Python {python}, or " if newest[0] != "1" else ""
    return f"{older}write the project as a Spark job (`inv doctor --fix`), which gets no MLflow from here"

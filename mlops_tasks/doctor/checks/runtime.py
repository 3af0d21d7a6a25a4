"""The runtime that the cluster spec asks for: known, supported, and with a Python that fits the YAML's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from mlops_tasks.doctor import findings, sources
from mlops_tasks.doctor.subject import Plan
from mlops_tasks.workspace import runtimes

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


def check_known(plan: Plan) -> Iterator[findings.Finding]:
    named = plan.described_cluster.get("spark_version")
    if named is None:
        return
    runtime = plan.runtime
    if runtime is not None and runtime.is_known:
        return
    newer = runtime is not None and runtime.version > runtimes.NEWEST
    yield findings.note(
        f"spark_version {named} is {'newer than' if newer else 'not in'} the table of runtimes here: "
        "what depends on its Python was not checked",
        where=plan.place_of("spark_version"),
        cure="read its release notes for Python and MLflow",
        basis="documented",
        source=sources.RUNTIMES,
    )


def check_supported(plan: Plan) -> Iterator[findings.Finding]:
    runtime = plan.runtime
    if runtime is None or runtime.end_of_support is None or plan.today <= runtime.end_of_support:
        return
    since = (
        f"since {runtime.end_of_support.day} {runtime.end_of_support:%B %Y}"
        if runtime.version in runtimes.DATED_ENDS
        else "any more"
    )
    yield findings.warning(
        f"{runtime} (spark_version {plan.described_cluster['spark_version']}) is not supported {since}, and "
        "Databricks may remove it without notice",
        where=plan.place_of("spark_version"),
        cure=f"choose a runtime with long-term support, such as {_suggest(plan, runtime)}",
        basis="documented",
        source=sources.RUNTIMES,
    )


def _suggest(plan: Plan, old: runtimes.Runtime) -> str:
    """One of the same flavour; a classic project does not run there as it is."""
    flavour = "gpu-ml-" if old.is_gpu else "cpu-ml-" if old.is_ml else ""
    form = "" if plan.runs_on(SUPPORTED) else ", and write the project as a Spark job for it (`inv doctor --fix`)"
    return f"{SUPPORTED}.x-{flavour}scala2.12{form}"


def check_python_alive(plan: Plan) -> Iterator[findings.Finding]:
    asked = plan.python
    end = PYTHON_ENDS.get(asked or "")
    if end is None or plan.today <= end:
        return
    yield findings.warning(
        f"the environment asks for Python {asked}, which ended in {end:%B %Y}: newer packages leave it out",
        where=plan.place_of_python(),
        cure=_renew(plan),
        basis="documented",
        source=sources.PYTHONS,
    )


def _renew(plan: Plan) -> str:
    own = plan.runtime.python if plan.runtime is not None else None
    if own is None:
        return "ask for a newer Python"
    if own != plan.python:
        return f"ask for python={own}, the runtime's own"
    form = "" if plan.runs_on(runtimes.PROJECTS_END) else " and write the project as a Spark job (`inv doctor --fix`)"
    return f"it is the runtime's own: choose a newer runtime{form}"


def check_python_fits(plan: Plan) -> Iterator[findings.Finding]:
    """The driver of a classic project runs the YAML's Python, the workers the runtime's."""
    runtime = plan.runtime
    asked = plan.python
    if not plan.is_classic or runtime is None or runtime.python is None or asked in {None, runtime.python}:
        return
    yield findings.warning(
        f"the environment asks for Python {asked}, and {runtime} has {runtime.python}: what the driver sends to "
        "Spark's workers (a UDF) fails between two Pythons",
        where=plan.place_of_python(),
        cure=f"ask for python={runtime.python}, or leave Spark's workers out",
        basis=findings.weakest("seen", runtime.python_basis),
        source=sources.SPARK_PYTHONS,
    )

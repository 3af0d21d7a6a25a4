"""Checks of the project: a form that Databricks still runs, commands that start, scripts that a workspace allows."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlops_tasks.doctor import findings, fix
from mlops_tasks.doctor.subject import Subject, Text
from mlops_tasks.project import spark_command
from mlops_tasks.workspace import runtimes

MLFLOW_REGISTRY = findings.Evidence("seen", "mlflow: mlflow/tracking/_model_registry")
PROJECTS = findings.Evidence("documented", "https://learn.microsoft.com/azure/databricks/archive/mlflow/projects")

_URL = re.compile(r"(?:https?|ftp)://[^\s/]+/\S+\.(?:csv|tsv|json|zip|gz|data|parquet|xlsx?|txt)\b.*")
_LEVELS = 3


def check_readable(subject: Subject) -> Iterator[findings.Finding]:
    """The faults that a release stops at before its first step, docker_env among them, in the same words."""
    for fault in subject.unreadable:
        yield findings.READERS.error(fault.what, where=fault.where, cure=fault.cure)


def check_missing(subject: Subject) -> Iterator[findings.Finding]:
    for each in subject.missing:
        yield findings.READERS.warning(each.what, cure=each.cure)


def check_kind(subject: Subject) -> Iterator[findings.Finding]:
    """Documented for the ML runtimes; the others lack the same parts."""
    project, runtime = subject.project, subject.runtime
    if project is None or subject.cluster is None or runtime is None or subject.runs_on(runtime.version):
        return
    form = {"conda": "conda_env", "python": "python_env"}.get(project.kind, "plain")
    cure = "`inv doctor --fix` writes that form"
    reasons = fix.find_obstacles(project, subject.cluster)
    yield PROJECTS.assumed(when=not runtime.is_ml).error(
        f"a {form} project does not run on {runtime}: from {runtimes.PROJECTS_END} on job clusters run MLflow "
        "Projects only as a databricks_spark_job",
        where=subject.place_of("spark_version"),
        cure=f"{cure} once this is fixed: {'; '.join(reasons)}"
        if reasons
        else f"{cure}; `inv doctor --fix --dry-run` shows it",
    )


def check_commands(subject: Subject) -> Iterator[findings.Finding]:
    """A fault in an entry point that this release does not run is a note."""
    if subject.project is None or subject.project.spark_job is None:
        return
    folder, python_file = subject.project.folder, subject.project.spark_job.python_file
    if python_file is not None and (fault := spark_command.find_missing(python_file, folder)):
        where = subject.place_in_project("databricks_spark_job", "python_file")
        yield findings.MLFLOW_BACKEND.error(f"python_file {fault.what}", where=where, cure=fault.cure)
    for name, entry_point in subject.project.entry_points.items():
        if fault := spark_command.find_fault(entry_point.command, folder):
            judge = findings.MLFLOW_BACKEND.error if subject.may_run(name) else findings.MLFLOW_BACKEND.note
            where = subject.place_in_project("entry_points", name, "command")
            yield judge(f"the entry point {name} {fault.what}", where=where, cure=fault.cure)


def check_downloads(subject: Subject) -> Iterator[findings.Finding]:
    for path, node in _walk(subject.scripts):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _URL.fullmatch(node.value):
            yield findings.UNTRIED.note(
                f"it downloads {node.value}: a cluster may have no internet access, and the address may be gone",
                where=_place(path, node),
                cure="keep the data in the workspace (a volume, DBFS), and pass its path as a parameter",
            )


def check_model_names(subject: Subject) -> Iterator[findings.Finding]:
    """From MLflow 3 on the default registry is Unity Catalog's, where a model's name has three levels."""
    for path, node in _walk(subject.scripts):
        if not isinstance(node, ast.keyword) or node.arg != "registered_model_name":
            continue
        name = node.value.value if isinstance(node.value, ast.Constant) else None
        said = "check that the registered model's name has"
        if isinstance(name, str):
            if len(name.split(".")) == _LEVELS:
                continue
            said = f"the model's name {name!r} lacks"
        yield MLFLOW_REGISTRY.note(
            f"{said} the three levels (catalog.schema.model) that MLflow 3 asks for on Databricks",
            where=_place(path, node.value),
            cure="give it such a name, or set MLFLOW_REGISTRY_URI to databricks in the cluster's spark_env_vars",
        )


def _walk(scripts: Iterable[Text]) -> Iterator[tuple[Path, ast.AST]]:
    """Every node of each script, but of those that this Python cannot parse: the run itself reports that."""
    for script in scripts:
        with contextlib.suppress(SyntaxError, ValueError):
            yield from ((script.path, node) for node in ast.walk(ast.parse(script.text)))


def _place(path: Path, node: ast.expr) -> str:
    return f"{path}:{node.lineno}:{node.col_offset + 1}"

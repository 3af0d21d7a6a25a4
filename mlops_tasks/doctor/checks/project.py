"""Checks of the project: a form that Databricks still runs, commands that start, scripts that a workspace allows."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from mlops_tasks.doctor import cures, findings
from mlops_tasks.doctor.subject import Subject, Text
from mlops_tasks.project import addition, references, spark_command
from mlops_tasks.workspace import runtimes

CHECKOUT = findings.Evidence("seen", "git, and the files of this checkout")
MLFLOW_REGISTRY = findings.Evidence("seen", "mlflow: mlflow/tracking/_model_registry")
MLFLOW_TRACKING = findings.Evidence("seen", "mlflow: mlflow/tracking/fluent.py")
PROJECTS = findings.Evidence("documented", "https://learn.microsoft.com/azure/databricks/archive/mlflow/projects")

_URL = re.compile(r"(?:https?|ftp)://[^\s/]+/\S+\.(?:csv|tsv|json|zip|gz|data|parquet|xlsx?|txt)\b.*")
_LEVELS = 3


def check_readable(subject: Subject) -> Iterator[findings.Finding]:
    """The faults that a release stops at before its first step, docker_env among them, in the same words."""
    for fault in subject.unreadable:
        yield findings.READERS.error(fault.what, where=fault.where, cure=fault.cure)


def check_missing(subject: Subject) -> Iterator[findings.Finding]:
    for each in subject.missing:
        yield CHECKOUT.warning(each.what, cure=each.cure)


def check_kind(subject: Subject) -> Iterator[findings.Finding]:
    """Documented for the ML runtimes; the others lack the same parts."""
    project, runtime = subject.project, subject.runtime
    if project is None or subject.cluster is None or runtime is None or subject.runs_on(runtime.version):
        return
    form = {"conda": "conda_env", "python": "python_env"}.get(project.kind, "plain")
    yield PROJECTS.assumed(when=not runtime.is_ml).error(
        f"a {form} project does not run on {runtime}: from {runtimes.PROJECTS_END} on job clusters run MLflow "
        "Projects only as a databricks_spark_job",
        where=subject.place_of("spark_version"),
        cure=cures.move(subject, to=runtime if cures.suits(subject, runtime) else None),
    )


def check_wheels_named(subject: Subject) -> Iterator[findings.Finding]:
    """What patch does where nothing refers to the wheels."""
    if subject.project is None or subject.unreadable or not subject.lacks_wheels:
        return
    names, place = ", ".join(sorted(subject.ours)), addition.find_file(subject.project)
    entry = f"write {place.name} with `dependencies: [{subject.placeholder}]`"
    if place.is_file():
        entry = f"write an entry {subject.placeholder} into {place.name}"
    if subject.add_wheels:
        yield findings.PATCH.note(
            f"nothing in the project refers to the wheels of {names}: patch adds them at the end of {place.name}",
            where=place,
            cure=f"nothing, or write {subject.placeholder} where they belong",
        )
    else:
        yield findings.PATCH.error(
            f"nothing in the project refers to the wheels of {names}, and `add_wheels` is false: patch refuses that",
            where=place,
            cure=f"{entry}, or leave `add_wheels` out",
        )


def check_misspelt(subject: Subject) -> Iterator[findings.Finding]:
    """Patch refuses what is nearly the placeholder where nothing else refers to the wheels, and warns elsewhere."""
    if subject.project is None or subject.unreadable:
        return
    spec = subject.cluster_text.path if subject.cluster_text is not None else None
    judge = findings.PATCH.error if subject.lacks_wheels else findings.PATCH.warning
    for document in references.find_documents(subject.project, subject.folder, spec=spec, original=spec):
        for place, entry in references.find_misspelt(document, subject.placeholder):
            yield judge(
                f"{entry} is nearly {subject.placeholder}, and stands for no wheel",
                where=place,
                cure=f"write {subject.placeholder} there, or take the entry out",
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


def check_tracking(subject: Subject) -> Iterator[findings.Finding]:
    """A run's MLflow is told by its environment where to log, and a script that says otherwise overrules that."""
    for path, node in _walk(subject.scripts):
        judge = MLFLOW_TRACKING.warning if subject.names_script(path.name) else MLFLOW_TRACKING.note
        uri = _literal(node, "set_tracking_uri", "uri") or _assigned(node, "MLFLOW_TRACKING_URI")
        if uri is not None and uri.value and not str(uri.value).startswith("databricks"):
            yield judge(
                f"it sets MLflow's tracking URI to {uri.value!r}: {_become_of(str(uri.value))}, and the release's run "
                "stays empty",
                where=_place(path, uri),
                cure="take that line out: a release sets the tracking server itself",
            )
        name = _literal(node, "set_experiment", "experiment_name") or _literal(node, "set_experiment", "experiment_id")
        if name is not None and not _may_be(str(name.value), subject.experiment):
            yield judge(
                f"it sets the experiment {name.value!r}, and the release's run is in another one: MLflow ends with "
                "`Cannot start run with ID ...`",
                where=_place(path, name),
                cure="take that line out, and name the experiment by the setting `experiment`",
            )


def _literal(node: ast.AST, function: str, keyword: str) -> ast.Constant | None:
    """The text that `node` hands to a function of that name, in first place or by keyword; None for anything else."""
    if not isinstance(node, ast.Call) or getattr(node.func, "attr", getattr(node.func, "id", "")) != function:
        return None
    first = node.args[0] if node.args and keyword != "experiment_id" else None
    given = next((each.value for each in node.keywords if each.arg == keyword), first)
    return given if isinstance(given, ast.Constant) and isinstance(given.value, str) else None


def _assigned(node: ast.AST, variable: str) -> ast.Constant | None:
    """The text that `node` assigns to an environment variable: `os.environ["..."] = "..."`."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Constant):
        return None
    is_named = any(
        isinstance(each, ast.Subscript) and getattr(each.slice, "value", None) == variable for each in node.targets
    )
    return node.value if is_named and isinstance(node.value.value, str) else None


def _may_be(name: str, experiment: str | None) -> bool:
    """Whether a release logs to the experiment `name`, where its own may be a template still."""
    parts = re.split(r"\{[^}]*\}", experiment or "{}")
    return re.fullmatch(".+".join(map(re.escape, parts)), name) is not None


def _become_of(uri: str) -> str:
    host = urlsplit(uri).hostname if "://" in uri else None
    if host in {"localhost", "127.0.0.1", "::1"}:
        return "nothing listens there on a cluster, where MLflow tries for minutes and then fails"
    if host is not None and uri.startswith("http"):
        return "what it logs goes to that server"
    return "what it logs stays on the cluster's own disk and goes with it"


def _walk(scripts: Iterable[Text]) -> Iterator[tuple[Path, ast.AST]]:
    """Every node of each script, but of those that this Python cannot parse: the run itself reports that."""
    for script in scripts:
        with contextlib.suppress(SyntaxError, ValueError):
            yield from ((script.path, node) for node in ast.walk(ast.parse(script.text)))


def _place(path: Path, node: ast.expr) -> str:
    return f"{path}:{node.lineno}:{node.col_offset + 1}"

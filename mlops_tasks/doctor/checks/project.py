"""The project's form: what MLflow's Databricks backend and today's runtimes still run."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_tasks.doctor import findings, fix, sources
from mlops_tasks.doctor.subject import Plan
from mlops_tasks.project import spark_command
from mlops_tasks.workspace import runtimes


def check_readable(plan: Plan) -> Iterator[findings.Finding]:
    """What a release refuses before it begins, docker_env among it, in its words."""
    for fault in plan.unreadable:
        yield findings.error(fault.what, where=fault.where, cure=fault.cure, basis="seen", source=sources.READERS)


def check_kind(plan: Plan) -> Iterator[findings.Finding]:
    """Databricks says it of the ML runtimes; what is missing in the others is the same."""
    runtime = plan.runtime
    if runtime is None or not plan.is_classic or not plan.uses_mlflow_backend:
        return
    if runtime.version >= runtimes.PROJECTS_END:
        yield findings.error(
            f"a {_describe(plan)} project does not run on {runtime}: from {runtimes.PROJECTS_END} on job clusters "
            "run MLflow Projects only as a databricks_spark_job",
            where=plan.place_of("spark_version"),
            cure=_cure(plan),
            basis="documented" if runtime.is_ml else "assumed",
            source=sources.PROJECTS,
        )


def check_commands(plan: Plan) -> Iterator[findings.Finding]:
    """An entry point that this release does not run does it no harm."""
    if plan.project is None or plan.project.spark_job is None:
        return
    folder, python_file = plan.project.folder, plan.project.spark_job.python_file
    if python_file is not None and (fault := spark_command.find_missing(python_file, folder)):
        yield _judge(f"python_file {fault.what}", fault.cure, plan.place_of_job("python_file"))
    for name, entry_point in plan.project.entry_points.items():
        if fault := spark_command.find_fault(entry_point.command, folder):
            found = _judge(f"the entry point {name} {fault.what}", fault.cure, plan.place_of_command(name))
            yield found if plan.may_run(name) else found._replace(level="note")


def _judge(what: str, cure: str, where: str) -> findings.Finding:
    return findings.error(what, where=where, cure=cure, basis="seen", source=sources.MLFLOW_BACKEND)


def _describe(plan: Plan) -> str:
    kind = plan.project.kind if plan.project is not None else ""
    return {"conda": "conda_env", "python": "python_env"}.get(kind, "plain")


def _cure(plan: Plan) -> str:
    if plan.project is None or plan.cluster is None:
        return "write it as a databricks_spark_job"
    reasons = fix.find_obstacles(plan.project, plan.cluster)
    if not reasons:
        return "`inv doctor --fix` writes that form; `inv doctor --fix --dry-run` shows it"
    return f"`inv doctor --fix` writes that form once this is mended: {'; '.join(reasons)}"

"""The form of a staged project that MLflow's Databricks backend needs, beyond references to wheels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from mlops_tasks.project import cluster, mlproject, references, requirements
from mlops_tasks.project.text import source as texts
from mlops_tasks.project.text import yaml_tree
from mlops_tasks.release import Deployed, Reference
from mlops_tasks.report import Report


def reshape(
    project: mlproject.Project,
    spec: Path | None,
    *,
    patches: Sequence[references.Patch],
    wheels: references.Wheels,
    workers: bool,
    is_rehearsal: bool,
    report: Report,
) -> list[Reference]:
    """Give the staged `project` and its cluster spec the form that the project's kind needs.

    In a rehearsal, which has no cluster, a spec without libraries stays as it is. `workers` adds the wheels that the
    cluster would not install otherwise; their references are returned.
    """
    is_spark = project.spark_job is not None
    roles = {"cluster", "mlproject"} if is_spark else {"cluster"}
    named = {change.distribution for each in patches if each.document.role in roles for change in each.changes}
    missing = [each for each in wheels.deployed if workers and each.distribution not in named]
    if is_spark:
        return _flatten(project, spec, missing, placeholder=wheels.placeholder, report=report)
    if spec is None:
        if missing:
            report.warning("`workers` is set, but there is no cluster spec that could install the wheels on them")
        return []
    content = cluster.read(spec)
    if missing or not (content.is_wrapped or (is_rehearsal and content.is_flat)):
        cluster.write_wrapped(spec, content, [*content.libraries, *({"whl": each.uri} for each in missing)])
    name = spec.relative_to(project.folder).as_posix()
    return [Reference(file=name, old="", new=each.uri) for each in missing]


def _flatten(
    project: mlproject.Project, spec: Path | None, missing: Sequence[Deployed], *, placeholder: str, report: Report
) -> list[Reference]:
    """Give the spec of a Spark job its flat form; its libraries and the `missing` wheels go into the MLproject file."""
    moved: list[str] = []
    if spec is not None:
        content, name = cluster.read(spec), spec.name
        if "existing_cluster_id" in content.others:
            report.warning(f"{name}: MLflow starts no Spark job on an existing cluster")
            return []
        moved += cluster.to_requirements(
            content, placeholder=placeholder, note=lambda text: report.warning(f"{name}: {text}")
        )
        if not content.is_flat:
            texts.write({spec: cluster.flat_text(content)})
    added = [requirements.write_wheel(each.uri, each.distribution) for each in missing]
    path = project.folder / project.mlproject
    data = yaml_tree.load(path)
    job = data["databricks_spark_job"]
    listed = job.get("python_libraries") or []
    fresh = [line for line in dict.fromkeys([*moved, *added]) if line not in listed]
    if fresh:
        job["python_libraries"] = [*listed, *fresh]
        texts.write({path: yaml.safe_dump(data, sort_keys=False, allow_unicode=True)})
    return [Reference(file=project.mlproject, old="", new=line) for line in added]

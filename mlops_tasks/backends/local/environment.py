"""What a run's environment must hold: from the project's files to requirement lines, with our MLflow in them."""

from __future__ import annotations

import contextlib
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlops_tasks import processes, state
from mlops_tasks.backends.base import Job
from mlops_tasks.backends.databricks import entry
from mlops_tasks.backends.local import environments
from mlops_tasks.project import environment, mlproject, requirements
from mlops_tasks.report import Report

MLFLOW = ("mlflow", "mlflow-skinny")


@contextlib.contextmanager
def environment_of(
    job: Job, *, places: state.StateFolder, environ: Mapping[str, str], run: processes.Runner, report: Report
) -> Iterator[tuple[Path | None, bool]]:
    """The job's environment (None where it is left to MLflow), and whether its MLflow is the running one."""
    if job.env_manager != "auto":
        yield None, True
        return
    lines = read_lines(job.project, report=report)
    from mlflow.version import VERSION

    lines, constraints, same = pin_mlflow(lines, VERSION)
    if not same:
        report.detail(f"the project pins another MLflow than {VERSION}: it will log through a local server")
    with environments.built(
        lines,
        constraints=constraints,
        project=job.project.folder,
        folder=places.environments,
        environ=environ,
        run=run,
        report=report,
    ) as path:
        yield path, same


def pin_mlflow(lines: Sequence[str], version: str) -> tuple[list[str], list[str], bool]:
    """`lines` with the running MLflow, the constraints that keep it there, and whether it could be kept.

    A project that pins another version gets that one.
    """
    wanted = [parsed for line in lines if (parsed := requirements.parse(line)) and parsed.name.lower() in MLFLOW]
    pins = [f"{name}=={version}" for name in MLFLOW]
    if not wanted:
        return [*lines, f"mlflow=={version}"], pins, True
    same = all(each.url is None and each.specifier.contains(version, prereleases=True) for each in wanted)
    return list(lines), pins if same else [], same


def spark_command(job: Job, environment_path: Path | None) -> list[str]:
    """The program of a Spark job with the arguments that it gets on Databricks."""
    return [str(environment_path / "bin" / "python") if environment_path else "python", *entry.words(job)]


def read_lines(project: mlproject.Project, *, report: Report) -> list[str]:
    """The requirement lines of the environment that the project asks for, on the cluster or in its YAML."""
    if project.spark_job is not None:
        lines = list(project.spark_job.python_libraries)
        names = {parsed.name.lower() for line in lines if (parsed := requirements.parse(line))}
        return [*lines, "pyspark"] if "pyspark" not in names and _imports_pyspark(project.folder) else lines
    if project.environment_file is None:
        return []
    found = environment.load(project.environment_file, kind=project.kind)
    if found.python and not f"{platform.python_version()}.".startswith(f"{found.python}."):
        report.detail(
            f"{project.environment_file.name} asks for Python {found.python}; "
            f"this rehearsal runs on {platform.python_version()}"
        )
    packages = [requirements.from_conda(package) for package in found.conda]
    if set(packages) - {"pip"}:
        report.detail(f"conda packages are taken from PyPI under the same names: {', '.join(packages)}")
    return [*packages, *requirements.expand(found.pip, project.environment_file.parent)]


def _imports_pyspark(folder: Path) -> bool:
    imports = re.compile(r"^\s*(?:import|from)\s+pyspark\b", re.MULTILINE)
    return any(imports.search(path.read_text(encoding="utf-8", errors="replace")) for path in folder.rglob("*.py"))

"""Virtual environments for runs on this machine, built with uv from what the project asks for, and used again."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlops_tasks import errors, files, locks, processes, redaction, state, uv
from mlops_tasks.project import environment, mlproject, requirements
from mlops_tasks.report import Report

MLFLOW = ("mlflow", "mlflow-skinny")
COMPLETE = "complete"
ACTIVATED = {"VIRTUAL_ENV", "CONDA_PREFIX"}


@contextlib.contextmanager
def built(
    lines: Sequence[str],
    *,
    constraints: Sequence[str],
    project: Path,
    folder: Path,
    environ: Mapping[str, str],
    run: processes.Runner,
    report: Report,
) -> Iterator[Path]:
    """The path of an environment below `folder` with the requirements `lines`, not pruned until the block ends.

    Lines that name files count from `project`. One with the same inputs is used again. Raises StepFailed with uv's
    own words.
    """
    inputs = {"python": sys.version, "base": sys.base_prefix, "requirements": lines, "constraints": constraints}
    if any(line.startswith(("-", ".")) for line in lines):
        inputs["project"] = str(project)
    path = folder / files.digest(inputs)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with locks.built_once(path.with_suffix(".lock")) as done:
        if _is_complete(path):
            report.debug("environment up to date")
        else:
            with report.waiting(f"building the environment ({len(lines)} requirements)"):
                shutil.rmtree(path, ignore_errors=True)
                program, python = str(uv.find()), str(path / "bin" / "python")
                env = {key: value for key, value in uv.environment(environ).items() if key not in ACTIVATED}
                _check(run([program, "venv", "--quiet", "--python", sys.executable, str(path)], env=env), path)
                wanted, limits = path / "requirements.txt", path / "constraints.txt"
                wanted.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
                limits.write_text("".join(f"{line}\n" for line in constraints), encoding="utf-8")
                into = [program, "pip", "install", "--quiet", "--python", python]
                _check(run([*into, "-r", str(wanted), "-c", str(limits)], env=env, cwd=project), path)
                (path / COMPLETE).write_text(str(path), encoding="utf-8")
        done()
        os.utime(path)
        _prune(folder)
        yield path


def _is_complete(path: Path) -> bool:
    """Whether the environment was built, and at this path: its programs name the path that they were built at."""
    mark = path / COMPLETE
    return mark.is_file() and mark.read_text(encoding="utf-8") == str(path)


def pin_mlflow(lines: Sequence[str], version: str) -> tuple[list[str], list[str], bool]:
    """`lines` with the running MLflow, the constraints that keep it there, and whether it could be kept.

    A project that pins another version gets that one.
    """
    wanted = [parsed for line in lines if (parsed := requirements.parse(line)) and parsed.name in MLFLOW]
    pins = [f"{name}=={version}" for name in MLFLOW]
    if not wanted:
        return [*lines, f"mlflow=={version}"], pins, True
    same = all(each.url is None and each.specifier.contains(version, prereleases=True) for each in wanted)
    return list(lines), pins if same else [], same


def read_lines(project: mlproject.Project, *, report: Report) -> list[str]:
    """The requirement lines of the environment that the project asks for: a Spark job's libraries, or its YAML's."""
    if project.spark_job is not None:
        lines = list(project.spark_job.python_libraries)
        names = {parsed.name for line in lines if (parsed := requirements.parse(line))}
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


def _check(done: processes.Completed, path: Path) -> None:
    if done.returncode:
        is_full = processes.ran_full(done)
        first = "make room, then" if is_full else "correct the project's requirements, then `inv patch` and"
        raise errors.StepFailed(
            f"the run's environment cannot be built:\n{redaction.mask(processes.describe_failure(done))}",
            where=path,
            cure=f"{first} `inv run`",
        )


def _prune(folder: Path) -> None:
    """Remove the environments that were not used for longest, with their locks, but none that is in use."""
    names = {path.stem for path in folder.iterdir() if re.fullmatch(r"[0-9a-f]{16}(\.lock)?", path.name)}
    paths = sorted((folder / name for name in names), key=state.last_used, reverse=True)
    for path in paths[state.KEPT :]:
        locks.remove_unused(path, path.with_suffix(".lock"))

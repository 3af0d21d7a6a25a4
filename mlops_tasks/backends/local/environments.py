"""Virtual environments for runs, built with uv from the running interpreter and kept by what is in them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlops_tasks import errors, files, indexes, locks, processes, state, uv
from mlops_tasks.report import Report


@contextlib.contextmanager
def built(
    requirements: Sequence[str],
    *,
    constraints: Sequence[str],
    project: Path,
    folder: Path,
    environ: Mapping[str, str],
    run: processes.Runner,
    report: Report,
) -> Iterator[Path]:
    """An environment below `folder` with `requirements` installed: its path, safe from pruning until the block ends.

    Lines of `requirements` that name files count from `project`. Raises StepFailed with uv's own words.
    """
    inputs = {"python": sys.version, "base": sys.base_prefix, "requirements": requirements, "constraints": constraints}
    if any(line.startswith(("-", ".")) for line in requirements):
        inputs["project"] = str(project)
    path = folder / files.digest(inputs)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with locks.built_once(path.with_suffix(".lock")) as done:
        if (path / "complete").exists():
            report.debug("environment up to date")
        else:
            with report.waiting(f"building the environment ({len(requirements)} requirements)"):
                _build(path, requirements, constraints, project=project, environ=environ, run=run)
        done()
        os.utime(path)
        _prune(folder)
        yield path


def uv_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for uv itself: pip's index settings, and no Python but the one it is told."""
    files = indexes.pip_config_files(environ, Path(sys.prefix))
    return {**environ, **indexes.uv_environment(environ, config_files=files), "UV_PYTHON_DOWNLOADS": "never"}


def _build(
    path: Path,
    requirements: Sequence[str],
    constraints: Sequence[str],
    *,
    project: Path,
    environ: Mapping[str, str],
    run: processes.Runner,
) -> None:
    shutil.rmtree(path, ignore_errors=True)
    env = {key: value for key, value in uv_environ(environ).items() if key not in {"VIRTUAL_ENV", "CONDA_PREFIX"}}
    uv_command = str(uv.find())
    _succeed(run([uv_command, "venv", "--quiet", "--python", sys.executable, str(path)], env=env), path)
    wanted, limits = path / "requirements.txt", path / "constraints.txt"
    wanted.write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
    limits.write_text("".join(f"{line}\n" for line in constraints), encoding="utf-8")
    python = str(path / "bin" / "python")
    install = [uv_command, "pip", "install", "--quiet", "--python", python, "-r", str(wanted), "-c", str(limits)]
    _succeed(run(install, env=env, cwd=project), path)
    (path / "complete").touch()


def _succeed(done: processes.Completed, path: Path) -> None:
    if done.returncode:
        first = (
            "make room, then"
            if processes.ran_full(done)
            else "correct the project's requirements, then `inv patch` and"
        )
        raise errors.StepFailed(
            f"the run's environment cannot be built:\n{indexes.mask(processes.describe_failure(done))}",
            where=path,
            cure=f"{first} `inv run`",
        )


def _prune(folder: Path) -> None:
    """Remove the environments that were not used for longest, with their locks, but none that somebody uses now."""
    names = {path.stem for path in folder.iterdir() if re.fullmatch(r"[0-9a-f]{16}(\.lock)?", path.name)}
    paths = sorted((folder / name for name in names), key=state.last_used, reverse=True)
    for path in paths[state.KEPT :]:
        locks.remove_unused(path, path.with_suffix(".lock"))

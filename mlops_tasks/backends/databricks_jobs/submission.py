"""The body of `POST /api/2.2/jobs/runs/submit`: one task, which runs the driver program on the run's compute."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from packaging import utils

from mlops_tasks import errors
from mlops_tasks.backends.databricks_jobs import compute as computes
from mlops_tasks.backends.databricks_jobs.dependencies import Dependencies
from mlops_tasks.project import requirements
from mlops_tasks.stores import uris

TASK_KEY = "main"
ENVIRONMENT_KEY = "default"
LONGEST_TOKEN = 64


def body(
    there: computes.Compute,
    dependencies: Dependencies,
    *,
    attempt: str,
    run_name: str,
    driver: str,
    parameter: str,
    requirements_file: str = "",
    timeout: float | None = None,
) -> dict[str, Any]:
    """What is sent: the same for the same attempt, so that it may be sent again.

    `driver` is the path of the driver program among the workspace's files, `parameter` the only one that it gets.
    `requirements_file` is where the text of `file_text` lies. A `run_name` and a timeout of the cluster spec hold
    where the settings have none (an empty `run_name`); `timeout` is in seconds.
    """
    if len(attempt) > LONGEST_TOKEN:
        raise ValueError(f"an attempt's id has at most {LONGEST_TOKEN} characters")  # cut off it would name another
    name = run_name or str(there.submit.get("run_name") or "MLflow run")
    seconds = {"timeout_seconds": math.ceil(timeout)} if timeout is not None else {}
    task: dict[str, Any] = {
        "task_key": TASK_KEY,
        **there.task,
        **_place(there, dependencies, requirements_file),
        "spark_python_task": {"python_file": driver, "source": "WORKSPACE", "parameters": [parameter]},
        "max_retries": 0,
    }
    return {
        "queue": {"enabled": True},
        **there.submit,
        **seconds,
        "run_name": f"{name} {attempt}",
        "idempotency_token": attempt,
        "tasks": [task],
        **_environments(there, dependencies),
    }


def file_text(there: computes.Compute, dependencies: Dependencies) -> str:
    """The text of the file of requirements that the compute installs from the store; empty where it needs none."""
    is_file = computes.find_rule(there).requirements == "file"
    return "".join(f"{line}\n" for line in dependencies.lines) if is_file else ""


def install_lines(there: computes.Compute, dependencies: Dependencies) -> list[str] | None:
    """The requirements that the driver program installs; None where the compute does."""
    return list(dependencies.lines) if computes.find_rule(there).requirements == "driver" else None


def check_readable(there: computes.Compute, *, user: str, places: Mapping[str, str]) -> None:
    """Raise BadInput where the run has another identity than `user`, and may not read one of its own `places`.

    They are URIs by the settings that name them.
    """
    run_as = there.submit.get("run_as")
    names = [each for each in run_as.values() if isinstance(each, str)] if isinstance(run_as, Mapping) else []
    for setting, uri in places.items():
        owner = uris.owner_of(uri)
        if names and owner and owner not in names:
            raise errors.BadInput(
                f"the job runs as {names[0]}, which may not read {uri}, in the home of {owner}{_you(owner, user)}",
                where=there.place_of("run_as"),
                cure=f"set `{setting}` to a folder that {names[0]} may read ({uris.WORKSPACE}Shared/..."
                f"{', or one in a volume' if setting != 'driver_root' else ''}), or leave run_as out",
            )


def _you(owner: str, user: str) -> str:
    return ", who submits it" if owner == user else ""


def _place(there: computes.Compute, dependencies: Dependencies, requirements_file: str) -> dict[str, Any]:
    """Where the task runs, with the libraries that are installed there before it begins."""
    found: dict[str, Any] = {}
    if there.kind == "new":
        found["new_cluster"] = dict(there.cluster)
    elif there.kind == "existing":
        found["existing_cluster_id"] = there.existing_cluster_id
    if there.has_environment:
        return {**found, "environment_key": ENVIRONMENT_KEY}
    libraries = [
        *_requirements(there, dependencies, requirements_file),
        *dependencies.libraries,
        *({"whl": each.uri} for each in dependencies.wheels if computes.find_rule(there).wheels == "whl"),
    ]
    return {**found, "libraries": libraries} if libraries else found


def _requirements(
    there: computes.Compute, dependencies: Dependencies, requirements_file: str
) -> Iterator[dict[str, Any]]:
    rule = computes.find_rule(there)
    if rule.requirements == "file" and dependencies.lines:
        if uris.kind_of(requirements_file) not in {"volume", "workspace"}:
            raise errors.BadInput(
                f"{there} reads a file of requirements from a volume or from workspace files, and not from "
                f"{requirements_file or 'nowhere'}",
                where="wheel_root",
                cure=f"set wheel_root to {uris.WORKSPACE}Shared/wheels, or to a volume",
            )
        yield {"requirements": requirements_file}
    for line in dependencies.lines if rule.requirements == "pypi" else ():
        parts = requirements.read_wheel(line, placeholder="\0")
        is_there = parts is not None and uris.kind_of(uris.from_cluster(parts.path)) != "folder"
        yield {"whl": uris.from_cluster(parts.path)} if parts and is_there else {"pypi": {"package": line}}


def _environments(there: computes.Compute, dependencies: Dependencies) -> dict[str, Any]:
    if not there.has_environment:
        return {}
    version = {"environment_version": there.environment_version} if there.environment_version else {}
    lines = [*dependencies.lines, *_wheel_lines(dependencies)]
    spec = {**there.environment, **version, "dependencies": lines}
    return {"environments": [{"environment_key": ENVIRONMENT_KEY, "spec": spec}]}


def _wheel_lines(dependencies: Dependencies) -> Sequence[str]:
    """Our own wheels as requirements; where the others have hashes pip wants theirs too."""
    lines = []
    for wheel in dependencies.wheels:
        extras = dependencies.extras.get(utils.canonicalize_name(wheel.distribution), "")
        tail = f" --hash=sha256:{wheel.sha256}" if dependencies.are_hashed else ""
        lines.append(requirements.write_wheel(wheel.uri, wheel.distribution, extras=extras) + tail)
    return lines

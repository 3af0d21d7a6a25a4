"""What a run on this machine cannot do: told before the first step, and not by a run that fails."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from mlops_tasks import errors
from mlops_tasks.project import mlproject
from mlops_tasks.stores import uris

SIGNS = {
    "%": "MLflow's settings file reads as a sign of its own",
    ":": "separates the folders of PATH",
    "\n": "no file of settings can hold",
}
"""Signs that a path may have, and that one of the programs of a run reads as something else."""
LONGEST = 480
"""Bytes of the top folder's path: SQLite takes 512 for its database."""
FETCHED_BY = {
    "s3": ("boto3", "boto3"),
    "gs": ("google.cloud.storage", "google-cloud-storage"),
    "abfss": ("azure.storage.filedatalake", "azure-storage-file-datalake"),
    "wasbs": ("azure.storage.blob", "azure-storage-blob"),
    "wasb": ("azure.storage.blob", "azure-storage-blob"),
    "sftp": ("pysftp", "pysftp"),
}
"""The module by which MLflow fetches a path of that scheme, and the package that has it."""
FETCHED = {"file", "ftp", "hdfs", "viewfs", "dbfs", "runs", "models", "mlflow-artifacts", "r2", "b2"}
"""The schemes that MLflow fetches from by itself."""
SERVED = "/mlflow-artifacts/artifacts"
"""What of http MLflow fetches: the artifacts of a tracking server, by a URL that has this."""
CONDA_HOME = "MLFLOW_CONDA_HOME"


def check_top(top: Path, *, tracks_here: bool) -> None:
    """Raise BadInput where the repository's path cannot be used in a run.

    `tracks_here` says that MLflow's database lies below it.
    """
    for sign, reason in SIGNS.items():
        if sign in str(top):
            raise _unusable(top, f"has a {sign!r}, which {reason}", f"move the repository to a path without {sign!r}")
    size = len(os.fsencode(top))
    if tracks_here and "?" in str(top):
        what = "has a '?', which ends the path of MLflow's database in its URL"
        raise _unusable(top, what, "move the repository to a path without '?', set MLFLOW_TRACKING_URI")
    if tracks_here and size > LONGEST:
        what = f"has {size} bytes, and MLflow's database takes a path of at most {LONGEST}"
        raise _unusable(top, what, "move the repository to a shorter path, set MLFLOW_TRACKING_URI")


def _unusable(top: Path, what: str, cure: str) -> errors.BadInput:
    return errors.BadInput(
        f"the path of this repository {what}: a run on this machine would fail",
        where=top,
        cure=f"{cure}, or release with `--target databricks`",
    )


def check_env_manager(
    project: mlproject.Project, env_manager: str, environ: Mapping[str, str], *, folder: Path
) -> None:
    """Raise BadInput for an `env_manager` that cannot build the project's environment below `folder`."""
    if env_manager in {"auto", "local"}:
        return
    fault = ""
    if project.spark_job is not None:
        fault = "MLflow runs no Spark job on this machine, so it builds no environment for one"
    elif env_manager != "conda" and errors.typed(str(folder)) != str(folder):
        fault = f"MLflow does not quote the path of its environments, and a shell reads more into {folder}"
    if fault:
        raise errors.BadInput(
            f"env_manager is {env_manager}: {fault}", where="env_manager", cure="leave env_manager out"
        )
    path = f"{environ.get(CONDA_HOME, '')}/bin" if environ.get(CONDA_HOME) else environ.get("PATH")
    if env_manager == "conda" and shutil.which("conda", path=path) is None:
        raise errors.BadInput(
            "env_manager is conda, and there is no conda on PATH",
            where="env_manager",
            cure=f"install conda, name its folder by {CONDA_HOME}, or leave env_manager out",
        )


def check_entry_point(project: mlproject.Project, entry_point: str, parameters: Mapping[str, str]) -> None:
    """Raise BadInput for a script that MLflow cannot name, and for a `path` that nothing here can fetch."""
    if PurePosixPath(entry_point).suffix == ".R" and errors.typed(entry_point) != entry_point:
        raise errors.BadInput(
            f"MLflow cannot run an R script of that name: {entry_point}",
            where=project.folder / entry_point,
            cure="give it a name of letters, digits, dashes and dots",
        )
    found = project.entry_points.get(entry_point)
    for name, each in found.parameters.items() if found is not None else ():
        if each.type == "path":
            _check_path(name, parameters[name], project)


def _check_path(name: str, value: str, project: mlproject.Project) -> None:
    """MLflow counts a relative path from the folder in which it is called, and fetches a URI."""
    scheme = urlsplit(value).scheme
    where = f"{project.folder / project.mlproject}: parameters: {name}"
    if scheme in {"", "file"}:
        if not uris.to_path(value).exists():
            inside = project.folder / value
            nearer = os.path.relpath(inside) if value and inside.exists() else ""
            raise errors.BadInput(
                f"the parameter {name} is a path, and there is no {value} in {Path.cwd()}",
                where=where,
                cure=f"pass -P {errors.typed(name)}={errors.typed(nearer) if nearer else 'PATH'}: "
                "a path counts from the folder in which `inv` is called",
            )
        return
    module, package = FETCHED_BY.get(scheme, ("", ""))
    if module and not _is_installed(module):
        raise errors.BadInput(
            f"the parameter {name} is a path, and MLflow needs {package} to fetch {value}",
            where=where,
            cure=f"pip install {package}",
        )
    is_served = scheme in {"http", "https"} and SERVED in value
    if not module and scheme not in FETCHED and not is_served and not _has_plugin(scheme):
        raise errors.BadInput(
            f"the parameter {name} is a path, and nothing here can fetch {value}",
            where=where,
            cure="pass a file of this machine or a URI that MLflow knows, such as s3://..., or make it a string",
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def _has_plugin(scheme: str) -> bool:
    from importlib import metadata

    return any(each.name == scheme for each in metadata.entry_points(group="mlflow.artifact_repository"))

"""The Job that a backend runs, from the settings, the record and the staged project."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from packaging import utils

from mlops_tasks import errors, files
from mlops_tasks.backends.base import Asked, Job, Limits
from mlops_tasks.pipeline.inputs import Inputs
from mlops_tasks.project.mlproject import Project
from mlops_tasks.release import Release
from mlops_tasks.settings import REPEATED
from mlops_tasks.steps.context import Context
from mlops_tasks.tracking import tags as run_tags

RECORDED = re.compile(r"(?!\.\.|/|\.$)[/\w.\- :]+")
"""The names that MLflow's validation takes for parameters and tags; those that are no plain path it refuses too."""
LONGEST_NAME = 250


def prepare(context: Context, release: Release, inputs: Inputs) -> Job:
    """The job without its attempt, tags and record. Nothing is sent or written.

    Raises BadInput for an entry point or parameters that the project does not take, OutOfOrder without a staged copy.
    """
    from mlops_tasks.project import mlproject

    if release.patched is None:
        raise errors.OutOfOrder("there is no staged project to run", cure="`inv patch`")
    settings = context.settings
    if inputs.detach:
        context.target.check_detaching()
    project = mlproject.load(context.top / release.patched.project_dir)
    backend = context.backend
    given = choose_parameters(context, more=inputs.part.parameters if inputs.part else {}, say=True)
    parameters = resolve(context, given, more=inputs.part.parameters if inputs.part else {})
    check_job(context, parameters, backend=backend)
    _warn_of_uninstalled(context, release)
    return Job(
        project=project,
        sources=context.project.folder,
        entry_point=settings.entry_point,
        given=given,
        parameters=parameters,
        experiment_name=_experiment_name(context, release, inputs),
        experiment_id=inputs.experiment_id,
        run_name=settings.run_name,
        tags=settings.tags,
        cluster=_cluster_name(context, project),
        backend=backend,
        env_manager=settings.env_manager,
        limits=limits(context),
        attempt="",
        release_folder=context.release_folder,
        record={},
        deployed=release.deployed or (),
        wheel_files=_wheel_files(context, release),
        wheel_folder=release.names.wheel_folder if release.names else context.wheel_root,
        workers=settings.workers,
        compute=settings.compute,
        environment_version=settings.environment_version,
        driver_root=settings.driver_root,
    )


def _wheel_files(context: Context, release: Release) -> dict[str, Path]:
    """The wheels that are here, by their normalised names: of one that was given by its URI there is none."""
    named = {utils.canonicalize_name(each.distribution): context.top / each.file for each in release.wheels or ()}
    return {name: path for name, path in named.items() if path.is_file()}


def choose_parameters(context: Context, *, more: Mapping[str, str] | None = None, say: bool = False) -> dict[str, str]:
    """The parameters that were given for the entry point: those of the settings that it does not have are left out.

    What is given by hand stays, and so does what there is `more`: it is passed on as `mlflow run` passes it on. With
    `say` both are reported.
    """
    from mlops_tasks.project import entry_points

    settings, project, name = context.settings, context.project, context.settings.entry_point
    whole, by_hand = {**settings.parameters, **(more or {})}, REPEATED["parameters"]
    origins = {key: settings.origins.get(f"parameters.{key}", "") for key in whole}
    origins |= dict.fromkeys(more or {}, by_hand)
    undeclared = entry_points.find_undeclared(project, name, whole)
    left_out = [key for key in undeclared if origins[key] not in {"", by_hand}]
    given = {key: value for key, value in whole.items() if key not in left_out}
    for key in undeclared if say else ():
        lacks, near = f"{name} has no such parameter", entry_points.find_near(project, name, key, given)
        if key in given:
            context.say_once(f"{name} declares no parameter {key}: it is passed on as --{key}")
        elif near:
            context.warn_once(f"{key} ({origins[key]}) is left out: {lacks}; is {near} meant?")
        else:
            context.say_once(f"{key} ({origins[key]}) is left out: {lacks}")
    return given


def resolve(context: Context, given: Mapping[str, str], *, more: Iterable[str] = ()) -> Mapping[str, str]:
    """The `given` parameters, checked and completed with the defaults; those that there are `more` come by --sweep.

    A message on a value that nobody typed with -P names the place that it comes from.
    """
    from mlops_tasks.project import entry_points
    from mlops_tasks.settings import projects

    settings = context.settings
    known = {name: settings.origins.get(f"parameters.{name}", "") for name in given}
    places = {
        name: projects.place(settings.origins, "parameters", name)
        for name, origin in known.items()
        if origin and not origin.startswith(REPEATED["parameters"])
    }
    places |= dict.fromkeys(more, "--sweep")
    return entry_points.resolve(context.project, settings.entry_point, given, places=places)


def check_job(context: Context, parameters: Mapping[str, str], *, backend: str) -> None:
    """Raise BadInput for what a run of these `parameters` needs and cannot have on the target."""
    settings = context.settings
    _check_names(context, "parameter", parameters)
    _check_names(context, "tag", settings.tags)
    context.target.check_job(
        Asked(
            project=context.project,
            top=context.top,
            cluster=context.cluster_spec,
            entry_point=settings.entry_point,
            parameters=parameters,
            backend=backend,
            env_manager=settings.env_manager,
            compute=settings.compute,
            environment_version=settings.environment_version,
            # the default is known after a login alone, and every run reaches it
            wheel_root=context.wheel_root if settings.wheel_root is not None else "",
        )
    )


def _check_names(context: Context, kind: str, names: Iterable[str]) -> None:
    """Raise BadInput for the name of a parameter or tag that MLflow would not record, which ends a run begun.

    Also for a tag of this package's own: runs are found and compared by these.
    """
    for name in names:
        if kind == "tag" and name.startswith(run_tags.OWN):
            raise errors.BadInput(
                f"the tag {name} is one that mlops_tasks sets itself",
                where=context.settings.origins.get(f"tags.{name}") or context.project_folder,
                cure=f"give it a name that does not begin with {run_tags.OWN}",
            )
        if not RECORDED.fullmatch(name) or len(name) > LONGEST_NAME or posixpath.normpath(name) != name:
            raise errors.BadInput(
                f"MLflow records no {kind} of this name: {name!r}",
                where=context.settings.origins.get(f"{kind}s.{name}") or context.project_folder,
                cure=f"use letters, digits, blanks and any of _ - . : / between them, at most {LONGEST_NAME} in all",
            )


def _warn_of_uninstalled(context: Context, release: Release) -> None:
    """Say which wheels the run will not have: with `local` MLflow runs in the interpreter that runs `inv`, as it is."""
    if context.settings.env_manager != "local" or context.target.is_databricks:
        return
    missing = [each.distribution for each in release.deployed or () if not _is_installed(each.distribution)]
    if missing:
        context.warn_once(f"env_manager local installs nothing, and this interpreter lacks: {', '.join(missing)}")


def _is_installed(distribution: str) -> bool:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return bool(metadata.version(distribution))
    return False


def limits(context: Context) -> Limits:
    settings = context.settings
    return Limits(
        timeout=settings.timeout,
        poll_interval=settings.poll_interval,
        lost_contact=settings.lost_contact,
        pending=settings.pending_timeout,
    )


def _experiment_name(context: Context, release: Release, inputs: Inputs) -> str | None:
    from mlops_tasks.steps import name

    if inputs.experiment_id is not None and inputs.experiment_name is not None:
        raise errors.BadInput(
            "an experiment is given by name and by id", where="--experiment-name, --experiment-id", cure="give one"
        )
    if inputs.experiment_id is not None:
        return None
    if inputs.experiment_name is not None:
        return name.check(
            inputs.experiment_name, where="--experiment-name", may_be_plain=not context.target.is_databricks
        )
    return release.names.experiment if release.names else None


def described(context: Context, job: Job, release: Release) -> Job:
    """The job with the run's tags, the attempt, and the record that is logged with the run."""
    tags = run_tags.describe(
        release, ci_url=context.facts.ci_url, entry_point=job.entry_point, user=context.target.user(), tags=job.tags
    )
    attempt = release.attempt.id if release.attempt else ""
    return replace(job, tags=tags, record=release.to_dict(), attempt=attempt)


def _cluster_name(context: Context, staged: Project) -> str | None:
    """The spec's name in the staged project, where a spec from outside the project is its cluster.json."""
    from mlops_tasks.project import cluster, staging

    named = staging.name_inside(context.cluster, context.project.folder) if context.cluster else ""
    name = named or cluster.FILE_NAME
    return name if (staged.folder / name).is_file() else None


def identity(job: Job) -> str:
    """The digest by which an attempt is known again: staged project, entry point, parameters, experiment, backend."""
    return files.digest(
        {
            "project": job.project.folder.parent.name,
            "entry_point": job.entry_point,
            "parameters": dict(job.parameters),
            "experiment": job.experiment_id or job.experiment_name or "",
            "backend": job.backend,
        }
    )

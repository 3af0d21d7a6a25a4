"""Each step of a release, bound to the context: which facts it is given, and what its digest watches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlops_tasks import errors
from mlops_tasks.pipeline.inputs import BY_HAND, Inputs
from mlops_tasks.pipeline.staleness import Step
from mlops_tasks.release import Deployed, Release
from mlops_tasks.steps.context import Context
from mlops_tasks.stores import uris


def _take_name(context: Context, release: Release, inputs: Inputs) -> Release:
    from mlops_tasks.steps import name

    context.target.store(context.wheel_root)  # refuses a root that this target cannot write to
    if not context.is_fetched and not context.project_folder.is_dir():
        _ = context.project  # refuses it in words of its own
    if inputs.explain:
        for reason in context.facts.why:
            context.report.text(reason)
    return name.choose_names(
        release,
        template=context.settings.experiment,
        wheel_root=context.wheel_root,
        user=context.target.user,
        report=context.report,
    )


def _name_digest(context: Context, release: Release) -> str:
    from mlops_tasks.steps import name

    return name.name_digest(release, template=context.settings.experiment, wheel_root=context.wheel_root)


def _take_build_wheel(context: Context, release: Release, inputs: Inputs) -> Release:
    from mlops_tasks.steps import build_wheel

    return build_wheel.build_wheels(
        release,
        libraries=context.libraries,
        top=context.top,
        wheelhouse=context.places.wheels,
        local_version=context.settings.local_version,
        environ=context.environ,
        runner=context.run,
        report=context.report,
    )


def _build_digest(context: Context, release: Release) -> str:
    from mlops_tasks.steps import build_wheel

    return build_wheel.build_digest(
        context.libraries, local_version=context.settings.local_version, top=context.top, runner=context.run
    )


def _take_deploy(context: Context, release: Release, inputs: Inputs) -> Release:
    from mlops_tasks.doctor import reading
    from mlops_tasks.steps import build_wheel, deploy

    if inputs.wheels:
        given = build_wheel.read_given(inputs.wheels, top=context.top)
        release = release.with_step("build-wheel", BY_HAND, wheels=given)
    reading.look_ahead(context, release, force=inputs.force)
    return deploy.deploy_wheels(
        release,
        wheels=release.wheels or (),
        folder=_wheel_folder(release),
        store=context.store,
        top=context.top,
        parallel=context.settings.parallel_uploads,
        report=context.report,
        dry_run=context.dry_run,
    )


def _deploy_digest(context: Context, release: Release) -> str:
    """What was deployed has to be there still: a run would otherwise fail late, or use what a cache remembers."""
    from mlops_tasks.steps import deploy

    there = context.store.list_files(_wheel_folder(release))
    whole = all(deploy.is_there(each, there) for each in release.wheels or ())
    if not (context.dry_run or whole):
        return "gone"
    return deploy.deploy_digest(release.wheels or (), _wheel_folder(release))


def _wheel_folder(release: Release) -> str:
    """`{wheel_root}/{branch}/{content}`: one path never holds two different contents."""
    from mlops_tasks.wheels import metadata

    if release.names is None:
        raise errors.OutOfOrder("the wheels have no folder yet", cure="`inv name`")
    return f"{release.names.wheel_folder}/{metadata.content(release.wheels or ())}"


def _take_patch(context: Context, release: Release, inputs: Inputs) -> Release:
    from mlops_tasks.steps import patch

    if inputs.wheel_uris:
        release = release.with_step("deploy", BY_HAND, deployed=_name_given(context, inputs.wheel_uris))
    return patch.patch_project(
        release,
        project=context.project,
        deployed=_absolute(context, release),
        staged_root=context.staged_root,
        top=context.top,
        placeholder=context.settings.placeholder,
        include=context.settings.include,
        workers=context.settings.workers,
        cluster=context.cluster,
        in_place=inputs.in_place,
        dry_run=context.dry_run,
        diff=inputs.diff,
        reachable=context.target.is_reachable,
        report=context.report,
        runner=context.run,
    )


def _patch_digest(context: Context, release: Release) -> str:
    from mlops_tasks.project import staging
    from mlops_tasks.steps import patch

    copy = context.top / release.patched.project_dir if release.patched else None
    is_staged = copy is not None and copy.is_relative_to(context.staged_root)
    if not context.dry_run and copy is not None and is_staged and not staging.is_as_settled(copy):
        return "changed"
    return patch.patch_digest(
        context.project,
        deployed=_absolute(context, release),
        placeholder=context.settings.placeholder,
        include=context.settings.include,
        workers=context.settings.workers,
        cluster=context.cluster,
        runner=context.run,
    )


def _absolute(context: Context, release: Release) -> tuple[Deployed, ...]:
    return tuple(each._replace(uri=context.target.absolute_uri(each.uri)) for each in release.deployed or ())


def _name_given(context: Context, uris: Sequence[str]) -> tuple[Deployed, ...]:
    """Wheels that somebody else put where they are; a local one is hashed, of others only the name is known."""
    from packaging import utils

    given = []
    for uri in uris:
        file_name = uri.rsplit("/", 1)[-1]
        try:
            distribution = utils.parse_wheel_filename(file_name)[0]
        except utils.InvalidWheelFilename as fault:
            raise errors.BadInput(
                f"{fault}", where=f"--wheel-uri {uri}", cure="give the URI of a wheel file"
            ) from fault
        path = _local_path(context, uri)
        sha256 = _hash_given(path) if path else ""
        given.append(Deployed(distribution=distribution, uri=context.relative(path) if path else uri, sha256=sha256))
    return tuple(given)


def _hash_given(path: Path) -> str:
    from mlops_tasks import files

    try:
        return files.file_sha256(path)
    except OSError as fault:
        raise errors.BadInput(
            f"there is no such wheel that can be read: {fault.strerror}",
            where=path,
            cure="give the URI of a wheel that exists",
        ) from fault


def _local_path(context: Context, uri: str) -> Path | None:
    if uri.startswith("file:"):
        return uris.to_path(uri)
    if "://" in uri or uri.startswith(uris.REMOTE):
        return None
    return Path(uri).resolve()


def _take_dry_run(context: Context, release: Release, inputs: Inputs) -> Release:
    """What `run` would do, without an attempt and without a run."""
    from mlops_tasks.doctor import reading
    from mlops_tasks.pipeline import job_plan

    context.target.check()
    reading.look_ahead(context, release, force=inputs.force)
    job = job_plan.prepare(context, release, inputs)
    for key, value in job.parameters.items():
        context.report.detail(f"parameter {key} = {value}")
    under = job.experiment_name or f"experiment {job.experiment_id}"
    context.report.step("run", f"would run {job.entry_point} under {under} on {context.target.display_name}")
    return replace(release, run=None, attempt=None)


def check_inputs(context: Context) -> None:
    """Read whatever can be read before the first step acts: the project's files, its entry point, the libraries."""
    from mlops_tasks.project import cluster, entry_points, environment

    project = context.project
    entry_points.resolve(project, context.settings.entry_point, context.settings.parameters)
    if project.environment_file is not None:
        environment.load(project.environment_file, kind=project.kind)
    if spec := cluster.find(context.cluster, project.folder):
        cluster.read(spec)
    _ = context.libraries, context.wheel_root
    context.target.choose_backend(context.settings.backend, project)
    context.target.check()


NAME = Step(
    take=_take_name,
    digest=_name_digest,
    watches="the project, the wheel root or the experiment's template",
    flag="--experiment-name NAME",
)
BUILD_WHEEL = Step(
    take=_take_build_wheel,
    digest=_build_digest,
    watches="the libraries' files (or local_version)",
    flag="--wheel FILE",
)
DEPLOY = Step(
    take=_take_deploy,
    digest=_deploy_digest,
    watches="the wheels, or what was deployed of them,",
    needs=("name", "build-wheel"),
    flag="--wheel-uri URI",
)
PATCH = Step(
    take=_take_patch,
    digest=_patch_digest,
    watches="the project, its staged copy or the place of its wheels",
    needs=("deploy",),
)
RUN = Step(take=_take_dry_run, digest=lambda context, release: "", watches="", needs=("name", "patch"))

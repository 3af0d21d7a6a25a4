"""Each step of a release, bound to the bench: which facts it is given, and what its digest watches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlops_tasks import errors
from mlops_tasks.pipeline.inputs import BY_HAND, Inputs
from mlops_tasks.pipeline.staleness import Step
from mlops_tasks.release import Deployed, Release
from mlops_tasks.steps.context import Bench
from mlops_tasks.stores import base as stores


def _take_name(bench: Bench, release: Release, inputs: Inputs) -> Release:
    from mlops_tasks.steps import name

    bench.target.store(bench.wheel_root)  # refuses a root that this target cannot write to
    if not bench.is_fetched and not bench.project_folder.is_dir():
        _ = bench.project  # refuses it in words of its own
    if inputs.explain:
        for reason in bench.facts.why:
            bench.report.text(reason)
    return name.choose_names(
        release,
        template=bench.settings.experiment,
        wheel_root=bench.wheel_root,
        user=bench.target.user,
        report=bench.report,
    )


def _name_digest(bench: Bench, release: Release) -> str:
    from mlops_tasks.steps import name

    return name.name_digest(release, template=bench.settings.experiment, wheel_root=bench.wheel_root)


def _take_build_wheel(bench: Bench, release: Release, inputs: Inputs) -> Release:
    from mlops_tasks.steps import build_wheel

    return build_wheel.build_wheels(
        release,
        libraries=bench.libraries,
        top=bench.top,
        wheelhouse=bench.places.wheels,
        local_version=bench.settings.local_version,
        environ=bench.environ,
        runner=bench.run,
        report=bench.report,
    )


def _build_digest(bench: Bench, release: Release) -> str:
    from mlops_tasks.steps import build_wheel

    return build_wheel.build_digest(
        bench.libraries, local_version=bench.settings.local_version, top=bench.top, runner=bench.run
    )


def _take_deploy(bench: Bench, release: Release, inputs: Inputs) -> Release:
    from mlops_tasks.doctor import ahead
    from mlops_tasks.steps import build_wheel, deploy

    if inputs.wheels:
        given = build_wheel.read_given(inputs.wheels, top=bench.top)
        release = release.with_step("build-wheel", BY_HAND, wheels=given)
    ahead.look_ahead(bench, release, force=inputs.force)
    return deploy.deploy_wheels(
        release,
        wheels=release.wheels or (),
        folder=_wheel_folder(release),
        store=bench.store,
        top=bench.top,
        parallel=bench.settings.parallel_uploads,
        report=bench.report,
        dry_run=bench.dry_run,
    )


def _deploy_digest(bench: Bench, release: Release) -> str:
    """What was deployed has to be there still: a run would otherwise fail late, or use what a cache remembers."""
    from mlops_tasks.steps import deploy

    there = bench.store.list_files(_wheel_folder(release))
    whole = all(deploy.is_there(each, there) for each in release.wheels or ())
    if not (bench.dry_run or whole):
        return "gone"
    return deploy.deploy_digest(release.wheels or (), _wheel_folder(release))


def _wheel_folder(release: Release) -> str:
    """`{wheel_root}/{branch}/{content}`: one path never holds two different contents."""
    from mlops_tasks.wheels import metadata

    if release.names is None:
        raise errors.OutOfOrder("the wheels have no folder yet", cure="`inv name`")
    return f"{release.names.wheel_folder}/{metadata.content(release.wheels or ())}"


def _take_patch(bench: Bench, release: Release, inputs: Inputs) -> Release:
    from mlops_tasks.steps import patch

    if inputs.wheel_uris:
        release = release.with_step("deploy", BY_HAND, deployed=_name_given(bench, inputs.wheel_uris))
    return patch.patch_project(
        release,
        project=bench.project,
        deployed=_absolute(bench, release),
        staged_root=bench.staged_root,
        top=bench.top,
        placeholder=bench.settings.placeholder,
        include=bench.settings.include,
        workers=bench.settings.workers,
        cluster=bench.cluster,
        in_place=inputs.in_place,
        dry_run=bench.dry_run,
        diff=inputs.diff,
        reachable=bench.target.is_reachable,
        report=bench.report,
        runner=bench.run,
    )


def _patch_digest(bench: Bench, release: Release) -> str:
    from mlops_tasks.project import staging
    from mlops_tasks.steps import patch

    copy = bench.top / release.patched.project_dir if release.patched else None
    is_staged = copy is not None and copy.is_relative_to(bench.staged_root)
    if not bench.dry_run and copy is not None and is_staged and not staging.is_as_settled(copy):
        return "changed"
    return patch.patch_digest(
        bench.project,
        deployed=_absolute(bench, release),
        placeholder=bench.settings.placeholder,
        include=bench.settings.include,
        workers=bench.settings.workers,
        cluster=bench.cluster,
        runner=bench.run,
    )


def _absolute(bench: Bench, release: Release) -> tuple[Deployed, ...]:
    return tuple(each._replace(uri=bench.target.absolute_uri(each.uri)) for each in release.deployed or ())


def _name_given(bench: Bench, uris: Sequence[str]) -> tuple[Deployed, ...]:
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
        path = _local_path(bench, uri)
        sha256 = _hash_given(path) if path else ""
        given.append(Deployed(distribution=distribution, uri=bench.relative(path) if path else uri, sha256=sha256))
    return tuple(given)


def _hash_given(path: Path) -> str:
    from mlops_tasks import digests

    try:
        return digests.file_sha256(path)
    except OSError as fault:
        raise errors.BadInput(
            f"there is no such wheel that can be read: {fault.strerror}",
            where=path,
            cure="give the URI of a wheel that exists",
        ) from fault


def _local_path(bench: Bench, uri: str) -> Path | None:
    from urllib.parse import unquote, urlsplit

    if uri.startswith("file:"):
        return Path(unquote(urlsplit(uri).path))
    if "://" in uri or uri.startswith(stores.REMOTE):
        return None
    return Path(uri).resolve()


def _take_dry_run(bench: Bench, release: Release, inputs: Inputs) -> Release:
    """What `run` would do, without an attempt and without a run."""
    from mlops_tasks.doctor import ahead
    from mlops_tasks.pipeline import job_plan

    bench.target.check()
    ahead.look_ahead(bench, release, force=inputs.force)
    job = job_plan.prepare(bench, release, inputs)
    for key, value in job.parameters.items():
        bench.report.detail(f"parameter {key} = {value}")
    under = job.experiment_name or f"experiment {job.experiment_id}"
    bench.report.step("run", f"would run {job.entry_point} under {under} on {bench.target.display_name}")
    return replace(release, run=None, attempt=None)


def check_inputs(bench: Bench) -> None:
    """Read whatever can be read before the first step acts: the project's files, its entry point, the libraries."""
    from mlops_tasks.project import cluster, entry_points, environment

    project = bench.project
    entry_points.resolve(project, bench.settings.entry_point, bench.settings.parameters)
    if project.environment_file is not None:
        environment.load(project.environment_file, kind=project.kind)
    if spec := cluster.find(bench.cluster, project.folder):
        cluster.read(spec)
    _ = bench.libraries, bench.wheel_root
    bench.target.choose_backend(bench.settings.backend, project)
    bench.target.check()


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
RUN = Step(take=_take_dry_run, digest=lambda bench, release: "", watches="", needs=("name", "patch"))

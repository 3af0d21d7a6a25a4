"""Each step of a release as a Step: how it is taken, what its digest watches and which steps it needs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING

from mlops_tasks import errors, processes, redaction
from mlops_tasks.pipeline.inputs import BY_HAND, Inputs
from mlops_tasks.pipeline.staleness import Step
from mlops_tasks.release import Release
from mlops_tasks.steps.context import Context

if TYPE_CHECKING:
    from mlops_tasks.steps import name


def _take_name(context: Context, release: Release, inputs: Inputs) -> Release:
    from mlops_tasks.steps import name

    _ = context.store  # BadInput for a root that this target cannot write to
    if context.has_root_of_another_target:
        name_of, own = context.settings.target, context.wheel_root
        left = f"wheel_root {context.settings.wheel_root}"
        context.report.detail(f"{left} is of another target than {name_of}, whose wheels go to {own}")
    if inputs.explain:
        for reason in context.facts.why:
            context.report.text(reason)
    made = name.choose_names(
        release,
        owner(context),
        template=context.settings.experiment,
        wheel_root=context.wheel_root,
        user=context.target.user,
        report=context.report,
        may_be_plain=not context.target.is_databricks,
        origin=context.settings.origins.get("experiment", "experiment"),
    )
    _name_digest(context, made)  # it keeps what has decided the names
    return made


def _name_digest(context: Context, release: Release) -> str:
    from mlops_tasks.steps import name

    template, wheel_root, target = context.settings.experiment, context.wheel_root, context.settings.target
    context.decided_by["name"] = {
        "the project": release.project,
        "the repository's name": context.repository,
        "what tells the project from the repository's others": context.project_in_repository,
        "the setting experiment": template,
        "the wheel root": wheel_root,
        **({"the environment's target": target} if context.settings.env else {}),
    }
    now = replace(release, target=target)  # the settings may have given the environment another one
    return name.name_digest(now, owner(context), template=template, wheel_root=wheel_root)


def owner(context: Context) -> name.Owner:
    """Whose the release's names are."""
    from mlops_tasks.steps import name

    return name.Owner(context.repository, context.project_in_repository)


def _take_build_wheel(context: Context, release: Release, inputs: Inputs) -> Release:
    from mlops_tasks.steps import build_wheel

    return build_wheel.build_wheels(context, release)


def _build_digest(context: Context, release: Release) -> str:
    from mlops_tasks.steps import build_wheel

    return build_wheel.build_digest(context, release)


def _take_deploy(context: Context, release: Release, inputs: Inputs) -> Release:
    from mlops_tasks.steps import deploy
    from mlops_tasks.wheels import wheel_files

    if inputs.wheels:
        given = wheel_files.read_given(inputs.wheels, top=context.top)
        release = release.with_step("build-wheel", BY_HAND, wheels=given)

    def load() -> ModuleType:
        return importlib.import_module("mlops_tasks.doctor.reading")

    asks = context.target.is_databricks and release.wheels not in [(), *context.preflighted]
    loaded = processes.begin_import(load) if asks else load  # while the store is asked what it has

    def look_ahead() -> None:
        loaded().look_ahead(context, release, force=inputs.force)

    return deploy.deploy_wheels(context, release, wheel_folder(release), before_writing=look_ahead)


def _deploy_digest(context: Context, release: Release) -> str:
    from mlops_tasks.steps import deploy

    return deploy.deploy_digest(context, release, wheel_folder(release))


def wheel_folder(release: Release) -> str:
    """`{wheel_root}/{repository}/{branch}/{content}`: one path never holds two different contents."""
    from mlops_tasks.wheels import metadata

    if release.names is None:
        raise errors.OutOfOrder("the wheels have no folder yet", cure="`inv name`")
    return f"{release.names.wheel_folder}/{metadata.content(release.wheels or ())}"


def _take_patch(context: Context, release: Release, inputs: Inputs) -> Release:
    from mlops_tasks.steps import deploy, patch

    if inputs.wheel_uris:
        given = deploy.name_given(context, release, inputs.wheel_uris)
        release = release.with_step("deploy", BY_HAND, deployed=given)
    return patch.patch_project(context, release, in_place=inputs.in_place, diff=inputs.diff)


def _patch_digest(context: Context, release: Release) -> str:
    from mlops_tasks.steps import patch

    return patch.patch_digest(context, release)


def _take_dry_run(context: Context, release: Release, inputs: Inputs) -> Release:
    """Report what the step run would do; nothing is submitted or recorded as an attempt."""
    from mlops_tasks.doctor import reading
    from mlops_tasks.pipeline import job_plan

    context.target.check()
    reading.look_ahead(context, release, force=inputs.force)
    if inputs.sweep:
        from mlops_tasks.pipeline import sweep

        sweep.show(context, release, inputs)
        return replace(release, run=None, attempt=None)
    job = job_plan.prepare(context, release, inputs)
    for key, value in job.parameters.items():
        context.report.detail(f"parameter {key} = {redaction.mask(value)}")
    for gate in context.settings.require:
        context.report.detail(f"gate {gate}")
    context.target.runs_of(job.backend).show(job)
    under = job.experiment_name or f"experiment {job.experiment_id}"
    context.report.step("run", f"would run {job.entry_point} under {under} on {context.target.display_name}")
    return replace(release, run=None, attempt=None)


def check_inputs(context: Context, inputs: Inputs) -> None:
    """Raise what is wrong with the project's files, its entry point, the libraries or the target, before any step."""
    from mlops_tasks.pipeline import job_plan

    resolved = check_files(context, inputs)
    context.target.prepare()
    _ = context.wheel_root
    for parameters in resolved:
        job_plan.check_job(context, parameters, backend=context.backend)
    context.target.check()


def check_files(context: Context, inputs: Inputs) -> list[Mapping[str, str]]:
    """The parameters of each run that the inputs ask for, once all is right that can be known without the target."""
    from mlops_tasks.pipeline import job_plan, sweep
    from mlops_tasks.project import cluster, environment, references
    from mlops_tasks.steps import patch

    project, settings = context.project, context.settings
    swept = sweep.check(context, inputs)
    resolved = [job_plan.resolve(context, job_plan.choose_parameters(context, more=each), more=each) for each in swept]
    if project.environment_file is not None:
        lines = environment.load(project.environment_file, kind=project.kind).pip
        source, placeholder = project.environment_file, settings.placeholder
        references.check_other_files(lines, source, names={}, placeholder=placeholder)  # by their names: in patch
    if context.cluster_spec is not None:
        cluster.read(context.cluster_spec)
    _ = context.libraries
    patch.check_misspelt(context)
    return resolved


NAME = Step(
    take=_take_name,
    digest=_name_digest,
    watches="the project, the wheel root or the experiment's template",
    flag="--experiment-name NAME",
)
BUILD_WHEEL = Step(
    take=_take_build_wheel,
    digest=_build_digest,
    watches="the libraries' files (or what else their builds read, or the wheels)",
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

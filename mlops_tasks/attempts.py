"""A run is submit, save, follow, save: the record is free while the run is followed, the attempt is not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mlops_tasks import checks, errors, record
from mlops_tasks.bench import Bench
from mlops_tasks.inputs import Inputs
from mlops_tasks.project.mlproject import Project
from mlops_tasks.release import Attempt, Release, Run
from mlops_tasks.targets.jobs import Job, Submitted


def take_run(bench: Bench, steps: checks.Steps, inputs: Inputs) -> Release:
    """Run the staged project and follow it to its end; RunFailed unless it finished."""
    from mlops_tasks.steps import run

    with record.held(bench.attempt_lock, "run"):
        with bench.record.locked("run"):
            release = checks.begin(bench, steps, "run", inputs)
            job = prepare(bench, release, inputs)
            release = _close_crashed(bench, release, job)
            release = run.begin_attempt(release)
            bench.record.save(release)
        submitted = bench.target.submit(_described(bench, job, release), report=bench.report)
        with _closed_when_cut_off(bench, submitted, job):
            _save_run_id(bench, submitted.run_id)
            found, log = _follow(bench, job, submitted)
        release = _save_end(bench, found)
    run.judge(found, log=log, report=bench.report)
    bench.places.prune(bench.record_folder, keep=job.project.folder)
    return release


def prepare(bench: Bench, release: Release, inputs: Inputs) -> Job:
    """Everything that is known of the run before it is begun; nothing is sent, nothing is written."""
    from mlops_tasks.project import entry_points, mlproject

    if release.patched is None:
        raise errors.OutOfOrder("there is no staged project to run", cure="`inv patch`")
    settings = bench.settings
    project = mlproject.load(bench.top / release.patched.project_dir)
    backend, why = bench.target.choose_backend(settings.backend, project)
    bench.report.debug(f"backend {backend}: {why}")
    return Job(
        project=project,
        entry_point=settings.entry_point,
        given=settings.parameters,
        parameters=entry_points.resolve(bench.project, settings.entry_point, settings.parameters),
        experiment_name=_experiment_name(release, inputs),
        experiment_id=inputs.experiment_id,
        run_name=settings.run_name,
        tags=settings.tags,
        cluster=_cluster_name(bench, project),
        backend=backend,
        env_manager=settings.env_manager,
        timeout=settings.timeout,
        poll_interval=settings.poll_interval,
        record={},
    )


def _experiment_name(release: Release, inputs: Inputs) -> str | None:
    from mlops_tasks.steps import name

    if inputs.experiment_id is not None and inputs.experiment_name is not None:
        raise errors.BadInput(
            "an experiment is given by name and by id", where="--experiment-name, --experiment-id", cure="give one"
        )
    if inputs.experiment_id is not None:
        return None
    if inputs.experiment_name is not None:
        return name.absolute(inputs.experiment_name, where="--experiment-name")
    return release.names.experiment if release.names else None


def _described(bench: Bench, job: Job, release: Release) -> Job:
    """The job with what the run is tagged with, and the record that is logged with it."""
    from mlops_tasks.steps import run

    tags = run.run_tags(
        release, ci_url=bench.facts.ci_url, entry_point=job.entry_point, user=bench.target.user(), tags=job.tags
    )
    return replace(job, tags=tags, record=release.to_dict())


def _cluster_name(bench: Bench, staged: Project) -> str | None:
    """The spec's name in the staged project: one from outside the project was brought in as its cluster.json."""
    from mlops_tasks.project import cluster, listing

    named = listing.name_inside(bench.cluster, bench.project.folder) if bench.cluster else ""
    name = named or cluster.FILE_NAME
    return name if (staged.folder / name).is_file() else None


def _close_crashed(bench: Bench, release: Release, job: Job) -> Release:
    """Take up the attempt that a crash left behind: what came of its run is found out and kept by run id.

    One that has no run yet goes on as it is.
    """
    attempt = release.attempt
    if attempt is None or attempt.ended:
        return release
    found = bench.target.pick_up(attempt, job)
    if found is not None:
        bench.report.detail(f"an earlier attempt was cut off; its run {found.run_id} is now {found.status}")
    elif attempt.run_id is None:
        return release
    else:
        bench.report.warning(f"an earlier attempt was cut off, and nothing is known here of its run {attempt.run_id}")
    closed = replace(release, attempt=attempt._replace(ended=True), run=found)
    bench.record.save(closed)
    return closed


def _follow(bench: Bench, job: Job, submitted: Submitted) -> tuple[Run, Path]:
    log = _log_file(bench, submitted.run_id)
    name = job.run_name or submitted.run_id[:8]
    bench.report.detail(
        f"run {name}: entry point {job.entry_point} on {bench.target.display_name}; log {bench.relative(log)}"
    )
    return bench.target.follow(job, submitted, log=log, report=bench.report), log


@contextlib.contextmanager
def _closed_when_cut_off(bench: Bench, submitted: Submitted, job: Job) -> Iterator[None]:
    """Whatever cuts the block short, the run is ended and recorded; what fails in that does not hide what it was."""
    try:
        yield
    except BaseException:
        with errors.told(bench.report.warning):
            found = bench.target.pick_up(Attempt(id="", run_id=submitted.run_id), job)
            if found is not None:
                log = _log_file(bench, submitted.run_id)
                _save_end(bench, found._replace(log=bench.relative(log)) if log.exists() else found)
        raise


def _log_file(bench: Bench, run_id: str) -> Path:
    return bench.record_folder / "runs" / f"{run_id}.log"


def _save_run_id(bench: Bench, run_id: str) -> None:
    with bench.record.locked("run", wait=bench.report.detail):
        release = bench.record.load()
        if release is not None and release.attempt is not None:
            bench.record.save(replace(release, attempt=release.attempt._replace(run_id=run_id)))


def _save_end(bench: Bench, found: Run) -> Release:
    """The record as it stands now, not as it stood when the run began: other steps may have been taken since."""
    with bench.record.locked("run", wait=bench.report.detail):
        release = bench.record.load()
        if release is None or release.attempt is None or release.attempt.run_id != found.run_id:
            raise errors.OutOfOrder(
                f"the record was replaced while run {found.run_id} was followed ({found.status})",
                where=bench.record_folder,
                cure="`inv status`",
            )
        release = replace(release, attempt=release.attempt._replace(ended=True), run=found)
        bench.record.save(release)
    return release

"""A run is submit, save, follow, save: the record is free while the run is followed, the attempt is not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mlops_tasks import checks, digests, errors, record
from mlops_tasks.bench import Bench
from mlops_tasks.inputs import NOTHING, Inputs
from mlops_tasks.project.mlproject import Project
from mlops_tasks.release import Attempt, Release, Run
from mlops_tasks.targets.jobs import Job, Limits, Submitted


def take_run(bench: Bench, steps: checks.Steps, inputs: Inputs) -> Release:
    """Run the staged project and follow it to its end; RunFailed unless it finished.

    An attempt at the same that was cut off is followed where it goes on; one that is detached is left alone.
    """
    from mlops_tasks.preflight import ahead
    from mlops_tasks.steps import run

    with record.held(bench.attempt_lock, "run", cure=bench.target.busy_cure):
        with bench.record.locked("run"):
            bench.target.check()
            release = checks.begin(bench, steps, "run", inputs)
            job = prepare(bench, release, inputs)
            ahead.look_ahead(bench, release, inputs)
            release, going_on = _take_up(bench, release, job)
            release = release if going_on else run.begin_attempt(release, job=_identity(job))
            bench.record.save(release)
        job = _described(bench, job, release)
        submitted = going_on or bench.target.submit(job, report=bench.report)
        with _closed_when_cut_off(bench, submitted, job):
            _save_submitted(bench, submitted, job, detached=inputs.detach)
            if inputs.detach:
                return _detach(bench, submitted)
            found, log = _follow(bench, job, submitted)
        release = _save_end(bench, found)
    run.judge(found, log=log, report=bench.report)
    bench.places.prune(bench.record_folder, keep=job.project.folder)
    return release


def watch(bench: Bench, run_id: str | None) -> Release | None:
    """Follow a run that goes on without us: the recorded attempt's, or another one by its id."""
    from mlops_tasks.steps import run

    submitted, entry_point = _find(bench, run_id)
    if bench.dry_run:
        bench.report.step("watch", f"would follow run {submitted.run_id}, job run {submitted.job_run_id}")
        return bench.record.load()
    with _sole_follower(bench, "watch", submitted) as is_sole:
        try:
            found = _watch(bench, submitted, entry_point)
        except (KeyboardInterrupt, errors.Terminated):
            bench.report.detail(f"run {submitted.run_id} goes on; `inv cancel` ends it")
            raise
        release = _save_end(bench, found) if is_sole else bench.record.load()
    run.judge(found, log=log_file(bench, submitted.run_id), report=bench.report)
    return release


def cancel(bench: Bench, run_id: str | None) -> Release | None:
    """End a run that goes on without us, and record that it has ended."""
    submitted, entry_point = _find(bench, run_id)
    if bench.dry_run:
        bench.report.step("cancel", f"would end run {submitted.run_id}, job run {submitted.job_run_id}")
        return bench.record.load()
    bench.target.stop(submitted, report=bench.report)
    with _sole_follower(bench, "cancel", submitted) as is_sole:
        release = _save_end(bench, _watch(bench, submitted, entry_point)) if is_sole else bench.record.load()
    bench.report.step("cancel", f"run {submitted.run_id}, job run {submitted.job_run_id}")
    return release


def prepare(bench: Bench, release: Release, inputs: Inputs) -> Job:
    """Everything that is known of the run before it is begun; nothing is sent, nothing is written."""
    from mlops_tasks.project import entry_points, mlproject

    if release.patched is None:
        raise errors.OutOfOrder("there is no staged project to run", cure="`inv patch`")
    settings = bench.settings
    if inputs.detach:
        bench.target.check_detaching()
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
        limits=_limits(bench),
        attempt="",
        scratch=bench.record_folder / "attempts",
        record={},
    )


def _limits(bench: Bench) -> Limits:
    settings = bench.settings
    return Limits(timeout=settings.timeout, poll_interval=settings.poll_interval, lost_contact=settings.lost_contact)


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
    attempt = release.attempt.id if release.attempt else ""
    return replace(job, tags=tags, record=release.to_dict(), attempt=attempt, scratch=job.scratch / attempt)


def _cluster_name(bench: Bench, staged: Project) -> str | None:
    """The spec's name in the staged project: one from outside the project was brought in as its cluster.json."""
    from mlops_tasks.project import cluster, listing

    named = listing.name_inside(bench.cluster, bench.project.folder) if bench.cluster else ""
    name = named or cluster.FILE_NAME
    return name if (staged.folder / name).is_file() else None


def _take_up(bench: Bench, release: Release, job: Job) -> tuple[Release, Submitted | None]:
    """Find out what became of an attempt that nobody follows: what goes on, or the record with its end.

    One that has no run yet goes on as it is.
    """
    attempt = release.attempt
    if attempt is None or attempt.ended:
        return release, None
    found = bench.target.pick_up(attempt, job, report=bench.report)
    if isinstance(found, Submitted):
        if attempt.detached or attempt.job != _identity(job):
            raise errors.OutOfOrder(
                f"run {found.run_id} is going on", where=bench.record_folder, cure=bench.target.busy_cure
            )
        bench.report.detail(f"an earlier attempt was cut off; its run {found.run_id} goes on, and is followed again")
        return release, found
    if found is not None:
        left = "was left to go on" if attempt.detached else "was cut off"
        bench.report.detail(f"an earlier attempt {left}; its run {found.run_id} is now {found.status}")
    elif attempt.run_id is None:
        return release, None
    else:
        bench.report.warning(f"an earlier attempt was cut off, and nothing is known here of its run {attempt.run_id}")
    closed = replace(release, attempt=attempt._replace(ended=True), run=found)
    bench.record.save(closed)
    return closed, None


def _identity(job: Job) -> str:
    """What makes two commands the same: the staged project, what is run of it, with what, and under which name."""
    return digests.digest(
        {
            "project": job.project.folder.parent.name,
            "entry_point": job.entry_point,
            "parameters": dict(job.parameters),
            "experiment": job.experiment_id or job.experiment_name or "",
            "backend": job.backend,
        }
    )


def _find(bench: Bench, run_id: str | None) -> tuple[Submitted, str]:
    """A run that goes on without us, and its entry point: the recorded attempt's unless another one's id is given."""
    release = bench.record.load()
    attempt = release.attempt if release else None
    if run_id is not None and not (attempt and attempt.run_id == run_id):
        return bench.target.find(run_id)
    is_unsaved = attempt is not None and not attempt.ended and attempt.run_id is None
    if release is not None and attempt is not None and is_unsaved and not bench.dry_run:
        attempt = _find_unsaved(bench, release, attempt)
    if attempt is None or attempt.ended or attempt.run_id is None or attempt.experiment_id is None:
        raise errors.OutOfOrder(
            "no run of this release is going on",
            where=bench.record_folder,
            cure="`inv status` shows the last one; give the id of another run",
        )
    submitted = Submitted(
        run_id=attempt.run_id,
        experiment_id=attempt.experiment_id,
        backend=attempt.backend,
        job_run_id=attempt.job_run_id,
    )
    return submitted, attempt.entry_point


def _find_unsaved(bench: Bench, release: Release, attempt: Attempt) -> Attempt:
    """The attempt with the run that was made just before the command was cut off, if it goes on."""
    with record.held(bench.attempt_lock, "watch", cure="wait until it has submitted its run"):
        job = prepare(bench, release, NOTHING)
        found = bench.target.pick_up(attempt, job, report=bench.report)
        if isinstance(found, Submitted):
            _save_submitted(bench, found, replace(job, attempt=attempt.id), detached=False)
    saved = bench.record.load()
    return saved.attempt if saved and saved.attempt else attempt


@contextlib.contextmanager
def _sole_follower(bench: Bench, task: str, submitted: Submitted) -> Iterator[bool]:
    """Whether the run is this release's own, and nobody else follows it: whoever does will record its end."""
    with contextlib.ExitStack() as stack:
        release = bench.record.load()
        is_own = release is not None and release.attempt is not None and release.attempt.run_id == submitted.run_id
        try:
            if is_own:
                stack.enter_context(record.held(bench.attempt_lock, task))
        except errors.OutOfOrder as busy:
            bench.report.detail(busy.what)
            is_own = False
        yield is_own


def _watch(bench: Bench, submitted: Submitted, entry_point: str) -> Run:
    log = log_file(bench, submitted.run_id)
    limits = _limits(bench)
    found = bench.target.watch(submitted, limits=limits, entry_point=entry_point, log=log, report=bench.report)
    return _with_log(bench, found, log)


def _detach(bench: Bench, submitted: Submitted) -> Release:
    bench.report.step("run", f"left to go on: run {submitted.run_id}, job run {submitted.job_run_id}")
    bench.report.detail("`inv watch` follows it, `inv cancel` ends it")
    release = bench.record.load()
    if release is None:
        raise errors.OutOfOrder("the record is gone", where=bench.record_folder, cure="`inv name`")
    return release


def _follow(bench: Bench, job: Job, submitted: Submitted) -> tuple[Run, Path]:
    log = log_file(bench, submitted.run_id)
    name = job.run_name or submitted.run_id[:8]
    bench.report.detail(
        f"run {name}: entry point {job.entry_point} on {bench.target.display_name}; log {bench.relative(log)}"
    )
    return _with_log(bench, bench.target.follow(job, submitted, log=log, report=bench.report), log), log


def _with_log(bench: Bench, found: Run, log: Path) -> Run:
    return found._replace(log=bench.relative(log)) if log.exists() else found


@contextlib.contextmanager
def _closed_when_cut_off(bench: Bench, submitted: Submitted, job: Job) -> Iterator[None]:
    """Whatever cuts the block short, a run that has ended is recorded; what fails in that hides nothing.

    Of a place that does not answer nothing can be learnt.
    """
    try:
        yield
    except errors.WorkspaceError:
        raise
    except BaseException:
        with errors.told(bench.report.warning):
            attempt = Attempt(
                id=job.attempt,
                run_id=submitted.run_id,
                job_run_id=submitted.job_run_id,
                experiment_id=submitted.experiment_id,
            )
            found = bench.target.pick_up(attempt, job, report=bench.report)
            if isinstance(found, Run):
                _save_end(bench, _with_log(bench, found, log_file(bench, submitted.run_id)))
        raise


def log_file(bench: Bench, run_id: str) -> Path:
    return bench.record_folder / "runs" / f"{run_id}.log"


def _save_submitted(bench: Bench, submitted: Submitted, job: Job, *, detached: bool) -> None:
    with bench.record.locked("run", wait=bench.report.detail):
        release = bench.record.load()
        if release is not None and release.attempt is not None:
            attempt = release.attempt._replace(
                run_id=submitted.run_id,
                job_run_id=submitted.job_run_id,
                experiment_id=submitted.experiment_id,
                backend=submitted.backend,
                entry_point=job.entry_point,
                detached=detached,
            )
            bench.record.save(replace(release, attempt=attempt))


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

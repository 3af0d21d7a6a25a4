"""A run is submit, save, follow, save: the record is free while the run is followed, the attempt is not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mlops_tasks import errors, record
from mlops_tasks.backends.base import Job, NotMarked, Submitted
from mlops_tasks.pipeline import job_plan, run_record, staleness
from mlops_tasks.pipeline.inputs import Inputs
from mlops_tasks.release import Attempt, Release, Run
from mlops_tasks.steps.context import Bench


def take_run(bench: Bench, steps: staleness.Steps, inputs: Inputs) -> Release:
    """Run the staged project and follow it to its end; RunFailed unless it finished.

    An attempt at the same that was cut off is followed where it goes on; one that is detached is left alone.
    """
    from mlops_tasks.doctor import ahead
    from mlops_tasks.steps import run

    command = inputs.command or "run"
    with record.held(bench.attempt_lock, command, cure=bench.target.busy_cure):
        with bench.record.locked(command):
            bench.target.check()
            release = staleness.begin(bench, steps, "run", inputs)
            job = job_plan.prepare(bench, release, inputs)
            ahead.look_ahead(bench, release, force=inputs.force)
            release, going_on = _take_up(bench, release, job)
            if not going_on:
                release, job = _begin(bench, release, job)
            bench.record.save(release)
        job = job_plan.described(bench, job, release)
        with _closed_when_cut_off(bench, release.attempt) as made:
            submitted = going_on or bench.target.submit(job, report=bench.report)
            made.append(submitted)
            run_record.save_submitted(bench, submitted, detached=inputs.detach)
            if inputs.detach:
                return _detach(bench, submitted)
            found, log = _follow(bench, job, submitted)
        release = run_record.save_end(bench, found)
    run.judge(found, timeout=bench.settings.timeout, log=log, report=bench.report)
    bench.places.prune(bench.record_folder, keep=job.project.folder)
    return release


def refuse_going_on(bench: Bench, steps: staleness.Steps, inputs: Inputs) -> None:
    """Raise OutOfOrder where a run goes on that `run` would not follow again, be it of another branch."""
    release = bench.record.load()
    attempt = release.attempt if release else None
    if attempt is None or attempt.ended or not bench.target.is_remote or run_record.is_elsewhere(bench, attempt):
        return
    if not attempt.detached and _is_at_the_same(bench, attempt, steps, inputs):
        return
    found = bench.target.pick_up(attempt, report=bench.report)
    if isinstance(found, Submitted):
        raise _busy(bench, found)


def _is_at_the_same(bench: Bench, attempt: Attempt, steps: staleness.Steps, inputs: Inputs) -> bool:
    """Whether the command would run what the attempt runs: the same job, of a staged project that is not stale."""
    try:
        release = staleness.begin(bench, steps, "run", inputs)
        return attempt.job == job_plan.identity(job_plan.prepare(bench, release, inputs))
    except errors.OutOfOrder:
        return False


def _busy(bench: Bench, found: Submitted) -> errors.OutOfOrder:
    return errors.OutOfOrder(f"run {found.run_id} is going on", where=bench.record_folder, cure=bench.target.busy_cure)


def _begin(bench: Bench, release: Release, job: Job) -> tuple[Release, Job]:
    """The release with an attempt at the job, and the job with the experiment that both name from now on."""
    from mlops_tasks.steps import run

    experiment_id = bench.target.find_experiment(job, report=bench.report)
    release = run.begin_attempt(
        release,
        job=job_plan.identity(job),
        host=bench.target.host,
        experiment_id=experiment_id,
        entry_point=job.entry_point,
    )
    return release, replace(job, experiment_id=experiment_id)


def _take_up(bench: Bench, release: Release, job: Job) -> tuple[Release, Submitted | None]:
    """Find out what became of an attempt that nobody follows: what goes on, or the record with its end.

    One that has no run yet goes on as it is.
    """
    attempt = release.attempt
    if attempt is None or attempt.ended:
        return release, None
    if run_record.is_elsewhere(bench, attempt):
        return _leave(bench, release, attempt), None
    attempt = run_record.with_experiment(bench, attempt, lambda: job)
    found = bench.target.pick_up(attempt, report=bench.report)
    if isinstance(found, Submitted):
        if attempt.detached or attempt.job != job_plan.identity(job):
            raise _busy(bench, found)
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


def _leave(bench: Bench, release: Release, attempt: Attempt) -> Release:
    """The release without an attempt that was made for another host: it is not looked for here."""
    where = f"an earlier attempt was made at {attempt.host}"
    if attempt.run_id:
        cure = f"cancel it with that host's login: run {attempt.run_id}"  # as a command it would get this host's flags
        bench.report.warning(f"{where}, and its run may go on there; {cure}")
    else:
        bench.report.warning(f"{where}, and a job with {attempt.id} in its name may go on there")
    left = replace(release, attempt=attempt._replace(ended=True))
    bench.record.save(left)
    return left


def _detach(bench: Bench, submitted: Submitted) -> Release:
    bench.report.step("run", f"left to go on: run {submitted.run_id}, job run {submitted.job_run_id}")
    bench.report.detail(bench.target.busy_cure)
    release = bench.record.load()
    if release is None:
        raise errors.OutOfOrder("the record is gone", where=bench.record_folder, cure="`inv name`")
    return release


def _follow(bench: Bench, job: Job, submitted: Submitted) -> tuple[Run, Path]:
    log = run_record.log_file(bench, submitted.run_id)
    name = f"{submitted.run_id} ({job.run_name})" if job.run_name else submitted.run_id
    bench.report.detail(f"run {name}: entry point {job.entry_point} on {bench.target.display_name}")
    found = run_record.with_log(bench, bench.target.follow(job, submitted, log=log, report=bench.report), log)
    if found.log:
        bench.report.detail(f"log {found.log}")
    return found, log


def _stop(bench: Bench, submitted: Submitted) -> None:
    try:
        bench.target.stop(submitted, report=bench.report)
    except NotMarked:
        raise
    except errors.WorkspaceError:
        bench.report.warning(f"run {submitted.run_id} could not be ended and may go on; {bench.target.busy_cure}")
        raise


@contextlib.contextmanager
def _closed_when_cut_off(bench: Bench, attempt: Attempt | None) -> Iterator[list[Submitted]]:
    """Whatever cuts the block short, a run that has ended is recorded; what fails in that hides nothing.

    The block adds what it has submitted: a submit that is cut off itself clears up behind it. Of a place that does
    not answer nothing can be learnt.
    """
    made: list[Submitted] = []
    try:
        yield made
    except errors.WorkspaceError:
        raise
    except BaseException as cut:
        with errors.told(bench.report.warning):
            for submitted in made:
                _close(bench, submitted, attempt, stop=isinstance(cut, KeyboardInterrupt) and bench.target.is_remote)
        raise


def _close(bench: Bench, submitted: Submitted, attempt: Attempt | None, *, stop: bool) -> None:
    if stop:
        _stop(bench, submitted)
    begun = run_record.with_submitted(attempt, submitted) if attempt else None
    found = bench.target.pick_up(begun, report=bench.report) if begun else None
    if isinstance(found, Run):
        run_record.save_end(bench, run_record.with_log(bench, found, run_record.log_file(bench, submitted.run_id)))
        if stop:
            bench.report.detail(f"`inv watch {found.run_id}` shows what it printed")

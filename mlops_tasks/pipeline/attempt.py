"""Take the run step: submit, record, follow to the end, record.

The record is unlocked while the run is followed; the lock of the attempt is held all the time.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mlops_tasks import errors, locks, redaction
from mlops_tasks.backends.base import Job, NotMarked, Submitted
from mlops_tasks.pipeline import job_plan, staleness
from mlops_tasks.pipeline.inputs import Inputs
from mlops_tasks.release import Attempt, Release, Run
from mlops_tasks.steps.context import Context


def take_run(context: Context, steps: staleness.Steps, inputs: Inputs) -> Release:
    """Run the staged project and follow the run to its end; RunFailed unless it finished.

    Where an attempt at the same job was cut off and its run still goes on, that run is followed. OutOfOrder where a
    detached run, or a run of another job, still goes on.
    """
    from mlops_tasks.doctor import reading
    from mlops_tasks.steps import run

    command = inputs.command or "run"
    with locks.held(context.attempt_lock, command, cure=context.target.busy_cure):
        with context.record.locked(command):
            context.target.check()
            release = staleness.begin(context, steps, "run", inputs)
            job = job_plan.prepare(context, release, inputs)
            reading.look_ahead(context, release, force=inputs.force)
            release, going_on = _take_up(context, release, job)
            if not going_on:
                release, job = _begin(context, release, job)
            context.record.save(release)
        job = replace(job_plan.described(context, job, release), begun=lambda: _save_sent(context))
        with _closed_when_cut_off(context, release.attempt) as made:
            submitted = going_on or context.target.runs_of(job.backend).submit(job)
            made.append(submitted)
            save_submitted(context, submitted, detached=inputs.detach)
            if inputs.detach:
                return _detach(context, submitted)
            found, log = _follow(context, job, submitted)
        release = _keep_end(context, found, release)
    with errors.warn_on_failure(context.report.warning):
        _explain(context, job, found, log)
    run.judge(found, release, timeout=context.settings.timeout, log=log, report=context.report)
    with errors.warn_on_failure(context.report.warning):
        context.places.prune(context.release_folder, keep=job.project.folder)
    return release


def _keep_end(context: Context, found: Run, begun: Release) -> Release:
    """The release with its run's end, which is on record: where that fails after a good end, it is a warning."""
    try:
        return save_end(context, found)
    except (errors.ReleaseError, OSError) as fault:
        if found.status != "FINISHED":
            raise
        context.report.warning(f"run {found.run_id} has finished, and that is not on record: {fault}")
        return replace(begun, run=found)


def refuse_going_on(context: Context, steps: staleness.Steps, inputs: Inputs) -> None:
    """Raise OutOfOrder where a run of this branch goes on that the step run would refuse to follow again."""
    release = context.record.load()
    attempt = release.attempt if release else None
    if attempt is None or attempt.ended or not context.target.is_remote or is_elsewhere(context, attempt):
        return
    if not attempt.detached and _is_at_the_same(context, attempt, steps, inputs):
        return
    found = context.target.runs_of(attempt.backend).pick_up(attempt)
    if isinstance(found, Submitted):
        raise _busy(context, found)


def _is_at_the_same(context: Context, attempt: Attempt, steps: staleness.Steps, inputs: Inputs) -> bool:
    """Whether the command would run the attempt's job, from a staged project that is not stale."""
    try:
        release = staleness.begin(context, steps, "run", inputs)
        return attempt.job == job_plan.identity(job_plan.prepare(context, release, inputs))
    except errors.OutOfOrder:
        return False


def _busy(context: Context, found: Submitted) -> errors.OutOfOrder:
    return errors.OutOfOrder(
        f"run {found.run_id} is going on", where=context.record_folder, cure=context.target.busy_cure
    )


def _begin(context: Context, release: Release, job: Job) -> tuple[Release, Job]:
    """The release with a new attempt at the job, and the job with the experiment that both name from now on.

    An attempt that never got as far as a run keeps its id: its job may still be on the way.
    """
    experiment_id = context.target.runs_of(job.backend).find_experiment(job)
    earlier, same = release.attempt, job_plan.identity(job)
    if earlier is not None and (earlier.ended or earlier.run_id is not None):
        earlier = None
    if earlier is not None and earlier.sent and earlier.job not in {"", same}:
        earlier = None  # by its id the workspace may know another job
    attempt = Attempt(
        id=earlier.id if earlier else uuid.uuid4().hex,
        job=same,
        backend=job.backend,
        host=context.target.host,
        experiment_id=experiment_id,
        entry_point=job.entry_point,
        sent=earlier.sent if earlier else False,
        patch=release.digests.get("patch", ""),
        parameters={name: redaction.mask(value) for name, value in job.parameters.items()},
    )
    return replace(release, attempt=attempt, run=None), replace(job, experiment_id=experiment_id)


def _take_up(context: Context, release: Release, job: Job) -> tuple[Release, Submitted | None]:
    """The record with the end of an attempt that nobody follows, or the attempt's run where that still goes on.

    An attempt that has no run yet is kept: its id is used again.
    """
    attempt = release.attempt
    if attempt is None or attempt.ended:
        return release, None
    if is_elsewhere(context, attempt):
        return _leave(context, release, attempt), None
    is_same = attempt.job == job_plan.identity(job)
    found = context.target.runs_of(attempt.backend).pick_up(attempt, again=is_same)
    if isinstance(found, Submitted):
        if attempt.detached or not is_same:
            raise _busy(context, found)
        context.report.detail(f"an earlier attempt was cut off; its run {found.run_id} goes on, and is followed again")
        return release, found
    if found is not None and attempt.run_id is None and found.job_run_id and is_same:
        context.report.detail(f"an earlier attempt was cut off as it was submitted; its run {found.run_id} has ended")
        return release, as_submitted(found)
    if found is not None:
        left = "detached" if attempt.detached else "cut off"
        context.report.detail(f"an earlier attempt was {left}; its run {found.run_id} is now {found.status}")
    elif attempt.run_id is None:
        if attempt.sent and context.target.is_remote:
            context.report.detail("an earlier attempt left no trace: no run and no job have its id")
        return release, None
    else:
        context.report.warning(f"an earlier attempt was cut off, and nothing is known here of its run {attempt.run_id}")
    closed = replace(release, attempt=attempt._replace(ended=True), run=found)
    context.record.save(closed)
    return closed, None


def as_submitted(found: Submitted | Run) -> Submitted:
    """The run of a job that has ended is followed too: that shows the job's output and records its end."""
    if isinstance(found, Submitted):
        return found
    return Submitted(
        run_id=found.run_id,
        experiment_id=found.experiment_id,
        backend=found.backend,
        job_run_id=found.job_run_id,
    )


def _leave(context: Context, release: Release, attempt: Attempt) -> Release:
    """The release without an attempt that was made for another host: this host knows nothing of its run."""
    where = f"an earlier attempt was made at {attempt.host}"
    if attempt.run_id:
        cure = f"cancel it with that host's login: run {attempt.run_id}"  # as a command it would get this host's flags
        context.report.warning(f"{where}, and its run may go on there; {cure}")
    else:
        context.report.warning(f"{where}, and a job with {attempt.id} in its name may go on there")
    return replace(release, attempt=attempt._replace(ended=True))


def _detach(context: Context, submitted: Submitted) -> Release:
    url = context.target.runs_of(submitted.backend).page(submitted)
    save_submitted(context, submitted, detached=True, url=url)
    page = f"\n{url}" if url else ""
    context.report.step("run", f"detached: run {submitted.run_id}, job run {submitted.job_run_id}{page}")
    context.report.detail(context.target.busy_cure)
    release = context.record.load()
    if release is None:
        raise errors.OutOfOrder("the record is gone", where=context.record_folder, cure="`inv name`")
    return release


def _follow(context: Context, job: Job, submitted: Submitted) -> tuple[Run, Path]:
    log = log_file(context, submitted.run_id)
    name = f"{submitted.run_id} ({job.run_name})" if job.run_name else submitted.run_id
    commit = context.facts.commit[:7] if context.facts.commit else "no commit"
    commit += " dirty" if context.facts.dirty else ""
    context.report.detail(f"run {name}: {job.entry_point} on {context.target.display_name} ({commit})")
    found = with_log(context, context.target.runs_of(submitted.backend).follow(job, submitted, log=log))
    if found.log:
        context.report.debug(f"log {found.log}")
    return found, log


def _explain(context: Context, job: Job, found: Run, log: Path) -> None:
    """Warn of a run that logged nothing, and of one that missed a file which was left behind."""
    from mlops_tasks.steps import run

    if found.status == "FAILED" and job.is_staged:
        if missed := run.name_left_behind(log, context.project.folder, job.project.folder):
            context.report.warning(missed)
        return
    if found.status != "FINISHED" or found.metrics:
        return
    if not context.target.runs.tracking.has_logged(found.run_id, parameters=job.parameters):
        why = "does a script set a tracking URI or an experiment of its own?"
        context.report.warning(f"nothing was logged to run {found.run_id}: {why}")


@contextlib.contextmanager
def _closed_when_cut_off(context: Context, attempt: Attempt | None) -> Iterator[list[Submitted]]:
    """Record the run's end when the block is cut short, whatever cuts it short; a failure in that is a warning.

    The block adds its submitted run to the list: a submit that is cut off cleans up by itself. After a WorkspaceError
    nothing is asked: the workspace does not answer.
    """
    made: list[Submitted] = []
    try:
        yield made
    except errors.WorkspaceError:
        raise
    except BaseException as cut:
        with errors.warn_on_failure(context.report.warning):
            for submitted in made:
                _close(
                    context, submitted, attempt, stop=isinstance(cut, KeyboardInterrupt) and context.target.is_remote
                )
        raise


def _close(context: Context, submitted: Submitted, attempt: Attempt | None, *, stop: bool) -> None:
    if stop:
        try:
            context.target.runs_of(submitted.backend).stop(submitted)
        except NotMarked:
            raise
        except errors.WorkspaceError:
            cure = context.target.busy_cure
            context.report.warning(f"run {submitted.run_id} could not be ended and may go on; {cure}")
            raise
    runs = context.target.runs_of(submitted.backend)
    found = runs.pick_up(_with_submitted(attempt, submitted)) if attempt else None
    if isinstance(found, Run):
        save_end(context, with_log(context, found))
        if stop:
            context.report.detail(f"`inv watch {found.run_id}` shows what it printed")


def log_file(context: Context, run_id: str) -> Path:
    return context.runs_folder / f"{run_id}.log"


def with_log(context: Context, found: Run) -> Run:
    """The run with the place of its log, where there is one."""
    log = log_file(context, found.run_id)
    return found._replace(log=context.relative(log)) if log.exists() else found


def is_elsewhere(context: Context, attempt: Attempt) -> bool:
    """Whether the attempt was made for another host than this command's, which cannot say what became of it."""
    return bool(attempt.host) and attempt.host != context.target.host


def _with_submitted(attempt: Attempt, submitted: Submitted) -> Attempt:
    return attempt._replace(
        run_id=submitted.run_id,
        job_run_id=submitted.job_run_id,
        experiment_id=submitted.experiment_id,
        backend=submitted.backend,
        sent=True,
    )


def _save_sent(context: Context) -> None:
    """Record that from now on a run may be there, whatever becomes of this command."""
    with context.record.locked("run", wait=context.report.detail):
        release = context.record.load()
        if release is not None and release.attempt is not None:
            context.record.save(replace(release, attempt=release.attempt._replace(sent=True)))


def save_submitted(context: Context, submitted: Submitted, *, detached: bool, url: str = "") -> None:
    """Record the attempt's run, in the record as it is now."""
    with context.record.locked("run", wait=context.report.detail):
        release = context.record.load()
        if release is not None and release.attempt is not None:
            attempt = _with_submitted(release.attempt, submitted)
            submitted_at = attempt.submitted_at or round(time.time(), 3)
            attempt = attempt._replace(submitted_at=submitted_at, detached=detached, url=url or attempt.url)
            context.record.save(replace(release, attempt=attempt))


def save_end(context: Context, found: Run) -> Release:
    """Record the run's end, in the record as it is now: other steps may have been taken while the run went on.

    Raises OutOfOrder where the record is no longer of that run.
    """
    context.places.create()  # it may have been removed meanwhile
    with context.record.locked("run", wait=context.report.detail):
        release = context.record.load()
        attempt = release.attempt if release else None
        if release is None or attempt is None or attempt.run_id not in {None, found.run_id}:
            raise errors.OutOfOrder(
                f"the record was replaced while run {found.run_id} was followed ({found.status})",
                where=context.record_folder,
                cure="`inv status`",
            )
        attempt = attempt._replace(run_id=found.run_id, job_run_id=found.job_run_id, ended=True)
        release = replace(release, attempt=attempt, run=found)
        context.record.save(release)
    return release

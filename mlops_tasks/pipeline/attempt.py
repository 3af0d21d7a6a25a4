"""Take the run step: submit, record, follow to the end, record.

The record is unlocked while the run is followed; the lock of the attempt is held all the time. So any number of runs
go on side by side, but one attempt alone at the same job.
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
from mlops_tasks.pipeline.inputs import Inputs, Part
from mlops_tasks.record import Record
from mlops_tasks.release import Attempt, Release, Run
from mlops_tasks.steps.context import Context


def take_run(context: Context, steps: staleness.Steps, inputs: Inputs) -> Release:
    """Run the staged project and follow the run to its end; RunFailed unless it finished.

    Where an attempt at the same job was cut off and its run still goes on, that run is followed. OutOfOrder where
    another command is at the same job, or where a detached run of it still goes on.
    """
    from mlops_tasks.steps import run

    command = inputs.command or "run"
    with contextlib.ExitStack() as stack:
        with context.record.locked(command, wait=context.say_waiting):
            context.target.check()
            release, job = _prepare(context, steps, inputs)
            stack.enter_context(_sole(context, job, command))
            release, going_on = _take_up(context, release, job)
            if not going_on:
                release, job = _begin(context, release, job)
            release = _as_part(release, inputs.part)
            context.record.save(release)
            context.record.save_attempt(release)
        job = replace(job_plan.described(context, job, release), begun=lambda: _save_sent(context, release))
        with _closed_when_cut_off(context, release) as made:
            submitted = going_on or context.target.runs_of(job.backend).submit(job)
            made.append(submitted)
            save_submitted(context, context.record, release, submitted, detached=inputs.detach)
            _say_begun(context, job, submitted)
            if inputs.detach:
                return _detach(context, release, submitted)
            context.report.begun(submitted.run_id)
            found, log = _follow(context, job, submitted)
        release = _keep_end(context, found, release)
    with errors.warn_on_failure(context.report.warning):
        _explain(context, job, found, log)
    run.judge(found, release, timeout=context.settings.timeout, log=log, report=context.report)
    with errors.warn_on_failure(context.report.warning):
        context.places.prune(context.release_folder, keep=job.project.folder)
    return release


def _prepare(context: Context, steps: staleness.Steps, inputs: Inputs) -> tuple[Release, Job]:
    """The release and its job, once all that can be known of it is right; of a sweep that was looked at before."""
    from mlops_tasks.doctor import reading

    part = inputs.part
    release = part.release if part else staleness.begin(context, steps, "run", inputs)
    job = job_plan.prepare(context, release, inputs)
    if part is None:
        reading.look_ahead(context, release, force=inputs.force)
    elif part.job != job_plan.identity(job):
        raise errors.OutOfOrder(
            "the project, or its staged copy, has changed since the sweep began",
            where=context.project_folder,
            cure="`inv release` with the same --sweep begins another one",
        )
    return release, job


def _as_part(release: Release, part: Part | None) -> Release:
    """The release with its attempt as a part of that sweep."""
    attempt = release.attempt
    return (
        replace(release, attempt=attempt._replace(sweep=part.sweep, value=part.value)) if attempt and part else release
    )


def _keep_end(context: Context, found: Run, begun: Release) -> Release:
    """The release with its run's end, which is on record: where that fails after a good end, it is a warning."""
    try:
        return save_end(context, context.record, begun, found)
    except (errors.ReleaseError, OSError) as fault:
        if found.status != "FINISHED":
            raise
        context.report.warning(f"run {found.run_id} has finished, and that is not on record: {fault}")
        return replace(begun, run=found)


def refuse_going_on(context: Context, steps: staleness.Steps, inputs: Inputs) -> None:
    """Raise OutOfOrder where the job of this command is known to go on, so that the step run would be refused."""
    attempts = [each.attempt for each in context.record.open_attempts() if each.attempt]
    busy = [each for each in attempts if each.detached or locks.is_held(context.record.attempt_lock(each))]
    if not busy:
        return
    try:
        release = staleness.begin(context, steps, "run", inputs)
        job = job_plan.prepare(context, release, inputs)
    except errors.OutOfOrder:
        return  # what it will run is still to be made
    for attempt in (each for each in busy if each.job == job_plan.identity(job)):
        with _sole(context, job, "release"):
            is_here = attempt.detached and not is_elsewhere(context, attempt)
            found = context.target.runs_of(attempt.backend).pick_up(attempt) if is_here else None
        if isinstance(found, Submitted):
            raise _busy(context, found)


def is_as_now(context: Context, steps: staleness.Steps, release: Release, inputs: Inputs) -> bool:
    """Whether the run of a finished release is the one that the steps and the settings would make now."""
    attempt = release.attempt
    if attempt is None or attempt.patch not in {"", release.digests.get("patch")}:
        return False
    try:
        stale = staleness.find_stale(context, steps, list(staleness.stands_on(steps, "run", release)), release)
        return not stale and attempt.job == job_plan.identity(job_plan.prepare(context, release, inputs))
    except errors.ReleaseError:
        return False  # it is told by the release that follows


def _sole(context: Context, job: Job, command: str) -> contextlib.AbstractContextManager[None]:
    """Keep other commands from the same job while the block runs; OutOfOrder where one is at it."""
    attempt = Attempt(id="", job=job_plan.identity(job))
    return locks.held(context.record.attempt_lock(attempt), command, cure=context.target.busy_cure)


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
    """The release with the end of an attempt that nobody follows, or the attempt's run where that still goes on.

    An attempt that has no run yet is kept: its id is used again.
    """
    same = Attempt(id="", job=job_plan.identity(job))
    _close_cut_off(context, but=same)
    found_open = context.record.load_attempt(same)
    attempt = found_open.attempt if found_open else release.attempt
    if found_open is None and attempt and (attempt.ended or context.record.load_attempt(attempt)):
        attempt = None  # it is of another job
    release = replace(release, attempt=attempt, run=None)
    if attempt is None:
        return release, None
    if is_elsewhere(context, attempt):
        return _leave(context, release, attempt), None
    is_same = attempt.job == same.job
    found = context.target.runs_of(attempt.backend).pick_up(attempt, again=is_same)
    if isinstance(found, Submitted):
        if attempt.detached or not is_same:
            raise _busy(context, found)
        context.report.detail(f"an earlier attempt was cut off; its run {found.run_id} goes on, and is followed again")
        return release, found
    if found is not None and found.job_run_id and is_same and not attempt.detached:
        context.report.detail(
            f"an earlier attempt was cut off; its run {found.run_id} has ended since, and is taken up"
        )
        return release, as_submitted(found)
    if found is None and attempt.run_id is None:
        if attempt.sent and context.target.is_remote:
            context.report.detail("an earlier attempt left no trace: no run and no job have its id")
        return release, None
    return _close_left(context, release, attempt, found), None


def _close_left(context: Context, release: Release, attempt: Attempt, found: Run | None) -> Release:
    """The release of an attempt that nobody follows, with its end, which is on record."""
    if found is not None:
        left = "detached" if attempt.detached else "cut off"
        context.report.detail(f"an earlier attempt was {left}; its run {found.run_id} is now {found.status}")
    elif attempt.run_id is not None:
        context.report.warning(f"an earlier attempt was cut off, and nothing is known here of its run {attempt.run_id}")
    run_id = found.run_id if found else attempt.run_id
    closed = replace(release, attempt=attempt._replace(run_id=run_id, ended=True), run=found)
    context.record.save_attempt(closed)
    return closed


def _close_cut_off(context: Context, *, but: Attempt) -> None:
    """Record the ends of this machine's runs whose commands were cut off: such a run has ended with its command.

    A run in a workspace may go on; the same command, `inv watch` and `inv cancel` find it.
    """
    for release in [] if context.target.is_remote else context.record.open_attempts():
        attempt, kept = release.attempt, context.record
        if attempt is None or attempt.key == but.key or not kept.attempt_path(attempt).exists():
            continue
        with contextlib.suppress(errors.OutOfOrder), locks.held(kept.attempt_lock(attempt), "run"):
            found = context.target.runs_of(attempt.backend).pick_up(attempt)
            if not isinstance(found, Submitted):
                _close_left(context, release, attempt, found)


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


def _detach(context: Context, release: Release, submitted: Submitted) -> Release:
    url = context.target.runs_of(submitted.backend).page(submitted)
    release = save_submitted(context, context.record, release, submitted, detached=True, url=url)
    page = f"\n{url}" if url else ""
    context.report.step("run", f"detached: run {submitted.run_id}, job run {submitted.job_run_id}{page}")
    context.report.detail(context.target.busy_cure)
    if context.settings.require:
        context.report.detail("its gates are checked by `inv watch`, once it has ended")
    return release


def _say_begun(context: Context, job: Job, submitted: Submitted) -> None:
    name = f"{submitted.run_id} ({job.run_name})" if job.run_name else submitted.run_id
    commit = context.facts.commit[:7] if context.facts.commit else "no commit"
    commit += " dirty" if context.facts.dirty else ""
    context.report.detail(f"run {name}: {job.entry_point} on {context.target.display_name} ({commit})")


def _follow(context: Context, job: Job, submitted: Submitted) -> tuple[Run, Path]:
    log = log_file(context.record, submitted.run_id)
    found = context.target.runs_of(submitted.backend).follow(job, submitted, log=log)
    found = with_log(context, context.record, found)
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
def _closed_when_cut_off(context: Context, release: Release) -> Iterator[list[Submitted]]:
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
                stop = isinstance(cut, KeyboardInterrupt) and context.target.is_remote
                _close(context, release, submitted, stop=stop)
        raise


def _close(context: Context, release: Release, submitted: Submitted, *, stop: bool) -> None:
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
    found = runs.pick_up(_with_submitted(release.attempt, submitted)) if release.attempt else None
    if isinstance(found, Run):
        save_end(context, context.record, release, with_log(context, context.record, found))
        if stop:
            context.report.detail(f"`inv watch {found.run_id}` shows what it printed")


def log_file(kept: Record, run_id: str) -> Path:
    return kept.runs / f"{run_id}.log"


def with_log(context: Context, kept: Record, found: Run) -> Run:
    """The run with the place of its log, where there is one."""
    log = log_file(kept, found.run_id)
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


def _save_sent(context: Context, release: Release) -> None:
    """Record that from now on a run may be there, whatever becomes of this command."""
    if release.attempt is not None:
        _save(context, context.record, release, release.attempt._replace(sent=True))


def save_submitted(
    context: Context, kept: Record, release: Release, submitted: Submitted, *, detached: bool, url: str = ""
) -> Release:
    """Record the run of the release's attempt."""
    if release.attempt is None:
        raise ValueError("a release without an attempt")
    attempt = _with_submitted(release.attempt, submitted)
    submitted_at = attempt.submitted_at or round(time.time(), 3)
    attempt = attempt._replace(submitted_at=submitted_at, detached=detached, url=url or attempt.url)
    return _save(context, kept, release, attempt)


def save_end(context: Context, kept: Record, release: Release, found: Run) -> Release:
    """Record the end of the run of the release's attempt."""
    context.places.create()  # it may have been removed meanwhile
    current = (kept.load_attempt(release.attempt) if release.attempt else None) or release
    if current.attempt is None:
        raise ValueError("a release without an attempt")
    attempt = current.attempt._replace(run_id=found.run_id, job_run_id=found.job_run_id, ended=True)
    return _save(context, kept, replace(current, run=found), attempt)


def _save(context: Context, kept: Record, release: Release, attempt: Attempt) -> Release:
    with kept.locked("run", wait=context.say_waiting):
        release = replace(release, attempt=attempt)
        kept.save_attempt(release)
    return release

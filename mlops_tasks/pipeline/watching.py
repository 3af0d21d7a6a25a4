"""Detached runs: find one, follow it to its end, or end it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from mlops_tasks import errors, locks
from mlops_tasks.backends.base import Limits, Submitted
from mlops_tasks.pipeline import attempt as attempts
from mlops_tasks.pipeline import conclusion, job_plan, run_list
from mlops_tasks.record import Record
from mlops_tasks.release import Attempt, Release, Run
from mlops_tasks.settings import environments
from mlops_tasks.steps.context import Context


class Chosen(NamedTuple):
    """The run to be watched or cancelled. `release` is that of its attempt, None for somebody else's run.

    `known_end` is the run of one that has ended, where no workspace can say more of it than the record.
    """

    submitted: Submitted
    entry_point: str
    record: Record
    release: Release | None
    known_end: Run | None = None

    @property
    def has_ended(self) -> bool:
        """Whether its end is on record."""
        return self.release is not None and self.release.attempt is not None and self.release.attempt.ended

    @property
    def is_unchecked(self) -> bool:
        """Whether its end is on record and its workspace has just said it too, and nobody has checked its gates."""
        run = self.release.run if self.release and self.known_end is None else None
        return self.has_ended and run is not None and not run.gates


def watch(context: Context, run_id: str | None) -> Release | None:
    """Follow a run to its end: the one that begins with `run_id`, or else the only one of this branch.

    One that has ended is shown once more. RunFailed unless it finished, GateNotMet where it does not meet its gates;
    OutOfOrder where no run is going on, or several are.
    """
    from mlops_tasks.steps import run

    chosen = _choose(context, run_id, "watch")
    submitted = chosen.submitted
    if context.dry_run:
        context.report.step("watch", f"would {_describe(chosen, 'follow')}")
        return chosen.release
    limits = _limits(context, chosen)
    with _sole_follower(context, "watch", chosen) as own:
        try:
            found = chosen.known_end or _watch(context, chosen, limits)
        except KeyboardInterrupt:
            context.report.detail(f"run {submitted.run_id} goes on; `inv cancel` ends it")
            raise
        release = attempts.save_end(context, chosen.record, own, found) if own else _beside(context, chosen, found)
    log = attempts.log_file(chosen.record, submitted.run_id)
    run.judge(found, release, timeout=limits.timeout, log=log, report=context.report)
    if own or chosen.is_unchecked:
        return conclusion.conclude(context, release, chosen.record)
    conclusion.enforce(context, release)
    return release


def cancel(context: Context, run_id: str | None) -> Release | None:
    """End a detached run, chosen as `watch` does, and record its end."""
    chosen = _choose(context, run_id, "cancel")
    submitted, release = chosen.submitted, chosen.release
    if context.dry_run:
        context.report.step("cancel", f"would {_describe(chosen, 'end')}")
        return release
    known = chosen.known_end
    own_end = known.status if known else context.target.runs_of(submitted.backend).stop(submitted)
    with _sole_follower(context, "cancel", chosen) as own:
        if own:
            limits = job_plan.limits(context)._replace(timeout=None)
            release = attempts.save_end(context, chosen.record, own, _watch(context, chosen, limits))
    of_it = f"; it had ended: {own_end.rstrip('.')}; nothing was cancelled" if own_end else ""
    context.report.step("cancel", f"{_name(submitted)}{of_it}")
    return release


def _describe(chosen: Chosen, deed: str) -> str:
    """What a dry run would do with the run, after "would"."""
    run = chosen.release.run if chosen.release and chosen.has_ended else None
    return (
        f"say of {_name(chosen.submitted)} that it has ended {run.status}"
        if run
        else f"{deed} {_name(chosen.submitted)}"
    )


def _name(submitted: Submitted) -> str:
    job_run = f", job run {submitted.job_run_id}" if submitted.job_run_id else ""
    return f"run {submitted.run_id}{job_run}"


def _choose(context: Context, run_id: str | None, task: str) -> Chosen:
    found = run_list.find_only(context) if run_id is None else run_list.find(context, run_id)
    if isinstance(found, str):
        context.target.check()
        return Chosen(*context.target.runs.find(found), context.record, None)
    if found is None:
        raise _refuse_none(context, task)
    if found.attempt.ended and found.release.run:
        return _choose_ended(context, found, found.release.run)
    _check_own(context, found)
    release = _ready(context, found)
    is_over = found.attempt.backend == "local" and not context.target.is_remote  # a plugin's run may go on
    if release and is_over and found.state == "cut off":
        raise errors.OutOfOrder(
            f"run {found.name} was cut off, and has ended with the command that followed it",
            where=context.record_folder,
            cure="the next `inv run` of its branch records its end",
        )
    if release is None:
        raise _refuse_none(context, task)
    submitted, attempt = _submitted(release.attempt), release.attempt
    return Chosen(submitted, attempt.entry_point if attempt else "", found.record, release)


def _choose_ended(context: Context, found: run_list.Listed, run: Run) -> Chosen:
    """A run that has ended. A workspace knows more of it than the record: it is asked, where it is this command's."""
    own = context.project_name, context.settings.environment
    is_own = (found.release.project, found.release.released_to) == own and context.target.is_remote
    is_asked = is_own and run.job_run_id is not None and not context.dry_run
    if is_asked:
        context.target.check()
    by_record = not is_asked or attempts.is_elsewhere(context, found.attempt)
    end = run if by_record else None
    return Chosen(attempts.as_submitted(run), run.entry_point, found.record, found.release, known_end=end)


def _check_own(context: Context, found: run_list.Listed) -> None:
    """Raise BadInput for a run of another project or environment, which has gates and a login of its own."""
    release, settings = found.release, context.settings
    if release.project != context.project_name:
        raise errors.BadInput(
            f"run {found.name} is one of the project {release.project}, and this is {context.project_name}",
            where="RUN_ID",
            cure="name that project by `--project`",
        )
    if release.released_to != settings.environment:
        flag = errors.typed("--env" if release.environment else "--target", release.released_to)
        is_known = release.released_to in {*settings.environments, *environments.TARGETS}
        raise errors.BadInput(
            f"run {found.name} is one of the environment {release.released_to}",
            where="RUN_ID",
            cure=f"give `{flag}`" if is_known else "name that environment in the settings again: its login is needed",
        )


def _refuse_none(context: Context, task: str) -> errors.OutOfOrder:
    """No run of this release goes on: those of others that may are named, with the command for the first."""
    what, others = "no run of this release is going on", run_list.find_others(context)
    if not others:
        cure = "`inv status` shows the last one, `inv runs` those of the whole repository"
        return errors.OutOfOrder(what, where=context.record_folder, cure=cure)
    lines = []
    for each in others[: run_list.LATELY]:
        release = each.release
        there = [release.released_to, release.branch]
        there += [release.project] if release.project != context.project_name else []
        known = each.name[: run_list.SHORT], each.state, ", ".join(there), run_list.show(each.attempt)
        lines.append("  ".join(["", *known]))
    return errors.OutOfOrder(
        "\n".join([f"{what}; these may be:", *lines]),
        where=context.record_folder,
        cure=f"`inv {task} {others[0].name[: run_list.SHORT]}`" + (", or another's id" if len(others) > 1 else ""),
    )


def _submitted(attempt: Attempt | None) -> Submitted:
    if attempt is None or attempt.run_id is None or attempt.experiment_id is None:
        raise ValueError("an attempt without a run")
    return Submitted(
        run_id=attempt.run_id,
        experiment_id=attempt.experiment_id,
        backend=attempt.backend,
        job_run_id=attempt.job_run_id,
        submitted_at=attempt.submitted_at,
    )


def _ready(context: Context, found: run_list.Listed) -> Release | None:
    """The release of an attempt whose run is known by now; None where that has ended.

    OutOfOrder where it was begun at another host.
    """
    release, attempt = found.release, found.attempt
    if not context.dry_run:
        context.target.check()
        if attempts.is_elsewhere(context, attempt):
            raise errors.OutOfOrder(
                f"the last run of this release was begun at {attempt.host}, and this is {context.target.host}",
                where=found.record.folder,
                cure="name that host's login (`--profile`, or DATABRICKS_HOST), or give the id of a run of this one",
            )
        if attempt.run_id is None:
            release = _find_unsaved(context, found)
    known = release.attempt
    return release if known and not known.ended and known.run_id and known.experiment_id else None


def _find_unsaved(context: Context, found: run_list.Listed) -> Release:
    """The release with the run that was made just before the command was cut off; the run may have ended by now."""
    kept, release, attempt = found.record, found.release, found.attempt
    with locks.held(kept.attempt_lock(attempt), "watch", cure="wait until it has submitted its run"):
        run = context.target.runs_of(attempt.backend).pick_up(attempt)
        if isinstance(run, Run) and run.job_run_id is None:
            context.report.detail(f"an earlier attempt was cut off; its run {run.run_id} is now {run.status}")
            return attempts.save_end(context, kept, release, run)
        if run is None:
            return release
        return attempts.save_submitted(context, kept, release, attempts.as_submitted(run), detached=False)


@contextlib.contextmanager
def _sole_follower(context: Context, task: str, chosen: Chosen) -> Iterator[Release | None]:
    """The attempt's release, where this command is to record the run's end; None where another command follows it.

    The lock of the attempt is held while the block runs.
    """
    with contextlib.ExitStack() as stack:
        own = None if chosen.has_ended else chosen.release
        try:
            if own and own.attempt:
                stack.enter_context(locks.held(chosen.record.attempt_lock(own.attempt), task))
        except errors.OutOfOrder:
            context.report.detail("another command follows it too, and will record its end")
            own = None
        yield own


def _beside(context: Context, chosen: Chosen, found: Run) -> Release:
    """The release with the run's end, which another command records or has recorded; of anybody's the run alone."""
    if chosen.release is None:
        settings, name = context.settings, context.project_name
        return Release(target=settings.target, environment=settings.env, project=name, branch="", run=found)
    attempt, known = chosen.release.attempt, chosen.release.run
    found = found._replace(gates=known.gates) if known and chosen.has_ended else found
    return replace(chosen.release, attempt=attempt and attempt._replace(ended=True), run=found)


def _limits(context: Context, chosen: Chosen) -> Limits:
    """The limits of the settings; a `timeout` ends other releases' runs only where it is a flag of this command."""
    limits = job_plan.limits(context)
    is_own = chosen.release is not None and chosen.record.folder == context.record_folder
    is_meant = is_own or context.settings.origins.get("timeout") == "--timeout"
    return limits if is_meant else limits._replace(timeout=None)


def _watch(context: Context, chosen: Chosen, limits: Limits) -> Run:
    submitted = chosen.submitted
    log = attempts.log_file(chosen.record, submitted.run_id)
    runs = context.target.runs_of(submitted.backend)
    found = runs.watch(submitted, limits=limits, entry_point=chosen.entry_point, log=log)
    return attempts.with_log(context, chosen.record, found)

"""Detached runs: find one, follow it to its end, or end it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from mlops_tasks import errors, locks
from mlops_tasks.backends.base import Limits, Submitted
from mlops_tasks.pipeline import attempt as attempts
from mlops_tasks.pipeline import conclusion, job_plan
from mlops_tasks.release import Attempt, Release, Run
from mlops_tasks.steps.context import Context


def watch(context: Context, run_id: str | None) -> Release | None:
    """Follow a detached run to its end: the recorded attempt's, or the one of MLflow's `run_id`.

    RunFailed unless it finished; OutOfOrder where no run is going on.
    """
    from mlops_tasks.steps import run

    context = _on_its_branch(context, run_id)
    submitted, entry_point = _find(context, run_id)
    if context.dry_run:
        context.report.step("watch", f"would follow run {submitted.run_id}, job run {submitted.job_run_id}")
        return context.record.load()
    limits = _limits(context, submitted)
    with _sole_follower(context, "watch", submitted) as is_sole:
        try:
            found = _watch(context, submitted, entry_point, limits)
        except KeyboardInterrupt:
            context.report.detail(f"run {submitted.run_id} goes on; `inv cancel` ends it")
            raise
        release = attempts.save_end(context, found) if is_sole else _as_recorded(context, found)
    log = attempts.log_file(context, submitted.run_id)
    run.judge(found, release, timeout=limits.timeout, log=log, report=context.report)
    return conclusion.conclude(context, release) if release is not None and is_sole else release


def cancel(context: Context, run_id: str | None) -> Release | None:
    """End a detached run, chosen as `watch` does, and record its end."""
    context = _on_its_branch(context, run_id)
    submitted, entry_point = _find(context, run_id)
    if context.dry_run:
        context.report.step("cancel", f"would end run {submitted.run_id}, job run {submitted.job_run_id}")
        return context.record.load()
    own_end = context.target.runs_of(submitted.backend).stop(submitted)
    with _sole_follower(context, "cancel", submitted) as is_sole:
        if is_sole:
            limits = job_plan.limits(context)._replace(timeout=None)
            attempts.save_end(context, _watch(context, submitted, entry_point, limits))
        release = context.record.load()
    of_it = f"; it had ended: {own_end.rstrip('.')}; nothing was cancelled" if own_end else ""
    context.report.step("cancel", f"run {submitted.run_id}, job run {submitted.job_run_id}{of_it}")
    return release


def _on_its_branch(context: Context, run_id: str | None) -> Context:
    """The context of the branch whose record has that run as its last: its end belongs there."""
    last = ((each.branch, each.attempt) for each in context.other_branches) if run_id is not None else ()
    for branch, attempt in last:
        if attempt is not None and attempt.run_id == run_id:
            return replace(context, settings=replace(context.settings, branch=branch))
    return context


def _find(context: Context, run_id: str | None) -> tuple[Submitted, str]:
    """The run that `run_id` names, or else the recorded attempt's run, with its entry point."""
    release = context.record.load()
    attempt = release.attempt if release else None
    if run_id is not None and not (attempt and attempt.run_id == run_id and not attempt.ended):
        context.target.check()
        return context.target.runs.find(run_id)
    if release is not None and attempt is not None and not attempt.ended and not context.dry_run:
        context.target.check()
        if attempts.is_elsewhere(context, attempt):
            raise errors.OutOfOrder(
                f"the last run of this release was begun at {attempt.host}, and this is {context.target.host}",
                where=context.record_folder,
                cure="name that host's login (`--profile`, or DATABRICKS_HOST), or give the id of a run of this one",
            )
        attempt = attempt if attempt.run_id else _find_unsaved(context, attempt)
    if attempt is None or attempt.ended or attempt.run_id is None or attempt.experiment_id is None:
        raise errors.OutOfOrder(
            "no run of this release is going on",
            where=context.record_folder,
            cure=f"`inv status` shows the last one; give the id of another run{_elsewhere(context)}",
        )
    submitted = Submitted(
        run_id=attempt.run_id,
        experiment_id=attempt.experiment_id,
        backend=attempt.backend,
        job_run_id=attempt.job_run_id,
        submitted_at=attempt.submitted_at,
    )
    return submitted, attempt.entry_point


def _elsewhere(context: Context) -> str:
    """Where else a run may go on: in an environment or on a branch that was last left with one, or on Databricks."""
    own = context.project_name, context.facts.branch
    for each in context.other_releases:
        if (each.project, each.branch) == own and each.environment and each.attempt and not each.attempt.ended:
            return f", or `--env {each.environment}`, whose last one may go on"
    if not context.target.is_remote:
        return ", or `--target databricks` for one on Databricks"
    left = (each.branch for each in context.other_branches if each.attempt and not each.attempt.ended)
    return next((f", or `{errors.typed('--branch', branch)}`, whose last one may go on" for branch in left), "")


def _find_unsaved(context: Context, attempt: Attempt) -> Attempt:
    """The attempt with the run that was made just before the command was cut off; the run may have ended by now."""
    with locks.held(context.attempt_lock, "watch", cure="wait until it has submitted its run"):
        found = context.target.runs_of(attempt.backend).pick_up(attempt)
        if isinstance(found, Run) and found.job_run_id is None:
            context.report.detail(f"an earlier attempt was cut off; its run {found.run_id} is now {found.status}")
            attempts.save_end(context, found)
        elif found is not None:
            attempts.save_submitted(context, attempts.as_submitted(found), detached=False)
    saved = context.record.load()
    return saved.attempt if saved and saved.attempt else attempt


@contextlib.contextmanager
def _sole_follower(context: Context, task: str, submitted: Submitted) -> Iterator[bool]:
    """Whether this command is to record the run's end: the run is this release's own, and no other command follows it.

    The lock of the attempt is held while the block runs.
    """
    with contextlib.ExitStack() as stack:
        is_own = _is_own(context, submitted)
        try:
            if is_own:
                stack.enter_context(locks.held(context.attempt_lock, task))
        except errors.OutOfOrder:
            context.report.detail("another command follows it too, and will record its end")
            is_own = False
        yield is_own


def _as_recorded(context: Context, found: Run) -> Release | None:
    """The record, where the run is its own; else a release that holds the run alone."""
    if _is_own(context, found):
        return context.record.load()
    settings = context.settings
    return Release(target=settings.target, environment=settings.env, project=context.project_name, branch="", run=found)


def _is_own(context: Context, found: Submitted | Run) -> bool:
    release = context.record.load()
    return release is not None and release.attempt is not None and release.attempt.run_id == found.run_id


def _limits(context: Context, submitted: Submitted) -> Limits:
    """The limits of the settings; a `timeout` ends other releases' runs only where it is a flag of this command."""
    limits = job_plan.limits(context)
    is_meant = _is_own(context, submitted) or context.settings.origins.get("timeout") == "--timeout"
    return limits if is_meant else limits._replace(timeout=None)


def _watch(context: Context, submitted: Submitted, entry_point: str, limits: Limits) -> Run:
    log = attempts.log_file(context, submitted.run_id)
    runs = context.target.runs_of(submitted.backend)
    found = runs.watch(submitted, limits=limits, entry_point=entry_point, log=log)
    return attempts.with_log(context, found)

"""Show where a release stands: the state of each step, and why; and the last release to each environment."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mlops_tasks import errors, locks, record
from mlops_tasks import state as state_folder
from mlops_tasks.pipeline import staleness
from mlops_tasks.pipeline.inputs import BY_HAND
from mlops_tasks.release import Attempt, Release, Run
from mlops_tasks.settings import environments
from mlops_tasks.steps.context import Context

UNITS = {"d": 86400, "h": 3600, "min": 60}
HOLDING = {"up to date", "by hand", "FINISHED"}


class StepState(NamedTuple):
    """How one step stands: a word for it, the reasons (files, settings, the step that it is behind), what it made."""

    step: str
    state: str
    because: tuple[str, ...] = ()
    made: str = ""

    @property
    def holds(self) -> bool:
        return self.state in HOLDING

    def __str__(self) -> str:
        between = {"behind": " ", "unknown": ": "}.get(self.state)
        return f"{self.state}{between}{self.because[0]}" if between else self.state


class LastRelease(NamedTuple):
    """An environment's last release of the branch: its run's state, when that was (seconds since 1970), where to look.

    `place` is the run's page, else the experiment.
    """

    environment: str
    state: str
    at: float
    place: str


class Status(NamedTuple):
    """The release as it is recorded, None before the first step, and how its steps stand.

    `environments` are the branch's last releases, where the settings name environments and several have one.
    """

    release: Release | None
    steps: tuple[StepState, ...]
    environments: tuple[LastRelease, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The record with `steps`, and `environments` where there are several, beside its own keys."""
        steps = {
            each.step: {"state": each.state, **({"because": list(each.because)} if each.because else {})}
            for each in self.steps
        }
        found = {**(self.release.to_dict() if self.release else {}), "steps": steps}
        return {**found, "environments": [each._asdict() for each in self.environments]} if self.environments else found

    def check(self) -> None:
        """Raise OutOfOrder, with the steps to take, unless all have run and still hold."""
        failing = [each for each in self.steps if not each.holds]
        if not failing:
            return
        first = failing[0]
        reasons = f" ({staleness.show(first.because)})" if first.state == "stale" and first.because else ""
        refusal = errors.OutOfOrder(
            f"not released as it is: {first.step} {first}{reasons}",
            cure=f"`inv {' '.join(each.step for each in failing)}`, or the whole `inv release`",
        )
        refusal.beside = self.to_dict()
        raise refusal


def show_status(context: Context, steps: staleness.Steps, release: Release | None) -> Status:
    """Report the table: what each step has made and whether it is up to date, with a warning for a run that goes on.

    Below stands the branch's last release to each environment, where the settings name some and several have one.
    """
    if release is None and not context.is_fetched:
        _ = context.project  # what is not there has not been released: it is misspelt
    found = _show_steps(context, steps, release)
    last = tuple(_last_releases(context)) if context.settings.environments else ()
    if len(last) < 2:  # noqa: PLR2004 - one alone is the one of the table
        return Status(release, found)
    rows = [[each.environment, each.state, show_age(each.at), each.place] for each in last]
    context.report.table("", ["environment", "run", "age", "page or experiment"], rows)
    return Status(release, found, last)


def _show_steps(context: Context, steps: staleness.Steps, release: Release | None) -> tuple[StepState, ...]:
    if release is None:
        found = tuple(StepState(step, "has not run") for step in steps)
        title = f"{context.project_name} on {context.settings.environment}, branch {context.facts.branch}"
        context.report.table(title, ["step", "state"], [[each.step, each.state] for each in found])
        return found
    states: dict[str, StepState] = {}
    for step in steps:
        states[step] = _state(context, steps, step, release, before=states)
    found = tuple(states.values())
    title = f"{release.project} on {release.released_to}, branch {release.branch}"
    context.report.table(title, ["step", "state", "made"], [[each.step, str(each), _show(each)] for each in found])
    if _may_go_on(context, release.attempt):
        context.report.warning(f"the last run may still be going on: {context.target.busy_cure}")
    return found


def _last_releases(context: Context) -> Iterator[LastRelease]:
    """The branch's releases as they are recorded for each environment; no workspace is asked."""
    for name in dict.fromkeys((*context.settings.environments, *environments.TARGETS)):
        path = context.record_of(name) / "release.json"
        if release := context.read_release(path):
            run, attempt = release.run, release.attempt
            state = record.RunState.of(run).state if run else "has not run"
            if attempt and not attempt.ended:
                is_held = locks.is_held(record.Record(path.parent).attempt_lock(attempt))
                state = "going on" if is_held else "detached" if attempt.detached else "cut off"
            at = attempt.submitted_at if attempt and attempt.submitted_at else state_folder.last_used(path)
            page = (run.url if run else "") or (attempt.url if attempt else "")
            yield LastRelease(name, state, at, page or (release.names.experiment if release.names else ""))


def show_age(at: float) -> str:
    """How long ago that was, in its largest unit."""
    seconds = max(time.time() - at, 0)
    unit, length = next((each for each in UNITS.items() if seconds >= each[1]), ("s", 1))
    return f"{seconds // length:.0f} {unit} ago"


def _show(state: StepState) -> str:
    """What the step made, after what has changed since."""
    changed = [f"changed: {staleness.show(state.because)}"] if state.state == "stale" and state.because else []
    return "\n".join([*changed, state.made])


def _may_go_on(context: Context, attempt: Attempt | None) -> bool:
    """Whether the attempt's run is remote, may still be going on, and is followed by no command on this machine."""
    if attempt is None or attempt.ended:
        return False
    return context.target.is_remote and not locks.is_held(context.record.attempt_lock(attempt))


def _state(
    context: Context, steps: staleness.Steps, step: str, release: Release, *, before: Mapping[str, StepState]
) -> StepState:
    attempt = release.attempt
    if step == "run" and attempt and not attempt.ended:
        cut_off = "cut off, and may go on" if context.target.is_remote else "cut off"
        left = "detached" if attempt.detached else cut_off
        state = "going on" if locks.is_held(context.record.attempt_lock(attempt)) else left
        is_lost = attempt.run_id is None and attempt.sent and context.target.is_remote
        known = attempt.run_id or (f"perhaps a job run with {attempt.id} in its name" if is_lost else "")
        return StepState(step, state, made="\n".join(each for each in (known, attempt.url) if each))
    made = _made(step, release)
    if step == "run" and release.run and release.run.status != "FINISHED":
        return StepState(step, release.run.status, made=made)
    if step == "run" and release.run:
        return _finished(release, before["patch"], made)
    if step == "run" or step not in release.digests:
        return StepState(step, "has not run")
    if release.digests[step] == BY_HAND:
        return StepState(step, "by hand", made=made)
    return StepState(step, *_freshness(context, steps, step, release), made)


def _freshness(context: Context, steps: staleness.Steps, step: str, release: Release) -> tuple[str, tuple[str, ...]]:
    """`up to date`, `stale` because of its inputs, or `behind` the stale step that this one stands on."""
    try:
        chain = [*staleness.stands_on(steps, step, release), step]
        stale = staleness.find_stale(context, steps, chain, release)
        if not stale:
            return "up to date", ()
        if step not in stale:
            return "behind", (stale[0],)
        return "stale", tuple(staleness.explain(context, step, release))
    except errors.ReleaseError as fault:
        return "unknown", (fault.what,)


def _finished(release: Release, patch: StepState, made: str) -> StepState:
    """A run that finished holds where it was of the staged project that the steps before it make now."""
    ran = release.attempt.patch if release.attempt else ""
    if patch.state in {"stale", "behind"}:
        behind = patch.because[:1] if patch.state == "behind" else (patch.step,)
        return StepState("run", "behind", behind, f"FINISHED {made}")
    if ran not in {"", release.digests.get("patch")}:
        return StepState("run", "stale", ("the staged project",), f"FINISHED {made}")
    return StepState("run", "FINISHED", made=made)


def _made(step: str, release: Release) -> str:
    run = release.run
    facts: dict[str, Sequence[str]] = {
        "name": [release.names.experiment, release.names.wheel_folder] if release.names else [],
        "build-wheel": [f"{wheel.distribution} {wheel.version}" for wheel in release.wheels or ()],
        "deploy": [each.uri for each in release.deployed or ()],
        "patch": [release.patched.project_dir] if release.patched else [],
        "run": [f"{run.run_id} log {run.log or '-'}", run.reason, *_unmet(run)] if run else [],
    }
    return "\n".join(each for each in facts[step] if each)


def _unmet(run: Run) -> Iterator[str]:
    return (f"gate not met: {each.gate}" for each in run.unmet)

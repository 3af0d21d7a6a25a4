"""The runs of this repository: those that may go on, those that have ended lately, and one of them by its short id."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from mlops_tasks import errors, locks, record, slugs, state
from mlops_tasks.backends.base import Submitted
from mlops_tasks.pipeline import status
from mlops_tasks.record import Record, RunState
from mlops_tasks.release import Attempt, Release
from mlops_tasks.settings import spell_flag
from mlops_tasks.steps.context import Context

SHORT = 8
"""Characters of an id in a list: more where they are needed to tell two runs apart."""
SHORTEST, WHOLE = 4, 32
"""The fewest characters that a run may be named by, and those of a whole id."""
LATELY = 10
"""How many runs that have ended are listed."""
FORGOTTEN = 3600
"""Seconds after which an attempt is over that has left no trace."""


class Listed(NamedTuple):
    """The release of one attempt at a run, and the record that has it. `found` is its state where that was asked."""

    record: Record
    release: Release
    found: str = ""

    @property
    def attempt(self) -> Attempt:
        return self.release.attempt or Attempt(id="", ended=True)

    @property
    def name(self) -> str:
        """The id of its run; that of the attempt as long as no run is known."""
        run = self.release.run
        return (run.run_id if run else None) or self.attempt.run_id or self.attempt.id

    @property
    def entry_point(self) -> str:
        return self.release.run.entry_point if self.release.run else self.attempt.entry_point

    @property
    def begun_at(self) -> float:
        """When the run was submitted, in seconds since 1970; 0 where that is not known."""
        return self.attempt.submitted_at or state.last_used(self.record.attempt_path(self.attempt))

    @property
    def page(self) -> str:
        return (self.release.run.url if self.release.run else "") or self.attempt.url

    @property
    def state(self) -> str:
        if self.found:
            return self.found
        if self.release.run is not None and self.attempt.ended:
            return RunState.of(self.release.run).state
        if locks.is_held(self.record.attempt_lock(self.attempt)):
            return "going on" if self.attempt.run_id else "starting"
        return "detached" if self.attempt.detached else "cut off"

    def to_dict(self) -> dict[str, Any]:
        """What is known of the run, by the names that the record has for it."""
        release, attempt, run = self.release, self.attempt, self.release.run
        return {
            "run_id": run.run_id if run else attempt.run_id,
            "attempt": attempt.id,
            "state": self.state,
            "submitted_at": attempt.submitted_at,
            "project": release.project,
            "target": release.target,
            "environment": release.released_to,
            "branch": release.branch,
            "entry_point": self.entry_point,
            "parameters": dict(attempt.parameters),
            "job_run_id": run.job_run_id if run else attempt.job_run_id,
            "url": self.page,
        }


def show_runs(context: Context, only: Collection[str] = ()) -> list[Listed]:
    """Report what goes on in this repository and what has ended lately, on all its branches, as a table.

    `only` are settings (`project`, `env`, `target`, `branch`) of which the runs listed have the command's own values.
    Each environment's workspace is asked about its runs that no command follows; the ends of those that have ended are
    recorded.
    """
    going_on = [each for each in find_open(context) if _is_meant(context, each, only)]
    found = [*_as_now(context, going_on), *_find_ended(context, only)]
    going_on = sorted((each for each in found if not each.attempt.ended), key=lambda each: -each.begun_at)
    ended = [each for each in found if each.attempt.ended][:LATELY]
    listed = [each._replace(found=each.state) for each in (*going_on, *ended)]
    if listed:
        columns, rows = _tabulate(listed)
        context.report.table("", columns, rows)
    else:
        of_those = f" for {' and '.join(map(spell_flag, only))} as given" if only else ""
        context.report.text(f"no run of this repository is on record{of_those}")
    return listed


def _is_meant(context: Context, each: Listed, only: Collection[str]) -> bool:
    """Whether the run is of the command's own project, environment, target or branch: of each that is in `only`."""
    release, settings = each.release, context.settings
    is_own = {
        "project": lambda: release.project == context.project_name,
        "env": lambda: release.released_to == settings.environment,
        "target": lambda: release.target == settings.target,
        "branch": lambda: release.branch == context.facts.branch,
    }
    return all(is_own[key]() for key in only)


def _find_ended(context: Context, only: Collection[str]) -> list[Listed]:
    """The releases of the runs that ended last; a record that cannot be read is warned of."""
    paths = context.places.run_records()
    found = (_ended(context, path, release) for path in paths if (release := context.read_release(path)))
    meant = (each for each in found if each.release.run and each.attempt.ended and _is_meant(context, each, only))
    return list(itertools.islice(meant, LATELY))


def _ended(context: Context, path: Path, release: Release) -> Listed:
    """The run whose release is on record at `path`."""
    of = (release.project, release.released_to, release.branch)
    return Listed(Record(context.places.record_folder(*map(slugs.slug, of)), runs=path.parent), release)


def record_ends(context: Context) -> None:
    """Record the ends of this branch's runs in the workspace that have ended with no command following them."""
    _as_now(context, find_open(context, context.record))


def _as_now(context: Context, listed: Sequence[Listed]) -> list[Listed]:
    """The attempts as their workspaces know them; a workspace that cannot be asked is warned of, with the reason."""
    left = [each for each in listed if each.state in {"detached", "cut off"}]
    if context.dry_run or not left:
        return list(listed)
    known: dict[str, Listed] = {}
    unasked: dict[str, list[str]] = {}
    for name in dict.fromkeys(each.release.released_to for each in left):
        found, why = _ask_all(context, name, [each for each in left if each.release.released_to == name])
        known |= {each.attempt.id: each for each in found}
        if why:
            unasked.setdefault(why, []).append(name)
    for why, names in unasked.items():
        which = f"the workspace of {names[0]}" if len(names) == 1 else f"the workspaces of {', '.join(names)}"
        context.warn_once(f"{which} could not be asked what has become of runs that no command follows: {why}")
    return [known.get(each.attempt.id, each) for each in listed]


def _ask_all(context: Context, environment: str, left: Sequence[Listed]) -> tuple[list[Listed], str]:
    """The attempts as their environment's workspace knows them, and why it does not know all of them, if so."""
    from mlops_tasks.pipeline import attempt as attempts

    found: list[Listed] = []
    try:
        there = context.in_environment(environment)
        if not there.target.is_remote:
            return found, ""
        there.target.check()
        elsewhere = {each.attempt.host for each in left if attempts.is_elsewhere(there, each.attempt)}
        found.extend(_ask(there, each) for each in left if each.attempt.host not in elsewhere)
    except errors.ReleaseError as fault:
        return found, fault.what
    return found, f"they were begun at {', '.join(sorted(elsewhere))}, which is another one" if elsewhere else ""


def _ask(context: Context, each: Listed) -> Listed:
    """The attempt as the workspace knows it; its end is recorded where it has ended."""
    from mlops_tasks.pipeline import attempt as attempts

    try:
        with locks.held(each.record.attempt_lock(each.attempt), "runs"):
            found = context.target.runs_of(each.attempt.backend).pick_up(each.attempt)
            if isinstance(found, Submitted):
                return each._replace(found="detached" if each.attempt.detached else "going on")
            if found is not None:
                ended = attempts.with_log(context, each.record, found)
                return each._replace(release=attempts.save_end(context, each.record, each.release, ended))
            if each.begun_at < time.time() - FORGOTTEN:
                over = replace(each.release, attempt=each.attempt._replace(ended=True))
                each.record.save_attempt(over)
            return each
    except errors.OutOfOrder:
        return each  # another command has just taken it up


def _tabulate(listed: Sequence[Listed]) -> tuple[list[str], list[list[str]]]:
    """The columns and the rows of the table: of project, environment and parameters what is not the same for all."""
    parameters = [each.attempt.parameters for each in listed]
    names = dict.fromkeys(name for each in parameters for name in each)
    differing = [name for name in names if len({each.get(name) for each in parameters}) > 1]
    columns = {
        "state": [each.state for each in listed],
        "age": [status.show_age(each.begun_at) if each.begun_at else "" for each in listed],
        "project": [each.release.project for each in listed],
        "environment": [each.release.released_to for each in listed],
        "branch": [each.release.branch for each in listed],
        "entry point": [each.entry_point for each in listed],
        "parameters": [
            " ".join(errors.typed(f"{name}={each[name]}") for name in differing if name in each) for each in parameters
        ],
        "run": shorten([each.name for each in listed]),
        "page": [each.page for each in listed],
    }
    of_interest = {
        name: cells
        for name, cells in columns.items()
        if name not in {"project", "environment", "parameters", "page"}
        or (any(cells) if name in {"parameters", "page"} else len(set(cells)) > 1)
    }
    return list(of_interest), [list(row) for row in zip(*of_interest.values(), strict=True)]


def shorten(names: Sequence[str]) -> list[str]:
    """The beginnings of ids, each long enough to be no other one's."""
    size = next(size for size in range(SHORT, WHOLE + 1) if len({name[:size] for name in names}) == len(set(names)))
    return [name[:size] for name in names]


def find_open(context: Context, record: Record | None = None) -> list[Listed]:
    """The attempts of which a run may go on: of one branch's `record`, or of all, of projects and environments too."""
    folders = context.places.branch_folders()
    records = [record] if record else [Record(each, runs=each.parents[1] / "runs") for each in folders]
    found = [Listed(kept, each) for kept in records for each in _open_attempts(context, kept)]
    return [each for each in found if each.attempt.run_id or each.attempt.sent or each.state == "starting"]


def _open_attempts(context: Context, kept: Record) -> list[Release]:
    try:
        return kept.open_attempts()
    except errors.OutOfOrder as fault:
        context.warn_once(f"{fault.what}: {fault.where}")
        return []


def find(context: Context, word: str) -> Listed | str:
    """The run that begins with `word`, whether it may go on or has ended; BadInput unless one alone does.

    Where the target is a workspace, a whole id that is not known here is taken for that of somebody else's run.
    """
    is_remote, ended = context.target.is_remote, {path.stem: path for path in context.places.run_records()}
    going_on = {each.name: each for each in find_open(context)}
    found = {**ended, **going_on}
    names = [word] if word in found else [name for name in found if name.startswith(word)]
    if len(word) < SHORTEST and word not in names:
        raise errors.BadInput(
            f"{word!r} is too short for the id of a run", where="RUN_ID", cure=f"give at least {SHORTEST} characters"
        )
    if len(names) > 1:
        raise errors.BadInput(
            f"{len(names)} runs begin with {word}: {', '.join(sorted(names))}", where="RUN_ID", cure="give more of one"
        )
    if not names and not (is_remote and len(word) >= WHOLE):
        of_others = "" if is_remote else "; for one on Databricks give `--target databricks`"
        raise errors.BadInput(
            f"no run of this repository begins with {word}", where="RUN_ID", cure=f"`inv runs` lists them{of_others}"
        )
    if not names:
        return word
    name = names[0]
    if name in going_on:
        return going_on[name]
    return _ended(context, ended[name], record.parse(ended[name].read_bytes(), path=ended[name]))


def find_others(context: Context) -> list[Listed]:
    """The runs in workspaces that may go on and are not of this release: those of this project and branch first."""
    own = context.project_name, context.settings.environment, context.facts.branch
    found = []
    for each in find_open(context):
        there = each.release
        if each.attempt.host and (there.project, there.released_to, there.branch) != own:
            found.append((there.branch != own[2], there.project != own[0], -each.begun_at, each.name, each))
    return [each for *_, each in sorted(found, key=lambda known: known[:-1])]


def find_only(context: Context) -> Listed | None:
    """The one attempt of this branch of which a run may go on; None where there is none, OutOfOrder for several."""
    found = find_open(context, context.record)
    if len(found) > 1:
        lines = [f"  {each.name[:SHORT]}  {each.state}  {show(each.attempt)}" for each in found]
        raise errors.OutOfOrder(
            "\n".join([f"{len(found)} runs of this release may be going on:", *lines]),
            where=context.record_folder,
            cure="give the first characters of one's id; `inv runs` lists them all",
        )
    return found[0] if found else None


def show(attempt: Attempt) -> str:
    """What the attempt runs."""
    return " ".join([attempt.entry_point, *(f"{name}={value}" for name, value in attempt.parameters.items())])

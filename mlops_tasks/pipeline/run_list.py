"""The runs of this repository: those that may go on, those that have ended lately, and one of them by its short id."""

from __future__ import annotations

from typing import NamedTuple

from mlops_tasks import errors, locks
from mlops_tasks.record import Record
from mlops_tasks.release import Attempt, Release
from mlops_tasks.steps.context import Context

SHORT = 8
"""Characters of an id in a list: more where they are needed to tell two runs apart."""
SHORTEST, WHOLE = 4, 32
"""The fewest characters that a run may be named by, and those of a whole id."""


class Listed(NamedTuple):
    """The release of one attempt at a run, and the record that has it."""

    record: Record
    release: Release

    @property
    def attempt(self) -> Attempt:
        return self.release.attempt or Attempt(id="", ended=True)

    @property
    def name(self) -> str:
        """The id of its run; that of the attempt as long as no run is known."""
        run = self.release.run
        return (run.run_id if run else None) or self.attempt.run_id or self.attempt.id

    @property
    def state(self) -> str:
        if self.release.run is not None and self.attempt.ended:
            return self.release.run.status
        if locks.is_held(self.record.attempt_lock(self.attempt)):
            return "going on" if self.attempt.run_id else "starting"
        return "detached" if self.attempt.detached else "cut off"


def find_open(context: Context, record: Record | None = None) -> list[Listed]:
    """The attempts of which a run may go on, of one branch's `record` or of all: of projects and targets too."""
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
    """The attempt that may go on, or else the id of the run, that begins with `word`; BadInput unless one alone does.

    A whole id that is not known here is taken for that of somebody else's run.
    """
    found: dict[str, Listed | None] = {path.stem: None for path in context.places.run_records()}
    found |= {each.name: each for each in find_open(context)}
    names = [word] if word in found else [name for name in found if name.startswith(word)]
    if len(word) < SHORTEST and word not in names:
        raise errors.BadInput(
            f"{word!r} is too short for the id of a run", where="RUN_ID", cure=f"give at least {SHORTEST} characters"
        )
    if len(names) > 1:
        raise errors.BadInput(
            f"{len(names)} runs begin with {word}: {', '.join(sorted(names))}", where="RUN_ID", cure="give more of one"
        )
    if not names and len(word) < WHOLE:
        there = "" if context.target.is_remote else "; give `--target databricks` for one on Databricks"
        raise errors.BadInput(
            f"no run of this repository begins with {word}", where="RUN_ID", cure=f"`inv runs` lists them{there}"
        )
    return (found.get(names[0]) or names[0]) if names else word


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

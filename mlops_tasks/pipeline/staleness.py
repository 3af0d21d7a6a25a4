"""Begin a step: the branch's record must hold what the step needs, and none of that may be stale."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from mlops_tasks import errors, files
from mlops_tasks.pipeline.inputs import BY_HAND, NOTHING, Inputs
from mlops_tasks.release import Release
from mlops_tasks.steps.context import Context, Lost


class Step(NamedTuple):
    """One step of a release.

    `needs` are the steps whose facts this one reads. `digest` is over its inputs as they are now, and `watches` names
    those inputs in messages. `flag` gives a later step by hand the facts that this one would have recorded.
    """

    take: Callable[[Context, Release, Inputs], Release]
    digest: Callable[[Context, Release], str]
    watches: str
    needs: tuple[str, ...] = ()
    flag: str = ""


Steps = Mapping[str, Step]
SENDING = ("deploy", "run")
"""The steps that ask the target for something in any case."""


def begin(context: Context, steps: Steps, step: str, inputs: Inputs) -> Release:
    """The recorded release, ready for `step`; OutOfOrder, with the commands to type first, where it is not."""
    if context.facts.doubt:
        context.warn_once(context.facts.doubt)
    release = context.record.load() or _start(context, steps, step, inputs)
    chain = list(stands_on(steps, step, release, inputs))
    if step in SENDING:
        context.target.prepare(release.names.wheel_folder if release.names else "")
    stale = find_stale(context, steps, chain, release)
    if stale:
        first, because = stale[0], show(explain(context, stale[0], release))
        since = f"changed since {first} ran"
        raise errors.OutOfOrder(
            f"{since}: {because}" if because else f"{steps[first].watches} {since}",
            cure=f"`inv {' '.join(_behind(steps, chain, stale))}`, or the whole `inv release`",
        )
    return replace(release, target=context.settings.target, commit=context.facts.commit, dirty=context.facts.dirty)


def stands_on(steps: Steps, step: str, release: Release, inputs: Inputs = NOTHING) -> Iterator[str]:
    """The steps whose facts `step` reads, directly or not, first one first; OutOfOrder where one has not run."""
    needs = [each for each in steps[step].needs if not inputs.replaces(each)]
    missing = [each for each in needs if each not in release.digests]
    if missing:
        flag = f", or give {steps[missing[-1]].flag}" if missing[-1] == steps[step].needs[-1] else ""
        raise errors.OutOfOrder(
            f"{step} needs what {missing[0]} makes, and {missing[0]} has not run yet",
            cure=f"`inv {' '.join(_not_run(steps, missing, release))}`"
            + (flag if steps[missing[-1]].flag else "")
            + ", or the whole `inv release`",
        )
    for needed in needs:
        if release.digests[needed] != BY_HAND:
            yield from stands_on(steps, needed, release)
            yield needed


def _not_run(steps: Steps, missing: list[str], release: Release) -> list[str]:
    """The steps to take for `missing`, in order: those, and the steps that they need themselves."""
    wanted = set(missing)
    for each in reversed(list(steps)):
        if each in wanted:
            wanted.update(need for need in steps[each].needs if need not in release.digests)
    return [each for each in steps if each in wanted]


def find_stale(context: Context, steps: Steps, chain: Sequence[str], release: Release) -> list[str]:
    """The steps of `chain` whose inputs changed. Steps after a stale one are skipped: their inputs may have moved."""
    found: list[str] = []
    for each in chain:
        known = each in _behind(steps, chain, found)
        if not known and steps[each].digest(context, release) != release.digests[each]:
            found.append(each)
    return found


INPUTS = "inputs.json"
"""The file beside the record that keeps what decided each step: part by part, where the record has one digest."""
SHOWN = 3


def remember(context: Context, step: str, release: Release) -> None:
    """Keep what has decided the step that was just taken, for `explain`. What cannot be kept is not explained."""
    if step not in context.decided_by:
        return
    before, digest = _read_inputs(context), release.digests.get(step)
    if digest == before.get(step, {}).get("digest"):
        return
    parts = {name: files.digest({"": value})[:16] for name, value in context.decided_by[step].items()}
    kept = {**before, step: {"digest": digest, "parts": parts}}
    with contextlib.suppress(OSError), files.written_whole(context.record_folder / INPUTS) as stream:
        stream.write(json.dumps(kept, indent=0).encode("ascii"))


def explain(context: Context, step: str, release: Release) -> list[str]:
    """The files and settings that made a step stale, after `find_stale` has found it so; none where it is not known."""
    now = context.decided_by.get(step, {})
    if lost := {name: value.how for name, value in now.items() if isinstance(value, Lost)}:
        return [f"{name} ({how})" if how else name for name, how in lost.items()]
    kept = _read_inputs(context).get(step, {})
    if kept.get("digest") != release.digests.get(step):
        return []
    then: Mapping[str, str] = kept["parts"]
    changed = [name for name, value in now.items() if then.get(name, "") != files.digest({"": value})[:16]]
    return [
        *(name if name in then else f"{name} (new)" for name in changed),
        *(f"{name} (gone)" for name in then if name not in now),
    ]


def show(because: Sequence[str]) -> str:
    """The first of them in a line, with the number of the others."""
    more = len(because) - SHOWN
    return ", ".join(because[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _read_inputs(context: Context) -> dict[str, Any]:
    try:
        found = json.loads((context.record_folder / INPUTS).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _behind(steps: Steps, chain: Sequence[str], stale: Sequence[str]) -> list[str]:
    """The stale steps, and those of `chain` that stand on one of them, in order."""
    found = set(stale)
    for each in steps:
        if each in chain and found.intersection(steps[each].needs):
            found.add(each)
    return [each for each in steps if each in found]


def _start(context: Context, steps: Steps, step: str, inputs: Inputs) -> Release:
    """The release of a branch that has no record yet; OutOfOrder for a `step` that needs what other branches' have."""
    start = Release(
        target=context.settings.target,
        environment=context.settings.env,
        project=context.project_name,
        branch=context.facts.branch,
    )
    if all(inputs.replaces(each) for each in steps[step].needs):
        return start
    if others := context.other_branches:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise errors.OutOfOrder(
            f"nothing is recorded of the branch {start.branch}, only of {others[0].branch}{more}",
            cure=f"`inv name` to begin the release of {start.branch}, "
            f"or give `{errors.typed('--branch', others[0].branch)}`",
        )
    return start

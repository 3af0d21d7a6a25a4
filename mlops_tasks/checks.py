"""Whether a step may begin: the record is of this branch, holds what the step needs, and nothing of that is stale."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from mlops_tasks import errors, record
from mlops_tasks.bench import Bench
from mlops_tasks.inputs import BY_HAND, NOTHING, Inputs
from mlops_tasks.release import Release


class Step(NamedTuple):
    """One step of a release.

    `needs` are the steps whose facts it reads, `digest` is over what its inputs are now, `watches` says in words
    what that digest watches, and `flag` is how a later step is given by hand what this one would have recorded.
    """

    take: Callable[[Bench, Release, Inputs], Release]
    digest: Callable[[Bench, Release], str]
    watches: str
    needs: tuple[str, ...] = ()
    flag: str = ""


Steps = Mapping[str, Step]


def begin(bench: Bench, steps: Steps, step: str, inputs: Inputs) -> Release:
    """The recorded release, ready for `step`; OutOfOrder says what to type first."""
    release = _of_this_branch(bench.record.load(), bench, step)
    for earlier in stands_on(steps, step, release, inputs):
        if steps[earlier].digest(bench, release) != release.digests[earlier]:
            order = list(steps)
            chain = " ".join(order[order.index(earlier) : order.index(step)])
            raise errors.OutOfOrder(
                f"{steps[earlier].watches} changed since {earlier} ran",
                cure=f"`inv {chain}`, or the whole `inv release`",
            )
    return replace(release, commit=bench.facts.commit, dirty=bench.facts.dirty)


def stands_on(steps: Steps, step: str, release: Release, inputs: Inputs = NOTHING) -> Iterator[str]:
    """The steps whose facts `step` reads, directly or not, first one first; OutOfOrder where one has not run."""
    for needed in steps[step].needs:
        if inputs.replaces(needed):
            continue
        if needed not in release.digests:
            flag = f", or give {steps[needed].flag}" if steps[needed].flag and needed == steps[step].needs[-1] else ""
            raise errors.OutOfOrder(
                f"{step} needs what {needed} makes, and {needed} has not run yet", cure=f"`inv {needed}`{flag}"
            )
        if release.digests[needed] != BY_HAND:
            yield from stands_on(steps, needed, release)
            yield needed


def _of_this_branch(release: Release | None, bench: Bench, step: str) -> Release:
    """A release of another branch gives way to `name` alone, and not while a run of it is followed."""
    branch = bench.facts.branch
    if release is not None and release.branch == branch:
        return release
    if release is not None and step != "name":
        raise errors.OutOfOrder(
            f"the record is of the branch {release.branch}, and this is {branch}",
            cure=f"`inv name` to begin the release of {branch}, or give `--branch {release.branch}`",
        )
    if release is not None:
        with record.held(bench.attempt_lock, "name"):
            bench.report.detail(f"this begins the release of {branch}; the record was of {release.branch}")
    return Release(target=bench.settings.target, project=bench.project_name, branch=branch)

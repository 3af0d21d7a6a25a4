"""What a task that only looks says of several projects or environments: each under its name, and one JSON for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import invoke

from mlops_tasks import errors
from mlops_tasks.tasks import base, session

if TYPE_CHECKING:
    from mlops_tasks.pipeline.pipeline import Pipeline

Told = Mapping[str, Any]


class Saying(NamedTuple):
    """Words for an error on several: that some of them `failed`, and the command to repeat `then`.

    `head` stands at the head of the JSON.
    """

    failed: str
    then: str
    head: Told = MappingProxyType({})


def tell_projects(
    c: invoke.Context, flags: dict[str, Any], tell: Callable[[Pipeline], Told], saying: Saying, *, again: bool = False
) -> Told:
    """What `tell` says of the project of the settings, or of each that the settings list, under `projects`."""
    pipelines = session.open_pipelines(c, flags, again=again)
    if len(pipelines) == 1:
        return tell(next(iter(pipelines.values())))

    def tell_one(name: str) -> Told:
        with session.speak_of(pipelines[name]):
            return tell(pipelines[name])

    return tell_each("project", list(pipelines), tell_one, saying, flags)


def tell_each(
    kind: str, names: Sequence[str], tell: Callable[[str], Told], saying: Saying, flags: dict[str, Any]
) -> Told:
    """What `tell` says of each name, under that as a heading; with the worst exit code an error where some failed.

    An error with something beside it has shown that already.
    """
    report = session.open_report(flags)
    told: dict[str, Told] = {}
    refused: dict[str, errors.ReleaseError] = {}
    for name in names:
        report.text(f"\n{name}")
        with base.called_as_now():
            try:
                told[name] = tell(name)
            except errors.ReleaseError as fault:
                refused[name] = fault
                told[name] = fault.beside or {"error": base.describe(fault, fault.exit_code)}
                if not fault.beside:
                    report.step("error", base.spell_as_called(str(fault)))
    made = {**saying.head, f"{kind}s": told}
    if refused:
        kinds = kind if len(names) == 1 else f"{kind}s"
        all_in_all = errors.ReleaseError(
            f"{len(refused)} of {len(names)} {kinds} {saying.failed}: {', '.join(refused)}",
            cure=f"do what is said of each above, then {saying.then}",
        )
        all_in_all.exit_code, all_in_all.beside = max(each.exit_code for each in refused.values()), made
        raise all_in_all
    return made

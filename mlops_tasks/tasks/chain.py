"""Several of our tasks in one command: what is given to one of them holds for the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mlops_tasks import errors
from mlops_tasks.settings import spell_flag


class Link(NamedTuple):
    """One task of a command, by our own name for it, with the flags that were given to it."""

    task: str
    flags: Mapping[str, Any]


class Place(NamedTuple):
    """Where a task stands among our tasks of one command."""

    is_first: bool = True
    is_last: bool = True


ALONE = Place()


def switch(links: Sequence[Link], switches: Iterable[str]) -> dict[str, Any]:
    """The switches that one of the `links` was given: they hold for all."""
    return {key: True for key in switches if any(link.flags.get(key) for link in links)}


def share(links: Sequence[Link], settings: Iterable[str]) -> dict[str, Any]:
    """The settings that hold for all `links`; BadInput where two of them would be of different releases."""
    found: dict[str, Any] = {}
    for key in settings:
        given = [link for link in links if link.flags.get(key)]
        values = dict.fromkeys(str(link.flags[key]) for link in given)
        if len(values) > 1:
            from mlops_tasks import redaction

            shown = map(redaction.show_repository, values)  # a project's URI may hold a password
            raise _refused(f"{spell_flag(key)} is given as {' and as '.join(shown)}")
        if twice := {link.task for link in given} & {link.task for link in links if link not in given}:
            raise _refused(f"{min(twice)} is called twice, with and without {spell_flag(key)}")
        if given:
            found[key] = given[0].flags[key]
    return found


def _refused(what: str) -> errors.BadInput:
    return errors.BadInput(
        f"{what}, and the tasks of one command are of one release",
        cure="give it once, or type a command for each release",
    )

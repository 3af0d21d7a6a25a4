"""The environments that the settings name: what is set in each, and which branches may release to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from mlops_tasks.settings import setting_types

TARGETS = ("local", "databricks")
"""The environments that are always there, each the target of its name."""
EVERY = "all"
"""What `inv doctor --env` takes for all of them."""
RESERVED = (EVERY, "main", "best")
"""No environment is called so: a gate means other runs by the last two."""
OWN: Mapping[str, Callable[[object], Any]] = {
    "extends": setting_types.text,
    "branches": setting_types.texts,
    "clean": setting_types.boolean,
}
"""The keys of an environment that are no settings, with their readers."""

Source = tuple[str, object, str]
"""A setting's key, its value as it was written, and its origin."""


class Refusal(NamedTuple):
    """Why a release may not go to an environment: the key that says so, and the environment that it is written in."""

    what: str
    key: str
    written_in: str


class Environment(NamedTuple):
    """An environment with all that is set in it, the values of what it extends first.

    `branches` are globs of the branches that may release to it, None for every branch; with `clean` only a work tree
    without changes may. `origins` has for these two the name of the environment that they are written in.
    """

    name: str
    values: tuple[Source, ...] = ()
    branches: tuple[str, ...] | None = None
    clean: bool = False
    origins: Mapping[str, str] = MappingProxyType({})

    @property
    def target(self) -> str | None:
        """The target that it names, or that what it extends names."""
        return next((str(raw) for key, raw, _ in reversed(self.values) if key == "target"), None)

    def refuse(self, branch: str, *, dirty: bool | None) -> Refusal | None:
        """Why a release of `branch` may not go there; None where it may.

        `dirty` is the work tree's state, None where git knows none.
        """
        from fnmatch import fnmatchcase  # `inv --list` has no use for it

        if self.branches is not None and not any(fnmatchcase(branch, each) for each in self.branches):
            lets_in = f"only {', '.join(self.branches)}" if self.branches else "no branch"
            what = f"the branch {branch} may not release to {self.name}, which lets in {lets_in}"
            return Refusal(what, "branches", self.origins["branches"])
        if self.clean and dirty is not False:
            state = "has changes that are not committed" if dirty else "is not under git"
            what = f"the work tree {state}, and {self.name} takes only what a commit has"
            return Refusal(what, "clean", self.origins["clean"])
        return None


def read(raw: object, readers: Mapping[str, Callable[[object], object]]) -> tuple[dict[str, Environment], list[str]]:
    """The environments of the mapping `raw` by their names, and all faults; where there is one, they are empty.

    `readers` are those of the settings that an environment may hold.
    """
    if raw is None:
        return {}, []
    if not isinstance(raw, Mapping):
        shown = setting_types.show(raw)
        return {}, [f"mlops.environments {setting_types.CONFIGURATION} must be a mapping of environments, not {shown}"]
    sets: dict[str, dict[str, Source]] = {}
    faults: list[str] = []
    for name, given in raw.items():
        sets[str(name)] = {each[0]: each for each in _read_set(str(name), given, {**readers, **OWN}, faults)}
    for name in sets:
        faults.extend(_check_extends(name, sets))
    if faults:
        return {name: Environment(name) for name in sets}, faults
    return {name: _resolve(name, sets) for name in sets}, []


def _read_set(
    name: str, given: object, readers: Mapping[str, Callable[[object], object]], faults: list[str]
) -> Iterator[Source]:
    """What is written in one environment; the value of a key of its own is read."""
    place = f"mlops.environments.{name}"
    if name in RESERVED:
        meaning = "all environments" if name == EVERY else "another run in a gate"
        faults.append(f"{place} {setting_types.CONFIGURATION} is no name: {name} means {meaning}; choose another one")
    elif not name.strip("._-") or not all(each.isalnum() or each in "._-" for each in name):
        faults.append(f"{place} {setting_types.CONFIGURATION} is no name: it takes letters, digits and . _ -")
    for key, value, origin in read_set(place, given, readers, faults):
        if key == "target" and name in TARGETS and value != name:
            faults.append(f"{origin} is {value}, and the target of the environment {name} is always {name}")
        else:
            yield key, OWN[key](value) if key in OWN else value, origin


def read_set(
    place: str, given: object, readers: Mapping[str, Callable[[object], object]], faults: list[str]
) -> Iterator[Source]:
    """The settings in the mapping `given`, which is written at `place`; what is wrong with one is added to `faults`."""
    if not isinstance(given, Mapping | None):
        shown = setting_types.show(given)
        faults.append(f"{place} {setting_types.CONFIGURATION} must be a mapping of settings, not {shown}")
        return
    for key, value in (given or {}).items():
        origin = f"{place}.{key} {setting_types.CONFIGURATION}"
        if key not in readers:
            faults.append(f"{origin} is not a setting{setting_types.suggest(str(key), readers)}")
        elif value is not None:
            try:
                readers[key](value)
            except ValueError as fault:
                faults.append(f"{origin} {fault}")
                continue
            yield key, value, origin


def _check_extends(name: str, sets: Mapping[str, Mapping[str, Source]]) -> Iterator[str]:
    """What is wrong with what `name` extends; of a circle only its first name in the alphabet tells."""
    if "extends" not in sets[name]:
        return
    _, extended, origin = sets[name]["extends"]
    if extended not in {*sets, *TARGETS}:
        yield f"{origin} names no environment: {extended}{suggest(str(extended), sets)}"
    around = _lineage(name, sets)
    closing = sets.get(around[0], {}).get("extends")
    if closing and closing[1] == name and name == min(around):
        yield f"{origin} leads in a circle: {' extends '.join([*reversed(around), name])}"


def _lineage(name: str, sets: Mapping[str, Mapping[str, Source]]) -> list[str]:
    """What `name` extends, directly or not, the last of all first, and `name`; of a circle each name once."""
    found = [name]
    while (extends := sets.get(found[0], {}).get("extends")) and extends[1] not in found:
        found.insert(0, str(extends[1]))
    return found


def _resolve(name: str, sets: Mapping[str, Mapping[str, Source]]) -> Environment:
    values: list[Source] = []
    own: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for each in _lineage(name, sets):
        if each in TARGETS:
            values.append(("target", each, f"environment {each}"))
        there = sets.get(each, {})
        values.extend(value for key, value in there.items() if key not in OWN)
        given = {key: value[1] for key, value in there.items() if key in OWN and key != "extends"}
        own.update(given)
        origins.update(dict.fromkeys(given, each))
    return Environment(name, tuple(values), **own, origins=origins)


class Choice(NamedTuple):
    """The environment that is released to, its target, and what is wrong with how they are named."""

    name: str = TARGETS[0]
    target: str = TARGETS[0]
    fault: str = ""


def choose(layers: Sequence[Iterable[Source]], known: Mapping[str, Environment]) -> Choice:
    """The environment that the last of the `layers` (configuration, variables, flags) names, by `env` or `target`.

    A target means the environment of its name. Beside each other in one layer the two must agree, but for the
    configuration's target, which is that of the environments that name none.
    """
    named = [{key: (raw, origin) for key, raw, origin in each if key in {"env", "target"}} for each in layers]
    default = str(named[0]["target"][0]) if "target" in named[0] else TARGETS[0]
    for number, each in reversed(list(enumerate(named))):
        name, origin = each.get("env") or each.get("target") or ("", "")
        if not isinstance(name, str) or not (name := name.strip()):
            continue  # no text is refused by the setting's reader
        if "env" not in each:
            is_taken_for_one = name in known and name not in TARGETS
            fault = (
                f"{origin} takes a target, and {name} is an environment: name it by `env`" if is_taken_for_one else ""
            )
            return Choice(name, name, fault)
        if name not in {*known, *TARGETS}:
            return Choice(fault=f"{origin} names no environment: {name}{suggest(name, known)}")
        target = target_of(name, known, default=default)
        beside, flag = each.get("target", (target, ""))
        if number and beside != target:
            said = f"{flag} is {beside}, and the target of {name} ({origin}) is {target}: leave one of the two out"
            return Choice(name, target, said)
        return Choice(name, target)
    return Choice()


def target_of(name: str, known: Mapping[str, Environment], *, default: str) -> str:
    """The target of an environment, which is `default` where it names none."""
    return name if name in TARGETS else known[name].target or default


def suggest(name: str, known: Iterable[str]) -> str:
    """What to add to a message on a `name` that no environment has: the nearest one, or else all."""
    if name == EVERY:
        return " (`inv doctor` alone takes all of them)"
    return setting_types.suggest(name, dict.fromkeys((*TARGETS, *known)))

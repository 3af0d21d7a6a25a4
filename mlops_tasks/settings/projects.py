"""The projects that the settings list in their order, and what a later one may take from the runs of earlier ones.

A parameter, a tag or a run's name of a listed project is a template: `{training.run_id}`, `{branch}`, `{{` for a brace.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mlops_tasks.settings import environments, setting_types
from mlops_tasks.settings.environments import Source

OF_ALL = ("env", "target", "branch", "repository", "profile", "wheel_root", "libraries", "local_version")
"""Settings that all projects share: a listed one has none of its own."""
OF_RELEASE = ("branch", "environment")
OF_RUN = ("run_id", "experiment", "experiment_id")
"""What a template may name: values of the whole release, and of an earlier project's run beside its metrics."""
METRICS = "metrics."
NAME = re.compile(r"[A-Za-z0-9_-]+")
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class Listed(NamedTuple):
    """A listed project: its name, and what is set for it."""

    name: str
    values: tuple[Source, ...] = ()

    @property
    def project(self) -> str:
        """The folder or the URI that it names."""
        return next((str(raw) for key, raw, _ in self.values if key == "project"), "")


class Reference(NamedTuple):
    """Something in braces: `value` of the last run of `project`, which is empty where `value` is of the release."""

    project: str
    value: str

    def __str__(self) -> str:
        return f"{{{self.project}.{self.value}}}" if self.project else f"{{{self.value}}}"

    @property
    def metric(self) -> str:
        """The metric that it names; empty for any other value."""
        return self.value.removeprefix(METRICS) if self.value.startswith(METRICS) else ""


def read(raw: object, readers: Mapping[str, Callable[[object], object]]) -> tuple[tuple[Listed, ...], list[str]]:
    """The projects of the list `raw`, and all faults in it. `readers` are those of the settings."""
    if raw is None:
        return (), []
    if not isinstance(raw, list | tuple) or not raw:
        shown = setting_types.show(raw)
        return (), [f"mlops.projects {setting_types.CONFIGURATION} must be a list of mappings of settings, not {shown}"]
    faults: list[str] = []
    found = tuple(_read_one(number, given, {**readers, "name": _name}, faults) for number, given in enumerate(raw, 1))
    taken: dict[str, int] = {}
    for number, each in enumerate(found, 1):
        first = taken.setdefault(each.name.casefold().replace("-", "_"), number)
        if each.name and first != number:
            near = "is called so" if each.name == found[first - 1].name else f"is called {found[first - 1].name}"
            name = f"mlops.projects.{each.name}.name {setting_types.CONFIGURATION}"
            faults.append(f"{name} is no name of its own: the {_nth(first)} project {near} too")
    return found, faults


def _nth(number: int) -> str:
    return ("first", "second", "third")[number - 1] if number <= 3 else f"{number}th"  # noqa: PLR2004


def _name(raw: object) -> str:
    found = setting_types.text(raw)
    if not NAME.fullmatch(found):
        raise ValueError(f"is no name: it takes letters, digits, _ and -, not {setting_types.show(raw)}")
    return found


def _read_one(
    number: int, given: object, readers: Mapping[str, Callable[[object], object]], faults: list[str]
) -> Listed:
    """One listed project; its name is the last part of its folder's or URI's path, where it is given none."""
    named = given if isinstance(given, Mapping) else {}
    last = re.split(r"[/#]", str(named.get("project") or "").rstrip("/"))[-1].removesuffix(".git")
    name = str(named.get("name") or last)
    is_name = bool(NAME.fullmatch(name))
    place = f"mlops.projects.{name if is_name else number}"
    values = []
    if given is None:  # an environment may be empty, and a project may not
        faults.append(f"{place} {setting_types.CONFIGURATION} must be a mapping of settings, not {given}")
    for key, value, origin in environments.read_set(place, given, readers, faults):
        if key in OF_ALL:
            faults.append(f"{origin} is of all projects: write it above `projects`")
        elif key != "name":
            values.append((key, value, origin))
    if isinstance(given, Mapping) and named.get("project") is None:
        faults.append(f"{place}.project {setting_types.CONFIGURATION} is missing: write the folder of its MLproject")
    elif named and not is_name and named.get("name") is None:
        faults.append(f"{place} {setting_types.CONFIGURATION} needs a `name`, as its folder's is none: {last!r}")
    return Listed(name if is_name else "", tuple(values))


def find_beside(listed: Sequence[Listed], sources: Sequence[Source]) -> list[str]:
    """What is wrong with a `project` in the configuration, the source of which stands beside a list."""
    beside = [origin for key, _, origin in sources if key == "project"] if listed else []
    return [f"{origin} stands beside mlops.projects: leave one of the two out" for origin in beside]


def find(named: str, listed: Sequence[Listed]) -> Listed | None:
    """The listed project that is `named` by its name, or by its folder where one alone has that; None for another."""
    by_name = [each for each in listed if each.name == named]
    by_folder = [each for each in listed if os.path.normpath(each.project) == os.path.normpath(named)]
    return by_name[0] if by_name else by_folder[0] if len(by_folder) == 1 else None


def parse(template: str) -> Iterator[str | Reference]:
    """The texts and references of a template; ValueError for a brace too many or too few."""
    end = 0
    for found in _PART.finditer(template):
        if found.start() > end:
            yield template[end : found.start()]
        end, brace = found.end(), found[0]
        if found[1] is not None:
            project, _, value = found[1].rpartition(".") if METRICS not in found[1] else found[1].partition(".")
            yield Reference(project, value)
        elif len(brace) == 2:  # noqa: PLR2004 - {{ and }} stand for the brace itself
            yield brace[0]
        else:
            raise ValueError(f"has a {brace} alone at character {found.start() + 1}: write {brace * 2} for the brace")
    if end < len(template):
        yield template[end:]


def check(values: Mapping[str, Any], origins: Mapping[str, str], own: str, names: Sequence[str]) -> list[str]:
    """What is wrong with the templates of the project `own`, of those with the `names`, in order."""
    faults = []
    for key, name, template in templates(values):
        where = place(origins, key, name)
        try:
            references = [each for each in parse(template) if isinstance(each, Reference)]
        except ValueError as fault:
            faults.append(f"{where} {fault}")
            continue
        wrong = (_explain(each, own, names) for each in dict.fromkeys(references))
        faults += [f"{where} {each}" for each in wrong if each]
    return faults


def _explain(named: Reference, own: str, names: Sequence[str]) -> str:
    """Why a reference leads to nothing; empty where it leads to a value."""
    before = names[: names.index(own)]
    known = [*OF_RELEASE, *(f"{each}.{value}" for each in before for value in (*OF_RUN, f"{METRICS}NAME"))]
    if not named.project and named.value in OF_RELEASE:
        return ""
    if named.project == own:
        return f"takes {named} from {own} itself: a project takes values of earlier ones alone"
    if named.project in names and named.project not in before:
        return f"takes {named} from a later project: a project takes values of earlier ones alone"
    if named.project in before and (named.value in OF_RUN or named.metric):
        return ""
    suggestion = setting_types.suggest(str(named)[1:-1], known)
    return f"has {named}, which names no value{suggestion}; {{{{ and }}}} stand for braces"


def templates(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The templates among the settings, each with its setting and its name there, which is empty for a run's name."""
    for key in ("parameters", "tags"):
        for name, text in values.get(key, {}).items():
            yield key, name, text
    if values.get("run_name"):
        yield "run_name", "", values["run_name"]


def place(origins: Mapping[str, str], key: str, name: str) -> str:
    """Where a template stands: the origin of its setting, with its name there."""
    origin = origins.get(f"{key}.{name}" if name else key, key)
    head, is_in_file, _ = origin.partition(f" {setting_types.CONFIGURATION}")
    if not name:
        return origin
    return f"{head}.{name} {setting_types.CONFIGURATION}" if is_in_file else f"{origin} {name}"


def fill(template: str, look_up: Callable[[Reference], str]) -> str:
    """The template with the value of each reference."""
    return "".join(look_up(each) if isinstance(each, Reference) else each for each in parse(template))

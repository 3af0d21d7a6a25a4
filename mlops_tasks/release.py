"""Release: the value that each step takes and returns, and its form in the record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, NamedTuple

VERSION = 1


class Names(NamedTuple):
    """The names that the step name chose: an absolute experiment name, and the branch's folder below the wheel root."""

    experiment: str
    wheel_folder: str


class Wheel(NamedTuple):
    """One built wheel. `file` and `library` are relative to the top folder; `size` is in bytes.

    `sources` is the digest of the library's files that it was built from and `generator` the build backend with its
    version, as the wheel itself states it; a wheel that was given by hand has neither library nor sources.
    """

    distribution: str
    version: str
    file: str
    sha256: str
    size: int
    generator: str = ""
    library: str | None = None
    sources: str | None = None


class Deployed(NamedTuple):
    """One wheel in the store: `uri` as the store names it, relative to the top folder for a folder below that."""

    distribution: str
    uri: str
    sha256: str


class Reference(NamedTuple):
    """One changed place: the file (relative to the project), the entry as it stood and as it stands now."""

    file: str
    old: str
    new: str

    @classmethod
    def from_dict(cls, data: Mapping[str, str]) -> Reference:
        return cls(file=data["file"], old=data["from"], new=data["to"])


class Patched(NamedTuple):
    """The staged project. `project_dir` is relative to the top folder."""

    project_dir: str
    references: tuple[Reference, ...]


class Checked(NamedTuple):
    """What became of one gate: the metric's value and what it was compared with, where those are known, and why."""

    gate: str
    met: bool
    value: float | None
    bound: float | None
    because: str


class Run(NamedTuple):
    """An MLflow run as it ended. `status` is MLflow's own word; `log` is relative to the top folder.

    `timed_out` is set where the setting `timeout` ended it. `reason` is why it did not finish, in one line, and `trace`
    the traceback of its entry point, where one is known. `gates` are those that were checked.
    """

    run_id: str
    experiment_id: str
    status: str
    backend: str
    url: str
    entry_point: str
    job_run_id: int | None = None
    log: str | None = None
    metrics: Mapping[str, float] = MappingProxyType({})
    timed_out: bool = False
    reason: str = ""
    trace: str = ""
    gates: tuple[Checked, ...] = ()

    @property
    def verdict(self) -> str:
        """`met` or `not met`; empty where no gate was checked."""
        return ("not met" if self.unmet else "met") if self.gates else ""

    @property
    def unmet(self) -> tuple[Checked, ...]:
        """The gates that the run does not meet."""
        return tuple(each for each in self.gates if not each.met)


class Attempt(NamedTuple):
    """One try at a run, recorded before anything is sent. Its run is found again by `host`, experiment and `id`.

    `run_id`, `job_run_id` and `submitted_at` (seconds since 1970) are known once MLflow has made the run. `job` is
    the digest by which the same command knows its own attempt again. Nobody follows the run of a `detached` one.
    `sent` is False as long as nothing was sent that could have made a run. `url` is the page of a detached one.
    `patch` is the digest that the step patch had then. `parameters` are for a list of runs: credentials are masked.
    `sweep` is the id of the sweep that it is part of, `value` what it stands for there.
    """

    id: str
    run_id: str | None = None
    job_run_id: int | None = None
    experiment_id: str | None = None
    backend: str = ""
    entry_point: str = ""
    job: str = ""
    host: str = ""
    submitted_at: float | None = None
    detached: bool = False
    ended: bool = False
    sent: bool = True
    url: str = ""
    patch: str = ""
    parameters: Mapping[str, str] = MappingProxyType({})
    sweep: str = ""
    value: str = ""

    @property
    def key(self) -> str:
        """The name of the attempt's own files: that of its job, so that one job has one attempt at a time."""
        return (self.job or self.id)[:16]


@dataclass(frozen=True, kw_only=True, repr=False)
class Release:
    """Everything that is known about the release of one project to one environment.

    `environment` is the name of one that the settings name, None for the built-in one of the target's name. `project`
    is the setting's value, a path relative to the top folder or a URI. `digests` has one entry for each
    step that has run: the SHA-256 over that step's inputs, so that a later step can tell when it has gone stale.
    """

    target: str
    environment: str | None = None
    project: str
    branch: str
    commit: str | None = None
    dirty: bool | None = None
    names: Names | None = None
    wheels: tuple[Wheel, ...] | None = None
    deployed: tuple[Deployed, ...] | None = None
    patched: Patched | None = None
    run: Run | None = None
    attempt: Attempt | None = None
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def released_to(self) -> str:
        """The name of the environment, built-in or not."""
        return self.environment or self.target

    def with_step(self, step: str, digest: str, **facts: Any) -> Release:
        """A new release with one step's facts and the digest of the inputs that they came from."""
        return replace(self, digests={**self.digests, step: digest}, **facts)

    def to_dict(self) -> dict[str, Any]:
        """The record's form: `version` first, and no key for what is not known yet."""
        facts = {each.name: getattr(self, each.name) for each in fields(self)}
        return {"version": VERSION, **{key: _plain(fact) for key, fact in facts.items() if fact not in (None, {})}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Release:
        """The inverse of `to_dict`, for a record of this VERSION.

        Raises KeyError, TypeError or ValueError for anything that `to_dict` would not have written.
        """
        if data["version"] != VERSION:
            raise ValueError("not a record of this version")
        known = {key: fact for key, fact in data.items() if key != "version"}
        return cls(**{key: _READERS[key](fact) if key in _READERS else fact for key, fact in known.items()})


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "names": lambda fact: Names(**fact),
    "wheels": lambda fact: tuple(Wheel(**each) for each in fact),
    "deployed": lambda fact: tuple(Deployed(**each) for each in fact),
    "patched": lambda fact: Patched(**{**fact, "references": tuple(map(Reference.from_dict, fact["references"]))}),
    "run": lambda fact: _read_run(**fact),
    "attempt": lambda fact: Attempt(**fact),
}
"""How each fact is made from its form in JSON; the others are the same in both."""


def _read_run(*, metrics: Mapping[str, float | None], gates: Sequence[Mapping[str, Any]] = (), **facts: Any) -> Run:
    numbers = {key: _number(each) for key, each in metrics.items()}
    return Run(**facts, metrics=numbers, gates=tuple(Checked(**each) for each in gates))


RARE: Mapping[type, frozenset[str]] = {Run: frozenset({"gates"}), Attempt: frozenset({"sweep", "value"})}
"""What most runs and attempts have none of: it is in the record only where it is."""


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _plain(fact: Any) -> Any:
    """A fact as JSON has it, which knows neither NaN nor infinity."""
    if isinstance(fact, float) and not math.isfinite(fact):
        return None
    if isinstance(fact, Reference):
        return {"file": fact.file, "from": fact.old, "to": fact.new}
    if hasattr(fact, "_asdict"):
        rare = RARE.get(type(fact), frozenset())
        return {key: _plain(value) for key, value in fact._asdict().items() if value or key not in rare}
    if isinstance(fact, tuple):
        return [_plain(each) for each in fact]
    return {key: _plain(value) for key, value in fact.items()} if isinstance(fact, Mapping) else fact

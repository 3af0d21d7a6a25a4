"""Release several projects in their order: the first that fails stops it, and the same command goes on from there.

A file beside the records says which run was each project's last one as the command began; it goes when all are
released. So what has finished since is known from the records alone, whenever the command was cut off.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_tasks import errors, files, locks, slugs
from mlops_tasks.pipeline.inputs import NOTHING, Inputs
from mlops_tasks.settings import FOR_ALL

if TYPE_CHECKING:
    from mlops_tasks.pipeline.pipeline import Pipeline
    from mlops_tasks.release import Release
    from mlops_tasks.steps.context import Context

VERSION = 1
NOT_BEGUN = "not begun"
SpeakOf = Callable[[str], "contextlib.AbstractContextManager[None]"]


class Link(NamedTuple):
    """How far one project has come: a word for it, and its release where there is one."""

    state: str = NOT_BEGUN
    release: Release | None = None

    def __str__(self) -> str:
        run = self.release.run if self.release else None
        return f"{self.state} {run.run_id}" if run else self.state


class Chain:
    """The projects that one command releases, by their names and in their order.

    `links` says how far each has come. Messages about a project are made in the context that `speak_of` its name opens.
    """

    def __init__(self, pipelines: Mapping[str, Pipeline], *, speak_of: SpeakOf) -> None:
        self.pipelines = pipelines
        self.links = dict.fromkeys(pipelines, Link())
        self._speak_of = speak_of

    @property
    def releases(self) -> dict[str, Release]:
        """What is known of each project that was begun."""
        return {name: each.release for name, each in self.links.items() if each.release}

    def to_dict(self) -> dict[str, Any]:
        return {"projects": {name: each.to_dict() for name, each in self.releases.items()}}

    def release(self, inputs: Inputs = NOTHING) -> None:
        """Release all in order, once everything that can be read has been read."""
        context = next(iter(self.pipelines.values())).context
        self._check(inputs)
        with contextlib.ExitStack() as stack:
            begun: Mapping[str, str] = {}
            if not context.dry_run:
                stack.enter_context(context.places.usable())
                path = _path(context)
                context.places.create()
                cure = "wait until it has ended, or release one project by `--project NAME`"
                stack.enter_context(locks.held(path.with_suffix(".lock"), "release", cure=cure))
                begun = self._begin(path)
            self._release_all(begun, inputs, context)
            if not context.dry_run:
                path.unlink(missing_ok=True)

    def _check(self, inputs: Inputs) -> None:
        if inputs.detach:
            raise errors.BadInput(
                "a project begins when the one before it has finished, so none of them is left running",
                where="--detach",
                cure="leave --detach out, or release one project by `--project NAME`",
            )
        for name, pipeline in self.pipelines.items():
            with self._speak_of(name):
                pipeline.check()
        for parameter in _for_all(self.pipelines):
            if not any(parameter in each.declared() for each in self.pipelines.values()):
                raise errors.BadInput(
                    f"no entry point of these projects declares the parameter {parameter}",
                    where="-P",
                    cure="correct its name, or pass it on to one project by `--project NAME`",
                )

    def _begin(self, path: Path) -> Mapping[str, str]:
        """The last run of each project as this chain began, empty for a project that had none."""
        begun = _read(path)
        if set(begun) != set(self.pipelines):
            last = {name: each.find_finished() for name, each in self.pipelines.items()}
            begun = {name: each.run.run_id if each and each.run else "" for name, each in last.items()}
            with files.written_whole(path) as stream:
                stream.write(json.dumps({"version": VERSION, "before": begun}, indent=2).encode("ascii"))
        return begun

    def _release_all(self, begun: Mapping[str, str], inputs: Inputs, context: Context) -> None:
        may_hold = bool(begun)
        try:
            for name, pipeline in self.pipelines.items():
                context.report.text(f"\n{name}")
                with self._speak_of(name), self._watched(name, pipeline):
                    given = inputs._replace(made=self.releases if not context.dry_run else {})
                    found = self._hold(pipeline, begun[name], given) if may_hold else None
                    may_hold = found is not None
                    release = found or pipeline.release(given)
                    state = release.run.status if release.run else "would run"
                    self.links[name] = Link(state, release)
        finally:
            lines = [f"{name}  {each}" for name, each in self.links.items()]
            context.report.text("")
            context.report.step("projects", "\n".join(lines))

    def _hold(self, pipeline: Pipeline, before: str, inputs: Inputs) -> Release | None:
        """The release that an earlier command of this chain has finished, where it is what this one would make."""
        found = pipeline.find_finished()
        if found is None or found.run is None or found.run.run_id == before:
            return None
        held = pipeline.hold(found, inputs)
        if held is not None:
            made = f"{found.run.status} {found.run.run_id} (before; nothing has changed since)"
            pipeline.context.report.step("run", made)
        return held

    @contextlib.contextmanager
    def _watched(self, name: str, pipeline: Pipeline) -> Iterator[None]:
        """Say of the project how the block was ended, whatever ended it."""
        try:
            yield
        except BaseException as fault:
            release = fault.release if isinstance(fault, (errors.RunFailed, errors.GateNotMet)) else None
            if isinstance(fault, (errors.RunFailed, errors.GateNotMet)):
                release = release or pipeline.load()
            run = release.run if release else None
            state = "gate not met" if isinstance(fault, errors.GateNotMet) else run.status if run else "failed"
            state = "interrupted" if isinstance(fault, KeyboardInterrupt) else state
            self.links[name] = Link(state, release)
            raise


def _for_all(pipelines: Mapping[str, Pipeline]) -> list[str]:
    """The parameters that a flag gives to all projects."""
    origins = next(iter(pipelines.values())).context.settings.origins
    return [key.partition(".")[2] for key, origin in origins.items() if key.startswith("parameters.") and origin == FOR_ALL]


def _path(context: Context) -> Path:
    return context.places.chains / slugs.slug(context.settings.environment) / f"{slugs.slug(context.facts.branch)}.json"


def _read(path: Path) -> Mapping[str, str]:
    """What the file says; empty where there is none that this version has written."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    before = found.get("before") if isinstance(found, dict) and found.get("version") == VERSION else None
    return before if isinstance(before, dict) else {}

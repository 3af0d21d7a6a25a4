"""Release several projects in their order: the first that fails stops it, and the same command goes on from there.

A file beside the records says which run was each project's last one as the command began; it goes when all are
released. So what has finished since then is known from the records alone, wherever the command was cut off.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_tasks import errors, files, locks, slugs
from mlops_tasks.pipeline.inputs import NOTHING, Inputs

if TYPE_CHECKING:
    from mlops_tasks.pipeline.pipeline import Pipeline
    from mlops_tasks.release import Release
    from mlops_tasks.steps.context import Context

VERSION = 1
SpeakOf = Callable[[str], "contextlib.AbstractContextManager[None]"]


class Progress(NamedTuple):
    """How far one project has come: a word for it, and its release where that has a run."""

    state: str = "not begun"
    release: Release | None = None

    def __str__(self) -> str:
        run = self.release.run if self.release else None
        return f"{self.state} {run.run_id}" if run else self.state


class Series:
    """The projects that one command releases, by their names and in their order.

    `progress` says how far each has come, and `at_work` is the name of the last that was looked at. Messages about a
    project are made within what `speak_of` gives for its name.
    """

    def __init__(self, pipelines: Mapping[str, Pipeline], *, speak_of: SpeakOf) -> None:
        self.pipelines = pipelines
        self.progress = dict.fromkeys(pipelines, Progress())
        self.at_work = next(iter(pipelines))
        self._speak_of = speak_of

    @property
    def releases(self) -> dict[str, Release]:
        """The release of each project that has one by now."""
        return {name: each.release for name, each in self.progress.items() if each.release}

    def to_dict(self) -> dict[str, Any]:
        return {"projects": {name: each.to_dict() for name, each in self.releases.items()}}

    def release(self, inputs: Inputs = NOTHING) -> None:
        """Release all of them, once everything that can be read has been read."""
        self._check(inputs)
        context = self.pipelines[self.at_work].context
        if context.dry_run:
            self._release_all({}, inputs, context)
            return
        path = _path(context)
        cure = "wait until it has ended, or release one of the projects by `--project NAME`"
        with context.places.usable():
            context.places.create()
            with locks.held(path.with_suffix(".lock"), "release", cure=cure):
                self._release_all(self._begin(path), inputs, context)
                path.unlink(missing_ok=True)

    def _check(self, inputs: Inputs) -> None:
        for flag, is_given in {"--detach": inputs.detach, "--sweep": inputs.sweep}.items():
            if is_given:
                raise errors.BadInput(
                    f"{flag} is for one project: of several each waits for the one run of those before it",
                    where=flag,
                    cure=f"leave {flag} out, or release one of the projects by `--project NAME`",
                )
        if inputs.sweep:
            raise errors.BadInput(
                "a sweep is one of a single project", where="--sweep", cure="name the project by `--project NAME`"
            )
        for pipeline in self._each():
            pipeline.check()
        undeclared = [each.find_undeclared_for_all() for each in self.pipelines.values()]
        for parameter in sorted(set.intersection(*undeclared)):
            raise errors.BadInput(
                f"no entry point of these projects declares the parameter {parameter}",
                where="-P",
                cure="correct its name, or pass it on to one of them by `--project NAME`",
            )

    def _each(self) -> Iterator[Pipeline]:
        """The projects in order, each while it is the one that messages are about."""
        for name, pipeline in self.pipelines.items():
            self.at_work = name
            with self._speak_of(name):
                yield pipeline

    def _begin(self, path: Path) -> Mapping[str, str]:
        """The last run of each project as this series began, empty where there was none."""
        begun = _read(path)
        if set(begun) != set(self.pipelines):
            last = {name: each.find_finished() for name, each in self.pipelines.items()}
            begun = {name: each.run.run_id if each and each.run else "" for name, each in last.items()}
            with files.written_whole(path) as stream:
                stream.write(json.dumps({"version": VERSION, "before": begun}, indent=2).encode("ascii"))
        return begun

    def _release_all(self, begun: Mapping[str, str], inputs: Inputs, context: Context) -> None:
        may_be_held = bool(begun)
        try:
            for pipeline in self._each():
                context.report.text(f"\n{self.at_work}")
                with self._kept():
                    given = inputs._replace(made={} if context.dry_run else self.releases)
                    held = self._hold(pipeline, begun[self.at_work], given) if may_be_held else None
                    may_be_held = held is not None
                    release = held or pipeline.release(given)
                    state = release.run.status if release.run else "would run"
                    self.progress[self.at_work] = Progress(state, release)
        finally:
            rows = [[name, str(each)] for name, each in self.progress.items()]
            context.report.table(f"projects of {context.facts.branch}", ["project", "run"], rows)

    def _hold(self, pipeline: Pipeline, before: str, inputs: Inputs) -> Release | None:
        """The release that an earlier command of this series has finished, where it is what this one would make."""
        found = pipeline.find_finished()
        if found is None or found.run is None or found.run.run_id == before:
            return None
        held = pipeline.hold(found, inputs)
        if held is not None:
            pipeline.context.report.step(
                "run", f"{found.run.status} {found.run.run_id} before, and nothing has changed"
            )
        return held

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Keep how the block was ended for the project, whatever ended it."""
        try:
            yield
        except BaseException as fault:
            release = None
            if isinstance(fault, (errors.RunFailed, errors.GateNotMet)):
                release = fault.release or self.pipelines[self.at_work].load()
            self.progress[self.at_work] = Progress(_name_end(fault, release), release)
            raise


def _name_end(fault: BaseException, release: Release | None) -> str:
    """A word for how a project ended."""
    if isinstance(fault, errors.GateNotMet):
        return "gate not met"
    if isinstance(fault, KeyboardInterrupt):
        return "interrupted"
    return release.run.status if release and release.run else "failed"


def _path(context: Context) -> Path:
    environment, branch = map(slugs.slug, (context.settings.environment, context.facts.branch))
    return context.places.series / environment / f"{branch}.json"


def _read(path: Path) -> Mapping[str, str]:
    """What the file says; empty where there is none that this version has written."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    before = found.get("before") if isinstance(found, dict) and found.get("version") == VERSION else None
    return before if isinstance(before, dict) else {}

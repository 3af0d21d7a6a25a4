"""Pipeline: the five steps of a release in order, each taken from the record and recorded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_tasks import errors, processes
from mlops_tasks.pipeline import staleness, step_table, templates
from mlops_tasks.pipeline.inputs import NOTHING, Inputs
from mlops_tasks.release import Release
from mlops_tasks.report import Report
from mlops_tasks.settings import Settings
from mlops_tasks.steps.context import Context

if TYPE_CHECKING:
    from mlops_tasks.pipeline import plan, run_list, status

STEPS: staleness.Steps = {
    "name": step_table.NAME,
    "build-wheel": step_table.BUILD_WHEEL,
    "deploy": step_table.DEPLOY,
    "patch": step_table.PATCH,
    "run": step_table.RUN,
}


class Pipeline:
    """The release of one project to one environment.

    `root` is the folder that holds tasks.py: relative paths in the settings count from there. Every method is one
    command: it looks at the branch and the files anew, returns the release as it is recorded afterwards, and raises a
    ReleaseError for whatever a person can correct. What was `said` once is said again by the next method, unless that
    set is given, to which it is added.
    """

    def __init__(
        self,
        root: Path,
        settings: Settings,
        *,
        report: Report | None = None,
        run: processes.Runner = processes.run_command,
        environ: Mapping[str, str] | None = None,
        dry_run: bool = False,
        said: set[str] | None = None,
    ) -> None:
        self._said = said
        self.context = Context(
            root=root.resolve(),
            settings=settings,
            report=report or Report(),
            run=run,
            environ=dict(os.environ if environ is None else environ),
            dry_run=dry_run,
        )

    def release(self, inputs: Inputs = NOTHING) -> Release:
        """Take the five steps in order, once everything that can be read has been read."""
        context = self._fill(_let_in(self._begin()), inputs)
        with context.places.usable():
            step_table.check_inputs(context, inputs)
            if inputs.detach:
                context.target.check_detaching()
            if not context.dry_run and not inputs.sweep:
                from mlops_tasks.pipeline import attempt

                # the step run would be refused only after the four steps before it
                attempt.refuse_going_on(context, STEPS, inputs)
        if not context.dry_run:
            from mlops_tasks.tracking import process as mlflow_process

            mlflow_process.begin_import()
        context.record.begin()
        inputs = inputs._replace(command="release")
        for step in STEPS:
            release = _take(context, step, inputs)
            if step == "build-wheel" and context.target.is_remote:
                _say_what_changes(context, release, inputs.sweep)
        return release

    def show_plan(self) -> plan.Plan:
        """What a release would change, shown as a diff; nothing is sent or recorded."""
        from mlops_tasks.pipeline import plan

        self.context = replace(self.context, dry_run=True)
        context = self._fill(self.context, NOTHING)
        with context.places.usable():
            _make_folder(context)
            context.record.begin()
            made = plan.foresee(context, STEPS)
        context.report.step("plan", str(made))
        context.report.text(made.diff)
        return made

    def take(self, step: str, inputs: Inputs = NOTHING) -> Release:
        """Take one step: `name`, `build-wheel`, `deploy`, `patch` or `run`."""
        if step not in STEPS:
            raise errors.BadInput(f"there is no step {step}", cure=f"take one of: {', '.join(STEPS)}")
        context = _let_in(self._begin())
        return _take(self._fill(context, inputs) if step == "run" else context, step, inputs)

    def check(self) -> None:
        """Raise what would stop the release before its first step, whatever the runs of earlier projects make."""
        context = _let_in(self._begin())
        with context.places.usable():
            step_table.check_inputs(templates.fill(context.silenced(), {}, is_needed=False), NOTHING)

    def find_undeclared_for_all(self) -> set[str]:
        """The parameters that a flag gives to several projects, and that this one's entry point does not declare."""
        from mlops_tasks.project import entry_points

        entry_point, given = self.context.settings.entry_point, self.context.settings.given_for_all
        return set(entry_points.find_undeclared(self.context.project, entry_point, given)) if given else set()

    def find_finished(self) -> Release | None:
        """The release of the branch's last run that finished and met its gates; None before that."""
        from mlops_tasks.pipeline import run_list

        context = self._begin()
        with context.places.usable():
            run_list.record_ends(context)
            return templates.find_finished(context)

    def hold(self, release: Release, inputs: Inputs = NOTHING) -> Release | None:
        """A finished release that is what a release would make now; None where a file or a setting has changed.

        GateNotMet where it does not meet a gate that it was not checked against.
        """
        from mlops_tasks.pipeline import attempt, conclusion

        context = self._fill(_let_in(self._begin()), inputs)
        with context.places.usable():
            if release.run is None or not attempt.is_as_now(context.silenced(), STEPS, release, inputs):
                return None
            is_checked = [each.gate for each in release.run.gates] == [str(each) for each in context.settings.require]
            return release if is_checked else conclusion.conclude(context, release)

    def take_part(self, inputs: Inputs) -> Release:
        """Take one run of a sweep: whether its branch and work tree may release was found out as the sweep began."""
        return _take(self._begin(), "run", inputs)

    def find_release(self, run_id: str) -> Release | None:
        """The release of a run, of any project, environment and branch here; None for one that is not on record.

        BadInput where several runs, or none, have that id or begin with it.
        """
        from mlops_tasks.pipeline import run_list

        context = self._begin()
        with context.places.usable():
            found = run_list.find(context.silenced(), run_id)
        return None if isinstance(found, str) else found.release

    def watch(self, run_id: str | None = None) -> Release | None:
        """Follow a detached run to its end: the recorded attempt's, or the MLflow run `run_id`."""
        from mlops_tasks.pipeline import watching

        context = self._begin()
        with context.places.usable():
            context.places.create()
            return watching.watch(context, run_id)

    def cancel(self, run_id: str | None = None) -> Release | None:
        """End a detached run, and record its end."""
        from mlops_tasks.pipeline import watching

        context = self._begin()
        with context.places.usable():
            context.places.create()
            return watching.cancel(context, run_id)

    def show_runs(self, only: Collection[str] = ()) -> list[run_list.Listed]:
        """The runs of this repository that go on and that have ended lately, shown as a table.

        `only` has those of the settings project, env, target and branch by which the list is narrowed.
        """
        from mlops_tasks.pipeline import run_list

        context = self._begin()
        with context.places.usable():
            return run_list.show_runs(context, only)

    def load(self) -> Release | None:
        """The release as it is recorded; None before the first step."""
        context = self._begin()
        with context.places.usable():
            return context.record.load()

    def show_status(self) -> status.Status:
        """The release as it is recorded, and how its steps stand, shown as a table."""
        from mlops_tasks.pipeline import status

        context = self._begin()
        with context.places.usable():
            return status.show_status(context, STEPS, templates.load_own(context))

    def _fill(self, context: Context, inputs: Inputs) -> Context:
        with context.places.usable():
            return templates.fill(context, inputs.made, is_needed=not context.dry_run)

    def _begin(self) -> Context:
        """A Context that knows nothing yet: what it finds out holds for one command."""
        self.context = replace(self.context, warned=set() if self._said is None else self._said)
        return self.context


def _let_in(context: Context) -> Context:
    """The context; NotAllowed where its branch or its work tree may not release to the environment."""
    settings, known = context.settings, context.settings.environments
    if settings.environment not in known:
        return context
    branch, dirty = context.facts.branch, context.facts.dirty
    if refusal := known[settings.environment].refuse(branch, dirty=dirty):
        from mlops_tasks.project.text import yaml_tree

        others = [f"`--env {each.name}`" for each in known.values() if each.refuse(branch, dirty=dirty) is None]
        cure = "release from a branch that is let in" if refusal.key == "branches" else "commit what `git status` shows"
        raise errors.NotAllowed(
            refusal.what,
            where=yaml_tree.find_key(settings.config_file, "mlops", "environments", refusal.written_in, refusal.key),
            cure=f"{cure}, or give {' or '.join(others)}" if others else cure,
        )
    return context


def _take(context: Context, step: str, inputs: Inputs) -> Release:
    with context.places.usable():
        _make_folder(context)
        if step == "run" and inputs.sweep and not context.dry_run:
            from mlops_tasks.pipeline import sweep

            return sweep.take_sweep(context, STEPS, inputs)
        if step == "run" and not context.dry_run:
            from mlops_tasks.pipeline import attempt, conclusion

            return conclusion.conclude(context, attempt.take_run(context, STEPS, inputs))
        wait = context.say_waiting if inputs.command == "release" else None
        with context.record.locked(inputs.command or step, wait=wait):
            release = STEPS[step].take(context, staleness.begin(context, STEPS, step, inputs), inputs)
            context.record.save(release)
            if not context.dry_run:
                staleness.remember(context, step, release)
                context.places.prune(context.release_folder)
        return release


def _make_folder(context: Context) -> None:
    """Make the folder `.mlops`; BadInput, and nothing made, for a project that is not there."""
    context.check_folder()
    context.places.create()


def _say_what_changes(context: Context, release: Release, sweep: Sequence[str]) -> None:
    """Say it before the first byte is sent; what is wrong with the project is left to the step patch to say."""
    from mlops_tasks.pipeline import plan

    with contextlib.suppress(errors.ReleaseError), context.places.usable():
        found = plan.compare(context, release, swept={text.partition("=")[0] for text in sweep})
        if found.since and (found.diff or not sweep):
            context.report.detail(str(found))
        for line in found.diff.splitlines():
            context.report.detail(line)

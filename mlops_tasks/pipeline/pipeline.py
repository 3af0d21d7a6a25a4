"""The five steps as one visible list, and the one way that each is taken: load the record, step, save the record."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mlops_tasks import errors, locks, processes
from mlops_tasks.pipeline import staleness, step_table
from mlops_tasks.pipeline.inputs import NOTHING, Inputs
from mlops_tasks.release import Release
from mlops_tasks.report import Report
from mlops_tasks.settings import Settings
from mlops_tasks.steps.context import Context

STEPS: staleness.Steps = {
    "name": step_table.NAME,
    "build-wheel": step_table.BUILD_WHEEL,
    "deploy": step_table.DEPLOY,
    "patch": step_table.PATCH,
    "run": step_table.RUN,
}


class Pipeline:
    """The release of one project to one target.

    `root` is the folder that holds tasks.py: relative paths in the settings count from there. Every method returns
    the release as it is recorded afterwards, and raises a ReleaseError for whatever a person can mend.
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
    ) -> None:
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
        with self.context.places.usable():
            step_table.check_inputs(self.context)
            self._refuse_while_one_runs(inputs)
        self.context.record.begin()
        inputs = inputs._replace(command="release")
        for step in STEPS:
            release = self.take(step, inputs)
        if release.run is not None and not self.context.dry_run:
            from mlops_tasks.pipeline import status

            status.compare(self.context, release.run)
        return release

    def take(self, step: str, inputs: Inputs = NOTHING) -> Release:
        """Take one step: `name`, `build-wheel`, `deploy`, `patch` or `run`."""
        if step not in STEPS:
            raise errors.BadInput(f"there is no step {step}", cure=f"take one of: {', '.join(STEPS)}")
        with self.context.places.usable():
            self.context.places.create()
            return self._take(step, inputs)

    def watch(self, run_id: str | None = None) -> Release | None:
        """Follow a run that goes on without us to its end: the recorded attempt's, or the MLflow run `run_id`."""
        from mlops_tasks.pipeline import watching

        with self.context.places.usable():
            return watching.watch(self.context, run_id)

    def cancel(self, run_id: str | None = None) -> Release | None:
        """End such a run."""
        from mlops_tasks.pipeline import watching

        with self.context.places.usable():
            return watching.cancel(self.context, run_id)

    def load(self) -> Release | None:
        """The release as it is recorded; None before the first step."""
        with self.context.places.usable():
            return self.context.record.load()

    def show_status(self) -> Release | None:
        """The release as it is recorded, shown as a table of its steps."""
        from mlops_tasks.pipeline import status

        release = self.load()
        with self.context.places.usable():
            status.show_status(self.context, STEPS, release)
        return release

    def _refuse_while_one_runs(self, inputs: Inputs) -> None:
        """Its own run would be refused, after four steps in vain."""
        if not self.context.dry_run:
            from mlops_tasks.pipeline import attempt

            with locks.held(self.context.attempt_lock, "release", cure=self.context.target.busy_cure):
                attempt.refuse_going_on(self.context, STEPS, inputs)

    def _take(self, step: str, inputs: Inputs) -> Release:
        if step == "run" and not self.context.dry_run:
            from mlops_tasks.pipeline import attempt

            return attempt.take_run(self.context, STEPS, inputs)
        with self.context.record.locked(inputs.command or step):
            release = STEPS[step].take(self.context, staleness.begin(self.context, STEPS, step, inputs), inputs)
            self.context.record.save(release)
            if not self.context.dry_run:
                self.context.places.prune(self.context.record_folder)
        return release

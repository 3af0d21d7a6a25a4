"""The runs that one run is compared with: its branch's earlier ones, the default branch's last, the branch's best."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

from mlops_tasks import errors
from mlops_tasks.pipeline import templates
from mlops_tasks.release import Run
from mlops_tasks.settings import environments, gates, setting_types
from mlops_tasks.steps.context import Context
from mlops_tasks.tracking.client import GOING_ON, SEARCHED, PastRun, Tracking

BRANCH, PROJECT, ENTRY_POINT = "mlops.branch", "mlflow.source.name", "mlflow.project.entryPoint"
ENVIRONMENT = "mlops.environment"
"""The tags by which runs belong together; only a run in an environment that the settings name has the last."""
SWEEP = "mlops.sweep"
"""The tag of the runs that one sweep has made."""
GATE, NOT_MET = "mlops.gate", "not met"
"""The tag that says whether a run met its gates, and its value where it did not."""
LOOKED_AT = (20, 1000)
"""How many finished runs are looked through for one that a gate can compare with: few, and where that is none, many."""
Look = Callable[[int], list[PastRun]]
"""Gives so many runs, the newest first."""
WHOLE_ID, SHORT_ID = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{4,31}")
"""A run's id, and the beginning of one, as tables show it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """What the store knows around the run `this`. Each question is one search, of the newest or the best runs alone.

    All of them are of the same project, entry point and environment, and none was started by another run.
    """

    context: Context
    this: PastRun

    @property
    def branch(self) -> str:
        return self.this.tags.get(BRANCH, "")

    @cached_property
    def main(self) -> PastRun | None:
        """The last finished run of the default branch, another than this one; None where there is none."""
        return next(iter(self._of_main(1)), None)

    def _of_main(self, limit: int) -> list[PastRun]:
        branch = self.context.default_branch
        if branch == self.branch:
            return self.earlier(limit, finished=True)
        return find_finished(self.context, branch, self._kind, limit, beside=self.this.experiment_id)

    def baseline(self, name: str, metric: str) -> PastRun | None:
        """What a gate's `main` or environment stands for: the last finished run there that met its own gates.

        One that has a number for the metric goes before those without. None where there is no such run: what a gate
        has kept out must not be what the next run is compared with.
        """
        looks = [self._of_main] if name == gates.MAIN else self._looks_in(name)
        let_in = [run for look in looks for run in self._let_in(look)]
        numbered = (each for each in let_in if not math.isnan(each.metrics.get(metric, math.nan)))
        return next(numbered, next(iter(let_in), None))

    def _let_in(self, look: Look) -> list[PastRun]:
        """The last runs that met their gates and are none of this one's sweep, however many newer ones did not."""
        for limit in LOOKED_AT:
            found = look(limit)
            let_in = [each for each in found if each.tags.get(GATE) != NOT_MET and not self._is_beside(each)]
            if let_in or len(found) < limit:
                break
        return let_in

    def earlier(self, limit: int, *, finished: bool = False, order_by: str = "start_time DESC") -> list[PastRun]:
        """The branch's runs in this run's experiment that began before it."""
        found = _tracking(self.context).search_runs(
            [self.this.experiment_id],
            tags={**self._kind, BRANCH: self.branch},
            limit=limit + 1,
            finished=finished,
            until=self.this.started,
            order_by=order_by,
        )
        return [each for each in found if each.run_id != self.this.run_id][:limit]

    def best(self, metric: str, direction: int) -> PastRun | None:
        """The branch's best earlier finished run by `metric`; None where none has logged that."""
        order = f"metrics.`{metric}` {'DESC' if direction > 0 else 'ASC'}"
        found = self.earlier(LOOKED_AT[-1] if self.this.tags.get(SWEEP) else 1, finished=True, order_by=order)
        return next((each for each in found if metric in each.metrics and not self._is_beside(each)), None)

    def _is_beside(self, other: PastRun) -> bool:
        """Whether the other run is of the same sweep: which of them ends first must decide nothing."""
        return bool(self.this.tags.get(SWEEP)) and self.this.tags[SWEEP] == other.tags.get(SWEEP)

    def in_environment(self, name: str) -> PastRun | None:
        """The last finished run in an environment: of this branch, else of the default one; None where there is none.

        The environment's own tracking store is asked, with its own login.
        """
        return next((run for look in self._looks_in(name) for run in look(1)), None)

    def _looks_in(self, name: str) -> list[Look]:
        """Looks for the last finished runs in an environment: at those of this branch, and at the default one's."""
        there = self.context.in_environment(name)
        if not _tracking(there).is_there:
            return []
        kind = {**self._kind, ENVIRONMENT: there.settings.env or ""}
        branches = dict.fromkeys((self.branch, self.context.default_branch))
        return [partial(find_finished, there, branch, kind, but=self.this.run_id) for branch in branches]

    def say_none(self, name: str) -> str:
        """That a gate's `main` or environment stands for no run, with the experiment that was looked in."""
        there = self.context if name == gates.MAIN else self.context.in_environment(name)
        branch = self.context.default_branch
        who = branch if name == gates.MAIN else f"{branch} in {name}"
        return (
            f"no other run of {who} has finished and met its gates in the experiment {name_experiment(there, branch)}"
        )

    def find(self, named: str) -> tuple[str, PastRun]:
        """The run that `--with` names, by an environment, an id or a branch, looked for in this order, and its label.

        Of an environment and of a branch it is the last finished one. BadInput where there is none, or one of another
        project.
        """
        if named in {*self.context.settings.environments, *environments.TARGETS}:
            found = self.in_environment(named)
            if found is None:
                there = self.context.in_environment(named)
                experiment = name_experiment(there, self.branch)
                what = f"nothing of {self._kind[PROJECT]} has finished in {named}, in the experiment {experiment}"
                raise _refuse(what, there)
            return named, found
        run_id = self._spell_out(named)
        if run_id and (found := _tracking(self.context).read_past(run_id)):
            project = found.tags.get(PROJECT, "")
            if project != self._kind[PROJECT]:
                of = f"of {project}" if project else "of no project"
                raise _refuse(f"run {run_id} is {of}, and this one of {self._kind[PROJECT]}", self.context)
            return run_id[:8], found
        finished = find_finished(self.context, named, self._kind, 1, beside=self.this.experiment_id)
        if not finished:
            raise self._refuse_unknown(named, run_id)
        return named, finished[0]

    def _refuse_unknown(self, named: str, run_id: str) -> errors.BadInput:
        """For a name that no finished run of a branch has; `run_id` is that of a run that is gone."""
        if run_id:
            return _refuse(f"there is no run {run_id}: it was deleted, or another store has it", self.context)
        of = f"project {self._kind[PROJECT]}, entry point {self._kind[ENTRY_POINT]}"
        what = f"no run of a branch {named} has finished ({of})"
        if SHORT_ID.fullmatch(named):
            return _refuse(f"{what}, and no run from here has an id that begins with {named}", self.context)
        near = setting_types.nearest(named, self.context.settings.environments)
        return _refuse(f"{what}{f'; did you mean the environment {near}?' if near else ''}", self.context)

    def _spell_out(self, named: str) -> str:
        """The whole id of a run that is given by its id, or by the first characters of one that ran from here."""
        if WHOLE_ID.fullmatch(named):
            return named
        if not SHORT_ID.fullmatch(named):
            return ""
        found = [path.stem for path in self.context.runs_folder.glob(f"{named}*.json")]
        if len(found) > 1:
            raise _refuse(f"{len(found)} runs begin with {named}", self.context)
        return next(iter(found), "")

    @property
    def _kind(self) -> dict[str, str]:
        return {key: self.this.tags.get(key, "") for key in (PROJECT, ENTRY_POINT, ENVIRONMENT)}


def history_of(context: Context, run: Run) -> History:
    """The history of a run that has just ended. WorkspaceError where the store does not know it."""
    found = _tracking(context).read_past(run.run_id)
    if found is None:
        raise errors.WorkspaceError(
            f"the store no longer knows run {run.run_id}",
            where=_tracking(context).shown,
            cure="leave its runs alone while a command works",
        )
    return History(context=context, this=found)


def of_branch(context: Context) -> History:
    """The history of the branch's last run: the recorded one, else the last of the entry point that the store knows.

    OutOfOrder where there is none.
    """
    release = templates.load_own(context)
    context.target.check()
    tracking = _tracking(context)
    found, gone = None, ""
    if tracking.is_there:
        recorded, wanted = release.run if release else None, context.settings.entry_point
        is_another = context.settings.origins.get("entry_point", "").startswith("--")  # the flag may name another
        is_meant = recorded is not None and (not is_another or recorded.entry_point == wanted)
        found = tracking.read_past(recorded.run_id) if recorded and is_meant else None
        gone = f", and run {recorded.run_id}, the last on record, is no longer there" if recorded and is_meant else ""
        found = found or _newest(context, context.facts.branch)
    if found is None:
        raise errors.OutOfOrder(
            f"no run of the branch {context.facts.branch} has ended in the experiment "
            f"{name_experiment(context, context.facts.branch)}{gone} (project {context.project_name}, "
            f"entry point {context.settings.entry_point})",
            where=tracking.shown,
            cure="`inv release` makes one; `--branch NAME` and `--entry-point NAME` name others",
        )
    return History(context=context, this=found)


def _newest(context: Context, branch: str) -> PastRun | None:
    """The branch's newest run that has ended, however that was."""
    settings = context.settings
    kind = {PROJECT: context.project_name, ENTRY_POINT: settings.entry_point, ENVIRONMENT: settings.env or ""}
    experiment_id = _tracking(context).find_named(name_experiment(context, branch))
    if experiment_id is None:
        return None
    found = _tracking(context).search_runs([experiment_id], tags={**kind, BRANCH: branch}, limit=SEARCHED)
    return next((each for each in found if each.status not in GOING_ON), None)


def find_finished(
    context: Context, branch: str, kind: Mapping[str, str], limit: int, *, beside: str = "", but: str = ""
) -> list[PastRun]:
    """The last finished runs of a branch, in the experiment of its name and in the one `beside` this branch's runs.

    The run `but` is none of them.
    """
    own = _tracking(context).find_named(name_experiment(context, branch))
    experiments = list(dict.fromkeys(each for each in (own, beside) if each))
    if not experiments:
        return []
    tags = {**kind, BRANCH: branch}
    found = _tracking(context).search_runs(experiments, tags=tags, limit=limit + bool(but), finished=True)
    return [each for each in found if each.run_id != but][:limit]


def name_experiment(context: Context, branch: str) -> str:
    """The experiment's name that the template gives a branch."""
    from mlops_tasks.pipeline import step_table
    from mlops_tasks.release import Release
    from mlops_tasks.steps import name

    settings = context.settings
    release = Release(target=settings.target, environment=settings.env, project=context.project_name, branch=branch)
    return name.choose_experiment(
        release,
        step_table.owner(context),
        template=settings.experiment,
        user=context.target.user,
        may_be_plain=not context.target.is_databricks,
        origin=settings.origins.get("experiment", "experiment"),
    )


def _refuse(what: str, context: Context) -> errors.BadInput:
    cure = "name a branch or an environment that has a finished run, or a run's id (`inv runs` lists them)"
    return errors.BadInput(f"{what} ({_tracking(context).shown})", where="--with", cure=cure)


def _tracking(context: Context) -> Tracking:
    return context.target.runs.tracking

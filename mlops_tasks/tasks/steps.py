"""The tasks of the five steps, `release`, which takes them all, and `plan` and `status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import invoke

from mlops_tasks.pipeline.inputs import NOTHING, Inputs
from mlops_tasks.settings import SETTINGS
from mlops_tasks.tasks import base, session, several

if TYPE_CHECKING:
    from mlops_tasks.pipeline.pipeline import Pipeline

DETACH = "end once the run is submitted, and leave it running (see watch and cancel)"
SWEEP = "one run for each value: name=value,value,... (repeatable: every combination)"
FORCE = "continue in spite of what the task `doctor` calls an error"


@invoke.task(klass=base.ReleaseTask, settings=base.NAMING, help={"explain": "show where the branch comes from"})
def name(c: invoke.Context, explain: bool = False, **flags: Any) -> None:  # noqa: FBT001, FBT002 - flags are booleans
    """Step 1: choose the experiment's name and the wheel folder."""
    _take(c, "name", flags, Inputs(explain=explain))


@invoke.task(klass=base.ReleaseTask, settings=base.BUILDING, name="build-wheel")
def build_wheel(c: invoke.Context, **flags: Any) -> None:
    """Step 2: build the wheels of the libraries that changed."""
    _take(c, "build-wheel", flags, NOTHING)


@invoke.task(
    klass=base.ReleaseTask,
    settings=base.BUILDING,
    iterable=["wheel"],
    help={"wheel": "a wheel file to deploy instead of the built ones (repeatable)", "force": FORCE},
)
def deploy(
    c: invoke.Context,
    wheel: list[str] | None = None,
    force: bool = False,  # noqa: FBT001, FBT002
    **flags: Any,
) -> None:
    """Step 3: put the wheels into the branch's wheel folder."""
    from mlops_tasks.stores import uris

    wheels = tuple(uris.given_path(each).absolute() for each in wheel or ())
    _take(c, "deploy", flags, Inputs(wheels=wheels, force=force))


@invoke.task(
    klass=base.ReleaseTask,
    settings=base.PATCHING,
    iterable=["wheel_uri"],
    help={
        "wheel_uri": "URI of a wheel to point at instead of the deployed ones (repeatable)",
        "diff": "print the change to the project's files",
        "in_place": "patch the project's own files instead of a copy",
    },
)
def patch(
    c: invoke.Context,
    wheel_uri: list[str] | None = None,
    diff: bool = False,  # noqa: FBT001, FBT002
    in_place: bool = False,  # noqa: FBT001, FBT002
    **flags: Any,
) -> None:
    """Step 4: stage a copy of the project that names the wheels."""
    _take(c, "patch", flags, Inputs(wheel_uris=tuple(wheel_uri or ()), diff=diff, in_place=in_place))


@invoke.task(
    klass=base.ReleaseTask,
    settings=tuple(SETTINGS),
    iterable=["sweep"],
    help={
        "experiment_name": "name of the experiment, instead of the one that `name` chose",
        "experiment_id": "id of an existing experiment, instead of a name",
        "detach": DETACH,
        "force": FORCE,
        "sweep": SWEEP,
    },
)
def run(
    c: invoke.Context,
    experiment_name: str | None = None,
    experiment_id: str | None = None,
    detach: bool = False,  # noqa: FBT001, FBT002
    force: bool = False,  # noqa: FBT001, FBT002
    sweep: list[str] | None = None,
    **flags: Any,
) -> None:
    """Step 5: run the staged project and follow it to its end."""
    inputs = Inputs(experiment_name=experiment_name, experiment_id=experiment_id, detach=detach, force=force)
    _take(c, "run", flags, inputs._replace(sweep=tuple(sweep or ())))


@invoke.task(
    klass=base.ReleaseTask,
    settings=tuple(SETTINGS),
    iterable=["sweep"],
    help={"detach": DETACH, "force": FORCE, "sweep": SWEEP},
)
def release(
    c: invoke.Context,
    detach: bool = False,  # noqa: FBT001, FBT002
    force: bool = False,  # noqa: FBT001, FBT002
    sweep: list[str] | None = None,
    **flags: Any,
) -> None:
    """Take the five steps: name, build-wheel, deploy, patch, run."""
    session.release(c, flags, Inputs(detach=detach, force=force, sweep=tuple(sweep or ())))


@invoke.task(klass=base.ReleaseTask, settings=tuple(SETTINGS), help={"json": "print what would change as JSON"})
def plan(c: invoke.Context, **flags: Any) -> None:
    """Show what a release would change since the last run of the branch, as a diff."""
    saying = several.Saying("cannot be planned", "`inv plan`")
    session.print_json(several.tell_projects(c, flags, lambda each: each.show_plan().to_dict(), saying), flags)


def _take(c: invoke.Context, step: str, flags: dict[str, Any], inputs: Inputs) -> None:
    session.work(c, flags, lambda pipeline: pipeline.take(step, inputs))


@invoke.task(
    klass=base.ReleaseTask,
    settings=base.PATCHING,
    help={"check": "end with 3 unless every step has run and still holds", "json": "print the record and `steps`"},
)
def status(c: invoke.Context, check: bool = False, **flags: Any) -> None:  # noqa: FBT001, FBT002
    """Show what each step has made and whether that still holds."""

    def tell(pipeline: Pipeline) -> several.Told:
        found = pipeline.show_status()
        if check:
            found.check()
        return found.to_dict()

    saying = several.Saying("are not released as they are", "`inv release`")
    session.print_json(several.tell_projects(c, flags, tell, saying), flags)

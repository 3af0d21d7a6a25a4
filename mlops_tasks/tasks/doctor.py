"""`inv doctor`: the findings about a release to Databricks, shown before anything is sent there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import invoke

from mlops_tasks import errors
from mlops_tasks.tasks import base, session, several

if TYPE_CHECKING:
    from mlops_tasks.doctor.findings import Finding, Findings, Level
    from mlops_tasks.pipeline.pipeline import Pipeline
    from mlops_tasks.steps.context import Context

SETTINGS = (*base.PATCHING, "backend")
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
REHEARSED = """\
the target here is {target}; this is what a release to Databricks would meet
  (with `--target databricks --wheel-root URI` that place is checked too)"""

AS_IT_IS = """\
the project stays as it is: from runtime 13 on `backend: auto` runs it by databricks-jobs, on an existing cluster and \
on serverless compute too (--backend databricks writes the Spark job that MLflow's own backend wants)"""


@invoke.task(
    klass=base.ReleaseTask,
    settings=SETTINGS,
    help={
        "fix": "put a supported runtime for an ended one first, or with `backend: databricks` write the project as a "
        "databricks_spark_job (with --dry-run: show that change only)",
        "json": "print the findings as JSON, and nothing else",
        "dry_run": "change nothing",
        "verbose": "name the topics in which nothing was found, too",
    },
)
def doctor(c: invoke.Context, fix: bool = False, **flags: Any) -> None:  # noqa: FBT001, FBT002 - flags are booleans
    """Say what will not work on Databricks, why, and what to change."""
    from mlops_tasks.settings import environments

    if flags["env"] == environments.EVERY:
        _tell_all(c, flags, fix=fix)
        return
    if not fix:
        with _grouped(flags) as shown:
            told = _tell_projects(c, flags, shown)
        session.print_json(told, flags)
        return
    context = session.open_pipeline(c, flags).context
    changed = _fix(context)
    if not context.dry_run:
        context = session.open_pipeline(c, flags, again=True).context  # the project was read before it changed
        changed = _tell(context, flags, changed)
    session.print_json(changed, flags)


class _Release(NamedTuple):
    """One of several releases that are examined; `environment` and `project` are empty where there is one of them."""

    environment: str = ""
    project: str = ""


_Shown = dict["Finding", list[tuple[str, _Release]]]
"""The findings of several releases without their places, each with the places and the releases that have it."""


@contextmanager
def _grouped(flags: dict[str, Any]) -> Iterator[_Shown]:
    """Show what the block gathers of several releases: each finding once, however the block ends."""
    shown: _Shown = {}
    try:
        yield shown
    finally:
        report = session.open_report(flags)
        if shown:
            report.text("\n")
        for each in sorted(shown, key=lambda each: LEVELS.index(each.level)):
            places = dict.fromkeys(place for place, _ in shown[each] if place)
            whole = each._replace(where="\nin: ".join(places))
            report.step(each.level, f"{whole}\nfor: {_name([release for _, release in shown[each]])}")


def _name(releases: Sequence[_Release]) -> str:
    """`training, score in dev, prod`: environments in which the same projects are meant stand together."""
    projects: dict[str, list[str]] = {}
    for each in releases:
        projects.setdefault(each.environment, []).append(each.project)
    places: dict[str, list[str]] = {}
    for environment, names in projects.items():
        places.setdefault(", ".join(names), []).append(environment)
    return "; ".join(" in ".join(filter(None, [names, ", ".join(found)])) for names, found in places.items())


def _tell_projects(
    c: invoke.Context, flags: dict[str, Any], shown: _Shown, *, environment: str = "", again: bool = False
) -> several.Told:
    """Show the findings of the project, or gather those of each listed one, and of an `environment` among others."""
    is_listed = len(session.open_pipelines(c, flags, again=True)) > 1

    def tell(pipeline: Pipeline) -> several.Told:
        context = pipeline.context
        release = _Release(environment, context.settings.listed_as if is_listed else "")
        return _tell(context, flags, group=(shown, release) if any(release) else None)

    return several.tell_projects(c, flags, tell, _saying(), again=again)


def _saying() -> several.Saying:
    from mlops_tasks.doctor import findings

    return several.Saying("have errors", "`inv doctor`", {"version": findings.VERSION})


def _tell(
    context: Context,
    flags: dict[str, Any],
    changed: Mapping[str, Any] = MappingProxyType({}),
    *,
    group: tuple[_Shown, _Release] | None = None,
) -> dict[str, Any]:
    """Show the findings, of one release of a `group` their number alone.

    They and what was `changed` are returned as `--json` has them, also beside the error that is raised.
    """
    found = _examine(context)
    if not flags["json"]:
        _show(found, context, group)
    told = {**found.to_dict(), **changed}
    if wrong := found.of("error"):
        refusal = _refuse(wrong, context)
        refusal.beside = told
        raise refusal
    return told


def _tell_all(c: invoke.Context, flags: dict[str, Any], *, fix: bool) -> None:
    """Show the findings of each environment under a heading of its own; the worst of them gives the exit code."""
    if fix:
        raise errors.BadInput(
            "--fix writes what one environment needs", where="--env all", cure="give `--env NAME`, or leave --fix out"
        )
    from mlops_tasks.settings import environments

    written = base.settings_of(c).get("environments")
    names = [str(name) for name in written] if isinstance(written, dict) and written else list(environments.TARGETS)
    _ = session.open_pipelines(c, {**flags, "env": names[0]})  # a fault of the settings is no environment's alone

    with _grouped(flags) as shown:

        def tell(name: str) -> several.Told:
            with base.called_with(env=name):
                return _tell_projects(c, {**flags, "env": name}, shown, environment=name, again=True)

        told = several.tell_each("environment", names, tell, _saying(), flags)
    session.print_json(told, flags)


def _refuse(wrong: list[Finding], context: Context) -> errors.ReleaseError:
    """A workspace that refuses the login gives its own exit code, whatever else was found."""
    kind = next((each.kind for each in wrong if each.kind is not errors.BadInput), errors.BadInput)
    return kind(
        f"{_count(len(wrong), 'thing')} will not work on Databricks",
        where=context.project_folder,
        cure="change what each error above says after `do:`, then `inv doctor`",
    )


def _examine(context: Context) -> Findings:
    from mlops_tasks.doctor import reading

    if not context.target.is_databricks:
        context.report.detail(REHEARSED.format(target=context.settings.target))
    with context.places.usable():
        found = reading.examine(context, context.record.load(), login=True)
    placed = [each._replace(where=context.settings.place_of(each.where)) for each in found.found]
    return found._replace(found=placed)


def _show(found: Findings, context: Context, group: tuple[_Shown, _Release] | None) -> None:
    report = context.report
    context.say_once(f"backend {found.backend}: {found.reason}")
    for each in found.found:
        if group is None:
            report.step(each.level, base.spell_as_called(str(each)))
        else:
            shown, release = group
            what, cure = map(base.spell_as_called, (each.what, each.cure))
            shown.setdefault(each._replace(what=what, where="", cure=cure), []).append((each.where, release))
    for topic in found.fine:
        report.debug(f"{topic}: fine")
    for topic in found.unasked:
        report.debug(f"{topic}: nothing to look at yet")
    counts = ", ".join(_count(len(found.of(level)), level) for level in LEVELS if found.of(level))
    report.step("doctor", counts or "nothing found")


def _fix(context: Context) -> dict[str, Any]:
    """Write what makes the project run, or show that alone; what changed, as `--json` has it.

    For MLflow's own backend, where it is named, that is a Spark job; else the project stays, on a newer runtime.
    """
    from mlops_tasks.doctor import cures, findings, fix, reading
    from mlops_tasks.project import cluster
    from mlops_tasks.targets.databricks import MLFLOW_BACKEND

    if context.is_fetched:
        raise errors.BadInput(
            "a project at a git URI has no files here that could be changed",
            where="--fix",
            cure="leave --fix out, or set `project` to a folder",
        )
    spec = cluster.find(context.cluster, context.project_folder)
    subject = reading.read_subject(context, None)
    newer = cures.renew_runtime(subject)
    if subject.backend == MLFLOW_BACKEND and not subject.is_chosen:
        importing = subject.lacks_mlflow
        form = fix.convert(
            context.project,
            cluster_file=spec,
            placeholder=context.settings.placeholder,
            mlflow_for=importing.path.name if importing is not None else "",
        )
        said = [f"spark_version {subject.spark_version} is gone, {newer.name} is the nearest"] if newer else []
    else:
        form = fix.renew(spec, newer.name) if spec is not None and newer is not None else fix.Form(files=(), notes=())
        said = [AS_IT_IS]
    diff, notes = fix.compare(form, context.project_folder), [*form.notes, *said]
    context.report.text(diff)
    for note in notes:
        context.report.warning(note)
    if not context.dry_run:
        fix.write(form)
        context.report.step("fix", "\n".join(str(each.path) for each in form.files) or "nothing to write")
    files = [str(each.path) for each in form.files]
    return {"version": findings.VERSION, "fix": {"files": files, "diff": diff, "notes": notes}}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

"""`inv doctor`: the findings about a release to Databricks, shown before anything is sent there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import invoke

from mlops_tasks import errors
from mlops_tasks.tasks import base, session, several

if TYPE_CHECKING:
    from mlops_tasks.doctor.findings import Finding, Findings
    from mlops_tasks.steps.context import Context

SETTINGS = (*base.PATCHING, "backend")
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
        session.print_json(_tell_projects(c, flags), flags)
        return
    context = session.open_pipeline(c, flags).context
    changed = _fix(context)
    if not context.dry_run:
        context = session.open_pipeline(c, flags, again=True).context  # the project was read before it changed
        changed = _tell(context, flags, changed)
    session.print_json(changed, flags)


def _tell_projects(c: invoke.Context, flags: dict[str, Any], *, again: bool = False) -> several.Told:
    """Show the findings of the project, or of each listed one."""
    return several.tell_projects(c, flags, lambda each: _tell(each.context, flags), _saying(), again=again)


def _saying() -> several.Saying:
    from mlops_tasks.doctor import findings

    return several.Saying("have errors", "`inv doctor`", {"version": findings.VERSION})


def _tell(context: Context, flags: dict[str, Any], changed: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Show the findings; they and what was `changed` as `--json` has them, also beside the error that is raised."""
    found = _examine(context)
    if not flags["json"]:
        _show(found, context)
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

    def tell(name: str) -> several.Told:
        with base.called_with(env=name):
            return _tell_projects(c, {**flags, "env": name}, again=True)

    session.print_json(several.tell_each("environment", names, tell, _saying(), flags), flags)


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


def _show(found: Findings, context: Context) -> None:
    report = context.report
    context.say_once(f"backend {found.backend}: {found.reason}")
    for each in found.found:
        report.step(each.level, base.spell_as_called(str(each)))
    for topic in found.fine:
        report.debug(f"{topic}: fine")
    for topic in found.unasked:
        report.debug(f"{topic}: nothing to look at yet")
    counts = ", ".join(_count(len(found.of(level)), level) for level in ("error", "warning", "note") if found.of(level))
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

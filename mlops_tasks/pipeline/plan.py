"""What a release would change: what is there now beside the last run's release of the branch, as one diff."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from mlops_tasks import errors, files, record, redaction
from mlops_tasks.pipeline import job_plan, staleness, step_table
from mlops_tasks.pipeline.inputs import NOTHING
from mlops_tasks.project import cluster, mlproject, staging
from mlops_tasks.project.text import source
from mlops_tasks.release import Attempt, Release
from mlops_tasks.report import Report
from mlops_tasks.steps import deploy, patch
from mlops_tasks.steps.context import Context

FACTS = "release"
"""What the diff calls the lines that are of no file."""
SHORT = 16
"""Characters of a hash in it, after a file's mode."""
LONGEST = 64 * 1024
"""Bytes of a project's file whose change is shown line by line."""


class File(NamedTuple):
    """A staged file: its mode and hash, and its text where a change of it is shown line by line."""

    hash: str
    text: str | None


class Plan(NamedTuple):
    """`since` is the last run, empty before the first one; `diff` is empty where nothing changes."""

    since: str = ""
    status: str = ""
    diff: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "changes": bool(self.diff or not self.since)}

    def __str__(self) -> str:
        if not self.since:
            return "nothing of this branch has run here yet: all of it is new"
        last = f"run {self.since}" + (f" ({self.status})" if self.status else "")
        return f"changes since {last}" if self.diff else f"nothing has changed since {last}"


def foresee(context: Context, steps: staleness.Steps) -> Plan:
    """What a whole release would change. Wheels are built; no login is asked for where the last names still stand."""
    last, quiet = _find_last(context), context.silenced()
    if last is None:
        step_table.check_files(context, NOTHING)
        if not _why_signed_out(quiet):
            step_table.check_inputs(quiet, NOTHING)
        return Plan()
    release = staleness.begin(quiet, steps, "name", NOTHING)
    if why := _why_signed_out(quiet):
        context.report.detail(f"experiment and wheel folder are taken to be the last ones: {why}")
        release = replace(release, names=last.names)
    else:
        release = steps["name"].take(quiet, release, NOTHING)
    return _compare(quiet, last, steps["build-wheel"].take(quiet, release, NOTHING), context.report)


def compare(context: Context, release: Release, *, swept: Collection[str] = ()) -> Plan:
    """What the steps after build-wheel would change: `release` has its names and wheels.

    The `swept` parameters, of which each run has another value, are left out.
    """
    last = _find_last(context)
    return _compare(context.silenced(), last, release, context.report, swept=swept) if last else Plan()


def _compare(context: Context, last: Release, release: Release, report: Report, *, swept: Collection[str] = ()) -> Plan:
    deployed = deploy.name_deployed(release.wheels or (), step_table.wheel_folder(release))
    release = patch.patch_project(context, release.with_step("deploy", "", deployed=deployed))
    given, entry_point = job_plan.choose_parameters(context), context.settings.entry_point
    parameters = job_plan.resolve(context, given)
    now = _facts(release, entry_point, context.backend, parameters, swept)
    attempt = last.attempt or Attempt("")
    then = _facts(last, attempt.entry_point, attempt.backend, attempt.parameters, swept)
    copies = [_read_copy(context, each) for each in (last, release)]
    if not all(copies):
        report.detail("the staged project of the last run is gone: its files are not compared")
        copies = [{}, {}]
    diff = redaction.mask(source.unified_diff(_changes((then, now), copies)))
    return Plan(attempt.run_id or "", last.run.status if last.run else "", diff)


def _find_last(context: Context) -> Release | None:
    """The release of the branch's last run, as it was then; None where there was none."""
    release = context.record.load()
    if release is None or release.attempt is None or release.attempt.run_id is None:
        return None
    path = context.runs_folder / f"{release.attempt.run_id}.json"
    try:
        return record.parse(path.read_bytes(), path=path)
    except FileNotFoundError:  # it goes on
        return context.record.load_attempt(release.attempt) or release


def _why_signed_out(context: Context) -> str:
    """Why the names cannot be chosen anew: no login is known for a target that asks for one; else empty."""
    if not context.target.is_remote:
        return ""
    try:
        _ = context.target.host, context.wheel_root
        if "{user}" in context.settings.experiment:
            context.target.user()
    except errors.ReleaseError as fault:
        return fault.what
    return ""


def _facts(
    release: Release, entry_point: str, backend: str, parameters: Mapping[str, str], swept: Collection[str]
) -> dict[str, str]:
    names = (
        {"experiment": release.names.experiment, "wheel folder": release.names.wheel_folder} if release.names else {}
    )
    wheels = {
        f"wheel {each.distribution}": f"{_last_part(each.uri)} {each.sha256[:SHORT]}" for each in release.deployed or ()
    }
    kept = sorted((name, value) for name, value in parameters.items() if name not in swept)
    given = {f"parameter {name}": redaction.mask(value) for name, value in kept}
    return {**names, "entry point": entry_point, "backend": backend, **given, **wheels}


def _last_part(uri: str) -> str:
    return uri.rpartition("/")[2]


def _read_copy(context: Context, release: Release) -> dict[str, File]:
    """The files of the staged project: of those that say what is run the text, of the others the hash."""
    folder = context.top / release.patched.project_dir if release.patched else None
    if release.patched is None or folder is None or not folder.is_dir():
        return {}
    project, names = mlproject.load(folder), files.walk(folder)
    own = {project.mlproject, cluster.FILE_NAME, *(each.file for each in release.patched.references)}
    if project.environment_file is not None:
        own.add(staging.name_inside(project.environment_file, folder))
    hashes = staging.hash_files(folder, names)
    return {name: File(hashes[name], _read_text(folder / name) if name in own else None) for name in names}


def _read_text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8") if path.stat().st_size <= LONGEST else None
    except (OSError, UnicodeDecodeError):
        return None


def _changes(
    facts: Sequence[Mapping[str, str]], copies: Sequence[Mapping[str, File]]
) -> Iterator[tuple[str, str, str]]:
    """Each text before and after: the facts, with the files that are told by their hash alone; then the other files."""
    shown = {name for copy in copies for name, each in copy.items() if each.text is not None}
    told = [{f"file {name}": each.hash[:SHORT] for name, each in copy.items() if name not in shown} for copy in copies]
    old, new = (_show({**fact, **hashes}) for fact, hashes in zip(facts, told, strict=True))
    yield FACTS, old, new
    for name in sorted(shown):
        old, new = ((copy[name].text or "") if name in copy else "" for copy in copies)
        yield name, old, new


def _show(facts: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {' '.join(value.splitlines())}" for name, value in facts.items())

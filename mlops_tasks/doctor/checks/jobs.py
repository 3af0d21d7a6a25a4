"""Checks of this package's own backend, databricks-jobs: the compute, and what can be installed there.

They ask what a release itself asks before it sends anything.
"""

from __future__ import annotations

from collections.abc import Iterator

from mlops_tasks import errors
from mlops_tasks.backends.databricks_jobs import backend, dependencies, submission
from mlops_tasks.backends.databricks_jobs import compute as computes
from mlops_tasks.doctor import cures, findings
from mlops_tasks.doctor.subject import Subject
from mlops_tasks.stores import uris
from mlops_tasks.workspace import runtimes

ENVIRONMENTS = findings.Evidence(
    "documented", "https://learn.microsoft.com/azure/databricks/release-notes/serverless/environment-version/"
)
JOBS_BACKEND = findings.Evidence("seen", "mlops_tasks: backends/databricks_jobs")


def check_compute(subject: Subject) -> Iterator[findings.Finding]:
    """What the cluster spec and the settings mean, or why they mean nothing; what is left out of the spec."""
    if subject.refused is not None:
        yield _refuse(subject.refused)
    there = subject.there
    for said in there.said if there is not None else ():
        yield JOBS_BACKEND.note(said, where=subject.place_of())


def check_existing(subject: Subject) -> Iterator[findings.Finding]:
    """The workspace's own word."""
    find, there = subject.ask.cluster, subject.compute
    if find is None or there is None:
        return
    try:
        there = computes.ask(there, find)
    except errors.BadInput as fault:
        yield findings.WORKSPACE.error(fault.what, where=fault.where, cure=fault.cure)
        return
    runtime = there.runtime if there.kind == "existing" else None
    if runtime is not None and runtime.version >= runtimes.PROJECTS_END and runtime.has_ended(subject.today):
        yield findings.RUNTIMES.warning(
            f"{there} is not supported any more",
            where=there.place_of("existing_cluster_id"),
            cure="name a cluster of a newer runtime",
        )


def check_runs(subject: Subject) -> Iterator[findings.Finding]:
    """A runtime that is too old for this backend."""
    there = subject.there
    if there is None:
        return
    try:
        computes.find_rule(there)
    except errors.BadInput as fault:
        is_new = there.kind == "new"
        yield JOBS_BACKEND.error(
            fault.what, where=fault.where, cure=cures.move(subject) if is_new else "name a cluster of a newer runtime"
        )


def check_environment(subject: Subject) -> Iterator[findings.Finding]:
    """The end of support of serverless compute's environment."""
    there = subject.there
    found = runtimes.ENVIRONMENTS.get(there.environment_version) if there is not None else None
    if there is not None and found is not None and found.ends is not None and subject.today > found.ends:
        yield ENVIRONMENTS.warning(
            f"environment {there.environment_version} is not supported since {found.ends.day} {found.ends:%B %Y}",
            where=there.place_of("environments"),
            cure=f"set environment_version to {[*runtimes.ENVIRONMENTS][-1]}",
        )


def check_root(subject: Subject) -> Iterator[findings.Finding]:
    """DBFS, where there is no mount of it, or where nothing is installed from it."""
    there = subject.there
    if there is None:
        return
    what = ""
    try:
        backend.check_store(subject.wheel_root, there)
    except errors.BadInput as fault:
        what = fault.what
    lines = subject.needs[0].lines if subject.needs is not None else ()
    is_for_file = bool(lines) and there.rule.requirements == "file"
    is_listed = any(uri == subject.wheel_root for uri, _ in subject.cluster_wheels())  # another check's
    if (subject.ours or is_for_file) and not is_listed and not dependencies.installs_from(subject.wheel_root, there):
        what = what or f"{there} installs nothing from DBFS ({subject.wheel_root})"
    if what:
        evidence = JOBS_BACKEND._replace(basis=there.rule.basis)
        yield evidence.error(what, where="wheel_root", cure=cures.place_wheels(subject))


def check_readable(subject: Subject) -> Iterator[findings.Finding]:
    """Folders that the identity of the run may not read."""
    there = subject.there
    if there is None:
        return
    home = uris.home_of("you")
    places = {"wheel_root": subject.wheel_root, "driver_root": subject.driver_root or f"{home}/.mlops/driver"}
    try:
        submission.check_readable(there, user="", places=places)
    except errors.BadInput as fault:
        yield _refuse(fault)


def check_dependencies(subject: Subject) -> Iterator[findings.Finding]:
    """What cannot be installed there, each line in the user's own file; what does not travel, or arrives as another."""
    if subject.needs is None:
        return
    needs, faults = subject.needs
    yield from map(_refuse, faults)
    for said in needs.said:
        yield JOBS_BACKEND.note(said, where=_file_of(subject))


def check_workers(subject: Subject) -> Iterator[findings.Finding]:
    """Compiled wheels, which the workers of an existing cluster cannot be sent."""
    there = subject.there
    if there is not None and subject.workers:
        for wheel in subject.wheels:
            yield from map(_refuse, dependencies.find_unsendable(wheel.file_name, there))


def _refuse(fault: errors.BadInput) -> findings.Finding:
    return JOBS_BACKEND.error(fault.what, where=fault.where, cure=fault.cure)


def _file_of(subject: Subject) -> str:
    text = subject.environment_text or subject.project_text
    return str(text.path) if text is not None else ""

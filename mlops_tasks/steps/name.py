"""Take the step name: the experiment's name, and the branch's own wheel folder."""

from __future__ import annotations

import string
from collections.abc import Callable

from mlops_tasks import errors, files, slugs
from mlops_tasks.release import Names, Release
from mlops_tasks.report import Report
from mlops_tasks.stores import uris

FIELDS = ("project", "branch", "user", "target")


def name_digest(release: Release, *, template: str, wheel_root: str) -> str:
    """The digest of all that decides the names."""
    return files.digest(
        {
            "branch": release.branch,
            "project": release.project,
            "experiment": template,
            "wheel_root": wheel_root,
            "target": release.target,
        }
    )


def choose_names(
    release: Release,
    *,
    template: str,
    wheel_root: str,
    user: Callable[[], str],
    report: Report,
    may_be_plain: bool = False,
) -> Release:
    """A release with its names; `user` is asked only where `template` has `{user}`.

    Raises BadInput for a template with unknown fields, or one whose name is not absolute, unless it `may_be_plain`.
    """
    branch = slugs.slug(release.branch)
    values = {
        "project": slugs.slug(_last_part(release.project)),
        "branch": branch,
        "target": release.target,
    }
    if "user" in _fields_of(template):
        values["user"] = user().replace("/", "-")
    experiment = check(template.format(**values), where=f"experiment: {template}", may_be_plain=may_be_plain)
    names = Names(experiment=experiment, wheel_folder=f"{wheel_root.rstrip('/')}/{branch}")
    report.step("name", f"{experiment}\nwheels in {names.wheel_folder}")
    return release.with_step("name", name_digest(release, template=template, wheel_root=wheel_root), names=names)


def _last_part(project: str) -> str:
    """The folder's name, of a path or of a URI with or without `#subfolder`."""
    return project.rstrip("/").replace("#", "/").rsplit("/", 1)[-1].removesuffix(".git")


def _fields_of(template: str) -> set[str]:
    where = f"experiment: {template}"
    try:
        parts = [part for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as fault:
        raise _refused(
            f"the template {template!r} has a brace too many or too few", f"experiment: {template}"
        ) from fault
    if odd := [name for _, name, form, change in parts if form or change]:
        raise _refused(f"the template {template!r} has more than a name in the braces of {odd[0]}", where)
    fields = {str(name) for _, name, _, _ in parts}
    unknown = sorted(fields - set(FIELDS))
    if unknown:
        raise _refused(f"the template {template!r} has the unknown field {{{unknown[0]}}}", where)
    return fields


def check(name: str, *, where: str, may_be_plain: bool) -> str:
    """The experiment's name: an absolute workspace path, or where it `may_be_plain` any name without slashes too.

    A leading /Workspace is stripped: MLflow creates such a name once, then fails.
    """
    name = uris.without_workspace(name)
    if may_be_plain and "/" not in name and name.strip():
        return name
    parts = name.split("/")
    if not name.startswith("/") or len(parts) < 2 or {"", ".", ".."} & set(parts[1:]):  # noqa: PLR2004 - "" and a name
        raise _refused(f"{name!r} is not an absolute path without empty parts", where)
    return name


def _refused(what: str, where: str) -> errors.BadInput:
    known = ", ".join(f"{{{field}}}" for field in FIELDS)
    return errors.BadInput(
        what, where=where, cure=f"write one such as /Shared/{{project}}/{{branch}} (fields of the template: {known})"
    )

"""Take the step name: the experiment's name, and the wheel folder of the repository's branch."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import NamedTuple

from mlops_tasks import errors, files, slugs
from mlops_tasks.release import Names, Release
from mlops_tasks.report import Report
from mlops_tasks.stores import uris

FIELDS = ("repository", "project", "branch", "user", "target", "environment")
LONGEST = 500
"""As many characters the name of an experiment may have in MLflow."""


class Owner(NamedTuple):
    """Whose the names are: the repository's own name, and what names the project among its others."""

    repository: str
    project: str


def name_digest(release: Release, owner: Owner, *, template: str, wheel_root: str) -> str:
    """The digest of all that decides the names."""
    return files.digest(
        {
            "branch": release.branch,
            "repository": owner.repository,
            "project": [release.project, owner.project],
            "experiment": template,
            "wheel_root": wheel_root,
            "target": release.target,
            **({"environment": release.environment} if release.environment else {}),
        }
    )


def choose_names(
    release: Release,
    owner: Owner,
    *,
    template: str,
    wheel_root: str,
    user: Callable[[], str],
    report: Report,
    may_be_plain: bool = False,
    origin: str = "experiment",
) -> Release:
    """A release with its names; `user` is asked only where `template`, which is from `origin`, has `{user}`.

    Raises BadInput for a template with unknown fields, or one whose name is not absolute, unless it `may_be_plain`.
    """
    experiment = choose_experiment(
        release, owner, template=template, user=user, may_be_plain=may_be_plain, origin=origin
    )
    folder = f"{wheel_root.rstrip('/')}/{slugs.name(owner.repository)}/{slugs.slug(release.branch)}"
    report.step("name", experiment)
    report.debug(f"wheels go to {folder}")
    digest = name_digest(release, owner, template=template, wheel_root=wheel_root)
    return release.with_step("name", digest, names=Names(experiment=experiment, wheel_folder=folder))


def choose_experiment(
    release: Release,
    owner: Owner,
    *,
    template: str,
    user: Callable[[], str],
    may_be_plain: bool,
    origin: str = "experiment",
) -> str:
    """The name of the experiment, as `choose_names` chooses it."""
    values = {
        "repository": slugs.name(owner.repository),
        "project": slugs.name(owner.project, readable=_last_part(owner.project)),
        "branch": slugs.slug(release.branch),
        "target": release.target,
        "environment": slugs.name(release.released_to),
    }
    where = f"{origin}: {template}"
    if "user" in _fields_of(template, where):
        values["user"] = user().replace("/", "-")
    return check(template.format(**values), where=where, may_be_plain=may_be_plain)


def _last_part(project: str) -> str:
    """What is read of a URI, with or without `#subfolder`: the folder's name. Of a path all can be read."""
    if ":" not in project:
        return project
    return project.rstrip("/").replace("#", "/").rsplit("/", 1)[-1].removesuffix(".git")


def _fields_of(template: str, where: str) -> set[str]:
    try:
        parts = [part for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as fault:
        raise _refused(f"the template {template!r} has a brace too many or too few", where) from fault
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
    if len(name) > LONGEST:
        raise errors.BadInput(
            f"the experiment's name would have {len(name)} characters, and MLflow takes {LONGEST} at most",
            where=where.partition(": ")[0],
            cure="choose a shorter name",
        )
    if may_be_plain and "/" not in name and name.strip():
        return name
    if not name.startswith("/") or {"", ".", ".."} & set(name.split("/")[1:]):
        raise _refused(f"{name!r} is not an absolute path without empty parts", where)
    return name


def _refused(what: str, where: str) -> errors.BadInput:
    known = ", ".join(f"{{{field}}}" for field in FIELDS)
    example = "/Shared/{repository}/{project}/{branch}"
    return errors.BadInput(what, where=where, cure=f"write one such as {example} (fields of the template: {known})")

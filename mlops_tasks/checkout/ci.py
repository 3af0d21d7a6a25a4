"""The branch and the job's page that the CI system names: a pull request's source branch, with a fork's owner."""

from collections.abc import Mapping
from typing import NamedTuple

from mlops_tasks.checkout import ci_systems


class CiBranch(NamedTuple):
    """`branch` is `owner:branch` for a fork's pull request: a colon cannot be part of a branch's own name.

    Where the owner is not known, or not even whether it is a fork's, it is `pull-request-<number>:branch`. `source` is
    the variable that names the branch, `url` the page of the CI job, empty where it is not known.
    """

    system: str
    branch: str
    source: str
    url: str


def detect(environ: Mapping[str, str]) -> CiBranch | None:
    """The branch that this process runs for in CI; None outside CI, or where the system names no branch."""
    for system in ci_systems.SYSTEMS:
        if not environ.get(system.marker):
            continue
        values = system.values(environ)
        for variable, read in system.branch.items():
            if branch := read(values.get(variable, "")):
                owner = system.owner(*(values.get(each, "") for each in system.fork))
                named = f"{owner}:{branch}" if owner else branch
                return CiBranch(system=system.name, branch=named, source=variable, url=_url(system, environ))
    return None


def _url(system: ci_systems.System, environ: Mapping[str, str]) -> str:
    try:
        return system.url.format_map(environ)
    except KeyError:
        return ""

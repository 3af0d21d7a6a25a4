"""The login: asked for once, and what is wrong with it said in its own words."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_tasks import errors
from mlops_tasks.doctor import findings
from mlops_tasks.doctor.subject import Plan


def check_login(plan: Plan) -> Iterator[findings.Finding]:
    if plan.ask.log_in is None:
        return
    try:
        plan.ask.log_in()
    except errors.ReleaseError as fault:
        is_told = isinstance(fault, errors.WorkspaceError)
        source = "the workspace itself" if is_told else "the variables and the login file here"
        found = findings.error(fault.what, where=fault.where, cure=fault.cure, basis="seen", source=source)
        yield found._replace(kind=type(fault))

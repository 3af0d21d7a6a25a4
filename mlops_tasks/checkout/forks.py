"""Whose branch it is: the owner of the fork that a pull request comes from, as each CI system tells it, or doesn't."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from mlops_tasks.checkout import teamcity

Environ = Mapping[str, str]


def github(environ: Environ) -> str:
    """GitHub names the fork nowhere but in the event's file, and there no longer once the fork is deleted."""
    if not environ.get("GITHUB_HEAD_REF"):
        return ""
    try:
        event = json.loads(Path(environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
        head, base = event["pull_request"]["head"]["repo"], event["pull_request"]["base"]["repo"]
        return "" if head["full_name"] == base["full_name"] else str(head["owner"]["login"])
    except (KeyError, TypeError, OSError, ValueError):
        return _pull_request(_number_in(environ.get("GITHUB_REF", ""), "refs/pull/") or "unknown")


def owner_unless_same(theirs: str, ours: str, number: str) -> Callable[[Environ], str]:
    """The owner of the repository that `theirs` names, where that is not the one that `ours` names.

    `number` is the variable with the pull request's: one that comes from nowhere comes from a fork that is gone.
    """

    def find(environ: Environ) -> str:
        fork, own = _path(environ.get(theirs, "")), _path(environ.get(ours, ""))
        if not fork:
            return _pull_request(environ.get(number, ""))
        return "" if fork == own else fork.rpartition("/")[0] or fork

    return find


def _pull_request(number: str) -> str:
    """What stands in the owner's place: the pull request's own number; nothing outside a pull request."""
    return "" if number in {"", "false"} else f"pull-request-{number}"


def _number_in(text: str, prefix: str) -> str:
    """`7` of `refs/pull/7/merge` or `pr/7`."""
    return text.removeprefix(prefix).split("/", maxsplit=1)[0] if text.startswith(prefix) else ""


def _path(repository: str) -> str:
    """`owner/name` of a repository given so, or by its URL."""
    if "://" in repository:
        repository = urlsplit(repository).path
    elif ":" in repository:
        repository = repository.rpartition(":")[2]
    return repository.strip("/").removesuffix(".git")


def azure(environ: Environ) -> str:
    """Azure Pipelines says that it is a fork, and the URL of the repository that asks."""
    if environ.get("SYSTEM_PULLREQUEST_ISFORK", "").lower() != "true":
        return ""
    owner = _path(environ.get("SYSTEM_PULLREQUEST_SOURCEREPOSITORYURI", "")).rpartition("/")[0]
    return owner or _pull_request(environ.get("SYSTEM_PULLREQUEST_PULLREQUESTID") or "unknown")


def drone(environ: Environ) -> str:
    """Drone doesn't say whether a pull request is a fork's; it gives pushes a source branch too."""
    return _pull_request(environ.get("DRONE_PULL_REQUEST", ""))


def codebuild(environ: Environ) -> str:
    """CodeBuild doesn't say whether a pull request is a fork's."""
    named = (environ.get(variable, "") for variable in ("CODEBUILD_WEBHOOK_TRIGGER", "CODEBUILD_SOURCE_VERSION"))
    number = next((found for text in named if (found := _number_in(text, "pr/"))), "")
    is_one = environ.get("CODEBUILD_WEBHOOK_EVENT", "").startswith("PULL_REQUEST")
    return _pull_request(number or ("unknown" if is_one else ""))


def variable(name: str) -> Callable[[Environ], str]:
    return lambda environ: environ.get(name, "")


def on_teamcity(environ: Environ) -> str:
    """TeamCity names the source branch of its own repository's pull requests alone."""
    settings = teamcity.read_settings(environ)
    if settings.get("teamcity.pullRequest.source.branch"):
        return ""
    return _pull_request(settings.get("teamcity.pullRequest.number", ""))

"""The branch as a CI system tells it: a pull request's source branch first, and a fork's under its owner's name."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

Environ = Mapping[str, str]


class CiBranch(NamedTuple):
    """`branch` is `owner:branch` for a fork's pull request: a colon cannot be part of a branch's own name.

    Where the owner is not told, or not even whether it is a fork's, it is `pull-request-<number>:branch`. `source` is
    the variable that told it, `url` the page of the CI job, empty where it is not known.
    """

    system: str
    branch: str
    source: str
    url: str


class _System(NamedTuple):
    """One CI system: the variable that marks it, those that may name the branch in order, and the job's page."""

    name: str
    marker: str
    variables: tuple[str, ...]
    url: str = ""
    fork: Callable[[Environ], str] = lambda environ: ""
    fork_variables: tuple[str, ...] = ()


def detect(environ: Environ) -> CiBranch | None:
    """What the CI system that runs us says; None outside one, or where it doesn't name a branch."""
    for system in _SYSTEMS:
        if not environ.get(system.marker):
            continue
        found = _teamcity_branch(environ) if system.name == "TeamCity" else _first(system, environ)
        if found is not None:
            source, branch = found
            owner = system.fork(environ)
            named = f"{owner}:{branch}" if owner else branch
            return CiBranch(system=system.name, branch=named, source=source, url=_url(system, environ))
    return None


def _first(system: _System, environ: Environ) -> tuple[str, str] | None:
    for variable in system.variables:
        branch = _bare(variable, environ.get(variable, ""))
        if branch:
            return variable, branch
    return None


def _bare(variable: str, text: str) -> str:
    """The branch's own name; a tag keeps its prefix, so that the tag `v1` and the branch `v1` differ."""
    if variable == "GITHUB_REF":
        return text if text.startswith("refs/tags/") else ""
    if variable == "CODEBUILD_WEBHOOK_TRIGGER":
        kind, _, name = text.partition("/")
        return {"branch": name, "tag": f"refs/tags/{name}"}.get(kind, "")
    if variable == "CODEBUILD_SOURCE_VERSION":
        return text.removeprefix("refs/heads/") if text.startswith("refs/") else ""
    if variable in _TAGS:
        return f"refs/tags/{text}" if text else ""
    if variable == "GIT_BRANCH":
        return text.removeprefix("refs/heads/").removeprefix("origin/")
    return text.removeprefix("refs/heads/")


def _url(system: _System, environ: Environ) -> str:
    try:
        return system.url.format_map(environ)
    except KeyError:
        return ""


def _github_fork(environ: Environ) -> str:
    """GitHub names the fork nowhere but in the event's file, and there no longer once the fork is deleted."""
    if not environ.get("GITHUB_HEAD_REF"):
        return ""
    try:
        event = json.loads(Path(environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
        head, base = event["pull_request"]["head"]["repo"], event["pull_request"]["base"]["repo"]
        return "" if head["full_name"] == base["full_name"] else str(head["owner"]["login"])
    except (KeyError, TypeError, OSError, ValueError):
        return _pull_request(_number_in(environ.get("GITHUB_REF", ""), "refs/pull/") or "unknown")


def _owner_unless_same(theirs: str, ours: str, number: str) -> Callable[[Environ], str]:
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


def _azure_fork(environ: Environ) -> str:
    """Azure Pipelines says that it is a fork, and the URL of the repository that asks."""
    if environ.get("SYSTEM_PULLREQUEST_ISFORK", "").lower() != "true":
        return ""
    owner = _path(environ.get("SYSTEM_PULLREQUEST_SOURCEREPOSITORYURI", "")).rpartition("/")[0]
    return owner or _pull_request(environ.get("SYSTEM_PULLREQUEST_PULLREQUESTID") or "unknown")


def _drone_fork(environ: Environ) -> str:
    """Drone doesn't say whether a pull request is a fork's; it gives pushes a source branch too."""
    return _pull_request(environ.get("DRONE_PULL_REQUEST", ""))


def _codebuild_fork(environ: Environ) -> str:
    """CodeBuild doesn't say whether a pull request is a fork's."""
    named = (environ.get(variable, "") for variable in ("CODEBUILD_WEBHOOK_TRIGGER", "CODEBUILD_SOURCE_VERSION"))
    number = next((found for text in named if (found := _number_in(text, "pr/"))), "")
    is_one = environ.get("CODEBUILD_WEBHOOK_EVENT", "").startswith("PULL_REQUEST")
    return _pull_request(number or ("unknown" if is_one else ""))


def _variable(name: str) -> Callable[[Environ], str]:
    return lambda environ: environ.get(name, "")


def _teamcity_branch(environ: Environ) -> tuple[str, str] | None:
    """TeamCity has no variable for the branch, only settings."""
    settings = _teamcity_settings(environ)
    for key in ("teamcity.pullRequest.source.branch", "teamcity.build.branch"):
        branch = settings.get(key, "").removeprefix("refs/heads/")
        if branch and branch != "<default>":
            return key, branch
    return None


def _teamcity_fork(environ: Environ) -> str:
    """TeamCity names the source branch of its own repository's pull requests alone."""
    settings = _teamcity_settings(environ)
    if settings.get("teamcity.pullRequest.source.branch"):
        return ""
    return _pull_request(settings.get("teamcity.pullRequest.number", ""))


def _teamcity_settings(environ: Environ) -> dict[str, str]:
    """A properties file, which a variable names, names another one, and that has them."""
    build = _properties(environ.get("TEAMCITY_BUILD_PROPERTIES_FILE", ""))
    return {**_properties(build.get("teamcity.configuration.properties.file", "")), **build}


def _properties(name: str) -> dict[str, str]:
    """A Java properties file, as far as TeamCity writes them: `key=value` lines with backslash escapes."""
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines() if name else []
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {key.strip(): _unescape(value.strip()) for key, value in pairs}


def _unescape(text: str) -> str:
    return text.replace("\\:", ":").replace("\\=", "=").replace("\\#", "#").replace("\\!", "!").replace("\\\\", "\\")


_TAGS = {
    "CI_COMMIT_TAG",
    "BITBUCKET_TAG",
    "CIRCLE_TAG",
    "BUILDKITE_TAG",
    "TRAVIS_TAG",
    "DRONE_TAG",
    "APPVEYOR_REPO_TAG_NAME",
}

_SYSTEMS = (
    _System(
        name="Azure Pipelines",
        marker="TF_BUILD",
        variables=("SYSTEM_PULLREQUEST_SOURCEBRANCH", "BUILD_SOURCEBRANCH", "BUILD_SOURCEBRANCHNAME"),
        url="{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
        fork=_azure_fork,
        fork_variables=(
            "SYSTEM_PULLREQUEST_ISFORK",
            "SYSTEM_PULLREQUEST_SOURCEREPOSITORYURI",
            "SYSTEM_PULLREQUEST_PULLREQUESTID",
        ),
    ),
    _System(
        name="GitHub Actions",
        marker="GITHUB_ACTIONS",
        variables=("GITHUB_HEAD_REF", "GITHUB_REF", "GITHUB_REF_NAME"),
        url="{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
        fork=_github_fork,
        fork_variables=("GITHUB_EVENT_PATH",),
    ),
    _System(
        name="GitLab CI",
        marker="GITLAB_CI",
        variables=("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_COMMIT_TAG", "CI_COMMIT_REF_NAME"),
        url="{CI_JOB_URL}",
        fork=_owner_unless_same(
            "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH", "CI_MERGE_REQUEST_PROJECT_PATH", "CI_MERGE_REQUEST_IID"
        ),
        fork_variables=(
            "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH",
            "CI_MERGE_REQUEST_PROJECT_PATH",
            "CI_MERGE_REQUEST_IID",
        ),
    ),
    _System(
        name="Jenkins",
        marker="JENKINS_URL",
        variables=("CHANGE_BRANCH", "BRANCH_NAME", "GIT_BRANCH"),
        url="{BUILD_URL}",
        fork=_variable("CHANGE_FORK"),
        fork_variables=("CHANGE_FORK",),
    ),
    _System(
        name="Bitbucket Pipelines",
        marker="BITBUCKET_BUILD_NUMBER",
        variables=("BITBUCKET_BRANCH", "BITBUCKET_TAG"),  # a fork's pull request starts no pipeline there
        url="{BITBUCKET_GIT_HTTP_ORIGIN}/pipelines/results/{BITBUCKET_BUILD_NUMBER}",
    ),
    _System(
        name="CircleCI",
        marker="CIRCLECI",
        variables=("CIRCLE_BRANCH", "CIRCLE_TAG"),
        url="{CIRCLE_BUILD_URL}",
        fork=_variable("CIRCLE_PR_USERNAME"),
        fork_variables=("CIRCLE_PR_USERNAME",),
    ),
    _System(
        name="Buildkite",
        marker="BUILDKITE",
        variables=("BUILDKITE_TAG", "BUILDKITE_BRANCH"),
        url="{BUILDKITE_BUILD_URL}",
        fork=_owner_unless_same("BUILDKITE_PULL_REQUEST_REPO", "BUILDKITE_REPO", "BUILDKITE_PULL_REQUEST"),
        fork_variables=("BUILDKITE_PULL_REQUEST_REPO", "BUILDKITE_REPO", "BUILDKITE_PULL_REQUEST"),
    ),
    _System(
        name="Travis CI",
        marker="TRAVIS",
        variables=("TRAVIS_PULL_REQUEST_BRANCH", "TRAVIS_TAG", "TRAVIS_BRANCH"),
        url="{TRAVIS_JOB_WEB_URL}",
        fork=_owner_unless_same("TRAVIS_PULL_REQUEST_SLUG", "TRAVIS_REPO_SLUG", "TRAVIS_PULL_REQUEST"),
        fork_variables=("TRAVIS_PULL_REQUEST_SLUG", "TRAVIS_REPO_SLUG", "TRAVIS_PULL_REQUEST"),
    ),
    _System(
        name="Drone",
        marker="DRONE",
        variables=("DRONE_SOURCE_BRANCH", "DRONE_TAG", "DRONE_BRANCH"),
        url="{DRONE_BUILD_LINK}",
        fork=_drone_fork,
        fork_variables=("DRONE_PULL_REQUEST",),
    ),
    _System(
        name="TeamCity",
        marker="TEAMCITY_VERSION",
        variables=("TEAMCITY_BUILD_PROPERTIES_FILE",),
        url="{BUILD_URL}",
        fork=_teamcity_fork,
    ),
    _System(
        name="AWS CodeBuild",
        marker="CODEBUILD_BUILD_ARN",
        variables=("CODEBUILD_WEBHOOK_HEAD_REF", "CODEBUILD_WEBHOOK_TRIGGER", "CODEBUILD_SOURCE_VERSION"),
        url="{CODEBUILD_BUILD_URL}",
        fork=_codebuild_fork,
        fork_variables=("CODEBUILD_WEBHOOK_EVENT",),
    ),
    _System(
        name="AppVeyor",
        marker="APPVEYOR",
        variables=("APPVEYOR_PULL_REQUEST_HEAD_REPO_BRANCH", "APPVEYOR_REPO_TAG_NAME", "APPVEYOR_REPO_BRANCH"),
        url="{APPVEYOR_URL}/project/{APPVEYOR_ACCOUNT_NAME}/{APPVEYOR_PROJECT_SLUG}/builds/{APPVEYOR_BUILD_ID}",
        fork=_owner_unless_same(
            "APPVEYOR_PULL_REQUEST_HEAD_REPO_NAME", "APPVEYOR_REPO_NAME", "APPVEYOR_PULL_REQUEST_NUMBER"
        ),
        fork_variables=("APPVEYOR_PULL_REQUEST_HEAD_REPO_NAME", "APPVEYOR_REPO_NAME", "APPVEYOR_PULL_REQUEST_NUMBER"),
    ),
)

MARKERS = frozenset(name for system in _SYSTEMS for name in (system.marker, *system.variables, *system.fork_variables))
"""Every variable that is read here."""

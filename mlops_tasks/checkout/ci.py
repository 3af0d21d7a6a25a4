"""The branch as a CI system tells it: a pull request's source branch first, and a fork's under its owner's name."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from mlops_tasks.checkout import forks, teamcity

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
        found = teamcity.find_branch(environ) if system.name == "TeamCity" else _first(system, environ)
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
        fork=forks.azure,
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
        fork=forks.github,
        fork_variables=("GITHUB_EVENT_PATH",),
    ),
    _System(
        name="GitLab CI",
        marker="GITLAB_CI",
        variables=("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_COMMIT_TAG", "CI_COMMIT_REF_NAME"),
        url="{CI_JOB_URL}",
        fork=forks.owner_unless_same(
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
        fork=forks.variable("CHANGE_FORK"),
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
        fork=forks.variable("CIRCLE_PR_USERNAME"),
        fork_variables=("CIRCLE_PR_USERNAME",),
    ),
    _System(
        name="Buildkite",
        marker="BUILDKITE",
        variables=("BUILDKITE_TAG", "BUILDKITE_BRANCH"),
        url="{BUILDKITE_BUILD_URL}",
        fork=forks.owner_unless_same("BUILDKITE_PULL_REQUEST_REPO", "BUILDKITE_REPO", "BUILDKITE_PULL_REQUEST"),
        fork_variables=("BUILDKITE_PULL_REQUEST_REPO", "BUILDKITE_REPO", "BUILDKITE_PULL_REQUEST"),
    ),
    _System(
        name="Travis CI",
        marker="TRAVIS",
        variables=("TRAVIS_PULL_REQUEST_BRANCH", "TRAVIS_TAG", "TRAVIS_BRANCH"),
        url="{TRAVIS_JOB_WEB_URL}",
        fork=forks.owner_unless_same("TRAVIS_PULL_REQUEST_SLUG", "TRAVIS_REPO_SLUG", "TRAVIS_PULL_REQUEST"),
        fork_variables=("TRAVIS_PULL_REQUEST_SLUG", "TRAVIS_REPO_SLUG", "TRAVIS_PULL_REQUEST"),
    ),
    _System(
        name="Drone",
        marker="DRONE",
        variables=("DRONE_SOURCE_BRANCH", "DRONE_TAG", "DRONE_BRANCH"),
        url="{DRONE_BUILD_LINK}",
        fork=forks.drone,
        fork_variables=("DRONE_PULL_REQUEST",),
    ),
    _System(
        name="TeamCity",
        marker="TEAMCITY_VERSION",
        variables=("TEAMCITY_BUILD_PROPERTIES_FILE",),
        url="{BUILD_URL}",
        fork=forks.on_teamcity,
    ),
    _System(
        name="AWS CodeBuild",
        marker="CODEBUILD_BUILD_ARN",
        variables=("CODEBUILD_WEBHOOK_HEAD_REF", "CODEBUILD_WEBHOOK_TRIGGER", "CODEBUILD_SOURCE_VERSION"),
        url="{CODEBUILD_BUILD_URL}",
        fork=forks.codebuild,
        fork_variables=("CODEBUILD_WEBHOOK_EVENT",),
    ),
    _System(
        name="AppVeyor",
        marker="APPVEYOR",
        variables=("APPVEYOR_PULL_REQUEST_HEAD_REPO_BRANCH", "APPVEYOR_REPO_TAG_NAME", "APPVEYOR_REPO_BRANCH"),
        url="{APPVEYOR_URL}/project/{APPVEYOR_ACCOUNT_NAME}/{APPVEYOR_PROJECT_SLUG}/builds/{APPVEYOR_BUILD_ID}",
        fork=forks.owner_unless_same(
            "APPVEYOR_PULL_REQUEST_HEAD_REPO_NAME", "APPVEYOR_REPO_NAME", "APPVEYOR_PULL_REQUEST_NUMBER"
        ),
        fork_variables=("APPVEYOR_PULL_REQUEST_HEAD_REPO_NAME", "APPVEYOR_REPO_NAME", "APPVEYOR_PULL_REQUEST_NUMBER"),
    ),
)

MARKERS = frozenset(name for system in _SYSTEMS for name in (system.marker, *system.variables, *system.fork_variables))
"""Every variable that is read here."""

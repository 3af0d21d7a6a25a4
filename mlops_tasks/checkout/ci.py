"""The branch and the job's page that the CI system names: a pull request's source branch, with a fork's owner.

To add a CI system, write its entry into SYSTEMS.
"""

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

Environ = Mapping[str, str]


class System(NamedTuple):
    """One CI system, known by the variable `marker`.

    `branch` are the variables that may name the branch, first one first, each with a function that makes the branch's
    name from its value, "" for none. `owner` gets the values of the variables `fork`, and returns what stands before
    the branch of a fork's pull request, "" for any other. `commits` are the variables that hold the commit which the
    job is for, of a pull request also the source branch's. `url` is the job's page, with variables in braces. `values`
    are what all of these are looked up in, the page's after the environment itself. `more` are other variables that
    are read: by `values`, and where the system takes what a task made (`pipeline.ci_outputs`).
    """

    name: str
    marker: str
    branch: Mapping[str, Callable[[str], str]]
    url: str
    fork: tuple[str, ...] = ()
    owner: Callable[..., str] = lambda: ""
    commits: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    values: Callable[[Environ], Environ] = lambda environ: environ


class CiBranch(NamedTuple):
    """`branch` is `owner:branch` for a fork's pull request: a colon cannot be part of a branch's own name.

    Where the owner is not known, or not even whether it is a fork's, it is `pull-request-<number>:branch`. `source` is
    the variable that names the branch, `url` the page of the CI job, empty where it is not known. `commits` are those
    that the job may have checked out, none where the system tells none.
    """

    system: str
    branch: str
    source: str
    url: str
    commits: frozenset[str] = frozenset()


def find(environ: Environ) -> System | None:
    """The CI system of this process, by its marker variable; None outside CI."""
    return next((each for each in SYSTEMS if environ.get(each.marker)), None)


def detect(environ: Environ) -> CiBranch | None:
    """The branch that this process runs for in CI; None outside CI, or where the system names no branch."""
    for system in SYSTEMS:
        if not environ.get(system.marker):
            continue
        values = system.values(environ)
        for variable, read in system.branch.items():
            if branch := read(values.get(variable, "")):
                owner = system.owner(*(values.get(each, "") for each in system.fork))
                commits = (values.get(each, "").lower() for each in system.commits)
                return CiBranch(
                    system=system.name,
                    branch=f"{owner}:{branch}" if owner else branch,
                    source=variable,
                    url=_url(system, {**environ, **values}),
                    commits=frozenset(each for each in commits if re.fullmatch(r"[0-9a-f]{40,64}", each)),
                )
    return None


def _url(system: System, environ: Environ) -> str:
    try:
        return quote(system.url.format_map(environ), safe="%:/?#[]@!$&'()*+,;=")  # an Azure project's name has blanks
    except KeyError:
        return ""


def _plain(text: str) -> str:
    """A tag's ref keeps its prefix, so that the tag `v1` and the branch `v1` differ."""
    return text.removeprefix("refs/heads/")


def _tag(text: str) -> str:
    return f"refs/tags/{text}" if text else ""


def _owner_unless_same(theirs: str, ours: str, number: str) -> str:
    """The owner of `theirs` where that is not `ours`; a pull request from no repository is from a deleted fork."""
    fork = _path(theirs)
    if not fork:
        return _pull_request(number)
    return "" if fork == _path(ours) else fork.rpartition("/")[0] or fork


def _path(repository: str) -> str:
    """`owner/name` of a repository given so, or by its URL."""
    if "://" in repository:
        repository = urlsplit(repository).path
    elif ":" in repository:
        repository = repository.rpartition(":")[2]
    return repository.strip("/").removesuffix(".git")


def _pull_request(number: str) -> str:
    """The pull request's number in the owner's place; nothing outside a pull request."""
    return "" if number in {"", "false"} else f"pull-request-{number}"


def _number_in(text: str, prefix: str) -> str:
    """`7` of `refs/pull/7/merge` or `pr/7`."""
    return text.removeprefix(prefix).split("/", maxsplit=1)[0] if text.startswith(prefix) else ""


def _azure_owner(is_fork: str, repository: str, number: str) -> str:
    if is_fork.lower() != "true":
        return ""
    return _path(repository).rpartition("/")[0] or _pull_request(number or "unknown")


def _github_owner(head_ref: str, event_path: str, ref: str) -> str:
    """GitHub names the fork only in the event's file, and not there either once the fork is deleted."""
    if not head_ref:
        return ""
    try:
        event = _github_event(event_path)
        head, base = event["pull_request"]["head"]["repo"], event["pull_request"]["base"]["repo"]
        return "" if head["full_name"] == base["full_name"] else str(head["owner"]["login"])
    except (KeyError, TypeError, OSError, ValueError):
        return _pull_request(_number_in(ref, "refs/pull/") or "unknown")


def _github_event(path: str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


HEAD_OF_PULL_REQUEST = "pull_request.head.sha"


def _github_values(environ: Environ) -> Environ:
    """With the source branch's commit from the event's file. GITHUB_SHA of `pull_request_target` is the base's."""
    values = dict(environ)
    if environ.get("GITHUB_EVENT_NAME") == "pull_request_target":
        values.pop("GITHUB_SHA", None)
    with contextlib.suppress(KeyError, TypeError, OSError, ValueError):
        values[HEAD_OF_PULL_REQUEST] = str(_github_event(environ["GITHUB_EVENT_PATH"])["pull_request"]["head"]["sha"])
    return values


def _codebuild_trigger(text: str) -> str:
    kind, _, name = text.partition("/")
    return {"branch": name, "tag": _tag(name)}.get(kind, "")


def _codebuild_owner(trigger: str, version: str, event: str) -> str:
    """CodeBuild doesn't say whether a pull request is a fork's."""
    number = _number_in(trigger, "pr/") or _number_in(version, "pr/")
    return _pull_request(number or ("unknown" if event.startswith("PULL_REQUEST") else ""))


def _teamcity_values(environ: Environ) -> Environ:
    """TeamCity has no variable for the branch: one names a file of settings, which names another with more."""
    build = _properties(environ.get("TEAMCITY_BUILD_PROPERTIES_FILE", ""))
    number = environ.get("BUILD_VCS_NUMBER", "")
    configuration = _properties(build.get("teamcity.configuration.properties.file", ""))
    return {"BUILD_VCS_NUMBER": number, **configuration, **build}


def _properties(name: str) -> dict[str, str]:
    """A Java properties file, as far as TeamCity writes them: `key=value` lines with backslash escapes."""
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines() if name else []
    except OSError:
        return {}
    found = {}
    for line in lines:
        key, _, value = line.partition("=")  # of a comment it begins with #, as no property does
        for escaped in ("\\:", "\\=", "\\#", "\\!", "\\\\"):
            value = value.replace(escaped, escaped[1])
        found[key.strip()] = value.strip()
    return found


def _teamcity_branch(text: str) -> str:
    return "" if text == "<default>" else _plain(text)


def _teamcity_owner(source: str, number: str) -> str:
    """TeamCity names the source branch only for pull requests from the repository itself."""
    return "" if source else _pull_request(number)


SYSTEMS = (
    System(
        name="Azure Pipelines",
        marker="TF_BUILD",
        branch={
            "SYSTEM_PULLREQUEST_SOURCEBRANCH": _plain,
            "BUILD_SOURCEBRANCH": _plain,
            "BUILD_SOURCEBRANCHNAME": _plain,
        },
        fork=(
            "SYSTEM_PULLREQUEST_ISFORK",
            "SYSTEM_PULLREQUEST_SOURCEREPOSITORYURI",
            "SYSTEM_PULLREQUEST_PULLREQUESTID",
        ),
        owner=_azure_owner,
        commits=("BUILD_SOURCEVERSION", "SYSTEM_PULLREQUEST_SOURCECOMMITID"),
        more=("AGENT_TEMPDIRECTORY", "BUILD_SOURCESDIRECTORY"),
        url="{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
    ),
    System(
        name="GitHub Actions",
        marker="GITHUB_ACTIONS",
        branch={
            "GITHUB_HEAD_REF": _plain,
            "GITHUB_REF": lambda text: text if text.startswith("refs/tags/") else "",
            "GITHUB_REF_NAME": _plain,
        },
        fork=("GITHUB_HEAD_REF", "GITHUB_EVENT_PATH", "GITHUB_REF"),
        owner=_github_owner,
        commits=("GITHUB_SHA", HEAD_OF_PULL_REQUEST),
        more=("GITHUB_EVENT_NAME", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"),
        values=_github_values,
        url="{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
    ),
    System(
        name="GitLab CI",
        marker="GITLAB_CI",
        branch={
            "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": _plain,
            "CI_COMMIT_TAG": _tag,
            "CI_COMMIT_REF_NAME": _plain,
        },
        fork=("CI_MERGE_REQUEST_SOURCE_PROJECT_PATH", "CI_MERGE_REQUEST_PROJECT_PATH", "CI_MERGE_REQUEST_IID"),
        owner=_owner_unless_same,
        commits=("CI_COMMIT_SHA", "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA"),
        more=("CI_PROJECT_DIR",),
        url="{CI_JOB_URL}",
    ),
    System(
        name="Jenkins",
        marker="JENKINS_URL",
        branch={
            "CHANGE_BRANCH": _plain,
            "BRANCH_NAME": _plain,
            "GIT_BRANCH": lambda text: _plain(text).removeprefix("origin/"),
        },
        fork=("CHANGE_FORK",),
        owner=str,
        commits=("GIT_COMMIT",),
        url="{BUILD_URL}",
    ),
    System(
        name="Bitbucket Pipelines",
        marker="BITBUCKET_BUILD_NUMBER",
        branch={"BITBUCKET_BRANCH": _plain, "BITBUCKET_TAG": _tag},  # a fork's pull request starts no pipeline there
        commits=("BITBUCKET_COMMIT",),
        url="{BITBUCKET_GIT_HTTP_ORIGIN}/pipelines/results/{BITBUCKET_BUILD_NUMBER}",
    ),
    System(
        name="CircleCI",
        marker="CIRCLECI",
        branch={"CIRCLE_BRANCH": _plain, "CIRCLE_TAG": _tag},
        fork=("CIRCLE_PR_USERNAME",),
        owner=str,
        commits=("CIRCLE_SHA1",),
        url="{CIRCLE_BUILD_URL}",
    ),
    System(
        name="Buildkite",
        marker="BUILDKITE",
        branch={"BUILDKITE_TAG": _tag, "BUILDKITE_BRANCH": _plain},
        fork=("BUILDKITE_PULL_REQUEST_REPO", "BUILDKITE_REPO", "BUILDKITE_PULL_REQUEST"),
        owner=_owner_unless_same,
        commits=("BUILDKITE_COMMIT",),
        url="{BUILDKITE_BUILD_URL}",
    ),
    System(
        name="Travis CI",
        marker="TRAVIS",
        branch={"TRAVIS_PULL_REQUEST_BRANCH": _plain, "TRAVIS_TAG": _tag, "TRAVIS_BRANCH": _plain},
        fork=("TRAVIS_PULL_REQUEST_SLUG", "TRAVIS_REPO_SLUG", "TRAVIS_PULL_REQUEST"),
        owner=_owner_unless_same,
        commits=("TRAVIS_COMMIT", "TRAVIS_PULL_REQUEST_SHA"),
        url="{TRAVIS_JOB_WEB_URL}",
    ),
    System(
        name="Drone",
        marker="DRONE",
        branch={"DRONE_SOURCE_BRANCH": _plain, "DRONE_TAG": _tag, "DRONE_BRANCH": _plain},
        fork=("DRONE_PULL_REQUEST",),  # whether it is a fork's is not known, and pushes have a source branch too
        owner=_pull_request,
        commits=("DRONE_COMMIT_SHA",),
        url="{DRONE_BUILD_LINK}",
    ),
    System(
        name="TeamCity",
        marker="TEAMCITY_VERSION",
        branch={
            "teamcity.pullRequest.source.branch": _teamcity_branch,
            "teamcity.build.branch": _teamcity_branch,
        },
        fork=("teamcity.pullRequest.source.branch", "teamcity.pullRequest.number"),
        owner=_teamcity_owner,
        commits=("BUILD_VCS_NUMBER",),
        more=("TEAMCITY_BUILD_PROPERTIES_FILE",),
        url="{BUILD_URL}",
        values=_teamcity_values,
    ),
    System(
        name="AWS CodeBuild",
        marker="CODEBUILD_BUILD_ARN",
        branch={
            "CODEBUILD_WEBHOOK_HEAD_REF": _plain,
            "CODEBUILD_WEBHOOK_TRIGGER": _codebuild_trigger,
            "CODEBUILD_SOURCE_VERSION": lambda text: _plain(text) if text.startswith("refs/") else "",
        },
        fork=("CODEBUILD_WEBHOOK_TRIGGER", "CODEBUILD_SOURCE_VERSION", "CODEBUILD_WEBHOOK_EVENT"),
        owner=_codebuild_owner,
        commits=("CODEBUILD_RESOLVED_SOURCE_VERSION",),
        url="{CODEBUILD_BUILD_URL}",
    ),
    System(
        name="AppVeyor",
        marker="APPVEYOR",
        branch={
            "APPVEYOR_PULL_REQUEST_HEAD_REPO_BRANCH": _plain,
            "APPVEYOR_REPO_TAG_NAME": _tag,
            "APPVEYOR_REPO_BRANCH": _plain,
        },
        fork=("APPVEYOR_PULL_REQUEST_HEAD_REPO_NAME", "APPVEYOR_REPO_NAME", "APPVEYOR_PULL_REQUEST_NUMBER"),
        owner=_owner_unless_same,
        commits=("APPVEYOR_REPO_COMMIT", "APPVEYOR_PULL_REQUEST_HEAD_COMMIT"),
        url="{APPVEYOR_URL}/project/{APPVEYOR_ACCOUNT_NAME}/{APPVEYOR_PROJECT_SLUG}/builds/{APPVEYOR_BUILD_ID}",
    ),
)

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mlops_tasks.checkout import ci
from tests.conftest import CI_VARIABLES

AZURE = {"TF_BUILD": "True"}
GITHUB = {"GITHUB_ACTIONS": "true"}
GITLAB = {"GITLAB_CI": "true"}
JENKINS = {"JENKINS_URL": "https://j/"}
BITBUCKET = {"BITBUCKET_BUILD_NUMBER": "7"}
CIRCLE = {"CIRCLECI": "true"}
BUILDKITE = {"BUILDKITE": "true", "BUILDKITE_REPO": "git@github.com:team/repo.git"}
TRAVIS = {"TRAVIS": "true", "TRAVIS_REPO_SLUG": "team/repo"}
DRONE = {"DRONE": "true"}
CODEBUILD = {"CODEBUILD_BUILD_ARN": "arn"}
APPVEYOR = {"APPVEYOR": "True", "APPVEYOR_REPO_NAME": "team/repo"}


@pytest.mark.parametrize(
    ("environ", "branch"),
    [
        pytest.param({**AZURE, "BUILD_SOURCEBRANCH": "refs/heads/feature/a"}, "feature/a", id="Azure push"),
        pytest.param(
            {
                **AZURE,
                "SYSTEM_PULLREQUEST_SOURCEBRANCH": "refs/heads/feature/a",
                "BUILD_SOURCEBRANCH": "refs/pull/1/merge",
                "BUILD_SOURCEBRANCHNAME": "merge",
            },
            "feature/a",
            id="Azure pull request",
        ),
        pytest.param({**AZURE, "BUILD_SOURCEBRANCHNAME": "a"}, "a", id="Azure last resort"),
        pytest.param(
            {**GITHUB, "GITHUB_REF": "refs/heads/feature/a", "GITHUB_REF_NAME": "feature/a"},
            "feature/a",
            id="GitHub push",
        ),
        pytest.param(
            {**GITHUB, "GITHUB_REF": "refs/tags/v1", "GITHUB_REF_NAME": "v1"}, "refs/tags/v1", id="GitHub tag"
        ),
        pytest.param({**GITLAB, "CI_COMMIT_REF_NAME": "feature/a"}, "feature/a", id="GitLab push"),
        pytest.param(
            {
                **GITLAB,
                "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feature/a",
                "CI_COMMIT_REF_NAME": "refs/merge-requests/1",
            },
            "feature/a",
            id="GitLab merge request",
        ),
        pytest.param({**GITLAB, "CI_COMMIT_TAG": "v1", "CI_COMMIT_REF_NAME": "v1"}, "refs/tags/v1", id="GitLab tag"),
        pytest.param(
            {**JENKINS, "CHANGE_BRANCH": "feature/a", "BRANCH_NAME": "PR-1"}, "feature/a", id="Jenkins change"
        ),
        pytest.param({**JENKINS, "BRANCH_NAME": "feature/a"}, "feature/a", id="Jenkins multibranch"),
        pytest.param({**JENKINS, "GIT_BRANCH": "origin/feature/a"}, "feature/a", id="Jenkins git plugin"),
        pytest.param({**BITBUCKET, "BITBUCKET_BRANCH": "feature/a"}, "feature/a", id="Bitbucket"),
        pytest.param({**CIRCLE, "CIRCLE_BRANCH": "feature/a"}, "feature/a", id="CircleCI"),
        pytest.param({**BUILDKITE, "BUILDKITE_BRANCH": "feature/a"}, "feature/a", id="Buildkite"),
        pytest.param(
            {**TRAVIS, "TRAVIS_PULL_REQUEST_BRANCH": "feature/a", "TRAVIS_BRANCH": "main"}, "feature/a", id="Travis"
        ),
        pytest.param({**DRONE, "DRONE_SOURCE_BRANCH": "feature/a", "DRONE_BRANCH": "main"}, "feature/a", id="Drone"),
        pytest.param({**CODEBUILD, "CODEBUILD_WEBHOOK_HEAD_REF": "refs/heads/feature/a"}, "feature/a", id="CodeBuild"),
        pytest.param({**CODEBUILD, "CODEBUILD_WEBHOOK_TRIGGER": "branch/feature/a"}, "feature/a", id="CodeBuild push"),
        pytest.param(
            {**APPVEYOR, "APPVEYOR_PULL_REQUEST_HEAD_REPO_BRANCH": "feature/a", "APPVEYOR_REPO_BRANCH": "main"},
            "feature/a",
            id="AppVeyor",
        ),
    ],
)
def test_the_source_branch_is_the_branch(environ: dict[str, str], branch: str) -> None:
    found = ci.detect(environ)

    assert found is not None
    assert found.branch == branch
    assert found.source in environ


@pytest.mark.parametrize(
    ("environ", "branch"),
    [
        pytest.param(
            {
                **AZURE,
                "SYSTEM_PULLREQUEST_ISFORK": "True",
                "SYSTEM_PULLREQUEST_SOURCEREPOSITORYURI": "https://github.com/eve/repo",
                "SYSTEM_PULLREQUEST_SOURCEBRANCH": "main",
            },
            "eve:main",
            id="Azure",
        ),
        pytest.param(
            {
                **GITLAB,
                "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "eve/repo",
                "CI_MERGE_REQUEST_PROJECT_PATH": "team/repo",
                "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "main",
            },
            "eve:main",
            id="GitLab",
        ),
        pytest.param({**JENKINS, "CHANGE_FORK": "eve", "CHANGE_BRANCH": "main"}, "eve:main", id="Jenkins"),
        pytest.param({**CIRCLE, "CIRCLE_PR_USERNAME": "eve", "CIRCLE_BRANCH": "pull/1"}, "eve:pull/1", id="CircleCI"),
        pytest.param(
            {
                **BUILDKITE,
                "BUILDKITE_PULL_REQUEST_REPO": "https://github.com/eve/repo.git",
                "BUILDKITE_BRANCH": "main",
            },
            "eve:main",
            id="Buildkite",
        ),
        pytest.param(
            {**TRAVIS, "TRAVIS_PULL_REQUEST_SLUG": "eve/repo", "TRAVIS_PULL_REQUEST_BRANCH": "main"},
            "eve:main",
            id="Travis",
        ),
        pytest.param(
            {
                **APPVEYOR,
                "APPVEYOR_PULL_REQUEST_HEAD_REPO_NAME": "eve/repo",
                "APPVEYOR_PULL_REQUEST_HEAD_REPO_BRANCH": "main",
            },
            "eve:main",
            id="AppVeyor",
        ),
    ],
)
def test_a_forks_pull_request_has_the_forks_owner_in_the_name(environ: dict[str, str], branch: str) -> None:
    found = ci.detect(environ)

    assert found is not None
    assert found.branch == branch


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({**DRONE, "DRONE_SOURCE_BRANCH": "main", "DRONE_PULL_REQUEST": "7"}, id="Drone"),
        pytest.param(
            {
                **CODEBUILD,
                "CODEBUILD_WEBHOOK_HEAD_REF": "refs/heads/main",
                "CODEBUILD_WEBHOOK_EVENT": "PULL_REQUEST_CREATED",
                "CODEBUILD_WEBHOOK_TRIGGER": "pr/7",
            },
            id="CodeBuild",
        ),
        pytest.param(
            {**CODEBUILD, "CODEBUILD_WEBHOOK_HEAD_REF": "refs/heads/main", "CODEBUILD_SOURCE_VERSION": "pr/7"},
            id="CodeBuild by version",
        ),
        pytest.param(
            {
                **AZURE,
                "SYSTEM_PULLREQUEST_ISFORK": "True",
                "SYSTEM_PULLREQUEST_PULLREQUESTID": "7",
                "SYSTEM_PULLREQUEST_SOURCEBRANCH": "main",
            },
            id="Azure",
        ),
        pytest.param(
            {**GITLAB, "CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "main"}, id="GitLab"
        ),
        pytest.param({**TRAVIS, "TRAVIS_PULL_REQUEST": "7", "TRAVIS_PULL_REQUEST_BRANCH": "main"}, id="Travis"),
        pytest.param({**BUILDKITE, "BUILDKITE_PULL_REQUEST": "7", "BUILDKITE_BRANCH": "main"}, id="Buildkite"),
    ],
)
def test_a_pull_request_that_may_be_a_forks_has_its_number_in_the_name(environ: dict[str, str]) -> None:
    found = ci.detect(environ)

    assert found is not None
    assert found.branch == "pull-request-7:main"


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({**DRONE, "DRONE_SOURCE_BRANCH": "main", "DRONE_BRANCH": "main"}, id="Drone"),
        pytest.param(
            {
                **CODEBUILD,
                "CODEBUILD_WEBHOOK_HEAD_REF": "refs/heads/main",
                "CODEBUILD_WEBHOOK_EVENT": "PUSH",
                "CODEBUILD_WEBHOOK_TRIGGER": "branch/main",
            },
            id="CodeBuild",
        ),
        pytest.param({**TRAVIS, "TRAVIS_PULL_REQUEST": "false", "TRAVIS_BRANCH": "main"}, id="Travis"),
        pytest.param({**BUILDKITE, "BUILDKITE_PULL_REQUEST": "false", "BUILDKITE_BRANCH": "main"}, id="Buildkite"),
        pytest.param({**BITBUCKET, "BITBUCKET_PR_ID": "7", "BITBUCKET_BRANCH": "main"}, id="Bitbucket, never a fork's"),
    ],
)
def test_what_is_no_forks_keeps_the_branchs_own_name(environ: dict[str, str]) -> None:
    found = ci.detect(environ)

    assert found is not None
    assert found.branch == "main"


def github_event(tmp_path: Path, content: object) -> dict[str, str]:
    path = tmp_path / "event.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return {
        **GITHUB,
        "GITHUB_HEAD_REF": "main",
        "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_EVENT_PATH": str(path),
    }


def pull_request(head: str) -> dict[str, object]:
    def repository(name: str) -> dict[str, object]:
        return {"repo": {"full_name": name, "owner": {"login": name.split("/", maxsplit=1)[0]}}}

    return {"pull_request": {"head": repository(head), "base": repository("team/repo")}}


def test_github_names_the_fork_in_the_events_file(tmp_path: Path) -> None:
    fork = ci.detect(github_event(tmp_path, pull_request("eve/repo")))
    own = ci.detect(github_event(tmp_path, pull_request("team/repo")))

    assert fork is not None
    assert own is not None
    assert (fork.branch, own.branch) == ("eve:main", "main")


@pytest.mark.parametrize("content", ["{", {}, {"pull_request": {"head": {"repo": None}}}], ids=["cut", "empty", "gone"])
def test_an_events_file_that_does_not_say_leaves_the_pull_requests_number(tmp_path: Path, content: object) -> None:
    found = ci.detect(github_event(tmp_path, content))
    nameless = ci.detect({**github_event(tmp_path, content), "GITHUB_REF": "refs/heads/main"})

    assert found is not None
    assert nameless is not None
    assert (found.branch, nameless.branch) == ("pull-request-7:main", "pull-request-unknown:main")


def test_teamcity_says_it_in_files_that_name_each_other(tmp_path: Path) -> None:
    settings, build = tmp_path / "config.properties", tmp_path / "build.properties"
    settings.write_text("#made today\nteamcity.build.branch=refs/heads/feature/a\\:b\n")
    build.write_text(f"teamcity.configuration.properties.file={settings}\n")

    found = ci.detect({"TEAMCITY_VERSION": "2024", "TEAMCITY_BUILD_PROPERTIES_FILE": str(build)})

    assert found is not None
    assert found.branch == "feature/a:b"


def test_teamcity_names_the_source_branch_of_a_pull_request_that_is_no_forks(tmp_path: Path) -> None:
    build = tmp_path / "build.properties"
    environ = {"TEAMCITY_VERSION": "2024", "TEAMCITY_BUILD_PROPERTIES_FILE": str(build)}
    branches = []
    for source in ("teamcity.pullRequest.source.branch=main\n", ""):
        build.write_text(f"teamcity.pullRequest.number=7\n{source}teamcity.build.branch=7\n")
        found = ci.detect(environ)
        assert found is not None
        branches.append(found.branch)

    assert branches == ["main", "pull-request-7:7"]


def test_a_variable_counts_only_beside_its_own_systems_marker() -> None:
    assert ci.detect({"GITHUB_HEAD_REF": "feature/a", "CI_COMMIT_REF_NAME": "b", "BRANCH_NAME": "c"}) is None
    assert ci.detect(GITHUB) is None


def test_the_jobs_page_is_known_where_its_variables_are() -> None:
    known = ci.detect(
        {
            **GITHUB,
            "GITHUB_REF_NAME": "main",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "team/repo",
            "GITHUB_RUN_ID": "42",
        }
    )
    unknown = ci.detect({**GITHUB, "GITHUB_REF_NAME": "main"})

    assert known is not None
    assert unknown is not None
    assert known.url == "https://github.com/team/repo/actions/runs/42"
    assert unknown.url == ""


SHA, HEAD = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("environ", "commits"),
    [
        pytest.param({**GITLAB, "CI_COMMIT_REF_NAME": "a", "CI_COMMIT_SHA": SHA}, {SHA}, id="GitLab"),
        pytest.param(
            {
                **AZURE,
                "BUILD_SOURCEBRANCH": "a",
                "BUILD_SOURCEVERSION": SHA.upper(),
                "SYSTEM_PULLREQUEST_SOURCECOMMITID": HEAD,
            },
            {SHA, HEAD},
            id="Azure pull request",
        ),
        pytest.param({**BUILDKITE, "BUILDKITE_BRANCH": "a", "BUILDKITE_COMMIT": "HEAD"}, set(), id="no commit"),
        pytest.param({**GITHUB, "GITHUB_REF_NAME": "a", "GITHUB_SHA": SHA}, {SHA}, id="GitHub"),
        pytest.param(
            {**GITHUB, "GITHUB_HEAD_REF": "a", "GITHUB_SHA": SHA, "GITHUB_EVENT_NAME": "pull_request"},
            {SHA, HEAD},
            id="GitHub pull request, whose merge or head may be checked out",
        ),
        pytest.param(
            {**GITHUB, "GITHUB_HEAD_REF": "a", "GITHUB_SHA": SHA, "GITHUB_EVENT_NAME": "pull_request_target"},
            {HEAD},
            id="GitHub pull request seen from its base, whose own commit GITHUB_SHA is",
        ),
    ],
)
def test_the_commits_are_those_that_the_job_is_for(tmp_path: Path, environ: dict[str, str], commits: set[str]) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"head": {"sha": HEAD}}} if "GITHUB_HEAD_REF" in environ else {}))

    found = ci.detect({**environ, "GITHUB_EVENT_PATH": str(event)})

    assert found is not None
    assert found.commits == commits


def test_the_page_of_a_job_has_no_blanks() -> None:
    page = {"SYSTEM_COLLECTIONURI": "https://dev.azure.com/org/", "SYSTEM_TEAMPROJECT": "My Project"}

    found = ci.detect({**AZURE, **page, "BUILD_SOURCEBRANCH": "a", "BUILD_BUILDID": "7"})

    assert found is not None
    assert found.url == "https://dev.azure.com/org/My%20Project/_build/results?buildId=7"


def test_no_variable_that_is_read_leaks_from_the_ci_system_into_a_test() -> None:
    source = Path(ci.__file__).read_text(encoding="utf-8")

    read = set(re.findall(r"[\"{]([A-Z]+_[A-Z_]+)[\"}]", source))
    assert read - CI_VARIABLES == {"PULL_REQUEST"}, "that one is how a value of CodeBuild's begins"

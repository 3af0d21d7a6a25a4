"""The pipelines that `python -m mlops_tasks --ci` writes: their shell steps, each by its system's variables."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from mlops_tasks import errors
from mlops_tasks.report import Report
from mlops_tasks.tasks import console, init
from tests.support.repositories import git, make_repository

PROJECT = {
    "SETTINGS": "mlops: {project: training, env_manager: local}\n",
    "ENVIRONMENT": "dependencies: [python=3.10, pip, {pip: [mlflow]}]\n",
    "CLUSTER": '{"new_cluster": {"spark_version": "12.2.x-scala2.12"}}',
    "TRAIN": "import mlflow\n\nwith mlflow.start_run():\n    mlflow.log_metric('auc', 0.5)\n",
}
"""A project without libraries, which is released at once."""
BRANCH = "feature/A b|`x"
"""Whoever opens a pull request chooses its name."""
PROGRAMS = Path(sys.executable).parent
DRY = f"""\
#!/bin/bash
[ "$1" = compare ] && {{ echo '| a comparison |'; exit; }}
exec {shlex.quote(str(PROGRAMS / "inv"))} "$@" --dry-run
"""
RECORD = '#!/bin/bash\nprintf "%s\\n" "$@" > "$0.said"\n'


class Step(NamedTuple):
    """A shell step with the variables that it is given beside the job's; `condition` as the system has it."""

    script: str
    env: Mapping[str, str] = {}
    condition: str = ""
    name: str = ""


@dataclass
class Machine:
    """Where a job runs: a clone of the repository, the job's variables, and programs that stand before the others."""

    folder: Path
    programs: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(self, step: Step) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PATH": f"{self.programs}:{PROGRAMS}:{os.environ['PATH']}", **self.env, **step.env}
        command = ["bash", "-e", "-o", "pipefail", "-c", step.script]
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

    def put(self, name: str, text: str) -> None:
        self.programs.mkdir(exist_ok=True)
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def said(self, name: str) -> list[str]:
        """The arguments that a program was called with."""
        return (self.programs / f"{name}.said").read_text().splitlines()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_repository(tmp_path_factory.mktemp("pipelines") / "repository", **PROJECT)
    for system in init.list_pipelines():
        init.write_pipeline(made, system, report=Report())
    git("add", ".", cwd=made)
    git("commit", "-q", "-m", "pipelines", cwd=made)
    return made


@pytest.fixture
def machine(repository: Path, tmp_path: Path) -> Machine:
    """A machine of a job for a pull request's branch, as CI systems check that out; its `inv` takes dry steps alone."""
    git("clone", "-q", str(repository), str(tmp_path / "repository"), cwd=tmp_path)
    git("checkout", "-q", "--detach", cwd=tmp_path / "repository")
    made = Machine(tmp_path / "repository", tmp_path / "programs", {"RELEASE_TOOL": "mlops_tasks @ git+https://host/x"})
    for name in ("pip", "gh"):
        made.put(name, RECORD)
    made.put("inv", DRY)
    return made


class Request(NamedTuple):
    method: str
    path: str
    login: str
    body: Any


class Server(HTTPServer):
    """A system's API, which keeps what it is sent, and lists what a test has put there."""

    sent: list[Request]
    listed: Any


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.answer(self.server.listed)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        login = self.headers["Authorization"] or self.headers["PRIVATE-TOKEN"]
        self.server.sent.append(Request(self.command, self.path, login, body))
        self.answer({"id": 1})

    do_PATCH = do_PUT = do_POST  # noqa: N815 - the names that the base class calls

    def answer(self, found: Any) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def api() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.sent, server.listed = [], []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def load(folder: Path, name: str) -> Any:
    return yaml.safe_load((folder / name).read_text())


def fill(text: str, pattern: str, values: Mapping[str, str]) -> str:
    """`text` with each of the system's expressions replaced; one that is not among `values` is an error."""
    return re.sub(pattern, lambda found: values[found[1]], text)


GITHUB = {
    "vars.RELEASE_TOOL": "mlops_tasks @ git+https://host/x",
    "vars.MLOPS_TARGET": "",
    "vars.DATABRICKS_HOST": "",
    "secrets.DATABRICKS_TOKEN": "",
    "github.token": "t0ken",
    "github.event.pull_request.number": "7",
}


def github_steps(machine: Machine) -> list[Step]:
    job = load(machine.folder, ".github/workflows/release.yml")["jobs"]["release"]

    def filled(env: Mapping[str, str]) -> dict[str, str]:
        return {key: fill(value, r"\$\{\{ (.*?) \}\}", GITHUB) for key, value in env.items()}

    event, ours = machine.folder.parent / "event.json", {"full_name": "team/repository"}
    event.write_text(json.dumps({"pull_request": {"head": {"repo": ours}, "base": {"repo": ours}}}))
    machine.env |= filled(job["env"])
    machine.env |= {
        "GITHUB_ACTIONS": "true",
        "GITHUB_HEAD_REF": BRANCH,
        "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_WORKSPACE": str(machine.folder),
        "GITHUB_REPOSITORY": "team/repository",
        **{key: str(machine.folder.parent / key) for key in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")},
    }
    shells = [each for each in job["steps"] if "run" in each]
    assert not any("${{" in each["run"] for each in shells), "an expression in a script is read by the shell"
    return [Step(e["run"], filled(e.get("env", {})), e.get("if", ""), e.get("id", "")) for e in shells]


COMMENT = "<!-- mlops_tasks -->\n\n| a comparison |\n"
THREADS: list[dict[str, Any]] = [
    {"id": 1, "comments": [{"id": 1, "content": "> <!-- mlops_tasks --> quoted"}]},
    {"id": 2, "isDeleted": True, "comments": [{"id": 1}]},
    {"id": 3, "comments": []},
]
"""Those of others, and deleted ones."""


def azure_steps(machine: Machine, api: Server) -> list[Step]:
    api.listed = {"value": [*THREADS]}
    (job,) = load(machine.folder, "azure-pipelines.yml")["jobs"]
    values = {"DATABRICKS_TOKEN": "", "System.AccessToken": "t0ken"}
    machine.env |= {
        "TF_BUILD": "True",
        "SYSTEM_PULLREQUEST_SOURCEBRANCH": f"refs/heads/{BRANCH}",
        "SYSTEM_COLLECTIONURI": f"http://127.0.0.1:{api.server_port}/team/",
        "SYSTEM_TEAMPROJECTID": "p",
        "BUILD_REPOSITORY_ID": "r",
        "SYSTEM_PULLREQUEST_PULLREQUESTID": "7",
        "AGENT_TEMPDIRECTORY": str(machine.folder.parent),
        "BUILD_SOURCESDIRECTORY": str(machine.folder),
    }
    steps = [each for each in job["steps"] if "script" in each]
    return [
        Step(
            each["script"],
            {key: fill(value, r"\$\(([\w.]+)\)", values) for key, value in each.get("env", {}).items()},
            each.get("condition", ""),
            each.get("name", ""),
        )
        for each in steps
    ]


def gitlab_steps(machine: Machine, api: Server | None = None) -> dict[str, Step]:
    found = load(machine.folder, ".gitlab-ci.yml")
    machine.env |= {
        "GITLAB_CI": "true",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": BRANCH,
        "CI_PROJECT_DIR": str(machine.folder),
        **dict.fromkeys(("CI_MERGE_REQUEST_SOURCE_PROJECT_PATH", "CI_MERGE_REQUEST_PROJECT_PATH"), "team/repository"),
        "CI_API_V4_URL": f"http://127.0.0.1:{api.server_port}/api/v4" if api else "",
        "CI_PROJECT_ID": "3",
        "CI_MERGE_REQUEST_IID": "7",
        "COMMENT_TOKEN": "t0ken",
    }
    release, comment = found["release"], found["comment"]
    variables = {key: fill(value, r"\$(\w+)", machine.env) for key, value in comment["variables"].items()}
    return {
        "release": Step("\n".join(release["script"])),
        "after": Step("\n".join(release["after_script"])),
        "comment": Step("\n".join(comment["script"]), variables),
    }


def test_on_github_a_pull_request_is_released_compared_and_commented_on(machine: Machine) -> None:
    install, release, compare, comment = github_steps(machine)

    done = [machine.run(each) for each in (install, release, compare, comment)]

    assert [each.returncode for each in done] == [0, 0, 0, 0], "".join(each.stderr for each in done)
    assert machine.said("pip") == ["install", "--quiet", "mlops_tasks @ git+https://host/x"]
    assert "would run main under /Shared/repository/training/feature-a-b-x-" in done[1].stdout
    assert "steps.release.outputs.run_id" in compare.condition
    assert f"steps.{compare.name}.outcome" in comment.condition
    assert comment.env == {"GH_TOKEN": "t0ken", "NUMBER": "7"}
    body = [*("pr", "comment", "7", "--repo", "team/repository"), *("--body-file", ".mlops/comparison.md")]
    assert machine.said("gh") == [*body, "--edit-last", "--create-if-none"], "each push writes the same comment anew"
    assert (machine.folder / body[-1]).read_text() == "| a comparison |\n"


@pytest.mark.full
def test_a_gate_that_is_not_met_fails_the_job_whose_comment_says_why(machine: Machine) -> None:
    (machine.programs / "inv").unlink()  # from here on it is the real one
    machine.env["MLOPS_REQUIRE"] = "auc >= 0.9"
    _, release, compare, comment = github_steps(machine)

    done = [machine.run(each) for each in (release, compare, comment)]

    assert [each.returncode for each in done] == [6, 0, 0], "".join(each.stderr for each in done)
    outputs = Path(machine.env["GITHUB_OUTPUT"]).read_text()
    found = dict(re.findall(r"(?m)^(\w+)<<END\n(.*)\nEND$", outputs))
    assert (found["state"], found["gate"], found["exit_code"]) == ("FINISHED", "not met", "6")
    assert re.fullmatch("[0-9a-f]{32}", found["run_id"])
    summary = Path(machine.env["GITHUB_STEP_SUMMARY"]).read_text()
    body = (machine.folder / ".mlops/comparison.md").read_text()
    for text in (summary, body):
        assert "- **not met**: `auc >= 0.9`" in text
    assert body in summary
    assert summary.startswith("### mlops_tasks: `FINISHED`, and its gate is not met\n")
    assert f"``{BRANCH}``" in body, "by one tick alone its own would end the code"
    assert ".mlops/comparison.md" in machine.said("gh")


@pytest.mark.full
def test_a_real_release_on_azure_hands_on_its_run(machine: Machine, api: Server) -> None:
    (machine.programs / "inv").unlink()
    _, release, compare, comment = azure_steps(machine, api)

    done = [machine.run(each) for each in (release, compare, comment)]

    assert [each.returncode for each in done] == [0, 0, 0], "".join(each.stderr for each in done)
    commands = re.findall(r"(?m)^##vso\[task\.setvariable variable=(\w+);isOutput=true\](.*)$", done[0].stderr)
    assert dict(commands)["state"] == "FINISHED"
    (sent,) = api.sent
    assert dict(commands)["run_id"][:8] in sent.body["comments"][0]["content"]


@pytest.mark.full
def test_a_real_release_on_gitlab_hands_on_its_run(machine: Machine) -> None:
    (machine.programs / "inv").unlink()
    steps = gitlab_steps(machine)

    done = [machine.run(steps[name]) for name in ("release", "after")]

    assert [each.returncode for each in done] == [0, 0], "".join(each.stderr for each in done)
    lines = (machine.folder / ".mlops/mlops.env").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    assert variables["RELEASE_STATE"] == "FINISHED"
    assert variables["RELEASE_RUN_ID"][:8] in (machine.folder / ".mlops/comparison.md").read_text()


def test_on_azure_a_pull_request_is_released_compared_and_commented_on(machine: Machine, api: Server) -> None:
    install, release, compare, comment = azure_steps(machine, api)

    done = [machine.run(each) for each in (install, release, compare, comment)]

    assert [each.returncode for each in done] == [0, 0, 0, 0], "".join(each.stderr for each in done)
    assert "would run main under /Shared/repository/training/feature-a-b-x-" in done[1].stdout
    assert all(f"variables['{release.name}.run_id']" in each.condition for each in (compare, comment))
    (made,) = api.sent
    threads = "/team/p/_apis/git/repositories/r/pullRequests/7/threads"
    assert made[:3] == ("POST", f"{threads}?api-version=7.1", "Bearer t0ken")
    assert made.body["comments"][0]["content"] == COMMENT

    api.listed = {"value": [*THREADS, {"id": 4, "comments": [{"id": 9, **made.body["comments"][0]}, {"id": 10}]}]}
    (machine.folder / ".mlops/comparison.md").write_text("| a later one |\n")
    again = machine.run(comment)

    assert again.returncode == 0, again.stderr
    path = f"{threads}/4/comments/9?api-version=7.1"
    later = {"content": COMMENT.replace("a comparison", "a later one")}
    assert api.sent[1:] == [Request("PATCH", path, "Bearer t0ken", later)]


def test_on_gitlab_a_merge_request_is_released_compared_and_commented_on(machine: Machine, api: Server) -> None:
    steps, theirs = gitlab_steps(machine, api), {"id": 1, "body": "> <!-- mlops_tasks --> quoted"}
    api.listed = [theirs]

    done = [machine.run(steps[name]) for name in ("release", "after")]
    nothing = machine.run(steps["comment"])
    machine.env["RELEASE_RUN_ID"] = "r1"
    commented = machine.run(steps["comment"])

    assert [each.returncode for each in (*done, nothing, commented)] == [0] * 4, commented.stderr
    assert "would run main under /Shared/repository/training/feature-a-b-x-" in done[0].stdout
    notes = "/api/v4/projects/3/merge_requests/7/notes"
    assert api.sent == [Request("POST", notes, "t0ken", {"body": COMMENT})]

    api.listed = [theirs, {"id": 8, **api.sent[0].body}]
    (machine.folder / ".mlops/comparison.md").write_text("a & b = 1%\n")
    again = machine.run(steps["comment"])

    assert again.returncode == 0, again.stderr
    later = COMMENT.replace("| a comparison |", "a & b = 1%")
    assert api.sent[1:] == [Request("PUT", f"{notes}/8", "t0ken", {"body": later})]


def test_gitlab_takes_the_report_where_it_is_written(repository: Path) -> None:
    job = load(repository, ".gitlab-ci.yml")["release"]

    assert job["artifacts"]["reports"] == {"dotenv": ".mlops/mlops.env"}
    assert job["artifacts"]["when"] == "always"


def test_make_releases_and_leaves_a_comments_body(machine: Machine) -> None:
    machine.env["MLOPS_BRANCH"] = BRANCH

    done = machine.run(Step("make --silent pull-request"))

    assert done.returncode == 0, done.stderr
    assert "would run main under /Shared/repository/training/feature-a-b-x-" in done.stdout
    assert (machine.folder / ".mlops/comparison.md").read_text() == "| a comparison |\n"


@pytest.mark.parametrize(("code", "has_run"), [(6, True), (2, False)])
def test_make_ends_as_the_release_ends_and_leaves_no_comment_on_an_earlier_run(
    machine: Machine, code: int, has_run: bool
) -> None:
    machine.put("inv", f'#!/bin/bash\n[ "$1" = compare ] && echo new || exit {code}\n')
    (machine.folder / ".mlops").mkdir()
    (machine.folder / ".mlops/comparison.md").write_text("of an earlier run\n")

    done = machine.run(Step("make pull-request"))

    assert f"Error {code}" in done.stderr
    assert (machine.folder / ".mlops/comparison.md").exists() == has_run


@pytest.mark.parametrize("system", init.list_pipelines())
def test_a_pipeline_that_is_there_is_not_overwritten(
    tmp_path: Path, system: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (name,) = init.write_pipeline(tmp_path, system, report=Report())
    assert init.write_pipeline(tmp_path, system, report=console.standard()) == ()
    said = capsys.readouterr()
    assert said.out == "init         everything was there already\n"
    assert "next:" not in said.err, "it was said the first time"
    (tmp_path / name).write_text("theirs")

    with pytest.raises(errors.BadInput, match="there is a pipeline already") as caught:
        init.write_pipeline(tmp_path, system, report=Report())

    assert caught.value.where == str(tmp_path / name)
    assert (tmp_path / name).read_text() == "theirs"


@pytest.mark.parametrize("system", init.list_pipelines())
def test_the_repositorys_default_branch_stands_in_the_pipeline(tmp_path: Path, system: str) -> None:
    texts = []
    for branch in ("main", "release/1.0"):
        folder = tmp_path / branch
        git("init", "-q", "-b", "work", str(folder), cwd=tmp_path)
        git("symbolic-ref", "refs/remotes/origin/HEAD", f"refs/remotes/origin/{branch}", cwd=folder)
        git("commit", "-q", "--allow-empty", "-m", "first", cwd=folder)
        git("update-ref", f"refs/remotes/origin/{branch}", "HEAD", cwd=folder)
        git("remote", "add", "origin", "https://host/repository", cwd=folder)
        (name,) = init.write_pipeline(folder, system, report=Report())
        texts.append((folder / name).read_text())

    assert not any("DEFAULT_BRANCH" in text for text in texts)
    trigger = {
        "github": '    branches: ["{}"]\n',
        "azure": '  branches: {{include: ["{}"]}}\n',
        "gitlab": '    - if: $CI_COMMIT_BRANCH == "{}"\n',
        "make": "#   make main           release {}, ",
    }[system]
    assert all(trigger.format(branch) in text for branch, text in zip(("main", "release/1.0"), texts, strict=True))


def test_before_its_first_commit_a_repository_has_a_default_branch_too(tmp_path: Path) -> None:
    git("init", "-q", "-b", "master", cwd=tmp_path)

    init.write_pipeline(tmp_path, "github", report=Report())

    assert 'branches: ["master"]' in (tmp_path / ".github/workflows/release.yml").read_text()


def test_a_default_branch_in_whose_name_a_system_would_read_more_is_refused(tmp_path: Path) -> None:
    git("init", "-q", "-b", 'a"b', cwd=tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "first", cwd=tmp_path)
    git("update-ref", 'refs/remotes/origin/a"b', "HEAD", cwd=tmp_path)
    git("symbolic-ref", "refs/remotes/origin/HEAD", 'refs/remotes/origin/a"b', cwd=tmp_path)

    with pytest.raises(errors.BadInput, match="cannot stand in a pipeline"):
        init.write_pipeline(tmp_path, "github", report=Report())

    assert [path.name for path in tmp_path.iterdir()] == [".git"]


def test_it_is_written_by_the_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlops_tasks", "--ci", "github", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout == "init         .github/workflows/release.yml\n"
    assert "set the variables that it names" in done.stderr
    assert "this is no git repository yet" in done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / ".github/workflows/release.yml"]


@pytest.mark.parametrize("system", init.list_pipelines())
def test_below_the_top_of_a_repository_the_command_for_the_top_is_said_and_works(tmp_path: Path, system: str) -> None:
    git("init", "-q", cwd=tmp_path)
    (tmp_path / "below").mkdir()

    with pytest.raises(errors.BadInput, match="belongs at the top of the repository") as refused:
        init.write_pipeline(tmp_path / "below", system, report=Report())

    assert refused.value.cure == f"`python -m mlops_tasks --ci {system} {tmp_path}`"
    assert list((tmp_path / "below").iterdir()) == []
    assert init.write_pipeline(tmp_path, system, report=Report())


@pytest.mark.parametrize("name", ["GNUmakefile", "makefile"])
def test_a_file_that_make_reads_before_ours_is_a_pipeline_that_is_there_already(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("all:\n")

    with pytest.raises(errors.BadInput, match="there is a pipeline already") as refused:
        init.write_pipeline(tmp_path, "make", report=Report())

    assert refused.value.where == str(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("file", "below"), [(".github", ""), (".github/workflows", ""), ("here", "here/repository")])
def test_a_file_where_a_pipeline_needs_a_folder_is_to_be_moved_away(tmp_path: Path, file: str, below: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("theirs")

    with pytest.raises(errors.BadInput, match="in the way of the pipeline") as refused:
        init.write_pipeline(tmp_path / below, "github", report=Report())

    assert str(tmp_path / file) in refused.value.what
    assert refused.value.cure.startswith("move it away")
    assert (tmp_path / file).read_text() == "theirs"

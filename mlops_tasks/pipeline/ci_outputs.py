"""What a command made, as the CI system of its job takes it: values for later steps, a summary, an error.

These are the texts alone; `tasks.job` writes them. Azure's and GitHub's agents look for commands in each line that a
step prints, to stdout and to stderr (azure-pipelines-agent, Handlers/ProcessHandler.cs; actions/runner,
Handlers/ScriptHandler.cs), although their documentation names stdout alone: so `neutralise` is for both streams.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mlops_tasks import markdown
from mlops_tasks.checkout import ci
from mlops_tasks.release import Release

Environ = Mapping[str, str]

LONGEST = 500
"""Bytes of a value: GitLab takes 5 kB in all (docs.gitlab.com/administration/instance_limits)."""
PLACE = re.compile(r"(.+?)(?::(\d+))?(?::\d+)?")
"""A file as errors name it, with its line and column where there are such."""
_OVERLOOKED = r"[^ -~\r\n]*"
"""What .NET may pass over as it compares texts: characters that are no ASCII."""
_COMMANDS = re.compile(
    rf"(?:\A|[\r\n])[^!-~\r\n]*:(?={_OVERLOOKED}:)|#(?={_OVERLOOKED}#[^ -@\[-`{{-~\r\n]*\[)",
)
"""`::command::` at a line's beginning (GitHub); `##[command]`, `##vso[command]`, `##teamcity[command]` anywhere."""


class File(NamedTuple):
    """A text for a file: added at its end, or in the place of what it had."""

    path: Path
    text: str
    is_added: bool = False


class Texts(NamedTuple):
    """`lines` are commands to the system's agent, to be printed as they are; `left_out` are values not passed on."""

    files: tuple[File, ...] = ()
    lines: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class Outcome(NamedTuple):
    """The values that later steps of the job can read, by their names, and a summary in Markdown."""

    values: Mapping[str, str]
    summary: str


class Problem(NamedTuple):
    """What went wrong, in lines for a person; `file` is relative to the repository, empty where none is to blame."""

    text: str
    file: str = ""
    line: str = ""


class Dialect(NamedTuple):
    """How one system takes an Outcome and a Problem. `workspace` is its variable for the repository's folder."""

    outputs: Callable[[Outcome, Environ], Texts]
    problem: Callable[[Problem], str]
    workspace: str


def is_new(release: Release, before: Release | None) -> bool:
    """Whether the release has another run, or another end of it, than what was recorded `before`."""
    return (release.attempt, release.run) != (before and before.attempt, before and before.run)


def of_release(
    release: Release | None,
    before: Release | None,
    *,
    exit_code: int,
    beside: Mapping[str, Release] = MappingProxyType({}),
    problem: str = "",
    comparison: str = "",
) -> Outcome:
    """What a command made of the release that was recorded `before` it. An earlier command's run is left out.

    `beside` are the releases of several projects in order, whose values have the projects' names before them.
    `problem` is how the command failed. `comparison` is the run beside others, in Markdown, where that is known.
    """
    values = {"exit_code": str(exit_code)}
    if release is not None and release.names is not None:
        values |= {"experiment": release.names.experiment, "wheel_folder": release.names.wheel_folder}
    if release is not None and is_new(release, before):
        values |= _run_values(release)
    for name, each in beside.items():
        values |= {f"{name.replace('-', '_')}_{key}": value for key, value in _run_values(each).items()}
    return Outcome(values, _summarize(release, values, problem, comparison))


def _run_values(release: Release) -> dict[str, str]:
    run, attempt = release.run, release.attempt
    if run is not None:
        gate = {"gate": run.verdict} if run.gates else {}
        return {"run_id": run.run_id, "page": run.url, "state": run.status, **gate}
    if attempt is not None and attempt.run_id is not None:
        return {"run_id": attempt.run_id, "page": attempt.url, "state": "RUNNING"}
    return {}


def _summarize(release: Release | None, values: Mapping[str, str], problem: str, comparison: str) -> str:
    state = values.get("state") or ("done" if values["exit_code"] == "0" else "failed")
    lines = [f"### mlops_tasks: {markdown.code(state)}{_what_failed_after(values)}", ""]
    facts = {key.replace("_", " "): value for key, value in values.items() if key not in {"state", "page"} and value}
    if release is not None:
        commit = (release.commit or "")[:7] + (" dirty" if release.dirty else "")
        facts |= {"branch": f"{release.branch} {commit}".strip()}
    lines += [f"- {name}: {markdown.code(value)}" for name, value in facts.items()]
    if markdown.is_page(values.get("page", "")):
        lines.append(f"- {markdown.link('the page of the run', values['page'])}")
    if not comparison and release is not None and release.run is not None and "run_id" in values:
        numbers = {name: f"{value:.4g}" for name, value in sorted(release.run.metrics.items())}
        lines += [f"- {markdown.code(name)}: {markdown.code(number)}" for name, number in numbers.items()]
    if problem:
        lines += ["", markdown.block(problem)]
    return "\n".join([*lines, "", comparison, ""])


def _what_failed_after(values: Mapping[str, str]) -> str:
    """What the head says beside the state of a run that has finished, where that was not enough."""
    if values["exit_code"] == "0" or values.get("state") != "FINISHED":
        return ""
    return ", and its gate is not met" if values.get("gate") == "not met" else ", and the command failed after it"


def write(outcome: Outcome, environ: Environ) -> Texts:
    """What the system of this job is given; nothing outside CI, and nothing where the system takes nothing.

    A value that is not one line of plain text, or in which a system would look for a variable, is left out.
    """
    dialect = _dialect(environ)
    if dialect is None:
        return Texts()
    values = {key: value for key, value in outcome.values.items() if value}
    carried = {key: value for key, value in values.items() if _is_carried(value)}
    made = dialect.outputs(outcome._replace(values=carried), environ)
    return made._replace(left_out=tuple(key for key in values if key not in carried))


def _is_carried(value: str) -> bool:
    return value.isprintable() and value == value.strip() and "$" not in value and len(value.encode()) <= LONGEST


def show_problem(text: str, where: str, environ: Environ) -> str:
    """The command by which the system marks `where` with an error; empty outside CI."""
    dialect = _dialect(environ)
    if dialect is None:
        return ""
    file, line = _find_place(where, environ.get(dialect.workspace, ""))
    shown = "\n".join(map(markdown.printable, text.splitlines()))
    return dialect.problem(Problem(shown, file, line))


def _find_place(where: str, workspace: str) -> tuple[str, str]:
    """The file below `workspace` that an error names, and its line; two empty texts for any other place."""
    found = PLACE.fullmatch(where)
    if found is None or not workspace:
        return "", ""
    with contextlib.suppress(OSError, ValueError):  # no place is a path that the system would take, or lies elsewhere
        path = Path(found[1])
        if path.is_file():
            return path.resolve().relative_to(Path(workspace).resolve()).as_posix(), found[2] or ""
    return "", ""


def _dialect(environ: Environ) -> Dialect | None:
    system = ci.find(environ)
    return DIALECTS.get(system.name) if system else None


def neutralise(text: str) -> str:
    """`text` with a blank in each thing that a CI system would take for a command, wherever it comes from."""
    return _COMMANDS.sub(lambda found: f"{found[0]} ", text)


def _azure(outcome: Outcome, environ: Environ) -> Texts:
    """Logging commands. The summary's file has to outlive the step: the agent uploads it later."""
    lines = [
        f"##vso[task.setvariable variable={key};isOutput=true]{_escape_azure(value)}"
        for key, value in outcome.values.items()
    ]
    folder = environ.get("AGENT_TEMPDIRECTORY")
    if not folder:
        return Texts(lines=tuple(lines))
    path = Path(folder) / "mlops_tasks.md"
    upload = f"##vso[task.uploadsummary]{_escape_azure(str(path))}"
    return Texts((File(path, outcome.summary),), (*lines, upload))


def _azure_problem(problem: Problem) -> str:
    place = {"sourcepath": problem.file, "linenumber": problem.line}
    given = "".join(f";{key}={_escape_azure(value)}" for key, value in place.items() if value)
    return f"##vso[task.logissue type=error{given}]{_escape_azure(problem.text)}"


def _escape_azure(text: str) -> str:
    """By learn.microsoft.com/azure/devops/pipelines/scripts/logging-commands; % first, as it escapes the others."""
    for token, escaped in (("%", "%AZP25"), (";", "%3B"), ("\r", "%0D"), ("\n", "%0A"), ("]", "%5D")):
        text = text.replace(token, escaped)
    return text


def _github(outcome: Outcome, environ: Environ) -> Texts:
    """The files for a step's outputs and its summary."""
    values = "".join(_heredoc(key, value) for key, value in outcome.values.items())
    texts = {"GITHUB_OUTPUT": values, "GITHUB_STEP_SUMMARY": outcome.summary}
    return Texts(
        tuple(File(Path(environ[key]), text, is_added=True) for key, text in texts.items() if environ.get(key))
    )


def _heredoc(key: str, value: str) -> str:
    """`key<<END`, the value, `END`, with an END that the value does not contain."""
    end = "END"
    while end in value:
        end += "_"
    return f"{key}<<{end}\n{value}\n{end}\n"


def _github_problem(problem: Problem) -> str:
    place = {"file": problem.file, "line": problem.line}
    given = ",".join(f"{key}={_escape_github(value, ':,')}" for key, value in place.items() if value)
    return f"::error {given}".rstrip() + f"::{_escape_github(problem.text)}"


def _escape_github(text: str, more: str = "") -> str:
    """As actions/toolkit does it (core/src/command.ts); % first, as it escapes the others."""
    for token in f"%\r\n{more}":
        text = text.replace(token, f"%{ord(token):02X}")
    return text


def _gitlab(outcome: Outcome, environ: Environ) -> Texts:
    """A report of the kind dotenv (docs.gitlab.com/ci/yaml/artifacts_reports): lines of KEY=value, without quotes."""
    if not environ.get("CI_PROJECT_DIR"):
        return Texts()
    lines = (f"RELEASE_{key.upper()}={value}\n" for key, value in outcome.values.items())
    return Texts((File(Path(environ["CI_PROJECT_DIR"]) / ".mlops" / "mlops.env", "".join(lines)),))


DIALECTS: Mapping[str, Dialect] = {
    "Azure Pipelines": Dialect(_azure, _azure_problem, "BUILD_SOURCESDIRECTORY"),
    "GitHub Actions": Dialect(_github, _github_problem, "GITHUB_WORKSPACE"),
    "GitLab CI": Dialect(_gitlab, lambda problem: "", "CI_PROJECT_DIR"),
}
"""By the names in `ci.SYSTEMS`; the other systems are given nothing."""

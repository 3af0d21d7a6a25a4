"""Whatever a value holds, a CI system reads it back as it is, or not at all: never as a command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mlops_tasks import errors
from mlops_tasks.checkout import ci
from mlops_tasks.pipeline import ci_outputs
from mlops_tasks.pipeline.ci_outputs import File, Outcome
from mlops_tasks.release import Attempt, Checked, Names, Release, Run

AZURE = {"TF_BUILD": "True", "AGENT_TEMPDIRECTORY": "/agent/_temp"}
GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": "/runner/output", "GITHUB_STEP_SUMMARY": "/runner/summary"}
GITLAB = {"GITLAB_CI": "true", "CI_PROJECT_DIR": "/builds/team/repository"}

PIECES = (
    *("##vso[task.setvariable variable=x]", "##[error]", "##", "[", "]", ";", "=", "::error::", "::", ":"),
    *("%0A", "%25", "%AZP25", "%3B", "%", "\n", "\r", "\r\n", "\x1b[31m", "\x00", "\u00ad", "\u2028", "\ufeff", " "),
    *("$(x)", "${{ x }}", "$", "END", "\nEND\n", "<<", "`", "```", "\n```\n", "|", "<b>", "](", "@team", "é", "\udc80"),
)
HOSTILE = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=8).map("".join)
PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="$"), min_size=1).map(str.strip)
VALUES = st.fixed_dictionaries({"experiment": HOSTILE, "page": st.one_of(HOSTILE, PLAIN), "run_id": PLAIN})


@dataclass(frozen=True)
class Command:
    name: str
    properties: Mapping[str, str]
    data: str


def read_azure(line: str) -> Command | None:
    """A line as azure-pipelines-agent parses it (src/Microsoft.VisualStudio.Services.Agent/Command.cs)."""
    found = re.search(r"##vso\[([^\]]*)\](.*)", line, re.DOTALL)
    if found is None or found[1].partition(" ")[0].count(".") != 1:
        return None
    name, _, rest = found[1].partition(" ")
    pairs = (each.partition("=") for each in rest.split(";") if each)
    return Command(name, {key: unescape_azure(value) for key, _, value in pairs}, unescape_azure(found[2]))


def unescape_azure(text: str) -> str:
    for escaped, token in (("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%AZP25", "%")):
        text = text.replace(escaped, token)
    return text


def read_github(line: str) -> Command | None:
    """A line as actions/runner parses it (src/Runner.Common/ActionCommand.cs), in either of the two forms it takes."""
    line = re.sub(r"[^ -~]", "", line)  # what a comparison by culture may pass over
    if found := re.match(r"\s*::(.*?)::(.*)", line, re.DOTALL):
        name, _, rest = found[1].partition(" ")
        pairs = (each.partition("=") for each in rest.split(",") if each)
        return Command(name, {key: unescape_github(value) for key, _, value in pairs}, unescape_github(found[2]))
    if found := re.search(r"##\[([^\]]*)\](.*)", line, re.DOTALL):
        return Command(found[1].partition(" ")[0], {}, found[2])
    return None


def unescape_github(text: str) -> str:
    for escaped, token in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escaped, token)
    return text


def read_output_file(text: str) -> dict[str, str]:
    """GITHUB_OUTPUT as actions/runner parses it (src/Runner.Worker/FileCommandManager.cs)."""
    found, lines = {}, iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        key, _, end = line.partition("<<")
        assert key
        assert end
        assert "=" not in key
        value = []
        while (each := next(lines)) != end:
            value.append(each)
        found[key] = "\n".join(value)
    return found


def read_dotenv(text: str) -> dict[str, str]:
    """A dotenv report as GitLab parses it (app/services/ci/parse_dotenv_artifact_service.rb), with its limits."""
    assert len(text.encode()) < 5 * 1024
    found = {}
    for line in text.splitlines(keepends=True):  # Ruby splits at \n alone; more line ends are stricter
        match = re.fullmatch(r"([A-Za-z0-9_]+)=(.*)\n", line)
        assert match, line
        assert "$" not in match[2], "a later job would look for a variable"
        found[match[1].strip()] = match[2].strip()
    assert len(found) <= 20
    return found


def lines_of(text: str) -> list[str]:
    return re.split(r"[\r\n]+", text)


def carried(values: Mapping[str, str], left_out: tuple[str, ...]) -> dict[str, str]:
    return {key: value for key, value in values.items() if value and key not in left_out}


@given(VALUES)
def test_azure_sets_each_variable_to_its_value(values: dict[str, str]) -> None:
    texts = ci_outputs.write(Outcome(values, "summary"), AZURE)

    *commands, upload = [read_azure(line) for line in texts.lines]
    assert {each.properties["variable"]: each.data for each in commands if each} == carried(values, texts.left_out)
    assert all(each and each.name == "task.setvariable" and len(each.properties) == 2 for each in commands)
    assert not any(each in line for line in texts.lines for each in "\r\n$")
    assert upload == Command("task.uploadsummary", {}, "/agent/_temp/mlops_tasks.md")
    assert texts.files == (File(Path("/agent/_temp/mlops_tasks.md"), "summary"),)


@given(VALUES)
def test_github_sets_each_output_to_its_value(values: dict[str, str]) -> None:
    output, summary = ci_outputs.write(Outcome(values, "summary"), GITHUB).files

    assert read_output_file(output.text).items() <= values.items()
    assert "run_id" in read_output_file(output.text) or not values["run_id"]
    assert (summary.path, summary.text) == (Path("/runner/summary"), "summary")
    assert output.is_added
    assert summary.is_added


def test_a_delimiter_is_none_of_the_values_own_lines() -> None:
    texts = ci_outputs.write(Outcome({"page": "END", "state": "END_"}, ""), GITHUB)

    assert read_output_file(texts.files[0].text) == {"page": "END", "state": "END_"}


@given(VALUES)
def test_gitlab_reads_each_variable_with_its_value(values: dict[str, str]) -> None:
    texts = ci_outputs.write(Outcome(values, "summary"), GITLAB)

    (dotenv,) = texts.files
    expected = {f"RELEASE_{key.upper()}": value for key, value in carried(values, texts.left_out).items()}
    assert read_dotenv(dotenv.text) == expected
    assert dotenv.path == Path("/builds/team/repository/.mlops/mlops.env")


@pytest.mark.parametrize("environ", [AZURE, GITHUB, GITLAB], ids=["Azure", "GitHub", "GitLab"])
@pytest.mark.parametrize("value", ["a\nb", " a", "$(secret)", "a\x1b[0m", "é" * 251, "\udc80"])
def test_a_value_that_a_system_would_change_or_read_is_left_out_by_name(environ: dict[str, str], value: str) -> None:
    texts = ci_outputs.write(Outcome({"experiment": value, "run_id": "1"}, ""), environ)

    assert texts.left_out == ("experiment",)


@pytest.mark.parametrize(
    "environ", [{}, {"JENKINS_URL": "https://j/"}, {"GITHUB_OUTPUT": "/x"}], ids=["laptop", "Jenkins", "no marker"]
)
def test_elsewhere_nothing_is_handed_on(environ: dict[str, str]) -> None:
    assert ci_outputs.write(Outcome({"run_id": "1"}, "summary"), environ) == ci_outputs.Texts()
    assert ci_outputs.show_problem("what", "where", environ) == ""


def test_each_dialect_is_that_of_a_system() -> None:
    assert set(ci_outputs.DIALECTS) < {each.name for each in ci.SYSTEMS}


@given(HOSTILE)
def test_an_error_is_one_command_with_its_text_and_place(text: str) -> None:
    azure, github = (ci_outputs.show_problem(text, "nowhere", each) for each in (AZURE, GITHUB))

    shown = "\n".join("".join(each if each.isprintable() else "?" for each in line) for line in text.splitlines())
    assert read_azure(azure) == Command("task.logissue", {"type": "error"}, shown)
    assert github.startswith("::error::")
    assert unescape_github(github.removeprefix("::error::")) == shown
    assert not any(each in line for line in (azure, github) for each in "\r\n")


@pytest.mark.parametrize(
    ("place", "properties"),
    [
        pytest.param("", {}, id="nowhere"),
        pytest.param(":3", {"line": "3"}, id="line"),
        pytest.param(":3:7", {"line": "3"}, id="line and column"),
    ],
)
def test_an_error_names_the_file_and_line_below_the_repository(
    tmp_path: Path, place: str, properties: dict[str, str]
) -> None:
    name = "a,b:c;]%.yaml"
    (tmp_path / name).touch()
    where = f"{tmp_path / name}{place}"

    github = read_github(ci_outputs.show_problem("what", where, {**GITHUB, "GITHUB_WORKSPACE": str(tmp_path)}))
    azure = read_azure(ci_outputs.show_problem("what", where, {**AZURE, "BUILD_SOURCESDIRECTORY": str(tmp_path)}))

    assert github == Command("error", {"file": name, **properties}, "what")
    assert azure is not None
    renamed = {"line": "linenumber"}
    expected = {"type": "error", "sourcepath": name, **{renamed[key]: value for key, value in properties.items()}}
    assert azure.properties == expected


def test_a_file_outside_the_repository_is_not_marked(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    environ = {**GITHUB, "GITHUB_WORKSPACE": str(tmp_path / "repository")}

    assert ci_outputs.show_problem("what", str(tmp_path / "x"), environ) == "::error::what"


@pytest.mark.parametrize("where", ["--plot " + "a" * 300, "a\0b", "mlops.require (configuration), --require", ""])
def test_a_place_that_is_no_file_is_not_marked(tmp_path: Path, where: str) -> None:
    assert ci_outputs.show_problem("what", where, {**GITHUB, "GITHUB_WORKSPACE": str(tmp_path)}) == "::error::what"


@given(HOSTILE)
@example("\u00ad::error::x")
@example(":\u00ad:error::x")
@example("x\r::add-mask::y")
@example("##v\u200dso[task.x]y")
def test_no_line_that_is_shown_is_a_command(text: str) -> None:
    shown = ci_outputs.neutralise(text)

    for line in lines_of(shown):
        assert read_github(line) is None
        assert read_azure(re.sub(r"[^ -~]", "", line)) is None
        assert "##vso[" not in re.sub(r"[^ -~]", "", line)
    assert shown.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("text", ["std::vector", "a # comment", "## heading", "key: value", "C++ ::x", "[1]", "12::34"])
def test_what_is_no_command_is_shown_as_it_is(text: str) -> None:
    assert ci_outputs.neutralise(text) == text


RELEASE = Release(
    target="local",
    project="training",
    branch="feature/a",
    commit="0123456789abcdef",
    dirty=True,
    names=Names("/Shared/r/training/a", "wheels/r/a"),
    attempt=Attempt(id="a", run_id="abc"),
    run=Run("abc", "1", "FINISHED", "local", "https://host/run", "main", metrics={"auc": 0.79123}),
)


def test_the_outcome_of_a_run_has_its_id_page_and_state() -> None:
    outcome = ci_outputs.of_release(RELEASE, None, exit_code=0)

    assert outcome.values == {
        "exit_code": "0",
        "experiment": "/Shared/r/training/a",
        "wheel_folder": "wheels/r/a",
        "run_id": "abc",
        "page": "https://host/run",
        "state": "FINISHED",
    }
    assert "[the page of the run](<https://host/run>)" in outcome.summary
    assert "`auc`: `0.7912`" in outcome.summary


def test_the_comparison_stands_in_the_place_of_the_metrics() -> None:
    summary = ci_outputs.of_release(RELEASE, None, exit_code=0, comparison="| a | table |").summary

    assert "| a | table |\n" in summary
    assert "`auc`" not in summary


def test_the_outcome_of_a_run_with_gates_says_whether_they_are_met() -> None:
    unmet = Checked("auc > 1", met=False, value=0.5, bound=1.0, because="auc is 0.5")
    run = RELEASE.run
    assert run is not None

    outcome = ci_outputs.of_release(replace(RELEASE, run=run._replace(gates=(unmet,))), None, exit_code=6)

    assert (outcome.values["gate"], outcome.values["state"]) == ("not met", "FINISHED")
    assert outcome.summary.startswith("### mlops_tasks: `FINISHED`, and its gate is not met\n")


@pytest.mark.parametrize(("code", "after"), [(0, ""), (4, ", and the command failed after it")])
def test_the_head_of_a_summary_says_how_the_command_ended(code: int, after: str) -> None:
    summary = ci_outputs.of_release(RELEASE, None, exit_code=code).summary

    assert summary.startswith(f"### mlops_tasks: `FINISHED`{after}\n")


def test_the_run_of_an_earlier_command_is_not_handed_on() -> None:
    outcome = ci_outputs.of_release(RELEASE, RELEASE, exit_code=1)

    assert set(outcome.values) == {"exit_code", "experiment", "wheel_folder"}
    assert "abc" not in outcome.summary


def test_a_detached_run_is_running() -> None:
    detached = replace(RELEASE, run=None, attempt=Attempt(id="a", run_id="abc", url="https://host/job", detached=True))

    values = ci_outputs.of_release(detached, None, exit_code=0).values

    assert (values["run_id"], values["state"], values["page"]) == ("abc", "RUNNING", "https://host/job")


@given(HOSTILE, HOSTILE, HOSTILE)
def test_markdown_reads_nothing_in_the_values_of_a_summary(branch: str, url: str, what: str) -> None:
    run = Run("abc", "1", "FAILED", "local", url, "main", metrics={branch: 1.0})
    release = replace(RELEASE, branch=branch, run=run, names=Names(what, branch))
    problem = str(errors.RunFailed(what, where=url, cure=branch))

    summary = ci_outputs.of_release(release, None, exit_code=5, problem=problem).summary

    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(summary)
    inline = [each for token in tokens for each in token.children or ()]
    assert {each.type for each in tokens} <= {
        *("heading_open", "heading_close", "inline", "paragraph_open", "paragraph_close", "fence"),
        *("bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"),
    }
    assert {each.type for each in inline} <= {"text", "code_inline", "link_open", "link_close"}
    assert all(each.attrGet("href") for each in inline if each.type == "link_open")
    assert sum(each.type == "fence" for each in tokens) == 1
    assert not any(ord(each) < 32 and each != "\n" for each in summary)

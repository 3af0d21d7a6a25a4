from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from mlops_tasks import errors, processes, uv
from mlops_tasks.processes import Completed
from mlops_tasks.report import Report
from mlops_tasks.wheels import building, ignored
from tests.support.repositories import make_library, write

NO_SOLUTION = """\
Traceback (most recent call last):
  File "build/env.py", line 496, in install_dependencies
* Installing packages in isolated environment:
< error: No solution found when resolving dependencies
<   cause: Because hatchlingg was not found in the package registry
ERROR Command '['uv']' returned non-zero exit status 1.
"""
NOTHING_LEFT = ignored.Ignored()
NO_CACHE = "< error: Failed to initialize cache at `/.cache/uv`\n<   cause: failed to create directory `/.cache/uv`\n"


@pytest.mark.parametrize(
    ("log", "what", "cure"),
    [
        (NO_SOLUTION, "what builds it cannot be installed", "correct `requires` under [build-system]"),
        (NO_CACHE, "uv has no place for its cache", "set UV_CACHE_DIR"),
        ("< error: Failed to fetch: `https://h/`\n", "the package index cannot be reached", "check the network"),
        ("error: in setup.py\n", "in setup.py", "correct what the build backend says"),
    ],
)
def test_a_build_that_fails_tells_whose_fault_it_is(tmp_path: Path, log: str, what: str, cure: str) -> None:
    caught = fail(tmp_path, log)

    assert what in caught.what
    assert "Traceback" not in caught.what
    assert caught.cure.startswith(cure)


def test_what_cannot_be_installed_for_a_build_is_told_with_its_place_and_without_ours(tmp_path: Path) -> None:
    caught = fail(tmp_path, "error: Distribution not found at: file://{folder}/foo\n", is_install=True)

    assert "what builds it cannot be installed:\nDistribution not found at: file://foo\n" in caught.what
    assert caught.cure.startswith("correct `requires` under [build-system]")


LONG = """\
* Getting build dependencies for wheel...
running egg_info
Traceback (most recent call last):
{frames}
ModuleNotFoundError: No module named 'pkg_resources'

ERROR Backend subprocess exited when trying to invoke get_requires_for_build_wheel
""".format(frames="\n".join(f'  File "setup.py", line {number}' for number in range(40)))


class Told(Report):
    def __init__(self) -> None:
        self.debugs: list[str] = []

    def debug(self, text: str) -> None:
        self.debugs.append(text)


def test_the_last_cause_comes_first_and_the_whole_log_is_kept_and_shown_with_verbose(tmp_path: Path) -> None:
    report = Told()

    caught = fail(tmp_path, LONG, report)

    first, *others = caught.what.splitlines()
    assert first == "the library mylib cannot be built: ModuleNotFoundError: No module named 'pkg_resources'"
    assert len(others) == building.LAST_WORDS + 1
    assert others[-1] == f"  the whole log: {tmp_path / 'logs' / 'build.log'}"
    assert (tmp_path / "logs" / "build.log").read_text() == LONG
    assert report.debugs == LONG.splitlines()


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("", "it said nothing"),
        ("one\ntwo\n\nERROR Backend subprocess exited\n", "two"),
        ("error: command 'gcc' failed\nsee above\n", "error: command 'gcc' failed"),
        ("hatchling.UnknownError: no\n* a note of build's\n", "hatchling.UnknownError: no"),
        ("flit_core.InvalidVersion: no\nTIP pass --env-dir\nERROR Backend exited\n", "flit_core.InvalidVersion: no"),
        ("* Creating\nERROR Failed to parse pyproject.toml\n", "Failed to parse pyproject.toml"),
    ],
)
def test_the_cause_is_the_last_line_that_names_an_error_else_the_last_line(log: str, cause: str) -> None:
    assert building._last_cause(log) == cause


@pytest.mark.parametrize(
    ("file", "text", "log"),
    [
        ("pyproject.toml", '[project]\nversion = "1.0-x_y"\n', "configuration error: `project.version` must be pep440"),
        ("setup.cfg", "[metadata]\nversion = 1.0-x_y\n", "it failed"),
        ("setup.cfg", "[metadata]\nversion = 1.0-x_y\n", "ValueError: invalid config: `project.version`."),
        ("setup.cfg", "", "ValueError: Invalid version `1.0-x_y` from field `project.version`"),
        ("setup.cfg", "", "InvalidVersion: Version number '1.0-x_y' does not match PEP 440 rules"),
        ("setup.cfg", "", "packaging.version.InvalidVersion: Invalid version: '1.0-x_y'"),
    ],
)
def test_a_version_that_a_backend_refuses_is_named_whatever_the_backend(
    tmp_path: Path, file: str, text: str, log: str
) -> None:
    library = tmp_path / "libs" / "mylib"
    write(library, {"pyproject.toml": "[project]\n", file: text})

    with pytest.raises(errors.BadInput, match=r"gives itself the version .1\.0-x_y"):
        raise building._failed("fails", library, log, NOTHING_LEFT, told="")


@pytest.mark.parametrize("version", ["1.0 beta", "release 7", ""])
def test_a_version_that_setuptools_does_not_name_is_told_with_its_line(tmp_path: Path, version: str) -> None:
    write(tmp_path, {"pyproject.toml": f'[project]\nname = "versions"\nversion = "{version}"\n'})

    caught = building._failed(
        "fails",
        tmp_path,
        "ValueError: invalid pyproject.toml config: `project.version`.",
        NOTHING_LEFT,
        told="",
    )

    assert isinstance(caught, errors.BadInput)
    assert f"gives itself the version {version!r}" in caught.what
    assert caught.where == f"{tmp_path / 'pyproject.toml'}:3"


ASKS = 'import os\nfrom setuptools import setup\nsetup(name="x", version="1.0." + os.environ["BUILD_NUMBER"])\n'


@pytest.mark.parametrize("file", ["setup.py", "hatch_build.py"])
def test_a_variable_that_a_build_asks_for_and_that_is_not_set_is_named(tmp_path: Path, file: str) -> None:
    write(tmp_path, {"pyproject.toml": "[project]\n", file: ASKS})

    def fails(program: str, then: str = "") -> errors.ReleaseError:
        log = processes.run_command([sys.executable, "-c", program], env={}).stderr + then
        return building._failed("cannot be built", tmp_path, log, NOTHING_LEFT, told="")

    takes = 'import os; os.environ["BUILD_NUMBER"]'
    caught = fails(takes, "\nERROR Backend subprocess exited\n")

    assert "cannot be built: it asks for the variable BUILD_NUMBER, which is not set: KeyError: 'BUILD" in caught.what
    assert caught.where == f"{tmp_path / file}:3"
    assert caught.cure == "set BUILD_NUMBER, then `inv build-wheel`"
    assert "asks for" not in fails(takes, "ValueError: no\n").what
    assert "asks for" not in fails('{}["BUILD_NUMBER"]').what


def fail(tmp_path: Path, log: str, report: Report | None = None, *, is_install: bool = False) -> errors.ReleaseError:
    """The error of a build whose backend fails with this log, or what installs it where that says so."""
    failing = "install" if is_install or uv.explain(log) or uv.NO_SOLUTION in log else "sh"

    def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Completed:
        if command[0] == "git":
            return processes.run_command(command, cwd=cwd, env=env)
        said = log.format(folder=cwd) if is_install else log
        return Completed(command, 1, "", said) if failing in command else Completed(command, 0, "", "")

    library, log_file = make_library(tmp_path), tmp_path / "logs" / "build.log"
    with (
        building.environments({}, run=run) as beside,
        pytest.raises(errors.StepFailed) as caught,
        building.built(library, top=tmp_path, beside=beside, report=report or Report(), log_file=log_file),
    ):
        pass
    return caught.value


def test_constraints_of_pips_settings_hold_for_what_builds_a_wheel() -> None:
    environ = {"PIP_CONSTRAINT": "/c.txt", "PIP_BUILD_CONSTRAINT": "/b.txt", "PIP_CONFIG_FILE": "/dev/null"}

    assert building.environment(environ)["UV_CONSTRAINT"] == "/c.txt /b.txt"
    assert "UV_CONSTRAINT" not in building.environment({"PIP_CONFIG_FILE": "/dev/null"})


def test_what_pip_may_not_take_ready_made_is_not_for_a_build_either(tmp_path: Path) -> None:
    listed: list[str] = []

    def run(command: Sequence[str], **_: object) -> processes.Completed:
        if "-r" in command:
            listed.extend(Path(command[-1]).read_text().splitlines())
        return processes.Completed(command, 0, "", "")

    environ = building.environment(
        {"PIP_NO_BINARY": "cython", "PIP_ONLY_BINARY": "numpy", "PIP_CONFIG_FILE": "/dev/null"}
    )
    building.Environments(tmp_path, environ=environ, run=run).providing(frozenset({"setuptools"}), say=pytest.fail)

    assert listed == ["--no-binary cython", "--only-binary numpy", "setuptools"]

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from mlops_tasks import errors, processes
from mlops_tasks.processes import Completed
from mlops_tasks.report import Report
from mlops_tasks.wheels import building
from tests.support.repositories import make_library

NO_SOLUTION = """\
Traceback (most recent call last):
  File "build/env.py", line 496, in install_dependencies
* Installing packages in isolated environment:
< error: No solution found when resolving dependencies
<   cause: Because hatchlingg was not found in the package registry
ERROR Command '['uv']' returned non-zero exit status 1.
"""
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
    def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Completed:
        is_build = command[0] == sys.executable
        return Completed(command, 1, "", log) if is_build else processes.run_command(command, cwd=cwd, env=env)

    library = make_library(tmp_path)
    with (
        pytest.raises(errors.StepFailed) as caught,
        building.built(library, top=tmp_path, environ={}, run=run, report=Report()),
    ):
        pass

    assert what in caught.value.what
    assert "Traceback" not in caught.value.what
    assert caught.value.cure.startswith(cure)


def test_constraints_of_pips_settings_hold_for_what_builds_a_wheel() -> None:
    environ = {"PIP_CONSTRAINT": "/c.txt", "PIP_BUILD_CONSTRAINT": "/b.txt", "PIP_CONFIG_FILE": "/dev/null"}

    assert building._environ(environ)["UV_CONSTRAINT"] == "/c.txt /b.txt"
    assert "UV_CONSTRAINT" not in building._environ({"PIP_CONFIG_FILE": "/dev/null"})

"""Environment YAMLs as real projects have them: each gives requirements for PyPI, or an error with its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_tasks import errors, report
from mlops_tasks.backends.local import environment
from mlops_tasks.project import mlproject
from tests.support.repositories import write

CASES = Path(__file__).with_name("real_environments.txt").read_text(encoding="utf-8").split("=== ")[1:]


def files_of(case: str) -> Iterator[tuple[str, str]]:
    """The project's files: MLproject, the case's environment where it says that it is, and those beside it."""
    texts = case.partition("-->")[0].split("--- ")
    kind = "python" if "\nkind: python\n" in texts[0] else "conda"
    name = "envs/env.yaml" if "\nin: envs\n" in texts[0] else "env.yaml"
    yield "MLproject", f"{kind}_env: {name}\n"
    yield name, texts[0].partition("\n")[2].removeprefix("kind: python\n").removeprefix("in: envs\n")
    for text in texts[1:]:
        other, _, content = text.partition("\n")
        yield other, content


@pytest.mark.parametrize("case", CASES, ids=[case.partition("\n")[0] for case in CASES])
def test_an_environment_gives_requirements_or_an_error_with_its_line(tmp_path: Path, case: str) -> None:
    said = case.replace("{uri}", tmp_path.as_uri()).replace("{path}", str(tmp_path))
    wanted = [line.removeprefix("--> ") for line in said.splitlines() if line.startswith("--> ")]
    write(tmp_path, dict(files_of(case)))

    def read() -> list[str]:
        return environment.read_lines(mlproject.load(tmp_path), report=report.Report())

    if wanted and wanted[0].startswith("error"):
        place, _, words = wanted[0].removeprefix("error").partition(": ")
        with pytest.raises(errors.BadInput) as caught:
            read()
        assert words in str(caught.value)
        assert not place or f"env.yaml:{place.strip()}:" in f"{caught.value.where}:"
    else:
        assert read() == wanted

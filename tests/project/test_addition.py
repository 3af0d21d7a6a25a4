"""Wheels that nothing refers to, added to what a project installs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_tasks.project import addition, mlproject
from mlops_tasks.release import Deployed, Reference

LIB = Deployed(distribution="my-lib", uri="dbfs:/w/my_lib-2.0-py3-none-any.whl", sha256="1")
CORE = Deployed(distribution="core", uri="file:///w/core-1.0-py3-none-any.whl", sha256="2")
LINES = ["/dbfs/w/my_lib-2.0-py3-none-any.whl", "core @ file:///w/core-1.0-py3-none-any.whl"]
CONDA = "name: x\nconda_env: env.yaml\nentry_points:\n  main: {command: python train.py}\n"
PYTHON = CONDA.replace("conda_env", "python_env")


def add(folder: Path, project: str, env: str | None) -> str:
    (folder / "MLproject").write_text(project)
    if env is not None:
        (folder / "env.yaml").write_bytes(env.encode())
    loaded = mlproject.load(folder)
    file = addition.find_file(loaded)

    added = addition.add(loaded, [LIB, CORE])

    assert added == [Reference(file=file.name, old="", new=line) for line in LINES]
    return file.read_bytes().decode()


@pytest.mark.parametrize(
    ("project", "env", "new"),
    [
        pytest.param(
            CONDA,
            "dependencies:\n- python=3.11\n- pip:\n  - mlflow  # ours\n  # the end\nname: é\n",
            "dependencies:\n- python=3.11\n- pip:\n  - mlflow  # ours\n{0}{1}  # the end\nname: é\n",
            id="after the last line of pip",
        ),
        pytest.param(
            CONDA, "dependencies:\n- pip:\n  - mlflow", "dependencies:\n- pip:\n  - mlflow\n{0}{1}", id="no end"
        ),
        pytest.param(
            CONDA, "dependencies: [pip, pip: [mlflow, a]]\n", "dependencies: [pip, pip: [mlflow, a{2}]]\n", id="flow"
        ),
        pytest.param(
            PYTHON, "dependencies:\r\n  - mlflow\r\n", "dependencies:\r\n  - mlflow\r\n{0}{1}", id="carriage returns"
        ),
    ],
)
def test_the_lines_stand_after_the_last_one_and_all_else_is_as_it_was(
    tmp_path: Path, project: str, env: str, new: str
) -> None:
    made = add(tmp_path, project, env)

    end = "\r\n" if "\r" in env else "\n"
    lines = [f"  - {line}{end}" for line in LINES]
    assert made.rstrip() == new.format(*lines, "".join(f", {line}" for line in LINES)).rstrip()


@pytest.mark.parametrize(
    ("project", "env", "wanted"),
    [
        (CONDA, "dependencies: [python=3.11]\n", {"dependencies": ["python=3.11", "pip", {"pip": LINES}]}),
        (CONDA, "dependencies: [pip=24, {pip: }]\n", {"dependencies": ["pip=24", {"pip": LINES}]}),
        (CONDA, "name: x\n", {"name": "x", "dependencies": ["pip", {"pip": LINES}]}),
        (CONDA, "", {"dependencies": ["pip", {"pip": LINES}]}),
        (PYTHON, "python: '3.11'\ndependencies: []\n", {"python": "3.11", "dependencies": LINES}),
        (PYTHON, "a: &l [b]\ndependencies: *l\n", {"a": ["b"], "dependencies": ["b", *LINES]}),
        ("name: x\n", None, {"dependencies": LINES}),
    ],
)
def test_a_file_without_a_place_for_one_more_line_is_written_anew(
    tmp_path: Path, project: str, env: str | None, wanted: dict[str, Any]
) -> None:
    assert yaml.safe_load(add(tmp_path, project, env)) == wanted


@pytest.mark.parametrize("libraries", ["", "  python_libraries: []\n", "  python_libraries: [numpy]  # c\n"])
def test_the_wheels_of_a_spark_job_come_after_its_python_libraries(tmp_path: Path, libraries: str) -> None:
    made = add(tmp_path, f"databricks_spark_job:\n  python_file: a.py\n{libraries}", None)

    old = ["numpy"] if "numpy" in libraries else []
    assert yaml.safe_load(made)["databricks_spark_job"]["python_libraries"] == [*old, *LINES]
    assert ("# c" in made) == ("# c" in libraries)

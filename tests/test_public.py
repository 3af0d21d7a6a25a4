"""What the package offers by name: the Python API, its version, and how little `import mlops_tasks` costs."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import mlops_tasks


@pytest.mark.parametrize("name", mlops_tasks.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(mlops_tasks, name)


def test_another_name_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Pipelines'"):
        mlops_tasks.Pipelines  # noqa: B018


def test_the_version_is_that_of_the_installed_package_and_the_types_come_with_it() -> None:
    assert mlops_tasks.__version__ == importlib.metadata.version("mlops_tasks")
    assert Path(mlops_tasks.__file__).with_name("py.typed").exists()


def test_importing_the_package_imports_none_of_its_modules() -> None:
    code = "import sys, mlops_tasks; print([name for name in sys.modules if name.startswith('mlops_tasks.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"

"""The rules of the house: which way imports run, and what may be imported when."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "mlops_tasks"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "template" not in path.relative_to(PACKAGE).parts)
TESTS = sorted(HERE.rglob("*.py"))

LAYERS = (
    *("__version__", "release", "errors", "report", "files", "redaction", "slugs", "markdown"),
    *("settings", "processes", "locks"),
    *("record", "state", "uv"),
    *("workspace", "tracking", "checkout"),
    *("stores", "project", "wheels"),
    *("backends", "targets", "steps", "doctor", "pipeline"),
    *("tasks", "nox", "__init__", "__main__"),
)
"""The rooms and the modules of the root from the lowest to the highest: each imports what stands before it."""


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def layer(name: str) -> int:
    return LAYERS.index(name)


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    """Dotted names that a module imports; those for type checkers alone don't count."""
    tree = parse(path)
    checking = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    functions = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in checking or (top_level_only and id(node) in functions):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_one_way(path: Path) -> None:
    own = room(path)
    for name in imports(path):
        if name.startswith("mlops_tasks."):
            other = name.split(".")[1]
            assert layer(other) <= layer(own), f"{own} imports {name}, which lies above it"


def test_the_root_is_no_room() -> None:
    beside = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert len(beside) <= 14, f"find a room for one of them: {', '.join(sorted(beside))}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "steps").glob("*.py")), ids=lambda path: path.stem)
def test_no_step_imports_another_step(path: Path) -> None:
    own = [name for name in imports(path) if name.startswith("mlops_tasks.steps.")]
    assert not [name for name in own if not name.startswith("mlops_tasks.steps.context.")]


ALREADY_SLOW = {"backends/local/child.py", "backends/databricks_jobs/plugin.py"}
"""The programs that only MLflow starts, or that start it."""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_heavy_and_outer_packages_stay_in_their_rooms(path: Path) -> None:
    own = room(path)
    for name in imports(path):
        package = name.split(".")[0]
        assert package != "invoke" or own == "tasks", f"{own} imports invoke"
        assert package != "rich" or own == "tasks", f"{own} imports rich"
        assert package != "matplotlib" or path.name == "picture.py", f"{path.name} imports matplotlib"
        assert package not in {"mlflow", "databricks", "databricks_cli"} or own in {
            "backends",
            "stores",
            "tracking",
            "workspace",
            "tasks",
        }
    if path.relative_to(PACKAGE).as_posix() not in ALREADY_SLOW:
        heavy = {"mlflow", "matplotlib", "databricks", "databricks_cli", "rich", "uv", "build"}
        found = {name.split(".")[0] for name in imports(path, top_level_only=True)} & heavy
        assert not found, f"imported as soon as the module is: {found}"


DRIVER = "backends/databricks_jobs/driver.py"
HOMES = {
    "fcntl": {"locks.py"},
    "hashlib": {"files.py", DRIVER},
    "shlex": {
        *("errors.py", "project/entry_points.py", "project/spark_command.py"),
        *("backends/databricks/entry.py", "backends/databricks_jobs/entry.py"),
        DRIVER,
    },
    "subprocess": {"processes.py", "backends/local/child.py", DRIVER},
}
"""The modules of Python's own that only a few of ours may import; the child and the driver are programs by themselves.

What a person is to type is quoted in `errors`; the others read or write the commands of entry points."""


@pytest.mark.parametrize("name", HOMES)
def test_some_modules_of_the_standard_library_have_one_home(name: str) -> None:
    assert {path.relative_to(PACKAGE).as_posix() for path in MODULES if name in imports(path)} == HOMES[name]


def test_the_spellings_of_a_place_have_one_home() -> None:
    spellings = {"dbfs:", "/dbfs/", "/Volumes/", "/Workspace/"}
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in spellings
    }
    assert found == {"stores/uris.py"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_prints_but_the_console(path: Path) -> None:
    calls = [node for node in ast.walk(parse(path)) if isinstance(node, ast.Call)]
    printing = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
    assert not printing or path.name in {"console.py", "child.py"}


def test_the_tasks_are_listed_without_anything_slow() -> None:
    code = "import sys; from mlops_tasks import namespace; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    slow = {"mlflow", "rich", "packaging", "databricks", "uv", "build", "mlops_tasks.pipeline.pipeline"}
    assert not slow & set(done.stdout.split())


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.relative_to(HERE).as_posix())
def test_no_test_file_imports_another_test_file(path: Path) -> None:
    for name in imports(path):
        if name.startswith("tests."):
            assert not any(part.startswith("test_") for part in name.split(".")), f"{name}: helpers belong to support/"


def test_each_folder_of_the_tests_is_a_rooms_or_serves_them_all() -> None:
    for test in TESTS:
        folder = test.parent.relative_to(HERE)
        shared = {"support", "fake_workspace", "releases", "golden", "benchmarks"} & set(folder.parts[:1])
        assert shared or (PACKAGE / folder).is_dir(), f"tests/{folder} is named after no room of the package"

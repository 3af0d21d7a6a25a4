from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from mlops_tasks.wheels import syntax
from tests.support.repositories import write


def make_wheel(folder: Path, files: dict[str, str]) -> Path:
    path = folder / "mylib-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("A = 1\ndef f(:\n", 2, id="syntax"),
        pytest.param("return 1\n", 1, id="found by the compiler alone"),
        pytest.param("A = '\0'\n", 1, id="a NUL byte"),
        pytest.param("A = 1\n\tB = 2\n", 2, id="indentation"),
        pytest.param("# coding: nonsense\n", 1, id="coding"),
    ],
)
def test_a_module_that_does_not_compile_is_found_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    found = syntax.find_fault(make_wheel(tmp_path, {"mylib/__init__.py": "A = 1\n", "mylib/x.py": text}))

    assert found is not None
    assert (found.name, found.line) == ("mylib/x.py", line)


def test_only_what_can_be_imported_has_to_compile(tmp_path: Path) -> None:
    files = {
        "mylib/__init__.py": "import warnings\nassert (1, 'always true, which is a warning')\n",
        "mylib/templates/main.py": "import {{ name }}\n",
        "mylib/{{name}}.py": "import {{ name }}\n",
        "mylib/text.txt": "(",
        "mylib/_compat_py312.py": "type X = (",
        "mylib-1.0.data/scripts/tool.py": "(",
    }

    assert syntax.find_fault(make_wheel(tmp_path, files)) is None


@pytest.mark.parametrize(("python", "is_fault"), [((3, 9), True), (syntax.RUNNING, False)])
def test_what_is_newer_than_the_targets_python_is_found(
    tmp_path: Path, python: tuple[int, int], is_fault: bool
) -> None:
    path = make_wheel(tmp_path, {"tool.py": "match 1:\n    case 1:\n        pass\n"})

    assert (syntax.find_fault(path, python) is not None) is is_fault


def test_the_fault_is_placed_in_the_librarys_own_file(tmp_path: Path) -> None:
    write(tmp_path, {"src/mylib/x.py": "(", "src/other/mylib.py": ""})

    assert syntax.Fault("mylib/x.py", 1, "").find_place(tmp_path) == f"{tmp_path / 'src/mylib/x.py'}:1"
    assert syntax.Fault("made.py", 3, "").find_place(tmp_path) == "made.py:3"
    assert syntax.parse(f"{sys.version_info[0]}.{sys.version_info[1]}") == syntax.RUNNING

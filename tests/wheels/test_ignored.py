from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks import processes
from mlops_tasks.wheels import ignored, sources
from tests.support.repositories import HATCHLING, commit, make_library, write

PB2 = "mylib/schema_pb2.py"


def look(library: Path, **settings: Any) -> ignored.Ignored:
    return sources.look_at(library, environ={}, run=processes.run_command, **settings).ignored


def make(top: Path, text: str = "", *, file: str = "pyproject.toml", ignore: str = "*_pb2.py\n") -> Path:
    library = make_library(top, project=text if file == "pyproject.toml" else "")
    write(library, {} if file == "pyproject.toml" else {file: text})
    write(top, {".gitignore": f"{ignore}*.egg-info/\n__pycache__/\n.env\n*.log\n*.so\n"})
    commit(top)
    write(library, {PB2: "A = 1\n", "mylib/data/words.bin": "1"})
    return library


def test_a_generated_module_in_a_package_is_missed_and_the_leavings_of_tools_are_not(tmp_path: Path) -> None:
    library = make(tmp_path)
    leavings = (
        "mylib/x.log",
        "mylib/_fast.so",
        "mylib/.env",
        "mylib/__pycache__/a.pyc",
        "mylib.egg-info/x",
        "b_pb2.py",
    )
    write(library, dict.fromkeys(leavings, ""))

    assert look(library).missed == (PB2,)


def test_a_package_without_an_init_is_one_and_a_folder_of_tests_is_none(tmp_path: Path) -> None:
    library = make(tmp_path)
    write(library, dict.fromkeys(("src/company/ml/a.py", "tests/a.py"), ""))
    commit(tmp_path)
    write(library, dict.fromkeys(("src/company/ml/a_pb2.py", "tests/a_pb2.py"), ""))

    assert look(library).missed == (PB2, "src/company/ml/a_pb2.py")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        pytest.param("pyproject.toml", '[tool.hatch.build]\nartifacts = ["*_pb2.py"]\n', id="hatch's artifacts"),
        pytest.param(
            "pyproject.toml",
            '[tool.hatch.build.targets.wheel]\nartifacts = [\n  "/mylib/*_pb2.py",  # generated\n]\n',
            id="anchored",
        ),
        pytest.param(
            "pyproject.toml", f'[tool.poetry]\ninclude = [{{path = "{PB2}", format = "wheel"}}]\n', id="poetry"
        ),
        pytest.param(
            "pyproject.toml", '[tool.setuptools.package-data]\nmylib = ["*_pb2.py"]\n[tool.x]\n', id="package data"
        ),
        pytest.param("setup.cfg", "[options.package_data]\nmylib =\n    *_pb2.py\n", id="setup.cfg"),
        pytest.param("setup.py", f'setup(version=open("{PB2}").read())\n', id="a file that setup.py reads"),
        pytest.param("MANIFEST.in", "exclude *.x\nrecursive-include mylib *_pb2.py *.y\n", id="MANIFEST.in"),
        pytest.param("setup.py", 'setup(package_data={"mylib": ["*_pb2.py"]})\n', id="setup.py"),
    ],
)
def test_what_the_librarys_own_settings_ship_comes_along(tmp_path: Path, file: str, text: str) -> None:
    assert look(make(tmp_path, text, file=file)).brought == (PB2,)


@pytest.mark.parametrize(
    "text",
    [
        '[tool.setuptools.packages.find]\ninclude = ["mylib*", "*"]\n',
        '[tool.ruff]\ninclude = ["*.py", "**/*_pb2.py"]\n',
        '[tool.setuptools.package-data]\n"*" = ["*", "py.typed"]\n',
    ],
)
def test_globs_that_ship_nothing_or_everything_bring_nothing(tmp_path: Path, text: str) -> None:
    assert look(make(tmp_path, text)).brought == ()


@pytest.mark.parametrize("path", ["mylib/_version.py", "libs/mylib/mylib/_version.py", "_version.py"])
def test_what_a_plugin_writes_during_the_build_is_neither_brought_nor_missed(tmp_path: Path, path: str) -> None:
    library = make(tmp_path, f'[tool.setuptools_scm]\nversion_file = "{path}"\n', ignore="_version.py\n*_pb2.py\n")
    write(library, {"mylib/_version.py": ""})

    found = look(library)

    assert (found.brought, found.missed) == ((), (PB2,))


def test_the_setting_include_brings_what_git_ignores_and_its_content_counts(tmp_path: Path) -> None:
    library = make(tmp_path)

    def digest() -> str:
        return sources.look_at(library, environ={}, run=processes.run_command, include=["mylib/*_pb2.py"]).digest

    before = digest()
    assert look(library, include=["**/*_pb2.py"]).brought == (PB2,)
    assert look(library, include=["../x", "/etc/*"]).brought == ()
    write(library, {PB2: "A = 2\n"})

    assert digest() != before


def test_folders_beside_the_librarys_own_are_not_looked_into(tmp_path: Path) -> None:
    library = make(tmp_path, ignore="*_pb2.py\nraw/\n")
    write(library, dict.fromkeys(("raw/a_pb2.py", "mylib/made/deep/a_pb2.py"), ""))

    found = look(library)

    assert found.missed == ("mylib/made/deep/a_pb2.py", PB2)
    assert not found.others
    assert look(library, include=["raw"]).brought == ("raw/a_pb2.py",)


def test_a_folder_that_the_settings_ship_comes_along_with_all_that_is_in_it(tmp_path: Path) -> None:
    library = make(tmp_path, '[tool.hatch.build]\nartifacts = ["/web/dist/"]\n', ignore="*_pb2.py\nweb/\n")
    write(library, dict.fromkeys(("web/dist/js/app.js", "web/other.js", "web/dist/__pycache__/x.pyc"), ""))

    assert look(library).brought == ("web/dist/js/app.js",)


def test_a_forced_folder_comes_along_and_a_module_outside_of_packages_is_missed(tmp_path: Path) -> None:
    forced = '[tool.hatch.build.targets.wheel.force-include]\nmade = "mylib/made"\n'
    library = make(tmp_path, f'{forced}[tool.setuptools]\npy-modules = ["top"]\n', ignore="made/\ntop.py\nlocal.py\n")
    write(library, dict.fromkeys(("made/a.bin", "top.py", "local.py"), ""))

    found = look(library)

    assert (found.brought, found.missed) == (("made/a.bin",), ("top.py",))


NAMES = st.lists(st.sampled_from(["a.py", "p/__init__.py", "p/a.py", "p/b.json", "q/c.py", "p/x/y"]), unique=True)


@given(st.text(alphabet="[]{}\"'=,.*/\n pabxy#!\\", max_size=80), NAMES, NAMES)
def test_whatever_the_settings_say_each_ignored_file_is_in_one_place(
    text: str, names: list[str], more: list[str]
) -> None:
    texts = {"pyproject.toml": f"[tool.hatch.build]\n{text}\n", "setup.py": text, "MANIFEST.in": text}

    found = ignored.sort(Path("/nowhere"), names=names, everything=[*names, *more], texts=texts, include=())

    assert sorted([*found.brought, *found.missed, *found.others]) == sorted(set(more) - set(names))


def test_without_git_nothing_is_ignored(tmp_path: Path) -> None:
    library = make_library(tmp_path, system=HATCHLING)
    write(library, {PB2: ""})

    assert look(library) == ignored.Ignored()

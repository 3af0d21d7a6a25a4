from __future__ import annotations

from pathlib import Path

import pytest

from mlops_tasks import errors
from mlops_tasks.project import conda, environment


def load(folder: Path, text: str, kind: str = "conda") -> environment.Environment:
    (folder / "env.yaml").write_text(text)
    return environment.load(folder / "env.yaml", kind=kind)


def test_a_conda_yaml_is_read(tmp_path: Path) -> None:
    text = "channels: [a]\ndependencies:\n- python=3.11.*\n- numpy=1.26\n- pip\n- pip: [-r more.txt, -e ., x==1]\n"
    found = load(tmp_path, text)
    assert found == environment.Environment(
        python=conda.read("python=3.11.*"), conda=("numpy=1.26",), pip=("-r more.txt", "-e .", "x==1")
    )


def test_a_python_env_is_read(tmp_path: Path) -> None:
    text = 'python: "3.10"\nbuild_dependencies: [pip==24]\ndependencies: [--index-url https://h/simple, x]\n'
    found = load(tmp_path, text, "python")
    assert found == environment.Environment(
        python=conda.read("python=3.10"), conda=(), pip=("--index-url https://h/simple", "x")
    )


def test_the_projects_kind_decides_what_the_lines_are(tmp_path: Path) -> None:
    text = "dependencies: [numpy]\n"
    assert load(tmp_path, text, "conda").conda == ("numpy",) == load(tmp_path, text, "python").pip


@pytest.mark.parametrize(
    ("asked", "is_python"),
    [("python", True), ("python >=3.9,<4", True), ("conda-forge::python=3.12", True), ("python-dateutil", False)],
)
def test_conda_says_in_many_ways_which_python(tmp_path: Path, asked: str, *, is_python: bool) -> None:
    found = load(tmp_path, f"name: x\ndependencies: ['{asked}', numpy]\n")

    assert found.python == (conda.read(asked) if is_python else None)
    assert found.conda == (("numpy",) if is_python else (asked, "numpy"))


@pytest.mark.parametrize("kind", ["conda", "python"])
@pytest.mark.parametrize("text", ["", "dependencies:\n"])
def test_an_empty_environment_asks_for_nothing(tmp_path: Path, text: str, kind: str) -> None:
    assert load(tmp_path, text, kind) == environment.Environment(python=None, conda=(), pip=())


def test_an_empty_pip_section_asks_for_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "dependencies:\n- pip:\n- numpy\n").conda == ("numpy",)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        pytest.param("conda", "- a\n", "must be a mapping", id="list"),
        pytest.param("conda", "dependencies: x\n", "dependencies must be a list", id="text"),
        pytest.param("python", "python: 3.10\n", 'python: "3.1"', id="python as a number"),
        pytest.param("conda", "name: x\ndependencies: [{npm: [a]}]\n", "npm", id="other section"),
        pytest.param("conda", "name: x\ndependencies: [pip: [1]]\n", "dependency 1", id="number"),
        pytest.param("conda", "dependencies: [\n", r"env\.yaml:2:1", id="broken"),
    ],
)
def test_an_ill_formed_environment_is_refused_with_its_place(tmp_path: Path, kind: str, text: str, said: str) -> None:
    with pytest.raises(errors.BadInput, match=said):
        load(tmp_path, text, kind)


@pytest.mark.parametrize(("number", "more"), [(5, ""), (6, "and 1 more")])
def test_of_many_packages_that_pypi_cannot_have_the_first_are_shown(tmp_path: Path, number: int, more: str) -> None:
    found = load(tmp_path, "dependencies:\n" + "".join(f"- lib{each}\n" for each in range(number)))

    with pytest.raises(errors.BadInput) as caught:
        environment.to_requirements(found, tmp_path / "env.yaml")

    first, *lines = caught.value.what.splitlines()
    assert "can be had without conda" in first
    assert [each.partition(":")[0].strip() for each in lines[:5]] == [
        f"- line {each + 2}, lib{each}" for each in range(5)
    ]
    assert [each.strip() for each in lines[5:]] == [f"- {more}"] * bool(more)
    assert caught.value.where == f"{tmp_path / 'env.yaml'}:2:3"
    assert "give `--env-manager conda`" in caught.value.cure

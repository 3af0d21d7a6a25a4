"""The environment YAML: the Python and the packages that it asks for, and the entries that may name a wheel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_tasks import errors
from mlops_tasks.project import conda as match_specs
from mlops_tasks.project import mlproject
from mlops_tasks.project.text import source as texts
from mlops_tasks.project.text import tree, yaml_tree

SHOWN = 5
"""How many of a YAML's packages an error names, each with its line."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """`python` is the specification of the Python that is asked for; None where any will do, or none is named.

    `conda` has the other packages, but for pip, in conda's form. `pip` has requirement lines as they stand, in order,
    with options such as `-r more.txt` among them. What the environment itself is built with is in neither: it has a
    Python, pip and setuptools in any case.
    """

    python: match_specs.Spec | None
    conda: tuple[str, ...]
    pip: tuple[str, ...]


def load(path: Path, *, kind: str) -> Environment:
    """The environment that the YAML at `path` asks for. Raises BadInput for what is no environment.

    `kind` is `conda` or `python` (MLflow's python_env), as `mlproject.Project` has it.
    """
    data = yaml_tree.load(path)
    if data is None:
        return Environment(python=None, conda=(), pip=())
    if not isinstance(data, Mapping):
        raise _ill_formed("the environment must be a mapping with `dependencies:`", path)
    dependencies = _list(data.get("dependencies"), "dependencies", path)
    if kind == "conda":
        return _read_conda(dependencies, path)
    python = data.get("python")
    if python is not None and not isinstance(python, str):
        raise _ill_formed(
            f"python must be text: MLflow refuses the number {python!r}", path, f'write python: "{python}"'
        )
    for line in _list(data.get("build_dependencies"), "build_dependencies", path):
        _text(line, path)
    asked = _read_python(f"python={python.strip()}", path) if python and python.strip() else None
    return Environment(python=asked, conda=(), pip=tuple(_text(line, path) for line in dependencies))


def read(project: mlproject.Project) -> tuple[Environment, Path]:
    """What `project` asks for, a Spark job's libraries or its YAML, and the file that says so. Raises BadInput."""
    path = project.environment_file or project.folder / project.mlproject
    if project.environment_file is not None:
        return load(path, kind=project.kind), path
    listed = project.spark_job.python_libraries if project.spark_job is not None else ()
    return Environment(python=None, conda=(), pip=listed), path


def to_requirements(found: Environment, path: Path) -> list[str]:
    """The conda packages of the YAML at `path` as requirements for PyPI.

    Raises BadInput with the line of each one that PyPI cannot have.
    """
    requirements, others = split(found)
    if others:
        places = _places(path)
        shown = [f"line {places[each].rsplit(':', 2)[1]}, {each}: {why}" for each, why in others[:SHOWN]]
        more = [f"and {len(others) - SHOWN} more"] if len(others) > SHOWN else []
        raise errors.BadInput(
            "\n  - ".join(["not all packages of this environment can be had without conda, from PyPI:", *shown, *more]),
            where=places[others[0][0]],
            cure="give `--env-manager conda`, and MLflow builds the environment by conda; or leave them out, and write "
            "what PyPI has of them under `pip:` (`conda env export --from-history` has only what was asked for)",
        )
    return requirements


def split(found: Environment) -> tuple[list[str], list[tuple[str, str]]]:
    """The conda packages as requirements for PyPI, and those that it cannot have, each with the reason."""
    translated = {each: _translate(each) for each in found.conda}
    others = [(each, str(made)) for each, made in translated.items() if isinstance(made, match_specs.NotOnPyPI)]
    return [made for made in translated.values() if isinstance(made, str)], others


def _translate(package: str) -> str | match_specs.NotOnPyPI:
    try:
        return match_specs.to_requirement(package)
    except match_specs.NotOnPyPI as fault:
        return fault


def entries(root: tree.Node | None, *, kind: str) -> Iterator[tree.Entry]:
    """The YAML's requirement lines with their places: `dependencies`, or in a conda YAML its `pip:` sections."""
    dependencies = tree.get(root, "dependencies")
    if kind == "python":
        yield from tree.entries(dependencies)
        return
    for item in dependencies.items if isinstance(dependencies, tree.List) else ():
        yield from tree.entries(tree.get(item.node, "pip"))


def find_python(root: tree.Node | None) -> tree.Scalar | None:
    """Where the YAML asks for a Python: its `python: ...`, else its dependency `python=...`."""
    own = tree.get(root, "python")
    if isinstance(own, tree.Scalar):
        return own
    dependencies = tree.entries(tree.get(root, "dependencies"))
    return next((each.scalar for each in dependencies if match_specs.name_of(each.value) == "python"), None)


def _read_conda(dependencies: list[Any], path: Path) -> Environment:
    python, conda, pip = None, [], []
    for each in dependencies:
        if isinstance(each, Mapping) and set(each) == {"pip"}:
            pip += [_text(line, path) for line in _list(each["pip"], "pip", path)]
            continue
        package = _text(each, path)
        name = match_specs.name_of(package)
        if name == "python":
            python = _read_python(package, path)
        elif name != "pip":
            conda.append(package)
    return Environment(python=python, conda=tuple(conda), pip=tuple(pip))


def _read_python(text: str, path: Path) -> match_specs.Spec:
    try:
        return match_specs.read(text)
    except match_specs.NotOnPyPI as fault:
        place = find_python(yaml_tree.parse(path, texts.read(path)))
        where = texts.show_place(path, texts.read(path), place.start) if place is not None else str(path)
        raise errors.BadInput(
            f"no Python can be asked for by {text!r}: {fault}", where=where, cure="write a version, such as python=3.11"
        ) from fault


def _places(path: Path) -> Mapping[str, str]:
    """Where the YAML at `path` has each of its dependencies, as `file:line:column`."""
    text = texts.read(path)
    listed = tree.entries(tree.get(yaml_tree.parse(path, text), "dependencies"))
    return {each.value: texts.show_place(path, text, each.scalar.start) for each in listed}


def _list(data: Any, what: str, path: Path) -> list[Any]:
    if data is None:
        return []
    if not isinstance(data, list):
        raise _ill_formed(f"{what} must be a list", path)
    return data


def _text(data: Any, path: Path) -> str:
    if not isinstance(data, str):
        raise _ill_formed(f"the dependency {data!r} is neither text nor a `pip:` section", path)
    return data.strip()


def _ill_formed(
    what: str, path: Path, cure: str = "write it as conda's or MLflow's documentation shows"
) -> errors.BadInput:
    return errors.BadInput(what, where=path, cure=cure)

"""The environment YAML: the Python and the packages that it asks for, and the entries that may name a wheel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_tasks import errors
from mlops_tasks.project.text import tree, yaml_tree

_PYTHON = re.compile(r"(?:[\w-]+::)?python\s*(?:(?:[<>]=|=+)\s*(?P<version>\d+(?:\.\d+)*).*)?")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """`python` is a version without an operator; `conda` has package specifications in conda's form.

    `pip` has requirement lines as they stand, in order, with options such as `-r more.txt` among them.
    """

    python: str | None
    conda: tuple[str, ...]
    pip: tuple[str, ...]


def load(path: Path, *, kind: str = "") -> Environment:
    """The environment that the YAML at `path` asks for. Raises BadInput for what is no environment.

    `kind` is `conda` or `python` (MLflow's python_env); without it the file's keys decide.
    """
    data = yaml_tree.load(path)
    if data is None:
        return Environment(python=None, conda=(), pip=())
    if not isinstance(data, Mapping):
        raise _ill_formed("the environment must be a mapping with `dependencies:`", path)
    dependencies = _list(data.get("dependencies"), "dependencies", path)
    if kind == "conda" or (not kind and _is_conda(data)):
        return _read_conda(dependencies, path)
    python = data.get("python")
    if python is not None and not isinstance(python, str):
        raise _ill_formed(
            f"python must be text: MLflow refuses the number {python!r}", path, f'write python: "{python}"'
        )
    build = _list(data.get("build_dependencies"), "build_dependencies", path)
    pip = tuple(_text(line, path) for line in [*build, *dependencies])
    return Environment(python=python, conda=(), pip=pip)


def entries(root: tree.Node | None, *, kind: str) -> Iterator[tree.Entry]:
    """The YAML's requirement lines with their places: `dependencies`, or in a conda YAML its `pip:` sections."""
    dependencies = tree.get(root, "dependencies")
    if kind == "python":
        yield from tree.entries(dependencies)
        return
    for item in dependencies.items if isinstance(dependencies, tree.List) else ():
        yield from tree.entries(tree.get(item.node, "pip"))


def _is_conda(data: Mapping[str, Any]) -> bool:
    if "python" in data or "build_dependencies" in data:
        return False
    dependencies = data.get("dependencies")
    listed = dependencies if isinstance(dependencies, list) else []
    return not data.keys().isdisjoint({"name", "channels", "prefix"}) or any(
        isinstance(each, Mapping) or (isinstance(each, str) and _PYTHON.fullmatch(each)) for each in listed
    )


def _read_conda(dependencies: list[Any], path: Path) -> Environment:
    python, conda, pip = None, [], []
    for each in dependencies:
        if isinstance(each, Mapping) and set(each) == {"pip"}:
            pip += [_text(line, path) for line in _list(each["pip"], "pip", path)]
            continue
        package = _text(each, path)
        asked = _PYTHON.fullmatch(package)
        if asked:
            python = asked["version"] or python
        else:
            conda.append(package)
    return Environment(python=python, conda=tuple(conda), pip=tuple(pip))


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

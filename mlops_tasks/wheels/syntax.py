"""Whether the modules in a wheel compile: one that does not fails at its import, after a cluster has started."""

from __future__ import annotations

import ast
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mlops_tasks.wheels import sources

_FOR_ANOTHER = re.compile(r"py_?\d")
Python = tuple[int, int]
RUNNING: Python = (sys.version_info[0], sys.version_info[1])


def parse(python: str) -> Python:
    """`3.12` as a pair of numbers."""
    major, minor = python.split(".")
    return int(major), int(minor)


class Fault(NamedTuple):
    """`name` is the module's path in the wheel."""

    name: str
    line: int
    what: str

    def find_place(self, library: Path | None) -> str:
        """`file:line` in the library's sources, or in the wheel where no file of them is the module."""
        names = sources.walk(library) if library is not None else []
        own = next((name for name in names if f"/{name}".endswith(f"/{self.name}")), None)
        return f"{library / own if library is not None and own else self.name}:{self.line}"


def find_fault(wheel: Path, python: Python = RUNNING) -> Fault | None:
    """The first module of the wheel that `python` does not compile, as far as the running Python can tell.

    Only packages and modules that can be imported count, and none that is named for another Python (`_py312.py`): the
    others (templates, test data) may be anything.
    """
    with zipfile.ZipFile(wheel) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        faults = (_compile(name, archive.read(name), python) for name in _modules(archive.namelist()))
        return next(filter(None, faults), None)


def _compile(name: str, text: bytes, python: Python) -> Fault | None:
    try:
        compile(ast.parse(text, name, feature_version=python), name, "exec", dont_inherit=True)
    except SyntaxError as fault:
        return Fault(name, fault.lineno or 1, fault.msg)
    except (ValueError, RecursionError) as fault:  # a NUL byte; nested too deeply
        return Fault(name, 1, str(fault))
    return None


def _modules(names: list[str]) -> Iterator[str]:
    there = set(names)
    for name in sorted(names):
        path = PurePosixPath(name)
        packages = [each for each in path.parents if each.name]
        is_module = path.suffix == ".py" and path.stem.isidentifier() and not _FOR_ANOTHER.search(path.stem)
        if is_module and all(f"{each}/__init__.py" in there for each in packages):
            yield name

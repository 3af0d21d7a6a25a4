"""conda as MLflow 2.17 to 3.17 call it: environments from YAML, conda's packages taken from PyPI under their names.

Whatever Python a YAML asks for, it gets the one that runs this program.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.fake_workspace import environments
from tests.fake_workspace.programs import speech

SHARED = "WORKSPACE_SHARED_ENVIRONMENTS"
"""The variable that names a folder in which environments are kept for the next cluster with the same YAML."""

_KNOWN_KEYS = {"name", "channels", "dependencies"}
_SPEC = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)\s*(?P<range>.*)")
_EXACT = re.compile(r"==?\s*(?P<version>[^=<>!,*\s]+)(?P<any>\.?\*)?(=[^=\s]+)?")
_RANGE = re.compile(r"(>=|<=|>|<|!=|==|~=)[^,\s]+(,\s*(>=|<=|>|<|!=|==|~=)[^,\s]+)*")


class Asked(NamedTuple):
    """What a YAML asks for: requirement lines for conda's own packages, and pip's lines as they are."""

    conda: list[str]
    pip: list[str]


class Unsuitable(Exception):
    pass


def main(arguments: Sequence[str]) -> int:
    try:
        return obey(list(arguments))
    except Unsuitable as fault:
        speech.complain(f"conda: {fault}")
    except subprocess.CalledProcessError as failed:
        speech.complain(f"conda: {failed.cmd[0]} ended with {failed.returncode}")
    return 1


def obey(arguments: list[str]) -> int:
    match arguments:
        case ["--help"]:
            speech.say("usage: conda [--help] {env list, env create, create, remove}")
        case ["env", "list", "--json"]:
            speech.say(json.dumps({"envs": sorted(map(str, folder().glob("*")))}))
        case ["env", "create", "-n", name, "--file", path] | ["env", "create", "-n", name, "--file", path, "--quiet"]:
            create(name, Path(path))
        case ["create", "--channel", "conda-forge", "--yes", "--override-channels", "-n", name, "python"]:
            make(folder() / name, Asked([], []), Path.cwd())
        case ["remove", "--yes", "--name", name, "--all"]:
            remove(folder() / name)
        case _:
            return speech.refuse("conda", arguments)
    return 0


def folder() -> Path:
    return Path(os.environ.get("CONDA_ENVS_PATH") or Path.home() / ".conda" / "envs")


def create(name: str, path: Path) -> None:
    asked = read(path)
    shared = os.environ.get(SHARED)
    if not shared:
        make(folder() / name, asked, path.parent)
        return
    kept = Path(shared) / digest(asked, path.parent)
    with locked(kept):
        if not environments.is_complete(kept):
            remove(kept)
            make(kept, asked, path.parent)
            environments.complete(kept)
    folder().mkdir(parents=True, exist_ok=True)
    (folder() / name).symlink_to(kept)


def read(path: Path) -> Asked:
    """conda takes pip's lines from one mapping among its own names."""
    data: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
    if unknown := sorted(set(data) - _KNOWN_KEYS):
        raise Unsuitable(f"this stand-in doesn't know the keys {', '.join(unknown)}")
    dependencies: list[Any] = data.get("dependencies") or []
    specs = [each for each in dependencies if isinstance(each, str)]
    pips = [each["pip"] for each in dependencies if isinstance(each, dict) and list(each) == ["pip"]]
    if len(specs) + len(pips) != len(dependencies):
        raise Unsuitable(f"this stand-in doesn't know these dependencies: {dependencies}")
    return Asked([line for line in map(requirement, specs) if line], [line for lines in pips for line in lines])


def requirement(spec: str) -> str:
    """A conda package as pip writes it; nothing for Python itself, which is always the running one."""
    parts = _SPEC.fullmatch(spec.strip())
    if not parts:
        raise Unsuitable(f"this stand-in doesn't know the package {spec!r}")
    name, wanted = parts["name"], parts["range"].strip()
    if name == "python":
        speech.say(f"conda: {spec} is taken as the running Python, {sys.version.split()[0]}")
        return ""
    if exact := _EXACT.fullmatch(wanted):
        prefix = exact["any"] or not wanted.startswith("==")
        return f"{name}=={exact['version']}{'.*' if prefix and not exact[3] else ''}"
    if wanted and not _RANGE.fullmatch(wanted):
        raise Unsuitable(f"this stand-in doesn't know the version in {spec!r}")
    return name + wanted


def make(environment: Path, asked: Asked, base: Path) -> None:
    """`base` is where pip's relative lines start. An environment that can't be filled is removed."""
    environment.parent.mkdir(parents=True, exist_ok=True)
    wheels = environments.find_wheels(asked.pip, base)
    lists = [lines for lines in (asked.conda, asked.pip) if lines]
    try:
        subprocess.run(environments.making(environment), check=True)
        for number, lines in enumerate(lists):
            file = base / f"condaenv.{os.getpid()}.{number}.requirements.txt"
            file.write_text("\n".join(lines) + "\n")
            subprocess.run(environments.installing(environment, "-r", str(file)), check=True, cwd=base)
            file.unlink()
        if wheels:
            subprocess.run(environments.installing_wheels(environment, *wheels), check=True)
    except BaseException:
        remove(environment)
        raise


def remove(environment: Path) -> None:
    if environment.is_symlink():
        environment.unlink()
    else:
        shutil.rmtree(environment, ignore_errors=True)


def digest(asked: Asked, base: Path) -> str:
    """Of all that an environment is made from, the contents of files among it."""
    found = hashlib.sha256(repr((asked, sys.version)).encode())
    for wheel in environments.find_wheels(asked.pip, base):
        found.update(wheel.read_bytes())
    return "conda-" + found.hexdigest()[:24]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Clusters that run at once share what they build."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

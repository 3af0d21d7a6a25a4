"""Wheels of a few bytes, written by hand, and folders of them for uv to install from without an index."""

from __future__ import annotations

import zipfile
from pathlib import Path

SEEDS = ("pip 25.0", "setuptools 80.0", "setuptools 82.0")


def make_wheel(
    folder: Path, name: str, version: str, *requires: str, python: str = "", code: str | None = None
) -> Path:
    """A wheel with the one module `name`, whose VERSION is `version`, or with that `code`; it may need a `python`."""
    module = name.replace("-", "_")
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    about += "".join(f"Requires-Dist: {each}\n" for each in requires)
    about += f"Requires-Python: {python}\n" if python else ""
    info = f"{module}-{version}.dist-info"
    texts = {
        f"{module}.py": code or f"VERSION = {version!r}\n",
        f"{info}/METADATA": about,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hands (1)\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{each},,\n" for each in (*texts, f"{info}/RECORD"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in {**texts, f"{info}/RECORD": record}.items():
            archive.writestr(each, text)
    return path


def make_index(folder: Path, *wheels: str) -> Path:
    """A folder with `wheels` (`name version`, and what it requires after that), and with what every environment has."""
    for each in (*SEEDS, *wheels):
        name, version, *requires = each.split(" ")
        make_wheel(folder, name, version, *requires)
    return folder

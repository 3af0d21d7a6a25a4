"""Commands that make Python environments: uv makes them, pip installs the wheels and so leaves its records."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path


def uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        raise FileNotFoundError(f"uv is neither beside {sys.executable} nor on PATH")
    return found


def is_complete(environment: Path) -> bool:
    return _mark(environment).exists()


def complete(environment: Path) -> None:
    """Mark an environment as having all that it should: whoever fills it may be killed."""
    _mark(environment).touch()


def _mark(environment: Path) -> Path:
    return environment / "complete"


def making(environment: Path) -> list[str]:
    """The command that makes an empty environment of the running Python, with pip in it."""
    return [uv(), "venv", "--quiet", "--seed", "--python", sys.executable, str(environment)]


def installing(environment: Path, *wanted: str) -> list[str]:
    return [uv(), "pip", "install", "--python", str(environment / "bin" / "python"), *wanted]


def installing_wheel(environment: Path, wheel: Path) -> list[str]:
    """Install a wheel whose dependencies are there again with pip itself, which notes its hash where uv doesn't."""
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return [*pip, "--no-deps", "--force-reinstall", "--no-index", str(wheel)]


def find_wheels(lines: Iterable[str], base: Path) -> list[Path]:
    """The requirement lines that are paths of wheels; relative ones start at `base`."""
    paths = (base / line.strip() for line in lines if line.strip().endswith(".whl") and "://" not in line)
    return [path for path in paths if path.is_file()]

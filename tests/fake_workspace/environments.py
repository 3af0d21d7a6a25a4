"""Commands that make Python environments: uv makes them, pip installs the wheels and so leaves its records."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path


def uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        raise FileNotFoundError(f"uv is neither beside {sys.executable} nor on PATH")
    return found


@functools.cache
def shared() -> Path:
    """Where environments are kept for whoever wants one of the same content, as long as this process lives."""
    sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=f"environments-{os.getpid()}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def sweep(parent: Path) -> None:
    """Remove what processes have left that were killed: it may be gigabytes."""
    for folder in parent.glob("environments-[0-9]*-*"):
        if not Path("/proc", folder.name.split("-")[1]).exists():
            shutil.rmtree(folder, ignore_errors=True)


def is_complete(environment: Path) -> bool:
    return _mark(environment).exists()


def complete(environment: Path) -> None:
    """Mark an environment as having all that it should: whoever fills it may be killed."""
    _mark(environment).touch()


def _mark(environment: Path) -> Path:
    return environment / "complete"


def copy(environment: Path, target: Path) -> None:
    """An environment of its own with the same content, not yet complete, whose files are shared: who changes one
    replaces it.

    Programs begin with the path of their Python, and are written anew.
    """
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(environment, target, symlinks=True, copy_function=_link)
    _mark(target).unlink(missing_ok=True)
    old, new = str(environment).encode(), str(target).encode()
    for program in (target / "bin").iterdir():
        if not program.is_symlink() and old in (content := program.read_bytes()):
            mode = program.stat().st_mode
            program.unlink()
            program.write_bytes(content.replace(old, new))
            program.chmod(mode)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system
        shutil.copy2(source, target, follow_symlinks=False)


@functools.cache
def interpreter(version: str) -> str:
    """A Python of this version if one is at hand, else the running one."""
    if version in {"", "{}.{}".format(*sys.version_info)}:
        return sys.executable
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [*map(str, root.glob(f"versions/{version}.*/bin/python")), shutil.which(f"python{version}")]
    return next((path for path in found if path and _is_python(path, version)), sys.executable)


def _is_python(path: str, version: str) -> bool:
    """A shim may be there and lead nowhere."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    done = subprocess.run([path, "-I", "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() == version


def making(environment: Path, python: str = sys.executable) -> list[str]:
    """The command that makes an empty environment of a Python, with pip in it."""
    return [uv(), "venv", "--quiet", "--seed", "--python", python, str(environment)]


def warming(environment: Path, mlflow: str) -> list[list[str]]:
    """The commands that compile what most tasks and every installation import: pip, and `mlflow` if there is one."""
    python = str(environment / "bin" / "python")
    pip = "import compileall, pip; compileall.compile_dir(pip.__path__[0], quiet=2)"
    return [[python, "-c", pip], *([[python, "-c", "import mlflow"]] if mlflow else [])]


def installing(environment: Path, *wanted: str) -> list[str]:
    return [uv(), "pip", "install", "--python", str(environment / "bin" / "python"), *wanted]


def installing_wheels(environment: Path, *wheels: Path) -> list[str]:
    """Install wheels whose dependencies are there again with pip itself, which notes their hashes where uv doesn't."""
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return [*pip, "--no-deps", "--force-reinstall", "--no-index", *map(str, wheels)]


def find_wheels(lines: Iterable[str], base: Path) -> list[Path]:
    """The requirement lines that are paths of wheels; relative ones start at `base`."""
    paths = (base / line.strip() for line in lines if line.strip().endswith(".whl") and "://" not in line)
    return [path for path in paths if path.is_file()]

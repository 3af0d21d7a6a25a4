"""The programs that are timed, of the running environment, and repositories to time them in."""

from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path

from tests.support import repositories

BESIDE = Path(sys.executable).parent
INV = BESIDE / "inv"
PYTHON = Path(sys.executable)
PATH = {**os.environ, "PATH": f"{BESIDE}:{os.environ['PATH']}"}


def make_libraries(folder: Path, number: int, *, size: int = 0, **texts: str) -> Path:
    """A repository with so many libraries, each with `size` bytes that cannot be compressed.

    `texts` are its other files, as `make_repository` takes them.
    """
    repositories.make_repository(folder, **texts)
    shutil.rmtree(folder / "libs")
    for index in range(number):
        name = f"lib{index:03}"
        about = repositories.LIBRARY.replace("mylib", name)
        repositories.write(folder, {f"libs/{name}/pyproject.toml": about, f"libs/{name}/{name}/__init__.py": "A = 1\n"})
        if size:
            (folder / "libs" / name / name / "data.bin").write_bytes(random.Random(index).randbytes(size))
    repositories.commit(folder)
    return folder

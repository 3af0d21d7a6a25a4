"""How long wheels take, beside `python -m build` of each library."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.pairs import Command, Row
from tests.benchmarks.places import INV, PATH, PYTHON, make_libraries

LOOP = 'for each in libs/*; do "$0" -m build --wheel --outdir dist $1 "$each"; done'


def rows(work: Path) -> Iterator[Row]:
    backend = work / "backend"

    @functools.cache
    def install() -> None:
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "--target", backend, "hatchling"], check=True)

    for number, bound in ((1, 0.5), (8, 0.3)):
        folder = make_libraries(work / f"of {number}", number)

        def forget(folder: Path = folder) -> None:
            shutil.rmtree(folder / "dist", ignore_errors=True)

        def prepare(folder: Path = folder) -> None:
            install()
            forget(folder)

        def forget_ours(folder: Path = folder) -> None:
            shutil.rmtree(folder / ".mlops", ignore_errors=True)

        ours = Command(arguments=[INV, "build-wheel"], cwd=folder, before=forget_ours)
        other = Command(arguments=["bash", "-c", LOOP, PYTHON, ""], cwd=folder, environ=PATH, before=forget)
        bare = Command(
            arguments=["bash", "-c", LOOP, PYTHON, "--no-isolation"],
            cwd=folder,
            environ={**PATH, "PYTHONPATH": str(backend)},
            before=prepare,
        )
        yield Row(name=f"build-wheel, libraries: {number}", ours=ours, other=other, bound=bound, limit=bare)
        if number == 1:
            unchanged = Command(arguments=[INV, "build-wheel"], cwd=folder)
            yield Row(name="build-wheel, nothing changed", ours=unchanged, other=other, bound=0.1)

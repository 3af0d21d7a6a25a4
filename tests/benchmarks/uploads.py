"""How long wheels take to a workspace 40 ms away, beside databricks-cli's `dbfs cp` and databricks-sdk's uploads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks.pairs import Command, Row
from tests.benchmarks.places import INV, PYTHON, make_libraries
from tests.fake_workspace.server import Workspace
from tests.support import sites

SETTINGS = "mlops:\n  project: training\n  libraries: [libs/*]\n  target: databricks\n"
TEXTS = {"SETTINGS": SETTINGS, "MLPROJECT": sites.SPARK, "CLUSTER": json.dumps(sites.SPARK_CLUSTER)}
DBFS = """\
import sys
from databricks_cli.dbfs.cli import dbfs_group
from databricks_cli.sdk import ApiClient

begin = ApiClient.__init__

def keep_port(self, *positional, host, **named):
    begin(self, *positional, host=host, **named)
    self.url = f"{host}/api/"

ApiClient.__init__ = keep_port
sys.argv[0] = "dbfs"
sys.exit(dbfs_group())
"""
"""The program `dbfs`, which would drop the port of a host."""
VOLUME = """\
import sys
from pathlib import Path
from databricks.sdk import WorkspaceClient

client = WorkspaceClient()
for wheel in sorted(Path(sys.argv[1]).iterdir()):
    with wheel.open("rb") as stream:
        client.files.upload(f"{sys.argv[2]}/{wheel.name}", stream, overwrite=True)
"""
"""Copies a folder's files to a folder of a volume, which it need not make first."""
WORKSPACE_FILES = """\
import sys
from pathlib import Path
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.workspace import ImportFormat

client = WorkspaceClient()
client.workspace.mkdirs(sys.argv[2])
for wheel in sorted(Path(sys.argv[1]).iterdir()):
    with wheel.open("rb") as stream:
        client.workspace.upload(f"{sys.argv[2]}/{wheel.name}", stream, format=ImportFormat.AUTO, overwrite=True)
"""
"""Copies a folder's files to a folder of the workspace."""
LATENCY = 0.04
"""Seconds for each request."""
MBIT = 125_000
"""Bytes a second."""
SETS = {"1 of 10 kB": (1, 10_000), "40 of 1 MB": (40, 1_000_000), "1 of 256 MB": (1, 256_000_000)}
FEW = {("1 of 10 kB", 100): 1.0, ("40 of 1 MB", 1000): 1.0, ("1 of 256 MB", 1000): 1.0}


@dataclass(frozen=True, kw_only=True)
class Store:
    """`copy` are a program and its first words, which copies a folder's files below `root`.

    `bounds` are those of its rows, by the set of wheels and the Mbit/s. Some rows are also of what is there already.
    """

    words: str
    root: str
    copy: tuple[str, ...]
    bounds: Mapping[tuple[str, int], float]
    unchanged: bool = False


STORES = (
    Store(
        words="",
        root="dbfs:/wheels",
        copy=(DBFS, "cp", "-r", "--overwrite"),
        bounds={(name, speed): 1.0 for name in SETS for speed in (100, 1000)} | {("40 of 1 MB", 1000): 0.35},
        unchanged=True,
    ),
    Store(words=" to a volume", root="/Volumes/main/default/wheels", copy=(VOLUME,), bounds=FEW),
    Store(
        words=" to workspace files",
        root="/Workspace/Users/ada@example.com/wheels",
        copy=(WORKSPACE_FILES,),
        bounds=FEW,
    ),
)


def rows(work: Path) -> Iterator[Row]:
    with Workspace() as workspace:
        for name, (number, size) in SETS.items():
            folder = make_libraries(work / f"{number} of {size}", number, size=size, **TEXTS)
            for store in STORES:
                yield from _rows_of(store, name, folder, workspace)


def _rows_of(store: Store, name: str, folder: Path, workspace: Workspace) -> Iterator[Row]:
    def forget() -> None:
        shutil.rmtree(workspace.root / store.root.replace(":", "").lstrip("/"), ignore_errors=True)
        workspace.make_volume("main", "default", "wheels")

    environ = {**os.environ, **workspace.environment, "MLOPS_WHEEL_ROOT": store.root}
    copy: list[str | Path] = [PYTHON, "-c", *store.copy, _build(folder, environ), f"{store.root}/theirs"]
    again = Command(arguments=[INV, "deploy"], cwd=folder, environ=environ)
    other_again = Command(arguments=copy, cwd=folder, environ=environ)
    ours, other = replace(again, before=forget), replace(other_again, before=forget)
    (number, size), title = SETS[name], f"deploy {name}{store.words}"
    for speed in (speed for each, speed in store.bounds if each == name):
        workspace.faults.shape(latency=LATENCY, bandwidth=speed * MBIT)
        bound, limit = store.bounds[name, speed], number * size / (speed * MBIT) + LATENCY
        yield Row(name=f"{title}, {speed} Mbit/s", ours=ours, other=other, bound=bound, limit=limit)
    if store.unchanged and number == 1:
        yield Row(name=f"{title}, nothing changed", ours=again, other=other_again, bound=1.0)


def _build(folder: Path, environ: Mapping[str, str]) -> Path:
    """Build the wheels, unless they are there, under a name for this store; a folder with copies of them."""
    steps: list[str | Path] = [INV, "name", "build-wheel"]
    subprocess.run(steps, cwd=folder, env=environ, check=True, capture_output=True)
    (folder / "wheels").mkdir(exist_ok=True)
    for wheel in (folder / ".mlops" / "wheels").rglob("*.whl"):
        shutil.copy2(wheel, folder / "wheels")
    return folder / "wheels"

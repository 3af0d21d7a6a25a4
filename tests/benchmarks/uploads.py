"""How long wheels take to a workspace 40 ms away, beside the databricks-cli's `dbfs cp`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.pairs import Command, Row
from tests.benchmarks.places import INV, PYTHON, make_libraries
from tests.fake_workspace.server import Workspace
from tests.support import sites

SETTINGS = "mlops:\n  project: training\n  libraries: [libs/*]\n  target: databricks\n  wheel_root: dbfs:/wheels\n"
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
LATENCY = 0.04
"""Seconds for each request."""
MBIT = 125_000
"""Bytes a second."""
SETS = {"1 of 10 kB": (1, 10_000), "40 of 1 MB": (40, 1_000_000), "1 of 256 MB": (1, 256_000_000)}
BOUNDS = {("1 of 10 kB", 100): 1.0, ("1 of 10 kB", 1000): 1.0, ("40 of 1 MB", 1000): 0.35}


def rows(work: Path) -> Iterator[Row]:
    with Workspace() as workspace:
        environ = {**os.environ, **workspace.environment}

        def forget() -> None:
            shutil.rmtree(workspace.root / "dbfs" / "wheels", ignore_errors=True)

        for name, (number, size) in SETS.items():
            folder = make_libraries(work / f"{number} of {size}", number, size=size, **TEXTS)
            subprocess.run([INV, "name", "build-wheel"], cwd=folder, env=environ, check=True, capture_output=True)
            (folder / "wheels").mkdir()
            for wheel in (folder / ".mlops" / "wheels").rglob("*.whl"):
                shutil.copy2(wheel, folder / "wheels")
            for speed in (100, 1000):
                workspace.faults.shape(latency=LATENCY, bandwidth=speed * MBIT)
                ours = Command(arguments=[INV, "deploy"], cwd=folder, environ=environ, before=forget)
                there = "dbfs:/wheels/theirs"
                copy: list[str | Path] = [PYTHON, "-c", DBFS, "cp", "-r", "--overwrite", folder / "wheels", there]
                yield Row(
                    name=f"deploy {name}, {speed} Mbit/s",
                    ours=ours,
                    other=Command(arguments=copy, cwd=folder, environ=environ, before=forget),
                    bound=BOUNDS.get((name, speed), 1.0),
                    limit=number * size / (speed * MBIT) + LATENCY,
                )
            if number == 1:
                again = Command(arguments=[INV, "deploy"], cwd=folder, environ=environ)
                other = Command(arguments=copy, cwd=folder, environ=environ)
                yield Row(name=f"deploy {name}, nothing changed", ours=again, other=other, bound=1.0)

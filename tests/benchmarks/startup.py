"""How long `inv --list` and `inv name` take, as ratios to bare Invoke running an empty task.

Pairs in turn, so that a machine whose speed drifts slows both sides alike; exit code 1 above the limit. Run it with the
interpreter that has the package: `python tests/benchmarks/startup.py [PAIRS]`.
"""

from __future__ import annotations

import compileall
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mlops_tasks

BARE = "from invoke import task\n\n@task\ndef empty(c):\n    pass\n"
OURS = "from mlops_tasks import namespace\n"
LIMITS = {"--list": 1.15, "name": 1.25}


def make(folder: Path, tasks: str) -> Path:
    folder.mkdir()
    (folder / "tasks.py").write_text(tasks)
    (folder / "invoke.yaml").write_text("mlops:\n  project: training\n")
    (folder / "training").mkdir()
    (folder / "training" / "MLproject").write_text("name: training\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def seconds(folder: Path, *arguments: str) -> float:
    inv = Path(sys.executable).with_name("inv")
    begun = time.perf_counter()
    subprocess.run([str(inv), *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main(pairs: int) -> int:
    """How many of the commands are above their limits."""
    above = 0
    compileall.compile_dir(Path(mlops_tasks.__file__).parent, quiet=1)  # as pip does; inv itself writes no bytecode
    with tempfile.TemporaryDirectory() as work:
        bare, ours = make(Path(work) / "bare", BARE), make(Path(work) / "ours", OURS)
        for argument, limit in LIMITS.items():
            seconds(bare, "empty"), seconds(ours, argument)
            timed = [(seconds(bare, "empty"), seconds(ours, argument)) for _ in range(pairs)]
            base, mine = (statistics.median(side) for side in zip(*timed, strict=True))
            ratio = mine / base
            verdict = "within" if ratio <= limit else "above"
            above += verdict == "above"
            sys.stdout.write(
                f"inv {argument:7} {mine * 1000:6.0f} ms, bare Invoke {base * 1000:6.0f} ms, "
                f"ratio {ratio:.2f} ({verdict} {limit}; medians of {pairs} pairs)\n"
            )
    return above


if __name__ == "__main__":
    sys.exit(1 if main(int(sys.argv[1]) if len(sys.argv) > 1 else 20) else 0)

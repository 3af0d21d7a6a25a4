"""A small MLflow project, in a folder."""

from __future__ import annotations

from pathlib import Path

MLPROJECT = """\
name: demo
conda_env: env.yaml
entry_points:
  main:
    parameters:
      alpha: float
      data: {type: path, default: data.csv}
      seed: {default: 7}
    command: "python train.py --alpha {alpha}"
  check:
    command: "python check.py"
"""


def write(folder: Path, text: str = MLPROJECT, name: str = "MLproject", **files: str) -> Path:
    (folder / name).write_text(text)
    (folder / "env.yaml").write_text("dependencies: []\n")
    for script in ("train.py", "check.py"):
        (folder / script).write_text("")
    for file, content in files.items():
        (folder / file).write_text(content)
    return folder

"""The program that runs an entry point says where it could not begin one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from mlops_tasks import processes
from mlops_tasks.backends.local import backend
from tests.support.repositories import write

MLFLOW = """\
import types

class ExecutionException(Exception): ...

def set_tracking_uri(uri): ...

def run(*_, **__):
    raise {fault}

projects = types.SimpleNamespace(run=run)
"""


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("ModuleNotFoundError(\"No module named 'botocore'\")", "No module named 'botocore'"),
        ("ExecutionException('no such file or directory was found')", "no such file or directory was found"),
        ("ValueError()", "ValueError"),
    ],
)
def test_what_ends_a_run_before_its_entry_point_is_a_sentence_and_no_traceback(
    tmp_path: Path, fault: str, reason: str
) -> None:
    write(
        tmp_path,
        {
            "mlflow/__init__.py": MLFLOW.format(fault=fault),
            "mlflow/exceptions.py": "from mlflow import ExecutionException\n",
        },
    )
    names = ("project", "entry_point", "experiment_id", "run_id", "backend", "storage", "env_manager", "tracking_uri")
    left = tmp_path / "storage" / "not-begun"
    job = {**dict.fromkeys(names, ""), "parameters": {}, "through_server": False, "not_begun": str(left)}
    command, log = [sys.executable, str(backend.CHILD)], tmp_path / "log"

    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    said: list[object] = []
    code = processes.follow(
        command, env=env, message=json.dumps(job), log=log, show=said.append, unkept=said.append, timeout=None
    )

    assert (code, left.read_text(), log.read_text()) == (1, reason, f"{reason}\n")

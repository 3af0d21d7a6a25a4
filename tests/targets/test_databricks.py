from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_tasks import processes
from mlops_tasks.report import Report
from mlops_tasks.targets.databricks import DatabricksTarget
from tests.fake_workspace.server import Workspace

pytest_plugins = ["tests.fake_workspace.fixture"]

ME = "/api/2.0/preview/scim/v2/Me"


def make_target(environ: dict[str, str], home: Path) -> DatabricksTarget:
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], **environ}
    return DatabricksTarget(profile=None, environ=environ, run=processes.run_command, report=Report())


def test_a_login_that_is_at_hand_is_tried_while_the_command_works(workspace: Workspace, tmp_path: Path) -> None:
    target = make_target(workspace.environment, tmp_path)

    target.prepare()

    assert target.user() == workspace.user
    assert len(workspace.requests.of("GET", ME)) == 1


@pytest.mark.parametrize(
    "login",
    [
        {},
        {"DATABRICKS_CLIENT_ID": "6ba7", "DATABRICKS_CLIENT_SECRET": "its-secret"},
        {"DATABRICKS_CONFIG_PROFILE": "missing"},
    ],
)
def test_any_other_login_is_left_until_it_is_needed(
    workspace: Workspace, tmp_path: Path, login: dict[str, str]
) -> None:
    """To find one out can take the time of a request, which a command that is refused before it must not."""
    host = {"DATABRICKS_HOST": workspace.url} if login else {}

    make_target({**host, **login}, tmp_path).prepare()

    assert not workspace.requests

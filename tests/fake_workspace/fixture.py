"""The fixtures `workspace` and `bench`, fresh for each test of a module that has this one in its `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.server import Workspace
from tests.support import benches


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One for the whole session, as it takes ten seconds to start; it starts when a test first needs it."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow-server"))
    yield server
    server.close()


@pytest.fixture
def workspace(mlflow_server: MlflowServer) -> Iterator[Workspace]:
    mlflow_server.wipe()
    with Workspace(mlflow=mlflow_server) as started:
        yield started
    assert not started.crashes, started.crashes[0]


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[benches.Bench]:
    with benches.opened(tmp_path_factory.mktemp("bench")) as opened:
        yield opened


@pytest.fixture
def bench(shared_bench: benches.Bench) -> benches.Bench:
    return shared_bench.fresh()

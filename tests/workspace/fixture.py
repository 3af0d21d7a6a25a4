"""The fixture `workspace`: a fresh one for each test. Import it by name, or put this module into `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.workspace.server import Workspace


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with Workspace() as started:
        yield started
        assert not started.crashes, started.crashes[0]

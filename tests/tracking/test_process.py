from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from mlops_tasks.tracking import process


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


def test_no_garbage_is_looked_for_while_mlflow_is_imported_and_afterwards_it_is() -> None:
    with process.importing():
        assert not gc.isenabled()

    assert gc.isenabled()


def test_who_looks_for_no_garbage_does_not_after_the_import_either() -> None:
    gc.disable()

    with process.importing():
        pass

    assert not gc.isenabled()


def test_an_import_that_fails_leaves_garbage_to_be_looked_for() -> None:
    with pytest.raises(ImportError), process.importing():
        raise ImportError

    assert gc.isenabled()


def test_what_was_imported_is_not_looked_through_again() -> None:
    before = gc.get_freeze_count()

    with process.importing():
        made: list[list[int]] = [[] for _ in range(1000)]

    assert gc.get_freeze_count() >= before + len(made)

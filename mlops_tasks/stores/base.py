"""Store: where wheels are put, listed and verified, and what happens when a name is taken."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from mlops_tasks import files
from mlops_tasks.workspace import faults


class Stored(NamedTuple):
    """One file in a store: `size` in bytes, and its SHA-256 where the store finds it out cheaply."""

    size: int
    sha256: str | None = None

    def matches(self, size: int, sha256: str) -> bool:
        """Whether this is the file of that size and SHA-256, as far as the store can tell."""
        return self.size == size and self.sha256 in {None, sha256}


class Store(Protocol):
    """A place for wheels. Every folder in it is named by a URI below the store's own root.

    Each method raises WorkspaceError where the store refuses or cannot be reached.
    """

    display_name: str

    def list_files(self, folder: str) -> dict[str, Stored]:
        """The files directly in `folder` by name; empty where there is no such folder."""

    def make_folder(self, folder: str) -> None:
        """Make `folder` and its parents; fine where it exists."""

    def write(self, source: Path, folder: str, moved: Callable[[int], None]) -> str:
        """Put `source` into `folder` under its own name, whole or not at all, and return its URI.

        `moved` is called with the number of bytes of each block that was sent.
        """


def holds(store: Store, source: Path, folder: str) -> bool:
    """Whether `store` has the file `source` in `folder` under its own name."""
    there = store.list_files(folder).get(source.name)
    sha256 = files.file_sha256(source) if there and there.sha256 else ""
    return there is not None and there.matches(source.stat().st_size, sha256)


@contextlib.contextmanager
def same_content_is_fine(store: Store, source: Path, folder: str) -> Iterator[None]:
    """An upload whose name is already taken is fine if the content is the same.

    An earlier try whose answer was lost has written it, or another release of the same wheel.
    """
    try:
        yield
    except faults.ApiError as fault:
        if not (fault.is_taken and holds(store, source, folder)):
            raise

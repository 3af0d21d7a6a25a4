"""Where wheels are put: one Protocol, one chooser by URI."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from mlops_tasks import errors


class Stored(NamedTuple):
    """One file that the store holds: `size` in bytes, and its SHA-256 where the store can tell it cheaply."""

    size: int
    sha256: str | None


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
        """Put `source` into `folder` under its own name, whole or not at all; the answer is its URI.

        `moved` is told the bytes as they go.
        """


def choose(root: str, *, top: Path) -> Store:
    """The store for `root`: a folder today, other schemes where a workspace is."""
    from mlops_tasks.stores import folder

    if root.startswith(("dbfs:", "/Volumes/", "/Workspace/")):
        raise _refused(f"{root} lies in a Databricks workspace, and the local target writes to none")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", root):
        raise _refused(f"{root} is no folder, and the local target has no other store for wheels")
    return folder.FolderStore(top=top)


def _refused(what: str) -> errors.BadInput:
    return errors.BadInput(what, where="wheel_root", cure="give a folder, or leave wheel_root out")

"""Make the URI of an MLflow store absolute, find out whether its server answers, and open it one process at a time."""

from __future__ import annotations

import contextlib
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from mlops_tasks import errors, locks

REACHABLE_WITHIN = 10
"""Seconds for a tracking server's first answer: MLflow itself would try for minutes."""


def absolute(uri: str) -> str:
    """`uri` with a relative path in it made absolute: a run works in another folder than the command that names it."""
    scheme, _, rest = uri.partition(":")
    if scheme.startswith("sqlite"):
        path, mark, query = rest.removeprefix("///").partition("?")
        relative = rest.startswith("///") and path and not path.startswith(("/", ":"))
        return f"{scheme}:///{Path(path).absolute()}{mark}{query}" if relative else uri
    if scheme == "file" and not rest.startswith("/"):
        return Path(rest).absolute().as_uri()
    return uri if rest or uri.startswith("databricks") else str(Path(uri).absolute())


def database_of(uri: str) -> Path | None:
    """The file of a SQLite store; None for any other store."""
    return Path(uri.split(":///", 1)[-1].split("?", 1)[0]).absolute() if uri.startswith("sqlite:") else None


def check_reachable(uri: str) -> None:
    """Raise WorkspaceError unless the server gives any HTTP answer, be it an error: MLflow itself checks the rest."""
    host = urlsplit(uri).netloc
    try:
        urllib.request.urlopen(uri, timeout=REACHABLE_WITHIN).close()  # noqa: S310 - http(s), checked by is_server
    except urllib.error.HTTPError:
        return
    except (OSError, HTTPException, ValueError) as fault:
        raise errors.WorkspaceError(
            f"the tracking server {host} cannot be reached: {fault}",
            where="MLFLOW_TRACKING_URI",
            cure="start it, or unset MLFLOW_TRACKING_URI to track under .mlops/",
        ) from fault


@contextlib.contextmanager
def first_user(uri: str) -> Iterator[None]:
    """Let one process at a time open a SQLite store: of several that make its tables at once all but one fail.

    The lock is the database's folder itself, so that users who share nothing but the database wait for each other.
    """
    path = database_of(uri)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.lock_folder(path.parent):
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA schema_version")  # MLflow would try for minutes to open what cannot be opened
        yield

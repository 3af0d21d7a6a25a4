"""The SQLite database below `.mlops`, made with the place of its artifacts, and mended where its folder was moved."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from mlops_tasks.tracking import uris

COLUMNS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Where MLflow keeps whole paths of artifacts, by table: 2.17 has not all of them."""


def prepare(uri: str, artifacts: Path) -> None:
    """Make the database at `uri`, or lead it to `artifacts`, if it is the one that lies beside that folder.

    The caller holds the lock of its first user.
    """
    path = uris.database_of(uri)
    if path is None or path.parent != artifacts.parent:
        return
    with contextlib.closing(sqlite3.connect(path)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "experiments" in tables:
            with database:
                _follow_move(database, tables, artifacts)
            return
    # MLflow itself would write the working folder into a statement, which a quote in its path ends
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    # made elsewhere and moved: MLflow takes seconds for it, and never makes an end of a half-made one
    made = path.with_name(f".{path.name}.new")
    made.unlink(missing_ok=True)
    SqlAlchemyStore(f"sqlite:///{made}", artifacts.as_uri()).engine.dispose()
    made.replace(path)


def _follow_move(database: sqlite3.Connection, tables: set[str], artifacts: Path) -> None:
    """Write the folder `artifacts` in the place of the one that the repository had before it was moved or copied."""
    new, mark = f"{artifacts.as_uri()}/", f"/{artifacts.parent.name}/{artifacts.name}/"
    located = [place for (place,) in database.execute("SELECT DISTINCT artifact_location FROM experiments")]
    old = {place.rpartition(mark)[0] + mark for place in located if place and mark in place} - {new}
    for table, columns in COLUMNS.items():
        known = {row[1] for row in database.execute(f"PRAGMA table_info({table})")} if table in tables else set()
        for column in sorted(known.intersection(columns)):
            for place in old:
                # the names are ours, and SQL has no parameters for names
                change = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"  # noqa: S608
                database.execute(change, (new, len(place) + 1, len(place), place))

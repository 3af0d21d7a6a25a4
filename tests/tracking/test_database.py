"""The store below `.mlops`, wherever its folder lies and whither it is moved."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mlops_tasks.tracking import database
from mlops_tasks.tracking.client import Tracking

MADE_OF = """
CREATE TABLE experiments (experiment_id INTEGER, artifact_location TEXT);
CREATE TABLE runs (run_uuid TEXT, artifact_uri TEXT);
CREATE TABLE model_versions (source TEXT);
INSERT INTO experiments VALUES (0, '/elsewhere/mlruns/0'), (1, 'file:///old%20one/.mlops/artifacts/a'), (2, NULL);
INSERT INTO runs VALUES ('r', 'file:///old%20one/.mlops/artifacts/a/r/artifacts'), ('s', 's3://b/.mlops/artifacts/');
INSERT INTO model_versions VALUES ('file:///old%20one/.mlops/artifacts/a/m'), ('models:/m-1');
"""


def make(top: Path) -> Path:
    """A store as MLflow makes it, in as much as it holds places."""
    path = top / ".mlops" / "mlflow.db"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as made, made:
        made.executescript(MADE_OF)
    return path


def read(path: Path, what: str) -> list[str]:
    with closing(sqlite3.connect(path)) as made:
        return [value for (value,) in made.execute(f"SELECT {what}")]


@pytest.mark.parametrize("name", ["new", "it's new", "a%b"])
def test_a_store_that_was_moved_names_its_artifacts_where_they_are_now(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / name)
    artifacts = path.parent / "artifacts"

    for _ in range(2):
        database.prepare(f"sqlite:///{path}", artifacts)

        assert read(path, "artifact_location FROM experiments") == [
            "/elsewhere/mlruns/0",
            f"{artifacts.as_uri()}/a",
            None,
        ]
        assert read(path, "artifact_uri FROM runs") == [
            f"{artifacts.as_uri()}/a/r/artifacts",
            "s3://b/.mlops/artifacts/",
        ]
        assert read(path, "source FROM model_versions") == [f"{artifacts.as_uri()}/a/m", "models:/m-1"]


def test_a_store_of_the_users_own_is_left_alone(tmp_path: Path) -> None:
    path = make(tmp_path / "theirs")
    before = path.read_bytes()

    database.prepare(f"sqlite:///{path}", tmp_path / "ours" / ".mlops" / "artifacts")
    database.prepare("http://127.0.0.1:9", tmp_path / ".mlops" / "artifacts")

    assert path.read_bytes() == before


def test_a_store_whose_making_was_cut_off_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.store.tracking import sqlalchemy_store

    path, artifacts = tmp_path / "mlflow.db", tmp_path / "artifacts"
    whole = sqlalchemy_store.SqlAlchemyStore

    def cut_off(uri: str, _: str) -> None:
        with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as half, half:
            half.execute("CREATE TABLE experiments (name TEXT)")
        raise KeyboardInterrupt

    monkeypatch.setattr(sqlalchemy_store, "SqlAlchemyStore", cut_off)
    with pytest.raises(KeyboardInterrupt):
        database.prepare(f"sqlite:///{path}", artifacts)
    monkeypatch.setattr(sqlalchemy_store, "SqlAlchemyStore", whole)

    assert Tracking(f"sqlite:///{path}", artifacts=artifacts).ensure_experiment("/a") == "1"
    assert [each.name for each in tmp_path.glob("*.new")] == []

from __future__ import annotations

import base64
import contextlib
import fcntl
import http.server
import math
import multiprocessing
import shlex
import shutil
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, UNAUTHENTICATED

from mlops_tasks import errors, files, locks
from mlops_tasks.tracking import client as tracking
from mlops_tasks.tracking import database, uris


def make(tmp_path: Path) -> tracking.Tracking:
    return tracking.Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", artifacts=tmp_path / "artifacts")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tracking.Tracking:
    """One SQLite store for the module, in a folder whose path has quotes: making one takes seconds."""
    folder = tmp_path_factory.mktemp("stores") / 'it\'s "a" [store]'
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = make(folder)
        made.ensure_experiment("/Shared/a")
    return made


def _make_newer(path: Path) -> None:
    """A store whose schema has a revision (ffffffffffff) that this MLflow does not know."""
    elsewhere = path.parent / "elsewhere"  # MLflow keeps what it has opened by its URI
    make(elsewhere).ensure_experiment("/Shared/a")
    (elsewhere / "mlflow.db").rename(path)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")


def create_run(store: tracking.Tracking, experiment_id: str, **parameters: str) -> str:
    return store.create_run(
        experiment_id, name="first", tags={"mlops.branch": "main"}, parameters=parameters, record={"version": 1}
    )


def test_one_process_at_a_time_is_the_first_user_of_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class BegunError(Exception): ...

    def prepare(uri: str, artifacts: Path) -> None:
        with pytest.raises(BlockingIOError), locks.lock_folder(tmp_path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            raise AssertionError
        raise BegunError

    monkeypatch.setattr(database, "prepare", prepare)

    with pytest.raises(BegunError):
        make(tmp_path).ensure_experiment("/Shared/a")


def test_an_experiment_is_made_once_and_found_again(store: tracking.Tracking) -> None:
    made = store.ensure_experiment("/Shared/a")

    assert store.ensure_experiment("/Shared/a") == made
    assert store.ensure_experiment("/Shared/b") != made


def test_a_run_has_its_parameters_as_given_its_tags_and_the_record(store: tracking.Tracking) -> None:
    odd = 'it\'s "q" é $HOME = x'
    run_id = create_run(store, store.ensure_experiment("/Shared/a"), text=odd)

    from mlflow import MlflowClient

    run = MlflowClient(store.uri).get_run(run_id)
    assert run.data.params == {"text": odd}
    assert run.data.tags["mlops.branch"] == "main"
    assert [each.path for each in MlflowClient(store.uri).list_artifacts(run_id)] == ["release.json"]


def test_a_run_is_marked_once_and_keeps_an_end_of_its_own(store: tracking.Tracking) -> None:
    experiment_id = store.ensure_experiment("/Shared/a")
    run_id = create_run(store, experiment_id)
    begun = store.read_run(run_id)
    assert (begun.experiment_id, begun.status, begun.metrics) == (experiment_id, "RUNNING", {})

    store.end_run(run_id, "KILLED")
    store.end_run(run_id, "FINISHED")

    ended = store.read_run(run_id)
    assert (ended.experiment_id, ended.status, ended.metrics) == (experiment_id, "KILLED", {})


def test_the_runs_that_a_run_started_and_that_have_no_end_are_found_down_to_the_last(store: tracking.Tracking) -> None:
    experiment_id = store.ensure_experiment("/Shared/steps")

    def start(parent: str) -> str:
        return store.start_run(experiment_id, name=None, tags={"mlflow.parentRunId": parent} if parent else {})

    run_id, other = start(""), start("")
    steps = [start(run_id), start(run_id)]
    inner, ended = start(steps[0]), start(run_id)
    store.end_run(ended, "FINISHED")
    start(other)
    start(ended)

    assert sorted(store.find_going_on(run_id)) == sorted([*steps, inner])


@pytest.mark.parametrize(("overrule", "status"), [(True, "KILLED"), (False, "FINISHED")])
def test_a_bad_end_overrules_a_good_one_where_it_is_to(store: tracking.Tracking, overrule: bool, status: str) -> None:
    run_id = create_run(store, store.ensure_experiment("/Shared/a"))
    store.end_run(run_id, "FINISHED")

    store.end_run(run_id, "KILLED", overrule=overrule)

    assert store.read_run(run_id).status == status


def test_past_runs_are_newest_first(store: tracking.Tracking) -> None:
    experiment_id = store.ensure_experiment("/Shared/past")
    runs = [create_run(store, experiment_id) for _ in range(3)]

    assert [each.run_id for each in store.search_runs([experiment_id], tags={}, limit=2)] == [runs[2], runs[1]]


def test_a_run_that_another_run_started_is_no_past_run(store: tracking.Tracking) -> None:
    experiment_id = store.ensure_experiment("/Shared/workflow")
    parent, child = (create_run(store, experiment_id) for _ in range(2))
    store.set_tag(child, "mlflow.parentRunId", parent)

    assert [each.run_id for each in store.search_runs([experiment_id], tags={}, limit=1)] == [parent]


def test_a_hundred_runs_that_a_run_started_do_not_hide_the_runs_before_it(store: tracking.Tracking) -> None:
    experiment_id = store.ensure_experiment("/Shared/sweep")
    parents = [store.start_run(experiment_id, name=None, tags={}) for _ in range(2)]
    for _ in range(4):
        store.start_run(experiment_id, name=None, tags={"mlflow.parentRunId": parents[1]})

    assert [each.run_id for each in store.search_runs([experiment_id], tags={}, limit=2)] == parents[::-1]


@pytest.mark.parametrize("branch", ["feature/a-b", "it's", 'a"b', "a\\", "naïve", "' or 1=1 --", "a`b%"])
def test_runs_are_found_by_tags_of_any_text(store: tracking.Tracking, branch: str) -> None:
    experiment_id = store.ensure_experiment("/Shared/tagged")
    wanted = store.start_run(experiment_id, name=None, tags={"mlops.branch": branch})
    store.start_run(experiment_id, name=None, tags={"mlops.branch": f"{branch} "})

    found = store.search_runs([experiment_id], tags={"mlops.branch": branch}, limit=5)

    assert [each.run_id for each in found] == [wanted]


def test_runs_are_found_by_their_end_their_time_and_a_metric(store: tracking.Tracking) -> None:
    from mlflow import MlflowClient

    experiment_id = store.ensure_experiment("/Shared/best")
    runs = [store.start_run(experiment_id, name=None, tags={}) for _ in range(4)]
    for run_id, value in zip(runs[:3], (0.7, 0.9, math.nan), strict=True):
        MlflowClient(store.uri).log_metric(run_id, "val/auc x", value)
        store.end_run(run_id, "FINISHED")

    def search(**asked: Any) -> list[str]:
        return [each.run_id for each in store.search_runs([experiment_id], tags={}, limit=5, **asked)]

    assert search(finished=True) == runs[2::-1]
    assert search(order_by="metrics.`val/auc x` DESC")[:2] == [runs[1], runs[0]]
    assert search(order_by="metrics.`val/auc x` ASC")[:2] == [runs[0], runs[1]]
    assert search(until=1) == []


def test_a_run_that_is_gone_or_was_never_there_is_no_run(store: tracking.Tracking) -> None:
    from mlflow import MlflowClient

    run_id = create_run(store, experiment_id := store.ensure_experiment("/Shared/read"), c="1")
    found = store.read_past(run_id)
    assert found is not None
    assert (found.experiment_id, found.name, found.parameters) == (experiment_id, "first", {"c": "1"})
    assert found.started > 0

    MlflowClient(store.uri).delete_run(run_id)

    assert store.read_past(run_id) is None
    assert store.read_past("0" * 32) is None
    assert store.read_past("no id") is None


def test_an_experiment_that_is_not_there_is_not_made_by_looking_for_it(store: tracking.Tracking) -> None:
    made = store.ensure_experiment("/Shared/there")

    assert store.find_named("/Shared/there") == made
    assert store.find_named("/Shared/not there") is None
    assert store.find_named("/Shared/not there") is None


def test_an_experiment_id_that_is_not_there_is_refused(store: tracking.Tracking) -> None:
    with pytest.raises(errors.BadInput, match="no experiment with the id 4711"):
        store.check_experiment("4711")


def test_a_deleted_experiment_is_refused_with_the_way_to_restore_it(store: tracking.Tracking) -> None:
    from mlflow import MlflowClient

    experiment_id = store.ensure_experiment("/Shared/gone")
    MlflowClient(store.uri).delete_experiment(experiment_id)

    with pytest.raises(errors.BadInput, match="is deleted") as caught:
        store.ensure_experiment("/Shared/gone")
    assert "--experiment-name" in caught.value.cure
    command = caught.value.cure.split("`")[1]
    assert shlex.split(command)[0] == f"MLFLOW_TRACKING_URI={store.uri}"
    assert shlex.split(command)[2:] == ["experiments", "restore", "--experiment-id", experiment_id]


@pytest.mark.parametrize("uri", ["databricks", "databricks://prod"])
def test_an_experiment_that_was_deleted_in_a_workspace_is_restored_in_that_workspace(uri: str) -> None:
    deleted = SimpleNamespace(name="/Shared/gone", experiment_id="7", lifecycle_stage="deleted")

    with pytest.raises(errors.BadInput) as caught:
        tracking.Tracking(uri, artifacts=None)._active(deleted)

    variable, _, *command = shlex.split(caught.value.cure.split("`")[1])
    assert variable == f"MLFLOW_TRACKING_URI={uri}"
    assert command == ["experiments", "restore", "--experiment-id", "7"]


@pytest.mark.full
def test_a_deleted_experiment_is_back_after_the_command_that_the_message_says(store: tracking.Tracking) -> None:
    from mlflow import MlflowClient

    experiment_id = store.ensure_experiment("/Shared/gone again")
    MlflowClient(store.uri).delete_experiment(experiment_id)
    with pytest.raises(errors.BadInput) as caught:
        store.ensure_experiment("/Shared/gone again")

    subprocess.run(caught.value.cure.split("`")[1], shell=True, check=True)

    assert store.ensure_experiment("/Shared/gone again") == experiment_id


def test_a_server_that_cannot_be_reached_is_noticed_at_once(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    nobody = tracking.Tracking(f"http://127.0.0.1:{port}", artifacts=tmp_path)

    with pytest.raises(errors.WorkspaceError, match=r"127\.0\.0\.1:\d+ cannot be reached"):
        nobody.ensure_experiment("/Shared/a")


@pytest.mark.parametrize(
    ("make_bad", "said"),
    [
        pytest.param(lambda path: path.write_text("no database at all, far from it"), "not a database", id="garbage"),
        pytest.param(lambda path: path.mkdir(), "unable to open", id="a folder"),
        pytest.param(_make_newer, "ffffffffffff", id="of another MLflow"),
    ],
)
def test_a_store_that_cannot_be_used_is_said_in_one_line(
    tmp_path: Path, make_bad: Callable[[Path], object], said: str
) -> None:
    make_bad(tmp_path / "mlflow.db")

    with pytest.raises(errors.WorkspaceError) as caught:
        make(tmp_path).ensure_experiment("/Shared/a")

    assert said in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_store_is_opened_at_once_where_it_is_here_and_never_asked_for_on_databricks(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database at all, far from it")
    with pytest.raises(errors.WorkspaceError, match="not a database"):
        _ = make(tmp_path)._client

    _ = tracking.Tracking("databricks://nobody", artifacts=None)._client


@pytest.mark.parametrize(
    ("fault", "what", "cure"),
    [
        pytest.param(
            ModuleNotFoundError("No module named 'psycopg2'", name="psycopg2"),
            "MLflow needs psycopg2 for this store",
            "pip install psycopg2-binary",
            id="a driver",
        ),
        pytest.param(
            ModuleNotFoundError("No module named 'boto3'", name="boto3"), "boto3", "pip install boto3", id="artifacts"
        ),
        pytest.param(ImportError("cannot import name 'x' from 'y'"), "does not fit", "fit each other", id="versions"),
        pytest.param(
            MlflowException("You are not authenticated", error_code=UNAUTHENTICATED),
            "not authenticated",
            "MLFLOW_TRACKING_TOKEN",
            id="401",
        ),
        pytest.param(
            MlflowException("Permission denied", error_code=PERMISSION_DENIED), "denied", "permission", id="403"
        ),
        pytest.param(
            FileNotFoundError(2, "No such file", "/proc/mlflow-data"),
            "keeps artifacts in /proc/mlflow-data on a disk of its own",
            "--serve-artifacts",
            id="artifact root",
        ),
        pytest.param(
            ConnectionResetError(104, "Connection reset by peer"),
            "refused: [Errno 104] Connection reset",
            "see what that store says",
            id="connection",
        ),
        pytest.param(ValueError("odd. Config: host=https://x, token=***"), "refused: odd", "says", id="configuration"),
    ],
)
def test_each_fault_of_mlflows_has_its_own_cure(fault: Exception, what: str, cure: str) -> None:
    nobody = tracking.Tracking("http://127.0.0.1:9", artifacts=None)

    said, do = nobody._explain(fault)

    assert what in said
    assert cure in do
    assert "token" not in said


def test_a_store_whose_driver_is_missing_says_what_to_install(tmp_path: Path) -> None:
    store = tracking.Tracking("mysql+pymysql://u:s3cret@db/mlflow", artifacts=tmp_path)

    with pytest.raises(errors.WorkspaceError, match="MLflow needs pymysql") as caught:
        store.ensure_experiment("/Shared/a")
    assert caught.value.cure == "pip install pymysql"
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("said", ["attempt to write a readonly database", "disk I/O error"])
def test_a_database_that_is_removed_while_it_is_opened_is_named(tmp_path: Path, said: str) -> None:
    what, cure = make(tmp_path / "a")._explain(sqlite3.OperationalError(said))

    assert what == f"{tmp_path}/a was removed while it was in use"
    assert cure == "leave it alone while a command works, then `inv release`"


def test_a_database_that_cannot_be_written_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"")
    readonly = sqlite3.OperationalError("attempt to write a readonly database")
    store = make(tmp_path)

    replaced, _ = store._explain(readonly)
    monkeypatch.setattr(files, "is_writable", lambda path: path != tmp_path / "mlflow.db")  # nothing stops root
    unwritable, cure = store._explain(readonly)

    assert replaced == f"MLflow's database {tmp_path}/mlflow.db was removed or replaced while it was in use"
    assert unwritable == f"MLflow's database {tmp_path}/mlflow.db cannot be written"
    assert f"`ls -ld {tmp_path} {tmp_path}/mlflow.db` shows whose they are" in cure


@pytest.mark.full
def test_a_store_that_is_removed_while_it_is_used_is_told_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = make(tmp_path / "a")
    run_id = create_run(store, store.ensure_experiment("/Shared/a"))
    capfd.readouterr()
    shutil.rmtree(tmp_path / "a")

    with pytest.raises(errors.WorkspaceError, match=rf"{tmp_path}/a was removed while it was in use") as caught:
        store.end_run(run_id, "FINISHED")

    assert "raised as a result" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_bug_of_ours_is_not_told_as_a_fault_of_the_store(store: tracking.Tracking) -> None:
    run_id = create_run(store, store.ensure_experiment("/Shared/a"))

    with pytest.raises(TypeError, match="not iterable"):
        store.describe_run(run_id, tags={}, parameters={}, record=5)  # type: ignore[arg-type]
    with pytest.raises(errors.WorkspaceError, match="refused"):  # raised by MLflow: it may be the store's doing
        store.set_tag(run_id, "", "")


def _first_use(folder: Path, answers: multiprocessing.Queue[str]) -> None:
    answers.put(make(folder).ensure_experiment("/Shared/crowd"))


@pytest.mark.full
def test_eight_first_users_of_a_store_agree_on_the_experiment(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[str] = context.Queue()
    crowd = [context.Process(target=_first_use, args=(tmp_path, answers)) for _ in range(8)]
    for each in crowd:
        each.start()

    ids = {answers.get() for _ in crowd}

    assert len(ids) == 1


def test_a_run_that_cannot_be_described_is_marked_failed_and_none(
    store: tracking.Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tracking.Tracking, "describe_run", cut_off)
    experiment_id = store.ensure_experiment("/Shared/undescribed")

    with pytest.raises(KeyboardInterrupt):
        create_run(store, experiment_id)

    assert [each.status for each in store.search_runs([experiment_id], tags={}, limit=2)] == ["FAILED"]


def test_a_password_in_the_servers_address_is_neither_sent_as_its_name_nor_said(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

        for port_part in (f":{port}", ":nonsense"):
            nobody = tracking.Tracking(f"http://ada:s3cret@127.0.0.1{port_part}", artifacts=tmp_path)
            with pytest.raises(errors.WorkspaceError, match=f"127.0.0.1{port_part} cannot be reached") as caught:
                nobody.ensure_experiment("/Shared/a")
            assert "s3cret" not in str(caught.value)


class _Tired(http.server.BaseHTTPRequestHandler):
    """A server that is there, and that answers every question of MLflow's with a fault."""

    logins: ClassVar[list[str]] = []
    status: ClassVar[int] = 400
    page: ClassVar[bytes] = b""

    def do_GET(self) -> None:
        self.logins.append(self.headers.get("Authorization", ""))
        self.send_response(200 if self.path == "/" else self.status)
        self.end_headers()
        self.wfile.write(self.page)

    do_POST = do_GET  # noqa: N815 - http.server's own spelling

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize(
    ("status", "page", "what", "cure"),
    [
        (401, b"", "error code 401", "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME"),
        (403, b"", "error code 403", "ask for that permission"),
        (401, b'{"message": "Unauthorized"}', "refused: 401 Unauthorized", "set MLFLOW_TRACKING_TOKEN"),
        (403, b'{"error_code": "X", "message": "Not you"}', "refused: 403 X: Not you", "ask for that permission"),
        (400, b'{"message": "Unauthorized"}', "refused: INTERNAL_ERROR: Unauthorized", "see what that store says"),
    ],
)
def test_a_server_that_lets_nobody_in_is_told_with_the_variables_of_a_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, page: bytes, what: str, cure: str
) -> None:
    monkeypatch.setattr(_Tired, "status", status)
    monkeypatch.setattr(_Tired, "page", page)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Tired) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store = tracking.Tracking(f"http://127.0.0.1:{server.server_address[1]}", artifacts=tmp_path)
        with pytest.raises(errors.WorkspaceError, match=what) as caught:
            store.ensure_experiment("/Shared/a")
        server.shutdown()

    assert caught.value.cure.startswith(cure)


@pytest.mark.parametrize("status", [200, 404])
def test_a_web_page_where_mlflows_api_was_expected_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(_Tired, "status", status)
    monkeypatch.setattr(
        _Tired, "page", b"\n<!DOCTYPE html>\n<html><head><title> Sign in | Acme\n</title></head></html>"
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Tired) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store = tracking.Tracking(f"http://127.0.0.1:{server.server_address[1]}", artifacts=tmp_path)
        with pytest.raises(errors.WorkspaceError) as caught:
            store.ensure_experiment("/Shared/a")
        server.shutdown()

    assert caught.value.what.startswith("a web page (Sign in | Acme) came back where MLflow's API was expected")
    assert "set MLFLOW_TRACKING_TOKEN" in caught.value.cure
    assert "set MLFLOW_TRACKING_URI to MLflow's own address" in caught.value.cure


def test_a_server_on_this_machine_is_asked_past_any_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Tired) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store = tracking.Tracking(f"http://127.0.0.1:{server.server_address[1]}", artifacts=tmp_path)
        with pytest.raises(errors.WorkspaceError, match=r"tracking store refused: .*400"):
            store.ensure_experiment("/Shared/a")
        server.shutdown()


def test_a_servers_password_is_handed_to_mlflow_apart_from_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(variable, "")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Tired) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        store = tracking.Tracking(address.replace("//", "//ada:s3%40cret@"), artifacts=tmp_path)
        with pytest.raises(errors.WorkspaceError, match="tracking store refused") as caught:
            store.ensure_experiment("/Shared/a")
        server.shutdown()

    assert store.uri == address
    assert store.login == {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "s3@cret"}
    assert base64.b64decode(_Tired.logins[-1].removeprefix("Basic ")) == b"ada:s3@cret"
    assert "cret" not in str(caught.value)


def test_a_run_is_found_by_a_tag(store: tracking.Tracking) -> None:
    experiment_id = store.ensure_experiment("/Shared/found")
    run_id = create_run(store, experiment_id)

    assert store.find_run(experiment_id, filter_string="tags.`mlops.branch` = 'main'") == run_id
    assert store.find_run(experiment_id, filter_string="tags.`mlops.branch` = 'other'") is None


@pytest.mark.parametrize(
    ("uri", "whole"),
    [
        ("sqlite:///a/b.db?x=1", "sqlite:////here/a/b.db?x=1"),
        ("sqlite:////a.db", "sqlite:////a.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("file:runs", "file:///here/runs"),
        ("file:///runs", "file:///runs"),
        ("runs", "/here/runs"),
        ("http://host:5000", "http://host:5000"),
        ("databricks", "databricks"),
    ],
)
def test_a_relative_store_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, whole: str
) -> None:
    monkeypatch.chdir(tmp_path)

    assert uris.absolute(uri) == whole.replace("/here", str(tmp_path))


def test_a_run_has_logged_once_it_holds_more_than_it_began_with(store: tracking.Tracking) -> None:
    from mlflow import MlflowClient

    client, experiment_id = MlflowClient(store.uri), store.ensure_experiment("/Shared/logged")
    silent, parameter, artifact, parent, child = (create_run(store, experiment_id, text="x") for _ in range(5))
    client.log_param(parameter, "own", 1)
    client.log_text(artifact, "x", "x.txt")
    store.set_tag(child, "mlflow.parentRunId", parent)

    found = [store.has_logged(each, parameters=["text"]) for each in (silent, parameter, artifact, parent)]

    assert found == [False, True, True, True]


def test_the_stores_own_experiment_keeps_its_artifacts_beside_the_others(store: tracking.Tracking) -> None:
    from mlflow import MlflowClient

    path = Path(store.uri.removeprefix("sqlite:///"))
    assert MlflowClient(store.uri).get_experiment("0").artifact_location == (path.parent / "artifacts" / "0").as_uri()

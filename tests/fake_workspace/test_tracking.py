from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from databricks.sdk import WorkspaceClient

from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.server import Workspace

pytest_plugins = ["tests.fake_workspace.fixture"]

NEW = int(mlflow.__version__.partition(".")[0]) > 2
"""MLflow 3 takes the Files API first, and logs models into folders of their own."""

ROOT = "dbfs:/databricks/mlflow-tracking"


@pytest.fixture
def name(workspace: Workspace, request: pytest.FixtureRequest) -> str:
    """An experiment's name whose folder is there."""
    return f"/Users/{workspace.user}/" + hashlib.sha256(request.node.name.encode()).hexdigest()[:8]


@pytest.fixture
def connected(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """MLflow's own client works in this workspace."""
    for variable, value in workspace.environment.items():
        monkeypatch.setenv(variable, value)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri("databricks")
    yield workspace
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(before)
    monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", None)


def ask(workspace: Workspace, method: str, call: str, **how: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {workspace.token}"}
    return requests.request(method, f"{workspace.url}/api/2.0/mlflow/{call}", headers=headers, timeout=60, **how)


def create(workspace: Workspace, name: str) -> requests.Response:
    return ask(workspace, "POST", "experiments/create", json={"name": name})


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error_code"]


def make_run(workspace: Workspace, name: str) -> tuple[str, str]:
    """The ids of a new experiment and of a run in it."""
    experiment = create(workspace, name).json()["experiment_id"]
    run = ask(workspace, "POST", "runs/create", json={"experiment_id": experiment, "start_time": 1}).json()
    return experiment, run["run"]["info"]["run_id"]


@pytest.mark.full  # each whole release does so too
def test_mlflow_logs_and_reads_back(connected: Workspace, name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    experiment = mlflow.set_experiment(name)
    with mlflow.start_run() as run:
        mlflow.log_metric("rmse", 0.5)
        mlflow.log_dict({"a": 1}, "facts/a.json")
        mlflow.log_artifact(str(tmp_path / "notes.txt"))

    client = mlflow.MlflowClient()
    assert client.get_run(run.info.run_id).data.metrics == {"rmse": 0.5}
    assert run.info.artifact_uri == f"{ROOT}/{experiment.experiment_id}/{run.info.run_id}/artifacts"
    assert experiment.tags["mlflow.ownerEmail"] == connected.user
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["facts", "notes.txt"]
    assert [item.path for item in client.list_artifacts(run.info.run_id, "facts")] == ["facts/a.json"]
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes.txt") == "hello"
    stored = connected.disk.artifacts / experiment.experiment_id / "Runs" / run.info.run_id / "artifacts"
    assert (stored / "notes.txt").read_text() == "hello"
    assert len(connected.requests.of("PUT", "/api/2.0/fs/files/WorkspaceInternal/.*" if NEW else "/signed/.*")) == 2
    tree = WorkspaceClient(host=connected.url, token=connected.token).workspace
    assert tree.get_status(name).object_id == int(experiment.experiment_id)


@pytest.mark.full
def test_mlflow_falls_back_to_signed_urls(connected: Workspace, name: str) -> None:
    connected.faults.add(".*", "/api/2.0/fs/", status=403, body={"error_code": "PERMISSION_DENIED", "message": "no"})
    mlflow.set_experiment(name)
    with mlflow.start_run() as run:
        mlflow.log_dict({"a": 1}, "facts/a.json")

    client = mlflow.MlflowClient()
    assert [item.path for item in client.list_artifacts(run.info.run_id, "facts")] == ["facts/a.json"]
    assert mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/facts/a.json") == {"a": 1}
    signed = connected.requests.of("PUT|GET", "/signed/.*")
    assert [entry.method for entry in signed] == ["PUT", "GET"]
    assert not any(entry.authorized for entry in signed)


def test_a_logged_model_has_a_folder_of_its_own(workspace: Workspace, name: str) -> None:
    experiment, run = make_run(workspace, name)
    asked = {"experiment_id": experiment, "name": "model", "source_run_id": run}
    answer = ask(workspace, "POST", "logged-models", json=asked)
    if not NEW:
        assert code(answer) == (404, "ENDPOINT_NOT_FOUND")
        return

    model = answer.json()["model"]["info"]
    place = f"logged-models/{model['model_id']}/artifacts"
    assert model["artifact_uri"] == f"{ROOT}/{experiment}/logged_models/{model['model_id']}/artifacts"
    answer = ask(workspace, "POST", f"{place}/credentials-for-upload", json={"paths": ["MLmodel"]})
    (credential,) = answer.json()["credentials"]
    requests.put(credential["credential_info"]["signed_uri"], data=b"flavors: {}", timeout=10)
    listed = ask(workspace, "GET", f"{place}/directories").json()
    assert listed["files"] == [{"path": "MLmodel", "is_dir": False, "file_size": 11}]
    folder = workspace.disk.artifacts / experiment / "LoggedModels" / model["model_id"]
    assert (folder / "artifacts" / "MLmodel").exists()


def test_an_experiment_needs_an_absolute_name_and_a_folder(workspace: Workspace, name: str) -> None:
    assert code(create(workspace, "demo")) == (400, "INVALID_PARAMETER_VALUE")
    missing = create(workspace, f"{name}/demo")
    assert code(missing) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert missing.json()["message"] == f"Parent directory {name} does not exist."
    assert code(create(workspace, "/Shared")) == (400, "RESOURCE_ALREADY_EXISTS")


def test_a_name_is_stored_without_its_workspace_prefix(workspace: Workspace, name: str) -> None:
    number = create(workspace, f"/Workspace{name}").json()["experiment_id"]

    by_name = "experiments/get-by-name"
    prefixed = ask(workspace, "GET", by_name, params={"experiment_name": f"/Workspace{name}"})
    assert code(prefixed) == (404, "RESOURCE_DOES_NOT_EXIST")
    found = ask(workspace, "GET", by_name, params={"experiment_name": name}).json()["experiment"]
    assert (found["experiment_id"], found["name"]) == (number, name)
    assert code(create(workspace, f"/Workspace{name}")) == (400, "RESOURCE_ALREADY_EXISTS")


def test_the_name_of_a_deleted_experiment_is_taken_or_free(workspace: Workspace, name: str) -> None:
    first = create(workspace, name).json()["experiment_id"]
    ask(workspace, "POST", "experiments/delete", json={"experiment_id": first})
    found = ask(workspace, "GET", "experiments/get-by-name", params={"experiment_name": name}).json()["experiment"]

    assert found["lifecycle_stage"] == "deleted"
    assert code(create(workspace, name)) == (400, "RESOURCE_ALREADY_EXISTS")
    workspace.tracking.deleted_names = "free"
    second = create(workspace, name).json()["experiment_id"]
    assert second != first
    found = ask(workspace, "GET", "experiments/get-by-name", params={"experiment_name": name}).json()["experiment"]
    assert (found["experiment_id"], found["lifecycle_stage"]) == (second, "active")


def test_what_an_earlier_workspace_made_is_known(workspace: Workspace, mlflow_server: MlflowServer, name: str) -> None:
    create(workspace, name)

    with Workspace(mlflow=mlflow_server) as later:
        assert code(create(later, name)) == (400, "RESOURCE_ALREADY_EXISTS")


def test_there_is_no_experiment_zero_and_no_other_api(workspace: Workspace, name: str) -> None:
    create(workspace, name)

    found = ask(workspace, "POST", "experiments/search", json={"max_results": 10}).json()["experiments"]
    assert [each["name"] for each in found] == [name]
    assert ask(workspace, "GET", "experiments/get", params={"experiment_id": "0"}).status_code == 404
    assert code(ask(workspace, "POST", "nothing/here", json={})) == (404, "ENDPOINT_NOT_FOUND")


def test_credentials_come_in_the_order_of_the_paths(workspace: Workspace, name: str) -> None:
    _, run = make_run(workspace, name)
    asked = {"run_id": run, "path": ["b", "a"]}

    infos = ask(workspace, "POST", "artifacts/credentials-for-write", json=asked).json()["credential_infos"]

    assert [info["path"] for info in infos] == ["b", "a"]
    for info in infos:
        assert requests.put(info["signed_uri"], data=info["path"].encode(), timeout=10).status_code == 200
    refused = requests.put(infos[0]["signed_uri"], data=b"x", headers={"Authorization": "Bearer x"}, timeout=10)
    assert refused.status_code == 400
    workspace.artifacts.page_size = 1
    first = ask(workspace, "GET", "artifacts/list", params={"run_id": run}).json()
    assert [item["path"] for item in first["files"]] == ["a"]
    params = {"run_id": run, "page_token": first["next_page_token"]}
    second = ask(workspace, "GET", "artifacts/list", params=params).json()
    assert [item["path"] for item in second["files"]] == ["b"]
    assert "next_page_token" not in second
    unknown = ask(workspace, "POST", "artifacts/credentials-for-read", json={"run_id": "0" * 32, "path": ["a"]})
    assert code(unknown) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_big_artifact_arrives_in_parts(workspace: Workspace, name: str) -> None:
    experiment, run = make_run(workspace, name)
    asked = {"run_id": run, "path": "model/big", "num_parts": 2}

    begun = ask(workspace, "POST", "artifacts/create-multipart-upload", json=asked).json()

    urls = [info["signed_uri"] for info in begun["upload_credential_infos"]]
    tags = [
        requests.put(url, data=data, timeout=10).headers["ETag"]
        for url, data in zip(urls, (b"one", b"two"), strict=True)
    ]
    parts = [{"part_number": number, "etag": tag} for number, tag in enumerate(tags, 1)]
    end = {"run_id": run, "path": "model/big", "upload_id": begun["upload_id"], "part_etags": parts}
    assert ask(workspace, "POST", "artifacts/complete-multipart-upload", json=end).json() == {}
    file = workspace.disk.artifacts / experiment / "Runs" / run / "artifacts/model/big"
    assert file.read_bytes() == b"onetwo"

"""MLflow tracking: a real server, with the workspace's own rules in front of it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

from tests.fake_workspace import identity
from tests.fake_workspace.disk import Disk
from tests.fake_workspace.exchange import Answer, Refused, Request, Routes
from tests.fake_workspace.mlflow_server import ARTIFACT_ROOT, MlflowServer, Reply

API = "/api/2.0/mlflow"
_OTHER_MODELS = re.compile(rf"({ARTIFACT_ROOT}/\d+)/models/".encode())
"""Where the open server would put a logged model; a workspace has another name for that folder."""


class Tracking:
    """Its switch: whether the name of a deleted experiment is `taken` or `free`, which is not certain of a real one."""

    def __init__(self, disk: Disk, server: MlflowServer) -> None:
        self.deleted_names: Literal["taken", "free"] = "taken"
        self._disk = disk
        self._server = server
        self._lock = threading.RLock()
        self._deleted: dict[str, str] = {}
        self._is_loaded = False

    def routes(self) -> Routes:
        return {
            ("POST", f"{API}/experiments/create"): self.create_experiment,
            ("GET", f"{API}/experiments/get"): self.get_experiment,
            ("GET", f"{API}/experiments/get-by-name"): self.get_experiment_by_name,
            ("POST", f"{API}/experiments/search"): self.search_experiments,
            ("POST", f"{API}/experiments/delete"): self.delete_experiment,
            ("POST", f"{API}/experiments/restore"): self.restore_experiment,
            ("POST", f"{API}/experiments/update"): self.rename_experiment,
            **{(method, r"/api/[23]\.0/mlflow/.+"): self.pass_on for method in ("GET", "POST", "PATCH", "DELETE")},
        }

    def pass_on(self, request: Request) -> Answer:
        """The server's own answer."""
        query = f"?{urlencode(request.query)}" if request.query else ""
        return _answer(self._server.ask(request.method, quote(request.path) + query, request.body.read()), request)

    def create_experiment(self, request: Request) -> Answer:
        data = request.json()
        with self._lock:
            self._load()
            name = self._check_name(str(data.get("name", "")))
            if name in self._deleted and self.deleted_names == "free":
                self._free(name)
            tags = [*data.get("tags", []), *_tags(name, request.user)]
            reply = self._server.ask("POST", request.path, json.dumps({**data, "name": name, "tags": tags}).encode())
            if reply.status == 200:
                self._disk.experiments[name] = json.loads(reply.body)["experiment_id"]
            return _answer(reply, request)

    def get_experiment(self, request: Request) -> Answer:
        if request.query.get("experiment_id") == "0":
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", "Node ID 0 does not exist.")
        return self.pass_on(request)

    def get_experiment_by_name(self, request: Request) -> Answer:
        """By the name as it was stored: one with `/Workspace` in front is nobody's."""
        name = request.query.get("experiment_name", "")
        if not name.startswith("/"):
            raise _bad_name(name)
        return self.pass_on(request)

    def search_experiments(self, request: Request) -> Answer | dict[str, Any]:
        """A workspace has no experiment 0."""
        answer = self.pass_on(request)
        if answer.status != 200:
            return answer
        found = json.loads(answer.body)
        return {**found, "experiments": [each for each in found.get("experiments", []) if each["experiment_id"] != "0"]}

    def delete_experiment(self, request: Request) -> Answer:
        return self._change(request)

    def restore_experiment(self, request: Request) -> Answer:
        return self._change(request)

    def rename_experiment(self, request: Request) -> Answer:
        data = request.json()
        name = self._check_name(str(data.get("new_name", "")))
        reply = self._server.ask("POST", request.path, json.dumps({**data, "new_name": name}).encode())
        self._reload()
        return _answer(reply, request)

    def run_artifacts(self, run: str) -> str:
        """Where a run's artifacts are: the URI that the run has."""
        reply = self._server.ask("GET", f"{API}/runs/get?{urlencode({'run_id': run})}")
        return str(_data(reply)["run"]["info"]["artifact_uri"])

    def model_artifacts(self, model: str) -> str:
        reply = self._server.ask("GET", f"{API}/logged-models/{quote(model)}")
        return str(_data(reply)["model"]["info"]["artifact_uri"])

    def _change(self, request: Request) -> Answer:
        with self._lock:
            answer = self.pass_on(request)
            self._reload()
            return answer

    def _check_name(self, name: str) -> str:
        """The name as it is stored, where an experiment may be made there."""
        if not name.startswith("/"):
            raise _bad_name(name)
        place = self._disk.workspace_path(name)
        stored = self._disk.workspace_name(place)
        if not place.parent.is_dir():
            parent = self._disk.workspace_name(place.parent)
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Parent directory {parent} does not exist.")
        taken = stored in self._deleted and self.deleted_names == "taken"
        if place.exists() or stored in self._disk.experiments or taken:
            raise Refused(400, "RESOURCE_ALREADY_EXISTS", f"Node named '{place.name}' already exists")
        return stored

    def _free(self, name: str) -> None:
        """Give a deleted experiment another name: to the server behind, a deleted one still owns its name."""
        number = self._deleted.pop(name)
        moved = {"experiment_id": number, "new_name": f"{name} (deleted {number})"}
        for call, data in (("restore", moved), ("update", moved), ("delete", moved)):
            self._server.ask("POST", f"{API}/experiments/{call}", json.dumps(data).encode())

    def _load(self) -> None:
        """Learn what the server knows from an earlier day."""
        if not self._is_loaded:
            self._reload()

    def _reload(self) -> None:
        with self._lock:
            data = json.dumps({"max_results": 1000, "view_type": "ALL"}).encode()
            found = _data(self._server.ask("POST", f"{API}/experiments/search", data)).get("experiments", [])
            names = {stage: _names(found, stage) for stage in ("active", "deleted")}
            self._disk.experiments.clear()
            self._disk.experiments.update(names["active"])
            self._deleted = names["deleted"]
            self._is_loaded = True


def _names(experiments: list[dict[str, Any]], stage: str) -> dict[str, str]:
    return {
        each["name"]: each["experiment_id"]
        for each in experiments
        if each["lifecycle_stage"] == stage and each["experiment_id"] != "0"
    }


def _tags(name: str, user: str) -> list[dict[str, str]]:
    """What a workspace notes of an experiment that somebody makes."""
    tags = {
        "mlflow.ownerId": identity.number_of(user),
        "mlflow.ownerEmail": user,
        "mlflow.experiment.sourceName": name,
        "mlflow.experimentType": "MLFLOW_EXPERIMENT",
    }
    return [{"key": key, "value": value} for key, value in tags.items()]


def _data(reply: Reply) -> Mapping[str, Any]:
    """What the server said; its refusal is the workspace's too."""
    data: dict[str, Any] = json.loads(reply.body)
    if reply.status != 200:
        raise Refused(reply.status, data["error_code"], data["message"])
    return data


def _answer(reply: Reply, request: Request) -> Answer:
    if not reply.content_type.startswith("application/json"):
        raise Refused(404, "ENDPOINT_NOT_FOUND", f"No API found for '{request.method} {request.path}'")
    body = _OTHER_MODELS.sub(rb"\1/logged_models/", reply.body)
    return Answer(status=reply.status, body=body, headers={"Content-Type": "application/json"})


def _bad_name(name: str) -> Refused:
    text = (
        f"Got an invalid experiment name '{name}'. An experiment name must be an absolute path within the Databricks "
        f"workspace, e.g. '/Users/<some-username>/{Path(name).name}'."
    )
    return Refused(400, "INVALID_PARAMETER_VALUE", text)

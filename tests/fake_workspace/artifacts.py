"""MLflow's own way to artifacts, beside the Files API: signed URLs for paths of a run or of a logged model."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.fake_workspace import files
from tests.fake_workspace.disk import ARTIFACTS, Disk
from tests.fake_workspace.exchange import Answer, Refused, Request, Routes
from tests.fake_workspace.mlflow_server import ARTIFACT_ROOT
from tests.fake_workspace.signed import Parts, Signed
from tests.fake_workspace.tracking import API, Tracking

MOST_PATHS = 2000
PAGE = 1000
_RUN = re.compile(rf"{ARTIFACT_ROOT}/(?P<experiment>[^/]+)/(?P<owner>[^/]+)/artifacts")
_MODEL = re.compile(rf"{ARTIFACT_ROOT}/(?P<experiment>[^/]+)/(logged_)?models/(?P<owner>[^/]+)/artifacts")


class Artifacts:
    """Its switch: `page_size`, how many entries a list gives at once."""

    def __init__(self, disk: Disk, signer: Signed, tracking: Tracking) -> None:
        self.page_size = PAGE
        self._disk = disk
        self._signed = signer
        self._tracking = tracking
        self._uploads: dict[str, tuple[Parts, Path]] = {}

    def routes(self) -> Routes:
        model = f"{API}/logged-models/(?P<model>[^/]+)/artifacts"
        return {
            ("POST", f"{API}/artifacts/credentials-for-(?P<way>write|read)"): self.sign_for_run,
            ("GET", f"{API}/artifacts/list"): self.list_of_run,
            ("POST", f"{API}/artifacts/create-multipart-upload"): self.begin_upload,
            ("GET", f"{API}/artifacts/get-presigned-upload-part-url"): self.sign_part,
            ("POST", f"{API}/artifacts/complete-multipart-upload"): self.complete_upload,
            ("POST", f"{model}/credentials-for-(?P<way>upload|download)"): self.sign_for_model,
            ("GET", f"{model}/directories"): self.list_of_model,
        }

    def sign_for_run(self, request: Request) -> dict[str, Any]:
        data = request.json()
        run, paths = str(data.get("run_id")), _paths(data.get("path"))
        folder = self._folder_of_run(run)
        return {
            "credential_infos": [
                {"run_id": run, **self._credential(folder, path, request.match["way"])} for path in paths
            ]
        }

    def sign_for_model(self, request: Request) -> dict[str, Any]:
        folder = self._folder_of_model(request.match["model"])
        paths = _paths(request.json().get("paths"))
        return {
            "credentials": [{"credential_info": self._credential(folder, path, request.match["way"])} for path in paths]
        }

    def list_of_run(self, request: Request) -> dict[str, Any]:
        run = request.query.get("run_id") or request.query.get("run_uuid", "")
        return {
            "root_uri": self._tracking.run_artifacts(run),
            **self._list(self._folder_of_run(run), request.query.get("path", ""), request),
        }

    def list_of_model(self, request: Request) -> dict[str, Any]:
        model = request.match["model"]
        path = request.query.get("artifact_directory_path", "")
        return {
            "root_uri": self._tracking.model_artifacts(model),
            **self._list(self._folder_of_model(model), path, request),
        }

    def begin_upload(self, request: Request) -> dict[str, Any]:
        data = request.json()
        target = self._disk.files_path(f"{self._folder_of_run(str(data.get('run_id')))}/{data['path']}")
        upload, parts = secrets.token_hex(8), Parts.begin(self._disk)
        self._uploads[upload] = (parts, target)
        numbers = range(1, int(data["num_parts"]) + 1)
        return {
            "upload_id": upload,
            "upload_credential_infos": [self._part_credential(data, parts, number) for number in numbers],
            "abort_credential_info": _credential(data["path"], self._signed.sign("DELETE", lambda _: _discard(parts))),
        }

    def sign_part(self, request: Request) -> dict[str, Any]:
        data = request.json()
        parts, _ = self._upload(data)
        return {"upload_credential_info": self._part_credential(data, parts, int(data["part_number"]))}

    def complete_upload(self, request: Request) -> dict[str, Any]:
        data = request.json()
        parts, target = self._upload(data)
        whole = parts.join((int(part["part_number"]), str(part["etag"])) for part in data["part_etags"])
        target.parent.mkdir(parents=True, exist_ok=True)
        whole.replace(target)
        del self._uploads[data["upload_id"]]
        return {}

    def _upload(self, data: dict[str, Any]) -> tuple[Parts, Path]:
        if data.get("upload_id") not in self._uploads:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", "The multipart upload does not exist.")
        return self._uploads[data["upload_id"]]

    def _part_credential(self, data: dict[str, Any], parts: Parts, number: int) -> dict[str, Any]:
        url = self._signed.sign("PUT", lambda request: parts.receive(number, request))
        return {"run_id": data["run_id"], **_credential(data["path"], url)}

    def _folder_of_run(self, run: str) -> str:
        match = self._match(_RUN, self._tracking.run_artifacts(run))
        return f"{ARTIFACTS}/{match['experiment']}/Runs/{match['owner']}/artifacts"

    def _folder_of_model(self, model: str) -> str:
        match = self._match(_MODEL, self._tracking.model_artifacts(model))
        return f"{ARTIFACTS}/{match['experiment']}/LoggedModels/{match['owner']}/artifacts"

    def _match(self, pattern: re.Pattern[str], uri: str) -> re.Match[str]:
        match = pattern.fullmatch(uri)
        if not match:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Credentials are only given for {ARTIFACT_ROOT}, not {uri}")
        return match

    def _credential(self, folder: str, path: str, way: str) -> dict[str, Any]:
        write, read = files.file_handlers(self._disk, self._disk.files_path(f"{folder}/{path}"))
        if way in {"write", "upload"}:
            return _credential(path, self._signed.sign("PUT", write))
        return _credential(path, self._signed.sign("GET", read))

    def _list(self, folder: str, path: str, request: Request) -> dict[str, Any]:
        root, place = self._disk.files_path(folder), self._disk.files_path(f"{folder}/{path}")
        start = int(request.query.get("page_token") or 0)
        end = start + self.page_size
        nodes = [place] if place.is_file() else sorted(place.glob("*"))
        entries = [_entry(node, root) for node in nodes[start:end]]
        return {
            **({"files": entries} if entries else {}),
            **({"next_page_token": str(end)} if end < len(nodes) else {}),
        }


def _paths(given: Any) -> Iterable[str]:
    if not isinstance(given, list) or not 0 < len(given) <= MOST_PATHS:
        raise Refused(400, "INVALID_PARAMETER_VALUE", f"From 1 to {MOST_PATHS} paths are needed")
    return [str(path) for path in given]


def _credential(path: str, url: str) -> dict[str, Any]:
    return {"path": path, "signed_uri": url, "type": "AWS_PRESIGNED_URL", "headers": []}


def _entry(node: Path, root: Path) -> dict[str, Any]:
    entry = {"path": node.relative_to(root).as_posix(), "is_dir": node.is_dir()}
    return entry if node.is_dir() else {**entry, "file_size": node.stat().st_size}


def _discard(parts: Parts) -> Answer:
    parts.discard()
    return Answer(status=204)

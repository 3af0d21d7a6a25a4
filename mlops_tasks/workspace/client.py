"""One workspace, as the stores and the target use it: the real clients, on one login and with one way of repeating."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from mlops_tasks.report import Report
from mlops_tasks.workspace import faults, session
from mlops_tasks.workspace.login import Login

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from databricks_cli.sdk import DbfsService, JobsService, WorkspaceService

T = TypeVar("T")

PROBE_WITHIN = 10
"""Seconds for the first call of all: an address that nobody answers at is noticed by it, once."""


@dataclass(frozen=True, kw_only=True)
class Workspace:
    login: Login
    report: Report

    @cached_property
    def user(self) -> str:
        """The user's name there; the first call of all, so it tells a bad host from a bad token from a bad network."""
        path = "/api/2.0/preview/scim/v2/Me"
        try:
            answer = self.session.send_once("GET", f"{self.login.host}{path}", timeout=PROBE_WITHIN)
            return str(answer.json()["userName"])
        except (ValueError, KeyError, TypeError) as fault:
            raise faults.ApiError(
                "this host does not answer as a Databricks workspace does",
                where=f"{self.login.host}{path}",
                cure="check DATABRICKS_HOST, or the profile's host",
            ) from fault

    @cached_property
    def session(self) -> session.Session:
        return session.Session(self.login, report=self.report)

    @cached_property
    def dbfs(self) -> DbfsService:
        from databricks_cli.sdk import DbfsService

        return DbfsService(self._api_client)

    @cached_property
    def jobs(self) -> JobsService:
        from databricks_cli.sdk import JobsService

        return JobsService(self._api_client)

    @cached_property
    def folders(self) -> WorkspaceService:
        from databricks_cli.sdk import WorkspaceService

        return WorkspaceService(self._api_client)

    @cached_property
    def sdk(self) -> WorkspaceClient:
        from databricks.sdk import WorkspaceClient

        return WorkspaceClient(config=self.login.config())

    @cached_property
    def _api_client(self) -> Any:
        """databricks-cli's own client drops the port of a host, has no timeout and repeats what is not safe to."""
        from databricks_cli.sdk.api_client import ApiClient

        client = ApiClient(host=self.login.host, default_headers={"Content-Type": "text/json"})
        client.url = f"{self.login.host}/api/"
        client.session = self.session
        return client

    def has_folder(self, path: str) -> bool:
        """Whether the Files API knows the folder: a volume's own is there with the volume."""
        try:
            self.ask(f"looking for {path}", lambda sdk: sdk.files.get_directory_metadata(path))
        except faults.ApiError as fault:
            if fault.is_missing:
                return False
            raise
        return True

    def ask(self, what: str, action: Callable[[WorkspaceClient], T], *, repeat: bool = True) -> T:
        """The result of a call through databricks-sdk, with its faults as ApiErrors; safe calls are repeated."""

        def once() -> T:
            with faults.translated_sdk(self.login.host, what):
                return action(self.sdk)

        return session.persist(what, once, report=self.report) if repeat else once()

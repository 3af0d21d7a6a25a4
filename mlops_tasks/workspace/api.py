"""Workspace: the clients of one workspace, on one login, with one rule for repeating calls."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests

from mlops_tasks import processes
from mlops_tasks.report import Report
from mlops_tasks.workspace import faults
from mlops_tasks.workspace.login import ANSWER_WITHIN, PROBE_WITHIN, Login

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from databricks_cli.sdk import DbfsService, JobsService, WorkspaceService


CONNECT_WITHIN = 10
"""Seconds to open a connection; nothing has been sent until then."""
IDEMPOTENT_POSTS = ("/dbfs/mkdirs", "/workspace/mkdirs", "/jobs/runs/cancel")
UPLOADS = ("/dbfs/put",)
CONNECTIONS = 16


class Patience(NamedTuple):
    """Seconds to wait for a workspace: for the next byte of an answer, and before each further try of a call.

    The answer to an upload of hundreds of MB takes longer. `waits` hold where the server names none by Retry-After;
    where it asks for more than `longest_wait`, the call fails at once.
    """

    answer_within: float = ANSWER_WITHIN
    upload_within: float = 120
    waits: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    longest_wait: float = 300


PATIENT = Patience()
HASTY = Patience(answer_within=10, waits=(1.0,), longest_wait=10)
"""For stopping: a person waits for the command to end."""


class Session(requests.Session):
    """A session for databricks-cli's clients and for calls of ours; raises ApiError for every answer but success."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self.auth = self._authorize
        for scheme in ("https://", "http://"):
            self.mount(scheme, requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=CONNECTIONS))

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """One call, repeated if it is a GET or has the same effect when it is sent twice."""
        path = urlsplit(url).path
        if method == "GET" or path.endswith(IDEMPOTENT_POSTS):
            return self._workspace.persist(f"{method} {path}", lambda: self.send_once(method, url, *args, **kwargs))
        return self.send_once(method, url, *args, **kwargs)

    def send_once(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        """One call, never repeated."""
        path = urlsplit(url).path
        call = f"{method} {path}"
        patience = self._workspace.patience
        within = patience.upload_within if path.endswith(UPLOADS) else patience.answer_within
        kwargs.setdefault("timeout", (CONNECT_WITHIN, within))
        kwargs.setdefault("allow_redirects", False)
        try:
            answer = super().request(method, url, *args, **kwargs)
        except requests.RequestException as fault:
            raise faults.unreachable(self._workspace.login.host, call, fault) from fault
        faults.check(answer, self._workspace.login.host, call)
        return answer

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Fresh credentials for every try: a token may run out in between."""
        request.headers.update(self._workspace.login.headers())
        return request


T = TypeVar("T")

ME = "/api/2.0/preview/scim/v2/Me"


def import_sdk() -> None:
    """Import databricks-sdk, half a second of work."""
    with processes.importing():
        import databricks.sdk  # noqa: F401


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Each client is made after the login has been tried, so that a bad login fails in the same words everywhere."""

    login: Login
    report: Report
    patience: Patience = PATIENT
    pause: Callable[[float], None] = time.sleep

    def in_haste(self) -> Workspace:
        """The same workspace with little patience, for a person who has pressed Ctrl-C and waits."""
        hasty = replace(self, patience=HASTY)
        vars(hasty)["user"] = self.user  # the login has been tried
        return hasty

    @cached_property
    def user(self) -> str:
        """The user's name there, from the first call: its error says whether host, token or network are bad."""
        return self._signing_in()

    def begin_sign_in(self) -> None:
        """Sign in beside what follows, until `user` is asked for."""
        _ = self._signing_in

    @cached_property
    def _signing_in(self) -> Callable[[], str]:
        return processes.begin(lambda: self.persist("signing in", self._ask_user), is_awaited=False)

    def _ask_user(self) -> str:
        try:
            answer = self.session.send_once("GET", f"{self.login.host}{ME}", timeout=PROBE_WITHIN)
            return str(answer.json()["userName"])
        except faults.ApiError as fault:
            raise faults.of_first_call(fault) from fault
        except (ValueError, KeyError, TypeError) as fault:
            raise faults.no_workspace(f"{self.login.host} GET {ME}") from fault

    def persist(self, what: str, action: Callable[[], T]) -> T:
        """The result of `action`, which is safe to repeat and is repeated after ApiErrors that may pass.

        Each further try is reported as `what`, and waited for with jitter. An action that is made of such actions is
        not repeated after one of them has been tried as often as allowed.
        """
        waits = iter(self.patience.waits)
        while True:
            try:
                return action()
            except faults.ApiError as fault:  # noqa: PERF203 - a try is a request
                wait = next(waits, None)
                fault.is_worn_out = fault.is_worn_out or wait is None
                asked = max(fault.retry_after or 0.0, wait or 0.0)
                if not fault.is_transient or fault.is_worn_out or asked > self.patience.longest_wait:
                    raise
                delay = asked * random.uniform(1, 1.25)  # noqa: S311 - no secret
                self.report.detail(f"{what}: {fault.what.splitlines()[0]}; trying again in {delay:.0f} s")
                self.pause(delay)

    @cached_property
    def session(self) -> Session:
        return Session(self)

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
        import_sdk()  # where no thread has begun it
        from databricks.sdk import WorkspaceClient

        _ = self.user
        config = self.login.config()
        config.http_timeout_seconds = self.patience.answer_within  # a client reads it when it is made
        return WorkspaceClient(config=config)

    @cached_property
    def _sdk_for_uploads(self) -> WorkspaceClient:
        """A client of its own: databricks-sdk has one time limit per client."""
        from databricks.sdk import WorkspaceClient

        # a new configuration would ask the host anew what it is
        config = self.sdk.config.copy()  # type: ignore[no-untyped-call]
        config.http_timeout_seconds = self.patience.upload_within
        return WorkspaceClient(config=config)

    @cached_property
    def _api_client(self) -> Any:
        """databricks-cli's own client drops the port of a host, has no timeout and repeats what is not safe to."""
        from databricks_cli.sdk.api_client import ApiClient

        _ = self.user
        client = ApiClient(host=self.login.host, default_headers={"Content-Type": "text/json"})
        client.url = f"{self.login.host}/api/"
        client.session = self.session
        return client

    @cached_property
    def runtimes(self) -> frozenset[str]:
        """Each `spark_version` that the workspace offers."""
        return self._list("clusters/spark-versions", "versions", "key")

    @cached_property
    def node_types(self) -> frozenset[str]:
        """Each `node_type_id` that the workspace offers to this login."""
        return self._list("clusters/list-node-types", "node_types", "node_type_id")

    def _list(self, call: str, key: str, name: str) -> frozenset[str]:
        _ = self.user
        answer = self.session.get(f"{self.login.host}/api/2.1/{call}").json()
        listed = answer.get(key) if isinstance(answer, dict) else None
        return frozenset(
            each[name] for each in listed or () if isinstance(each, dict) and isinstance(each.get(name), str)
        )

    def find_cluster(self, cluster_id: str) -> Mapping[str, Any] | None:
        """What the workspace says of a cluster; None where it knows none of that id."""
        _ = self.user
        url = f"{self.login.host}/api/2.1/clusters/get"
        try:
            found: Mapping[str, Any] = self.session.get(url, params={"cluster_id": cluster_id}).json()
        except faults.ApiError as fault:
            if fault.is_missing or fault.code == "INVALID_PARAMETER_VALUE":  # which of them is not documented
                return None
            raise
        return found

    def has_folder(self, path: str) -> bool:
        """Whether the Files API knows the folder: a volume's own is there with the volume."""

        def look(sdk: WorkspaceClient) -> bool:
            sdk.files.get_directory_metadata(path)
            return True

        return faults.unless_missing(lambda: self.ask(f"looking for {path}", look)) or False

    def ask(self, what: str, action: Callable[[WorkspaceClient], T], *, uploads: bool = False) -> T:
        """The result of a call through databricks-sdk that is safe to repeat. Its faults are raised as ApiErrors."""

        def once() -> T:
            with faults.translated_sdk(self.login.host, what):
                return action(self._sdk_for_uploads if uploads else self.sdk)

        return self.persist(what, once)

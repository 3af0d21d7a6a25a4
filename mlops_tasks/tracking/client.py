"""Read and write experiments and runs in one MLflow tracking store; MLflow's faults come out as WorkspaceErrors."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import re
import sqlite3
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_tasks import errors, files, processes, redaction, slugs
from mlops_tasks.release import Run
from mlops_tasks.tracking import database, uris
from mlops_tasks.tracking import process as mlflow_process

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment
    from mlflow.entities import Run as RunOfMlflow

GOING_ON = {"RUNNING", "SCHEDULED"}
SEARCHED = 100
"""How many runs are looked through at most for those that no other run started."""
CHILD = "mlflow.parentRunId"
QUOTABLE = re.compile(r"[\w./@+: -]*")
"""The values that MLflow's filter can name in quotes, whatever version reads it; the others are compared here."""
RECORD = "release.json"
"""The artifact that every run begins with."""
UNREADABLE = (ValueError, LookupError, TypeError)
"""What MLflow raises for an answer that it does not expect; some versions do so for every error without a message."""
QUIET = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
"""MLflow prints the address of a run as soon as the run ends."""
LOGGED = {"alembic": logging.WARNING, "mlflow.tracking": logging.WARNING, "mlflow.store.db.utils": logging.CRITICAL}
"""From what level on MLflow's own words are shown; what goes wrong in a database it logs and raises."""
NO_ROOM = "make room where it is; if there is some, see what that store says"
CURES = {
    "Can't locate revision": "a newer MLflow made that store: use that version, or name another store by "
    "MLFLOW_TRACKING_URI",
    "disk I/O error": NO_ROOM,
    "disk is full": NO_ROOM,
}
"""What to do, by words in the store's message; the last two are SQLite's on a full disk."""
CUT_OFF = ("readonly database", "disk I/O error", "no such table")
"""What SQLite says of a database that was removed under it, or whose place another one has taken."""
CODES = {
    "UNAUTHENTICATED": uris.LOGIN,
    "CUSTOMER_UNAUTHORIZED": uris.LOGIN,
    "PERMISSION_DENIED": f"ask for that permission; for another user {uris.LOGIN}",
}
"""What to do, by the code of a tracking server's refusal."""
REFUSALS = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}
"""Those codes by the status of an answer: what stands before a server has codes of its own, or none."""
PAGE = re.compile(
    r"(?:valid JSON format|error code 40[45] != 200)\. Response body: '\s*<"
    r"(?:[^']*?<title[^>]*>\s*(?P<title>[\w .,:|&-]{1,80}))?",
    re.IGNORECASE,
)
"""MLflow's message of a page of HTML in the place of an answer."""
SERVE_ARTIFACTS = (
    "start it with --serve-artifacts and --artifacts-destination, and give a new --experiment-name: "
    "an experiment keeps the place that it was made with"
)
OTHER_CURE = "see what that store says; MLFLOW_TRACKING_URI names another one"
PACKAGES = {
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "google": "google-cloud-storage",
    "azure": "azure-storage-blob azure-identity",
}
"""What to install for a module that a kind of store needs, where it isn't called like the module."""


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """A run of an experiment, with the credentials in its parameters masked.

    `started` is milliseconds since 1970; `url` is its page where a server shows one.
    """

    run_id: str
    experiment_id: str = ""
    name: str
    status: str
    started: int = 0
    url: str = ""
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]


class Tracking:
    """The store at `uri`. Artifacts of new experiments go below `artifacts`; None leaves that to the store.

    `login` are MLflow's variables for the user and password in a server's address: MLflow prints the address, so
    `uri` has them no longer. `variables` are set while MLflow works. Any method may raise WorkspaceError.
    """

    def __init__(self, uri: str, *, artifacts: Path | None, variables: Mapping[str, str] | None = None) -> None:
        self.uri, login = redaction.split_login(uri)
        names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
        self.login = dict(zip(names, login, strict=True)) if login else {}
        self._variables = variables or {}
        self.shown = redaction.strip(self.uri)
        self._artifacts = artifacts

    @property
    def is_server(self) -> bool:
        return self.uri.startswith(("http://", "https://"))

    def find_gone(self) -> Path | None:
        """What is gone of a SQLite store, which goes on unnoticed in a file without a name; None where it is there."""
        path = uris.database_of(self.uri)
        return files.find_gone(path) if path else None

    def find_experiment(self, experiment_id: str | None, name: str | None) -> str:
        """The id of the experiment that is given by its id or else by its name, for runs to be made under.

        OutOfOrder where neither is given.
        """
        if experiment_id is not None:
            return self.check_experiment(experiment_id)
        if name is None:
            raise errors.OutOfOrder("there is no experiment to run under", cure="`inv name`")
        return self.ensure_experiment(name)

    def ensure_experiment(self, name: str) -> str:
        """The id of the experiment called `name`, which is made where it doesn't exist; BadInput for a deleted one."""
        artifacts = None if self.is_server else self._artifacts
        location = (artifacts / slugs.slug(name)).as_uri() if artifacts else None
        with self._calling_mlflow():
            found = self._client.get_experiment_by_name(name) or self._create_experiment(name, location)
        return self._active(found)

    def check_experiment(self, experiment_id: str) -> str:
        """`experiment_id` itself; BadInput if there is no such experiment, or a deleted one."""
        from mlflow.exceptions import MlflowException

        with self._calling_mlflow():
            try:
                return self._active(self._client.get_experiment(experiment_id))
            except MlflowException as fault:
                if fault.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                    raise
                raise errors.BadInput(
                    f"there is no experiment with the id {experiment_id} in {self.shown}",
                    where="--experiment-id",
                    cure="give an id that is there (`inv ui` shows them), or --experiment-name",
                ) from fault

    def create_run(
        self,
        experiment_id: str,
        *,
        name: str | None,
        tags: Mapping[str, str],
        parameters: Mapping[str, str],
        record: Mapping[str, Any],
    ) -> str:
        """The id of a new run that is RUNNING; where describing it fails, it is marked FAILED."""
        run_id = self.start_run(experiment_id, name=name, tags=tags)
        with self._calling_mlflow():
            try:
                self.describe_run(run_id, tags={}, parameters=parameters, record=record)
            except BaseException:
                with contextlib.suppress(Exception):  # the first fault is raised: it is the store's too
                    self._client.set_terminated(run_id, "FAILED")
                raise
        return run_id

    def start_run(self, experiment_id: str, *, name: str | None, tags: Mapping[str, str]) -> str:
        """The id of a new run that is RUNNING, by one request."""
        with self._calling_mlflow():
            return str(self._client.create_run(experiment_id, run_name=name, tags=dict(tags)).info.run_id)

    def resume_run(self, run_id: str) -> None:
        """Make a run RUNNING again that has ended."""
        with self._calling_mlflow():
            if self._client.get_run(run_id).info.status not in GOING_ON:
                self._client.update_run(run_id, status="RUNNING")

    def describe_run(
        self, run_id: str, *, tags: Mapping[str, str], parameters: Mapping[str, str], record: Mapping[str, Any]
    ) -> None:
        """Add `tags`, `parameters` and the record to a run that exists."""
        from mlflow.entities import Param, RunTag

        with self._calling_mlflow():
            if tags:
                self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
            self._client.log_batch(run_id, params=[Param(key, value) for key, value in parameters.items()])
            self._client.log_dict(run_id, dict(record), RECORD)

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        with self._calling_mlflow():
            self._client.set_tag(run_id, key, value)

    def read_run(self, run_id: str, *, backend: str = "", entry_point: str = "") -> Run:
        """The run as it is now, with its last metrics, and the URL of its page where a server shows one."""
        with self._calling_mlflow():
            run = self._client.get_run(run_id)
        return Run(
            run_id=run_id,
            experiment_id=str(run.info.experiment_id),
            status=str(run.info.status),
            backend=backend,
            url=self._page(run),
            entry_point=entry_point,
            metrics=dict(sorted(run.data.metrics.items())),
        )

    def has_logged(self, run_id: str, *, parameters: Iterable[str]) -> bool:
        """Whether the run holds more than the `parameters` and the record that it began with, or started another."""
        with self._calling_mlflow():
            run = self._client.get_run(run_id)
            own = (
                run.data.metrics,
                set(run.data.params) - set(parameters),
                "mlflow.log-model.history" in run.data.tags,
            )
            if any(own) or any(each.path != RECORD for each in self._client.list_artifacts(run_id)):
                return True
            by_parent = f"tags.`{CHILD}` = '{run_id}'"
            return bool(self._client.search_runs([run.info.experiment_id], by_parent, max_results=1))

    def read_tags(self, run_id: str) -> dict[str, str] | None:
        """The run's tags; None where the store knows no such run."""
        from mlflow.exceptions import MlflowException

        with self._calling_mlflow():
            try:
                return dict(self._client.get_run(run_id).data.tags)
            except MlflowException as fault:
                if fault.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return None

    def find_run(self, experiment_id: str, *, filter_string: str) -> str | None:
        """The id of the experiment's newest run that MLflow's filter lets through; None where there is none."""
        with self._calling_mlflow():
            found = self._client.search_runs([experiment_id], filter_string=filter_string, max_results=1)
        return str(found[0].info.run_id) if found else None

    def delete_twins(self, run_id: str, experiment_id: str, *, filter_string: str) -> list[str]:
        """Delete the experiment's runs that MLflow's filter lets through, but `run_id`; the answer is their ids."""
        with self._calling_mlflow():
            found = self._client.search_runs([experiment_id], filter_string=filter_string)
            twins = [str(run.info.run_id) for run in found if run.info.run_id != run_id]
            for each in twins:
                self._client.delete_run(each)
        return twins

    def end_run(self, run_id: str, status: str, *, overrule: bool = True) -> None:
        """Give the run its end status. A run that has ended keeps its own, unless a bad end is to overrule it."""
        with self._calling_mlflow():
            there = self._client.get_run(run_id).info.status
            if there in GOING_ON or (overrule and status not in {"FINISHED", there}):
                self._client.set_terminated(run_id, status)

    def find_going_on(self, run_id: str) -> list[str]:
        """The ids of the runs under the run that have no end, and of those under these."""
        found: dict[str, None] = {}
        todo = [run_id]
        for each in todo:
            with self._calling_mlflow():
                experiment = self._client.get_run(each).info.experiment_id
                under = f"tags.`{CHILD}` = '{each}' and attributes.status = 'RUNNING'"
                children = [str(run.info.run_id) for run in self._client.search_runs([experiment], under)]
            todo += [child for child in children if child not in found]
            found |= dict.fromkeys(children)
        return list(found)

    def search_runs(
        self,
        experiment_ids: Sequence[str],
        *,
        tags: Mapping[str, str],
        limit: int,
        finished: bool = False,
        until: int | None = None,
        order_by: str = "start_time DESC",
    ) -> list[PastRun]:
        """The first `limit` runs that carry all of `tags`, the newest first or by what MLflow calls `order_by`.

        Of a tag that is to be empty they have none. A run that another run started is none of them, nor is one that
        began after `until`.
        """
        asked = [f"tags.`{key}` = '{value}'" for key, value in tags.items() if QUOTABLE.fullmatch(value) and value]
        asked += ["attributes.status = 'FINISHED'"] if finished else []
        asked += [f"attributes.start_time <= {until}"] if until is not None else []
        for number in sorted({min(limit, SEARCHED), max(limit, SEARCHED)}):
            with self._calling_mlflow():
                found = self._client.search_runs(
                    list(experiment_ids), " and ".join(asked), max_results=number, order_by=[order_by]
                )
            wanted = {**tags, CHILD: ""}
            runs = [
                run
                for run in map(self._past, found)
                if all(run.tags.get(key, "") == value for key, value in wanted.items())
            ]
            if len(runs) >= limit or len(found) < number:
                break
        return runs[:limit]

    def read_past(self, run_id: str) -> PastRun | None:
        """The run as it is now; None where the store knows none of that id, or one that was deleted."""
        from mlflow.exceptions import MlflowException

        with self._calling_mlflow():
            try:
                run = self._client.get_run(run_id)
            except MlflowException as fault:
                if fault.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                    raise
                return None
        return self._past(run) if run.info.lifecycle_stage == "active" else None

    def find_named(self, name: str) -> str | None:
        """The id of the experiment called `name`; None where there is none, or a deleted one."""
        with self._calling_mlflow():
            found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id) if found is not None and found.lifecycle_stage == "active" else None

    def read_experiment_name(self, experiment_id: str) -> str:
        with self._calling_mlflow():
            return str(self._client.get_experiment(experiment_id).name)

    @property
    def is_there(self) -> bool:
        """Whether there is a store to read from: a database of this machine is made by the first run."""
        path = uris.database_of(self.uri)
        return path is None or path.exists()

    def _past(self, run: RunOfMlflow) -> PastRun:
        return PastRun(
            run_id=str(run.info.run_id),
            experiment_id=str(run.info.experiment_id),
            name=run.info.run_name or "",
            status=str(run.info.status),
            started=int(run.info.start_time or 0),
            url=self._page(run),
            tags=dict(run.data.tags),
            parameters={name: redaction.mask(value) for name, value in run.data.params.items()},
            metrics=dict(run.data.metrics),
        )

    def _page(self, run: RunOfMlflow) -> str:
        """The run's page where a server shows one."""
        page = f"{self.shown.rstrip('/')}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
        return page if self.is_server else ""

    @cached_property
    def _client(self) -> MlflowClient:
        os.environ.update(self.login)  # the only way to hand it to MLflow
        for name, level in LOGGED.items():
            logging.getLogger(name).setLevel(level)
        with self._calling_mlflow(), uris.first_user(self.uri), _without_news():
            with processes.importing():
                from mlflow import MlflowClient

            if self.is_server:
                uris.check_reachable(self.uri)
            if self._artifacts is not None:
                database.prepare(self.uri, self._artifacts)
            client = MlflowClient(tracking_uri=self.uri)
            if not self.uri.startswith("databricks"):
                client.search_experiments(max_results=1)
        return client

    def _create_experiment(self, name: str, location: str | None) -> Experiment:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_experiment(self._client.create_experiment(name, artifact_location=location))
        except MlflowException as fault:
            if fault.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = self._client.get_experiment_by_name(name)  # another process has just made it
            if found is None:
                raise
            return found

    def _active(self, experiment: Experiment) -> str:
        if experiment.lifecycle_stage != "active":
            mlflow = errors.typed(Path(sys.executable).with_name("mlflow"))
            restore = f"{mlflow} experiments restore --experiment-id {experiment.experiment_id}"
            raise errors.BadInput(
                f"the experiment {experiment.name} is deleted",
                where=self.shown,
                cure=f"`{uris.VARIABLE}={errors.typed(self.shown)} {restore}`, or --experiment-name with another name",
            )
        return str(experiment.experiment_id)

    @contextlib.contextmanager
    def _calling_mlflow(self) -> Iterator[None]:
        """Set MLflow's variables, keep its words off stdout, and raise its faults as WorkspaceErrors.

        What this package's own code raises in the block is a bug, and raised as it is.
        """
        variables = {**QUIET, **processes.beside_proxies(os.environ), **self._variables}
        try:
            with mlflow_process.variables(**variables), contextlib.redirect_stdout(sys.stderr):
                yield
        except _foreign_faults() as fault:
            if isinstance(fault, (ImportError, *UNREADABLE)) and errors.is_ours(fault):
                raise
            what, cure = self._explain(fault)
            raise errors.WorkspaceError(what, where=self.shown, cure=cure) from fault

    def _explain(self, fault: Exception) -> tuple[str, str]:
        """What is wrong, and what to do."""
        said = redaction.first_line(fault)
        path = uris.database_of(self.uri)
        if path is not None and (found := _explain_file(path, said, is_open="_client" in vars(self))):
            return found
        if isinstance(fault, ModuleNotFoundError):
            module = (fault.name or "").partition(".")[0]
            return f"MLflow needs {module} for this store: {said}", f"pip install {PACKAGES.get(module, module)}"
        if isinstance(fault, ImportError):
            return f"MLflow does not fit what it needs: {said}", "install versions of both that fit each other"
        if self.is_server and (found := _explain_server(fault)):
            return found
        if self.uri.startswith("databricks"):
            return f"MLflow's tracking store refused: {said}", "do what it says, or repeat"
        known = (cure for words, cure in CURES.items() if words in said)
        code, status = getattr(fault, "error_code", ""), _read_status(fault)
        if code not in CODES and status in REFUSALS:
            code, said = REFUSALS[status], f"{status} {said.removeprefix('INTERNAL_ERROR: ')}"
        return f"MLflow's tracking store refused: {said}", CODES.get(code) or next(known, OTHER_CURE)


def _explain_file(path: Path, said: str, *, is_open: bool) -> tuple[str, str] | None:
    """What is wrong with a SQLite store's file, of which SQLite `said` something, and what to do; None if nothing is.

    It may be made while it is opened: until it `is_open`, one that is not there may never have been there.
    """
    gone, is_cut_off = files.find_gone(path), any(words in said for words in CUT_OFF)
    cure = "leave it alone while a command works, then `inv release`"
    if gone is not None and (is_open or is_cut_off):
        return f"{gone} was removed while it was in use", cure
    if not is_cut_off or "I/O" in said:
        return None
    if not files.is_writable(path):
        seen = f"`{errors.typed('ls', '-ld', path.parent, path)}` shows whose they are"
        cure = f"make it and its folder writable for you ({seen}), or name another store by MLFLOW_TRACKING_URI"
        return f"MLflow's database {path} cannot be written", cure
    return f"MLflow's database {path} was removed or replaced while it was in use", cure


def _explain_server(fault: Exception) -> tuple[str, str] | None:
    """What is wrong with a tracking server, and what to do; None for what is said of any store."""
    if isinstance(fault, OSError) and fault.filename:
        what = f"the tracking server keeps artifacts in {fault.filename} on a disk of its own, and MLflow looks for it"
        return f"{what} on this machine: {fault.strerror}", SERVE_ARTIFACTS
    page = PAGE.search(str(fault))
    if page is None:
        return None
    title = f" ({redaction.mask(page['title'].strip())})" if page["title"] else ""
    what = f"a web page{title} came back where MLflow's API was expected: it may want a login, or that address is not"
    cure = f"{uris.LOGIN}; or set {uris.VARIABLE} to MLflow's own address"
    return f"{what} MLflow's", cure


def _read_status(fault: Exception) -> int:
    """The status of the answer that MLflow raised `fault` for; 0 where there was none.

    MLflow keeps no status of an answer in JSON: it is read where MLflow looked at the answer.
    """
    frames = (frame.f_locals for frame, _ in traceback.walk_tb(fault.__traceback__))
    answers = [getattr(fault, "response", None), *(each.get("response") for each in frames)]
    return next((status for each in answers if isinstance(status := getattr(each, "status_code", None), int)), 0)


@contextlib.contextmanager
def _without_news() -> Iterator[None]:
    """Let nothing below a warning be logged: MLflow 2 tells of each of its 60 steps to a new database."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)


def _foreign_faults() -> tuple[type[Exception], ...]:
    """What MLflow raises by itself, and from those of the libraries below it that are installed."""
    from mlflow.exceptions import MlflowException

    found: list[type[Exception]] = [MlflowException, OSError, ImportError, sqlite3.Error, *UNREADABLE]
    for module, name in (("sqlalchemy.exc", "SQLAlchemyError"), ("alembic.util", "CommandError")):
        with contextlib.suppress(ImportError):
            found.append(getattr(importlib.import_module(module), name))
    return tuple(found)

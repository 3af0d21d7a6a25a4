"""Make the URI of an MLflow store absolute, find out whether its server answers, and open it one process at a time."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from mlops_tasks import errors, locks
from mlops_tasks.workspace import faults

REACHABLE_WITHIN = 10
"""Seconds for a tracking server's first answer: MLflow itself would try for minutes."""
VARIABLE = "MLFLOW_TRACKING_URI"
_BARE_SERVER = re.compile(r"(?!file:|sqlite|databricks)[\w.-]+:\d{2,5}(/.*)?")
LOGIN = "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
TRUST = "name the file of its CA's certificates by REQUESTS_CA_BUNDLE or MLFLOW_TRACKING_SERVER_CERT_PATH"


def absolute(uri: str) -> str:
    """`uri` with a relative path in it made absolute: a run works in another folder than the command that names it.

    Raises BadInput for a server without a scheme, which MLflow takes for a folder or for a store that it doesn't know.
    """
    if _BARE_SERVER.fullmatch(uri):
        raise errors.BadInput(
            f"{uri} has no scheme", where=VARIABLE, cure=f"set {VARIABLE}={errors.typed(f'http://{uri}')}"
        )
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


def named(environ: Mapping[str, str]) -> str | None:
    """The store that MLFLOW_TRACKING_URI names; a blank variable names none."""
    return environ.get(VARIABLE, "").strip() or None


def check_reachable(uri: str) -> None:
    """Raise WorkspaceError unless the server answers itself, be it with an error: MLflow checks the rest.

    It is asked as MLflow asks, with MLflow's settings for TLS and logins.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils import credentials, rest_utils

    try:
        host = urlsplit(uri).netloc
    except ValueError:  # what is no URL may hold a password all the same, and the fault says it
        raise errors.WorkspaceError("this is no URL of a server", where=VARIABLE, cure="correct it") from None
    once = {"max_retries": 0, "retry_codes": frozenset(), "timeout": REACHABLE_WITHIN, "allow_redirects": False}
    try:
        answer = rest_utils.http_request(credentials.get_default_host_creds(uri), "/", "GET", **once)
    except MlflowException as fault:
        why = faults.say_why(fault)
        raise errors.WorkspaceError(
            f"the tracking server {host} cannot be reached: {why}",
            where=VARIABLE,
            cure=_how_to_reach(why),
        ) from fault
    target = urlsplit(answer.headers.get("Location", ""))
    if answer.is_redirect and target.hostname not in {None, urlsplit(uri).hostname}:
        raise errors.WorkspaceError(
            f"the tracking server {host} sends MLflow on to {target.scheme}://{target.netloc}: it may want a login",
            where=VARIABLE,
            cure=f"{LOGIN}, or name the server behind that page",
        )


def _how_to_reach(why: str) -> str:
    if "login" in why:
        return LOGIN
    if "TLS" in why and "speaks" in why:
        return "write http:// for https://"
    return TRUST if "cert" in why else "start it, or unset MLFLOW_TRACKING_URI to track under .mlops/"


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

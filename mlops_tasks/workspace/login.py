"""Login: the workspace's host and the user's credentials, as databricks-sdk resolves them, once for all clients.

A plain pair of host and token, in the environment or in a profile, is read here, and so is that there is none:
importing databricks-sdk takes a second. databricks-sdk resolves everything else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests

from mlops_tasks import errors, redaction
from mlops_tasks.workspace import credentials, faults
from mlops_tasks.workspace.credentials import Credentials

if TYPE_CHECKING:
    from databricks.sdk.config import Config

PROBE_WITHIN = 10
"""Seconds for the first answer, which shows whether anybody answers at that address."""
ANSWER_WITHIN = 30
"""Seconds without a byte from the workspace."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """`host` is `https://name`, with a port where it has one; `headers` gives fresh ones: a token lives for an hour.

    `profile` is the profile to give to MLflow, None where the environment or the default one decides;
    `variables` are what MLflow takes from the environment. `origin` says in words where the login comes from.
    """

    host: str
    headers: Callable[[], Mapping[str, str]] = field(repr=False)
    profile: str | None
    origin: str
    variables: Mapping[str, str] = field(repr=False)
    config: Callable[[], Config] = field(repr=False)

    @property
    def tracking_uri(self) -> str:
        """How MLflow names this workspace."""
        return f"databricks://{self.profile}" if self.profile else "databricks"


def is_plain(profile: str | None, environ: Mapping[str, str]) -> bool:
    """Whether a host and a token are at hand, so that `resolve` asks nobody. It may raise what `resolve` raises."""
    return credentials.find(profile, environ).is_plain


def resolve(profile: str | None, environ: Mapping[str, str]) -> Login:
    """The login that `profile` (an explicit one), the environment or ~/.databrickscfg give.

    Raises BadInput where they give none, or where profile and environment disagree: databricks-sdk would send the
    profile's requests to the environment's host without a word. Raises ApiError where databricks-sdk has to ask the
    host for something and can't.
    """
    found = credentials.find(profile, environ)
    if not found.leads_anywhere:
        raise errors.BadInput(_lacking(found), where=found.place, cure=credentials.HELP)
    return _plain_login(found) if found.is_plain else _sdk_login(found)


def _plain_login(found: Credentials) -> Login:
    host, token = found.host, found.token
    by_variables = set(found.spoken) >= credentials.PAIR and not found.profile
    return Login(
        host=host,
        headers=lambda: {"Authorization": f"Bearer {token}"},
        profile=found.profile,
        origin="DATABRICKS_HOST and DATABRICKS_TOKEN" if by_variables else f"profile {found.name}",
        variables=found.variables,
        config=lambda: _configure(host=host, token=token, auth_type="pat"),
    )


def _sdk_login(found: Credentials) -> Login:
    if found.host:  # one short try of databricks-sdk's first request, which it would itself try for minutes
        path = "/.well-known/databricks-config"
        try:
            requests.get(f"{found.host}{path}", timeout=PROBE_WITHIN)
        except requests.RequestException as fault:
            raise faults.unreachable(found.host, f"GET {path}", fault) from fault
    try:
        config = _configure(host=found.host or None, profile=found.name)
    except ValueError as fault:
        raise errors.BadInput(_explain(str(fault), found), where=found.place, cure=credentials.HELP) from fault
    if not config.host:
        raise errors.BadInput("no Databricks host is known", where=found.place, cure=credentials.HELP)
    return Login(
        host=credentials.whole_host(config.host, where=found.place),
        headers=lambda: _fresh_headers(config),
        profile=found.profile,
        origin=f"{config.auth_type}, profile {found.name}" if found.name else str(config.auth_type),
        variables=found.variables,
        config=lambda: config,
    )


def _configure(**known: Any) -> Config:
    """A configuration with which databricks-sdk tries each call once: `Workspace.persist` repeats and reports.

    A file goes as one streamed request. Warnings are silenced: databricks-sdk warns of all that it cannot find out
    about a host, whether or not it matters.
    """
    from databricks.sdk.clock import RealClock
    from databricks.sdk.config import Config

    class ImpatientClock(RealClock):
        """Skips each wait, so that databricks-sdk gives up after one try."""

        skipped = 0.0

        def time(self) -> float:
            return super().time() + self.skipped

        def sleep(self, seconds: float) -> None:
            self.skipped += seconds

    logging.getLogger("databricks.sdk").setLevel(logging.ERROR)
    return Config(
        retry_timeout_seconds=1,
        http_timeout_seconds=ANSWER_WITHIN,
        disable_experimental_files_api_client=True,
        clock=ImpatientClock(),
        **known,
    )


def _fresh_headers(config: Config) -> Mapping[str, str]:
    """databricks-sdk raises ValueError where it cannot get a token."""
    call = f"{config.auth_type} login"
    with faults.translated_sdk(str(config.host), call):
        try:
            return config.authenticate()
        except requests.RequestException:
            raise
        except ValueError as fault:
            raise faults.refused_login(f"{config.host} {call}", said=str(fault)) from fault


def _lacking(found: Credentials) -> str:
    """What is missing where nothing leads to a host."""
    if found.name:
        return f"the profile {found.name} names no host"
    return "no Databricks host is known" if found.values else "no Databricks login is known"


def _explain(said: str, found: Credentials) -> str:
    if credentials.HOSTS.isdisjoint(found.values):
        return _lacking(found)
    plain = redaction.without_configuration(said).splitlines()[0]
    if "cannot configure default credentials" in plain:
        return f"no credentials for {found.host} are known"
    return f"no Databricks login: {plain}"

"""Who we are in which workspace: host and credentials as databricks-sdk resolves them, once for every client.

A plain pair of host and token, in the environment or in a profile, is read here: importing databricks-sdk takes a
second. Everything else is databricks-sdk's own business.
"""

from __future__ import annotations

import configparser
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from mlops_tasks import errors
from mlops_tasks.workspace import faults

if TYPE_CHECKING:
    from databricks.sdk.clock import Clock
    from databricks.sdk.config import Config

HELP = "set DATABRICKS_HOST and DATABRICKS_TOKEN, or give `--profile NAME` of ~/.databrickscfg"
PREFIX = "DATABRICKS_"
PAIR = {"host", "token"}
NEUTRAL = {"cluster_id", "serverless_compute_id", "warehouse_id", "cli_path", "config_file", "config_profile"}
NEUTRAL |= {"debug_headers", "debug_truncate_bytes", "rate_limit", "runtime_version"}
"""What variables and profiles can say that neither leads to a host nor is a credential."""
OTHER_CREDENTIALS = ("ARM_CLIENT_ID", "ARM_CLIENT_SECRET", "ARM_TENANT_ID", "ARM_USE_MSI", "GOOGLE_CREDENTIALS")
SETTINGS_SECTION = "__settings__"
PROBE_WITHIN = 10
"""Seconds for the first answer of all: an address that nobody answers at is noticed by it, once."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """`host` is `https://name`, with a port where it has one; `headers` gives fresh ones: a token lives for an hour.

    `profile` is the profile that MLflow must be told, None where the environment or the default one decides;
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


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What the environment and one profile say: `spoken` in variables, `section` in the profile called `name`.

    `profile` is the one that was asked for by name.
    """

    spoken: Mapping[str, str] = field(repr=False)
    section: Mapping[str, str] = field(repr=False)
    name: str | None
    profile: str | None
    environ: Mapping[str, str] = field(repr=False)

    @property
    def values(self) -> dict[str, str]:
        """The environment wins, as it does for databricks-sdk."""
        return {**_telling(self.section), **self.spoken}

    @property
    def host(self) -> str:
        return whole_host(self.values.get("host", ""), where=self.place)

    @property
    def is_plain(self) -> bool:
        """Whether there is a pair of host and token, and nothing else that could decide."""
        values = {key: value for key, value in self.values.items() if (key, value) != ("auth_type", "pat")}
        return set(values) == PAIR and not any(self.environ.get(each) for each in OTHER_CREDENTIALS)

    @property
    def place(self) -> object:
        return "the DATABRICKS_* variables" if self.spoken else _config_file(self.environ)

    @property
    def variables(self) -> dict[str, str]:
        """Those of the environment, and the host as we understand it where it is written in another form.

        databricks-sdk takes a host with the path and query of a browser's address line as it is, and reads no
        profile but a named one where a variable tells the host.
        """
        found = {name: value.strip() for name, value in self.environ.items() if name.startswith(PREFIX)}
        if self.host != self.values.get("host", ""):
            named = {f"{PREFIX}CONFIG_PROFILE": self.name} if self.name else {}
            return {**found, f"{PREFIX}HOST": self.host, **named}
        return found


def resolve(profile: str | None, environ: Mapping[str, str]) -> Login:
    """The login that `profile` (an explicit one), the environment or ~/.databrickscfg give.

    Raises BadInput where they give none, or where profile and environment disagree: databricks-sdk would send the
    profile's requests to the environment's host without a word. Raises ApiError where databricks-sdk has to ask the
    host for something and can't.
    """
    found = _look(profile, environ)
    return _plain_login(found) if found.is_plain else _sdk_login(found)


def _look(profile: str | None, environ: Mapping[str, str]) -> _Found:
    sections = _read_profiles(environ)
    spoken = _telling(
        {name.removeprefix(PREFIX).lower(): value for name, value in environ.items() if name.startswith(PREFIX)}
    )
    named = profile or environ.get(f"{PREFIX}CONFIG_PROFILE") or None
    if named:
        _check_known(named, sections, environ)
    if profile:
        _check_agreement(profile, sections[profile], spoken, environ)
    name = named or (None if spoken else _default_profile(sections))
    return _Found(
        spoken=spoken,
        section=sections.get(name or "", {}),
        name=name if name in sections else None,
        profile=None if set(spoken) >= PAIR and not profile else named,
        environ=environ,
    )


def _plain_login(found: _Found) -> Login:
    host, token = found.host, _checked_token(found)

    def config() -> Config:
        return _configure(host=host, token=token, auth_type="pat")

    by_variables = set(found.spoken) >= PAIR and not found.profile
    return Login(
        host=host,
        headers=lambda: {"Authorization": f"Bearer {token}"},
        profile=found.profile,
        origin="DATABRICKS_HOST and DATABRICKS_TOKEN" if by_variables else f"profile {found.name}",
        variables=found.variables,
        config=config,
    )


def _sdk_login(found: _Found) -> Login:
    if found.host:
        _probe(found.host)
    try:
        config = _configure(host=found.host or None, profile=found.name)
    except ValueError as fault:
        raise errors.BadInput(_explain(str(fault), found), where=found.place, cure=HELP) from fault
    if not config.host:
        raise errors.BadInput("no Databricks host is known", where=found.place, cure=HELP)
    return Login(
        host=whole_host(config.host, where=found.place),
        headers=lambda: _fresh_headers(config),
        profile=found.profile,
        origin=f"{config.auth_type}, profile {found.name}" if found.name else str(config.auth_type),
        variables=found.variables,
        config=lambda: config,
    )


def _probe(host: str) -> None:
    """One short try at what databricks-sdk asks first of all: it would itself try for minutes."""
    path = "/.well-known/databricks-config"
    try:
        requests.get(f"{host}{path}", timeout=PROBE_WITHIN)
    except requests.RequestException as fault:
        raise faults.unreachable(host, f"GET {path}", fault) from fault


def _configure(**known: Any) -> Config:
    """A configuration with which databricks-sdk makes one try a call: ours are counted and told.

    A file goes as one streamed request. What it cannot find out of a host it warns of, whether or not it matters.
    """
    from databricks.sdk.config import Config

    logging.getLogger("databricks.sdk").setLevel(logging.ERROR)
    return Config(
        retry_timeout_seconds=1,
        http_timeout_seconds=120,
        disable_experimental_files_api_client=True,
        clock=_impatient_clock(),
        **known,
    )


def _impatient_clock() -> Clock:
    from databricks.sdk.clock import RealClock

    class ImpatientClock(RealClock):
        """It takes each wait for over at once, so that databricks-sdk gives up at the end of its time for tries."""

        skipped = 0.0

        def time(self) -> float:
            return super().time() + self.skipped

        def sleep(self, seconds: float) -> None:
            self.skipped += seconds

    return ImpatientClock()


def _fresh_headers(config: Config) -> Mapping[str, str]:
    """A token that cannot be had is a ValueError of databricks-sdk's."""
    call = f"{config.auth_type} login"
    with faults.translated_sdk(str(config.host), call):
        try:
            return config.authenticate()
        except requests.RequestException:
            raise
        except ValueError as fault:
            raise faults.refused_login(f"{config.host} {call}", said=str(fault)) from fault


def _explain(said: str, found: _Found) -> str:
    """databricks-sdk appends its whole configuration to what it says, secrets masked."""
    plain = re.split(r"\. (?:Config|Env):", said)[0].splitlines()[0]
    if not {"host", "azure_workspace_resource_id", "azure_resource_id"} & set(found.values):
        return "no Databricks host is known" if found.values else "no Databricks login is known"
    if "cannot configure default credentials" in plain:
        return f"no credentials for {found.host} are known"
    return f"no Databricks login: {plain}"


def _check_known(profile: str, sections: Mapping[str, object], environ: Mapping[str, str]) -> None:
    known = [each for each in sections if each != SETTINGS_SECTION]
    if profile not in known:
        raise errors.BadInput(
            f"there is no profile {profile} (there are: {', '.join(known) or 'none'})",
            where=_config_file(environ),
            cure=HELP,
        )


def _check_agreement(
    profile: str, section: Mapping[str, str], spoken: Mapping[str, str], environ: Mapping[str, str]
) -> None:
    for key, value in spoken.items():
        pair = value, section.get(key, "")
        if key == "host":
            pair = whole_host(pair[0]), whole_host(pair[1])
        if pair[0] != pair[1]:
            variable = f"{PREFIX}{key.upper()}"
            raise errors.BadInput(
                f"the profile {profile} and {variable} of the environment disagree, and the environment would win",
                where=_config_file(environ),
                cure=f"unset {variable}, or leave --profile out",
            )


def _checked_token(found: _Found) -> str:
    """Whatever else is in a header is refused by Python itself, in words that hold the token."""
    token = found.values["token"]
    if not re.fullmatch(r"[!-~]+", token):
        raise errors.BadInput(
            "the token holds blanks, or letters that no token has", where=found.place, cure="copy the token once more"
        )
    return token


def _telling(values: Mapping[str, str]) -> dict[str, str]:
    """Those `values` that decide where requests go, or as whom."""
    return {key: value.strip() for key, value in values.items() if value.strip() and key not in NEUTRAL}


def _read_profiles(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    path = _config_file(environ)
    parser = configparser.ConfigParser(default_section="", interpolation=None)
    try:
        with path.open(encoding="utf-8") as stream:
            parser.read_file(stream)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as fault:
        said = fault.strerror if isinstance(fault, OSError) else "it is not an INI file"
        raise errors.BadInput(f"the login file cannot be read: {said}", where=path, cure="correct it") from None
    return {name: dict(parser.items(name)) for name in parser.sections()}


def _default_profile(sections: Mapping[str, Mapping[str, str]]) -> str:
    return sections.get(SETTINGS_SECTION, {}).get("default_profile", "").strip() or "DEFAULT"


def _config_file(environ: Mapping[str, str]) -> Path:
    named = environ.get(f"{PREFIX}CONFIG_FILE")
    return Path(named).expanduser() if named else Path(environ.get("HOME", "~")).expanduser() / ".databrickscfg"


def whole_host(host: str, *, where: object = "") -> str:
    """`host` with a scheme and without the path and query that a browser's address line has; empty where it is."""
    if not host:
        return ""
    try:
        parts = urlsplit(host if "://" in host else f"https://{host}")
        is_host = bool(parts.hostname and parts.port != 0 and parts.scheme in {"https", "http"})
    except ValueError:
        is_host = False
    if not is_host or re.search(r"\s", host):
        raise errors.BadInput("the Databricks host is no address of one", where=where, cure="write https://HOST")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

"""Credentials: host and token from the DATABRICKS_* variables and one profile of ~/.databrickscfg."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from mlops_tasks import errors

HELP = "set DATABRICKS_HOST and DATABRICKS_TOKEN, or give `--profile NAME` of ~/.databrickscfg"
PREFIX = "DATABRICKS_"
PAIR = {"host", "token"}
HOSTS = {"host", "azure_workspace_resource_id", "azure_resource_id"}
"""The settings of which each leads to a workspace's host."""
NEUTRAL = {"cluster_id", "serverless_compute_id", "warehouse_id", "cli_path", "config_file", "config_profile"}
NEUTRAL |= {"debug_headers", "debug_truncate_bytes", "rate_limit", "runtime_version"}
"""Settings in variables and profiles that neither lead to a host nor are credentials."""
OTHER_CREDENTIALS = ("ARM_CLIENT_ID", "ARM_CLIENT_SECRET", "ARM_TENANT_ID", "ARM_USE_MSI", "GOOGLE_CREDENTIALS")
PORTS = {"https": 443, "http": 80}
SETTINGS_SECTION = "__settings__"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The settings of the environment (`spoken`) and of the profile called `name` (`section`).

    `profile` is the profile that was asked for by name.
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
    def token(self) -> str:
        """Checked here, since Python refuses other characters in a header in words that hold the token."""
        token = self.values["token"]
        if not re.fullmatch(r"[!-~]+", token):
            raise errors.BadInput(
                "the token holds blanks, or letters that no token has",
                where=self.place,
                cure="copy the token once more",
            )
        return token

    @property
    def is_plain(self) -> bool:
        """Whether there is a pair of host and token, and nothing else that could decide."""
        values = {key: value for key, value in self.values.items() if (key, value) != ("auth_type", "pat")}
        return set(values) == PAIR and not any(self.environ.get(each) for each in OTHER_CREDENTIALS)

    @property
    def leads_anywhere(self) -> bool:
        """Whether anything leads to a host; on Databricks itself databricks-sdk knows it."""
        return not HOSTS.isdisjoint(self.values) or "DATABRICKS_RUNTIME_VERSION" in self.environ

    @property
    def place(self) -> object:
        return "the DATABRICKS_* variables" if self.spoken else _config_file(self.environ)

    @property
    def variables(self) -> dict[str, str]:
        """The DATABRICKS_* variables of the environment, with the host in its full form, and the profile's name.

        databricks-sdk takes a host with the path and query of a browser's address line as it is, and reads no
        profile but a named one where a variable names the host. MLflow's uploads of artifacts ask it without the
        profile of the tracking URI.
        """
        found = {name: value.strip() for name, value in self.environ.items() if name.startswith(PREFIX)}
        named = {f"{PREFIX}CONFIG_PROFILE": self.name} if self.name else {}
        host = {f"{PREFIX}HOST": self.host} if self.host != self.values.get("host", "") else {}
        return {**found, **host, **named}


def find(profile: str | None, environ: Mapping[str, str]) -> Credentials:
    """The credentials that `profile` or the environment give.

    Raises BadInput for a profile that is not there, and for an explicit one that the environment contradicts.
    """
    sections = _read_profiles(environ)
    spoken = _telling(
        {name.removeprefix(PREFIX).lower(): value for name, value in environ.items() if name.startswith(PREFIX)}
    )
    named = profile or environ.get(f"{PREFIX}CONFIG_PROFILE") or None
    if named:
        _check_known(named, sections, environ)
    if profile:
        _check_agreement(profile, sections[profile], spoken, environ)
    default = sections.get(SETTINGS_SECTION, {}).get("default_profile", "").strip() or "DEFAULT"
    name = named or (None if spoken else default)
    return Credentials(
        spoken=spoken,
        section=sections.get(name or "", {}),
        name=name if name in sections else None,
        profile=None if set(spoken) >= PAIR and not profile else named,
        environ=environ,
    )


def _check_known(profile: str, sections: Mapping[str, object], environ: Mapping[str, str]) -> None:
    known = [each for each in sections if each != SETTINGS_SECTION]
    if profile not in known:
        raise errors.BadInput(
            f"there is no profile {profile} (there are: {', '.join(known) or 'none'})",
            where=_config_file(environ),
            cure=HELP,
        )
    if {"/", ":", " "} & set(profile):
        raise errors.BadInput(
            f"MLflow takes no profile whose name has a blank, a slash or a colon: {profile!r}",
            where=_config_file(environ),
            cure="give it another name there",
        )


def _check_agreement(
    profile: str, section: Mapping[str, str], spoken: Mapping[str, str], environ: Mapping[str, str]
) -> None:
    for key, value in spoken.items():
        other = section.get(key, "")
        if value != other and (key != "host" or whole_host(value) != whole_host(other)):
            variable = f"{PREFIX}{key.upper()}"
            raise errors.BadInput(
                f"the profile {profile} and {variable} of the environment disagree, and the environment would win",
                where=_config_file(environ),
                cure=f"unset {variable}, or leave --profile out",
            )


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


def _config_file(environ: Mapping[str, str]) -> Path:
    named = environ.get(f"{PREFIX}CONFIG_FILE")
    return Path(named).expanduser() if named else Path(environ.get("HOME", "~")).expanduser() / ".databrickscfg"


def whole_host(host: str, *, where: object = "") -> str:
    """`host` in one form, so that equal hosts are equal texts; empty where it is empty.

    It has a scheme, a port unless that is the scheme's own, and neither capitals nor the final dot, path and query
    that an address line takes.
    """
    if not host:
        return ""
    try:
        parts = urlsplit(host if "://" in host else f"https://{host}")
        name = (parts.hostname or "").rstrip(".")
        is_host = bool(name and parts.port != 0 and parts.scheme in {"https", "http"})
    except ValueError:
        is_host = False
    if not is_host or re.search(r"\s", host):
        raise errors.BadInput("the Databricks host is no address of one", where=where, cure="write https://HOST")
    port = "" if parts.port in {None, PORTS[parts.scheme]} else f":{parts.port}"
    return f"{parts.scheme}://{f'[{name}]' if ':' in name else name}{port}"

"""Who we are in which workspace: host and credentials as databricks-sdk resolves them, once for every client.

A plain pair of host and token, in the environment or in a profile, is read here: importing databricks-sdk takes a
second. Everything else is databricks-sdk's own business.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlops_tasks import errors

if TYPE_CHECKING:
    from databricks.sdk.config import Config

HELP = "set DATABRICKS_HOST and DATABRICKS_TOKEN, or give `--profile NAME` of ~/.databrickscfg"
PAIR = ("host", "token")
NEUTRAL = {"CONFIG_FILE", "CONFIG_PROFILE", "CLUSTER_ID", "WAREHOUSE_ID", "CLI_PATH", "RUNTIME_VERSION"}
"""What DATABRICKS_* variables can say without being a credential: they leave a plain pair as plain as it is."""
OTHER_CREDENTIALS = ("ARM_CLIENT_ID", "ARM_CLIENT_SECRET", "ARM_TENANT_ID", "ARM_USE_MSI", "GOOGLE_CREDENTIALS")


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


def resolve(profile: str | None, environ: Mapping[str, str]) -> Login:
    """The login that `profile` (an explicit one), the environment or ~/.databrickscfg give.

    Raises BadInput where they give none, or where profile and environment disagree: databricks-sdk would send the
    profile's requests to the environment's host without a word.
    """
    sections = _read_profiles(environ)
    if profile is not None:
        _check_agreement(profile, sections, environ)
    pair = _pair_of_environment(environ) if profile is None else None
    if pair is not None:
        return _plain_login(*pair, profile=None, origin="DATABRICKS_HOST and DATABRICKS_TOKEN", environ=environ)
    named = profile or environ.get("DATABRICKS_CONFIG_PROFILE")
    name = named or _default_profile(sections)
    pair = _pair_of_profile(sections.get(name), environ)
    if pair is not None:
        return _plain_login(*pair, profile=named, origin=f"profile {name}", environ=environ)
    return _sdk_login(named, environ)


def _plain_login(host: str, token: str, *, profile: str | None, origin: str, environ: Mapping[str, str]) -> Login:
    whole = _whole_host(host)

    def config() -> Config:
        from databricks.sdk.config import Config

        return Config(host=whole, token=token, auth_type="pat", **client_limits())

    return Login(
        host=whole,
        headers=lambda: {"Authorization": f"Bearer {token}"},
        profile=profile,
        origin=origin,
        variables=_variables(environ),
        config=config,
    )


def _sdk_login(profile: str | None, environ: Mapping[str, str]) -> Login:
    from databricks.sdk.config import Config

    try:
        found = Config(profile=profile, **client_limits())
    except ValueError as fault:
        raise errors.BadInput(_explain(str(fault)), where=_config_file(environ), cure=HELP) from fault
    if not found.host:
        raise errors.BadInput("no Databricks host is known", where=_config_file(environ), cure=HELP)
    return Login(
        host=_whole_host(found.host),
        headers=found.authenticate,
        profile=profile,
        origin=f"{found.auth_type}, profile {found.profile}" if found.profile else str(found.auth_type),
        variables=_variables(environ),
        config=lambda: found,
    )


def _variables(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith("DATABRICKS_")}


def client_limits() -> dict[str, Any]:
    """databricks-sdk makes one try a call (ours are counted and told), and sends a file as one streamed request."""
    return {"retry_timeout_seconds": 1, "http_timeout_seconds": 60, "disable_experimental_files_api_client": True}


def _explain(said: str) -> str:
    """databricks-sdk appends its whole configuration to what it says, secrets masked."""
    plain = re.split(r"\. (?:Config|Env):", said)[0].splitlines()[0]
    if "cannot configure default credentials" in plain:
        return "no Databricks login is known"
    return f"no Databricks login: {plain}"


def _check_agreement(profile: str, sections: Mapping[str, Mapping[str, str]], environ: Mapping[str, str]) -> None:
    section = sections.get(profile)
    if section is None:
        known = ", ".join(sections) or "none"
        raise errors.BadInput(
            f"there is no profile {profile} (there are: {known})", where=_config_file(environ), cure=HELP
        )
    for variable, value in _spoken_variables(environ).items():
        key = variable.removeprefix("DATABRICKS_").lower()
        if _whole_host(value) != _whole_host(section.get(key, "")) if key == "host" else value != section.get(key):
            raise errors.BadInput(
                f"the profile {profile} and {variable} of the environment disagree, and the environment would win",
                where=_config_file(environ),
                cure=f"unset {variable}, or leave --profile out",
            )


def _spoken_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The DATABRICKS_* variables that decide where requests go, or as whom."""
    return {
        name: value
        for name, value in environ.items()
        if name.startswith("DATABRICKS_") and value and name.removeprefix("DATABRICKS_") not in NEUTRAL
    }


def _pair_of_environment(environ: Mapping[str, str]) -> tuple[str, str] | None:
    spoken = _spoken_variables(environ)
    if set(spoken) != {"DATABRICKS_HOST", "DATABRICKS_TOKEN"} or any(environ.get(each) for each in OTHER_CREDENTIALS):
        return None
    return spoken["DATABRICKS_HOST"], spoken["DATABRICKS_TOKEN"]


def _pair_of_profile(section: Mapping[str, str] | None, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The section's own pair, where neither it nor the environment holds anything else that could decide."""
    if section is None or any(environ.get(each) for each in OTHER_CREDENTIALS):
        return None
    values = {key: value for key, value in section.items() if value and key not in {"cluster_id", "warehouse_id"}}
    if values.get("auth_type") == "pat":
        del values["auth_type"]
    agreeing = {f"DATABRICKS_{key.upper()}": value for key, value in values.items()}
    if set(values) != set(PAIR) or _spoken_variables(environ).items() - agreeing.items():
        return None
    return values["host"], values["token"]


def _read_profiles(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    path = _config_file(environ)
    parser = configparser.ConfigParser(default_section="", interpolation=None)
    try:
        with path.open(encoding="utf-8") as stream:
            parser.read_file(stream)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as fault:
        said = str(fault).splitlines()[0] if isinstance(fault, OSError) else "it is not an INI file"
        raise errors.BadInput(f"the login file cannot be read: {said}", where=path, cure="correct it") from None
    return {name: dict(parser.items(name)) for name in parser.sections()}


def _default_profile(sections: Mapping[str, Mapping[str, str]]) -> str:
    return sections.get("__settings__", {}).get("default_profile", "DEFAULT")


def _config_file(environ: Mapping[str, str]) -> Path:
    named = environ.get("DATABRICKS_CONFIG_FILE")
    return Path(named).expanduser() if named else Path(environ.get("HOME", "~")).expanduser() / ".databrickscfg"


def _whole_host(host: str) -> str:
    """`host` with a scheme and without the path and query that a browser's address line has."""
    parts = urlsplit(host if "://" in host else f"https://{host}")
    return f"{parts.scheme}://{parts.netloc}".rstrip("/") if host else ""

"""The uv program, and the environment that makes it install as pip would: uv does not read pip's settings.

The settings may hold passwords: they are never shown.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mlops_tasks import errors

_LISTS = {"extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS", "trusted-host": "UV_INSECURE_HOST"}
_TEXTS = {
    "index-url": "UV_DEFAULT_INDEX",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "timeout": "UV_HTTP_TIMEOUT",
    "proxy": "ALL_PROXY",
}
_OLDER = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
"""The older names of uv's variables: users still set them, and uv would pass them over for the newer ones."""

_TRUE = {"1", "true", "t", "yes", "y", "on"}


def find() -> Path:
    """The program's path, as uv's own package says it: whatever PATH holds and whatever is activated."""
    import uv

    try:
        return Path(uv.find_uv_bin())
    except FileNotFoundError as fault:
        raise errors.StepFailed(
            "uv, which builds wheels and environments, is not where its package says",
            where=str(fault),
            cure="pip install --force-reinstall uv",
        ) from fault


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for a process that runs uv: with pip's settings as uv's, and no Python downloaded."""
    indexes = index_variables(environ, config_files=pip_config_files(environ, Path(sys.prefix)))
    return {**environ, **indexes, "UV_PYTHON_DOWNLOADS": "never"}


def pip_config_files(environ: Mapping[str, str], prefix: Path) -> tuple[Path, ...]:
    """The configuration files of pip in rising precedence, there or not (pip's documentation, "Configuration").

    A PIP_CONFIG_FILE that exists takes the place of the user's own files. `prefix` is the running interpreter's
    (`sys.prefix`), whose environment may have a file of its own.
    """
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return ()
    home = Path(environ.get("HOME") or "/")
    shared = [Path(folder) / "pip" for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if folder]
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip"
    if sys.platform == "darwin":
        shared = [Path("/Library/Application Support/pip")]
        on_mac = home / "Library" / "Application Support" / "pip"
        user = on_mac if on_mac.is_dir() else user
    own = [] if named and Path(named).exists() else [home / ".pip", user]
    folders = [*shared, Path("/etc"), *own, prefix]
    return (*(folder / "pip.conf" for folder in folders), *([Path(named)] if named else []))


def index_variables(environ: Mapping[str, str], *, config_files: Sequence[Path]) -> dict[str, str]:
    """The variables that make uv look where pip would; a variable that the user set for uv is left out."""
    settings = _read(config_files)
    for key in (*_LISTS, *_TEXTS, "no-index"):
        if value := environ.get("PIP_" + key.upper().replace("-", "_")):
            settings[key] = value
    found = {variable: settings[key].strip() for key, variable in _TEXTS.items() if settings.get(key, "").strip()}
    for key, variable in _LISTS.items():
        if settings.get(key, "").split():
            separator = "," if variable == "UV_FIND_LINKS" else " "
            found[variable] = separator.join(settings[key].split())
    if settings.get("no-index", "").lower() in _TRUE:
        found["UV_NO_INDEX"] = "1"
    if "UV_INDEX" in found:
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # to pip all indexes are alike
    return {name: value for name, value in found.items() if not {name, _OLDER.get(name, name)} & environ.keys()}


def _read(config_files: Iterable[Path]) -> dict[str, str]:
    """The settings of pip's sections; a file that is missing or that pip itself could not read has none."""
    settings: dict[str, str] = {}
    for section in ("global", "install"):
        for path in config_files:
            parser = configparser.RawConfigParser()
            try:
                parser.read(path, encoding="utf-8")
            except (configparser.Error, UnicodeDecodeError, OSError):
                continue
            if parser.has_section(section):
                settings.update((key.replace("_", "-"), value) for key, value in parser.items(section))
    return settings

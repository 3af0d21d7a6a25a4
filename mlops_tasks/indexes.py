"""pip's index settings, handed to uv: uv doesn't read pip.conf. The values may hold passwords and are never shown."""

from __future__ import annotations

import configparser
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

SECTIONS = ("global", "install")
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
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
"""Up to the last @ before the path: a password may hold one that nobody encoded."""


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
        shared, user = [Path("/Library/Application Support/pip")], _mac_folder(home, user)
    own = [] if named and Path(named).exists() else [home / ".pip", user]
    folders = [*shared, Path("/etc"), *own, prefix]
    return (*(folder / "pip.conf" for folder in folders), *([Path(named)] if named else []))


def uv_environment(environ: Mapping[str, str], *, config_files: Sequence[Path]) -> dict[str, str]:
    """The variables that make uv look where pip would; what the user set for uv itself stays as it is."""
    settings = _read(config_files)
    for key in (*_LISTS, *_TEXTS, "no-index"):
        value = environ.get("PIP_" + key.upper().replace("-", "_"))
        if value:
            settings[key] = value
    found = {variable: settings[key].strip() for key, variable in _TEXTS.items() if settings.get(key, "").strip()}
    for key, variable in _LISTS.items():
        if settings.get(key, "").split():
            found[variable] = _separator(variable).join(settings[key].split())
    if settings.get("no-index", "").lower() in _TRUE:
        found["UV_NO_INDEX"] = "1"
    if "UV_INDEX" in found:
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # to pip all indexes are alike
    return {name: value for name, value in found.items() if not {name, _OLDER.get(name, name)} & environ.keys()}


def mask(text: str) -> str:
    """`text` without the credentials of any URL in it."""
    return _CREDENTIALS.sub("***@", text)


def _read(config_files: Iterable[Path]) -> dict[str, str]:
    """The settings of pip's sections; a file that is missing or that pip itself could not read has none."""
    settings: dict[str, str] = {}
    for section in SECTIONS:
        for path in config_files:
            parser = configparser.RawConfigParser()
            try:
                parser.read(path, encoding="utf-8")
            except (configparser.Error, UnicodeDecodeError, OSError):
                continue
            if parser.has_section(section):
                settings.update((key.replace("_", "-"), value) for key, value in parser.items(section))
    return settings


def _separator(variable: str) -> str:
    return "," if variable == "UV_FIND_LINKS" else " "


def _mac_folder(home: Path, plain: Path) -> Path:
    folder = home / "Library" / "Application Support" / "pip"
    return folder if folder.is_dir() else plain

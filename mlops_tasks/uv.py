"""The uv program, and the environment that makes it install as pip would: uv does not read pip's settings.

The settings may hold passwords: they are never shown.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from mlops_tasks import errors, files, processes, redaction

_LISTS = {
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "constraint": "UV_CONSTRAINT",
    "build-constraint": "UV_BUILD_CONSTRAINT",
}
_TEXTS = {
    "index-url": "UV_DEFAULT_INDEX",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
    "proxy": "ALL_PROXY",
}
_SWITCHES = {"pre": ("UV_PRERELEASE", "allow"), "require-hashes": ("UV_REQUIRE_HASHES", "1")}
_FORMS = ("no-binary", "only-binary")
_PATHS = {"find-links", "constraint", "build-constraint"}
"""Settings whose values may be paths: pip takes them from the folder that it is called in."""
_KEYRINGS = {"subprocess", "import", "auto"}
_OLDER = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
"""The older names of uv's variables: users still set them, and uv would pass them over for the newer ones."""
_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Where pip looks for certificates when it has no setting for them."""

_LISTS_OF_FILES = ("UV_CONSTRAINT", "UV_BUILD_CONSTRAINT", "UV_OVERRIDE")
_DECIDING = (*_LISTS_OF_FILES, "UV_PRERELEASE", "UV_RESOLUTION", "UV_EXCLUDE_NEWER")
"""The variables that decide which versions are installed."""

NO_INDEX = "file:///no-index"
"""An index that has nothing: uv has no variable for pip's `no-index`."""

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
    """`environ` for a process that runs uv: with pip's settings as uv's, and no Python downloaded.

    To pip all indexes are alike. The settings for uv in a repository are not read, since no cluster reads them; the
    user's own are.
    """
    indexes = index_variables(environ, config_files=pip_config_files(environ, Path(sys.prefix)))
    own = {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_NO_SOURCES": "1", **_config(environ)}
    # uv would look for the files that it is given from the folder that it is called in
    listed = {name: " ".join(map(_absolute, environ[name].split())) for name in _LISTS_OF_FILES if environ.get(name)}
    return {**own, **environ, **indexes, **listed, "UV_PYTHON_DOWNLOADS": "never"}


def deciding(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings in `environ` that decide which versions are installed, with the content of the files they name."""
    found = {name: environ[name] for name in _DECIDING if environ.get(name)}
    found["lines"] = "\n".join(pip_lines(environ))
    for name in _LISTS_OF_FILES:
        paths = [_to_path(each) for each in environ.get(name, "").split()]
        found |= {str(path): files.file_sha256(path) for path in paths if path.is_file()}
    return found


def _config(environ: Mapping[str, str]) -> dict[str, str]:
    """The variable that keeps uv from looking for its settings in the folders around it."""
    if "UV_CONFIG_FILE" in environ:
        return {}
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "/") / ".config")
    found = next((path for path in (home / "uv" / "uv.toml", Path("/etc/uv/uv.toml")) if path.is_file()), None)
    return {"UV_CONFIG_FILE": str(found)} if found else {"UV_NO_CONFIG": "1"}


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
    """The variables that make uv install as pip would; a variable that the user set for uv is left out."""
    settings = _settings(environ, config_files)
    found = {variable: settings[key] for key, variable in _TEXTS.items() if settings.get(key)}
    for key, variable in _LISTS.items():
        if values := settings.get(key, "").split():
            separator = "," if variable == "UV_FIND_LINKS" else " "
            found[variable] = separator.join(_absolute(each) if key in _PATHS else each for each in values)
    found |= dict(pair for key, pair in _SWITCHES.items() if settings.get(key, "").lower() in _TRUE)
    if settings.get("no-index", "").lower() in _TRUE:
        found["UV_DEFAULT_INDEX"] = NO_INDEX
        found.pop("UV_INDEX", None)
    provider = settings.get("keyring-provider", "")
    if provider in _KEYRINGS or (not provider and shutil.which("keyring", path=environ.get("PATH", ""))):
        found["UV_KEYRING_PROVIDER"] = "subprocess"
    if bundle := next((environ[name] for name in _CERTIFICATES if environ.get(name)), ""):
        found.setdefault("SSL_CERT_DIR" if Path(bundle).is_dir() else "SSL_CERT_FILE", bundle)
    return {name: value for name, value in found.items() if not {name, _OLDER.get(name, name)} & environ.keys()}


def pip_lines(environ: Mapping[str, str]) -> list[str]:
    """What is set for pip and uv takes from a file of requirements alone, as the lines to write there."""
    settings = _settings(environ, pip_config_files(environ, Path(sys.prefix)))
    return [f"--{key} {settings[key]}" for key in _FORMS if settings.get(key)]


def _settings(environ: Mapping[str, str], config_files: Sequence[Path]) -> dict[str, str]:
    """What is set for pip, the variables over the files."""
    found = _read(config_files)
    for key in (*_LISTS, *_TEXTS, *_SWITCHES, *_FORMS, "no-index", "keyring-provider"):
        if value := environ.get("PIP_" + key.upper().replace("-", "_")):
            found[key] = value
    return {key: value.strip() for key, value in found.items()}


def _absolute(value: str) -> str:
    """A place as uv takes it among others: a path with a blank, at which it would be split, is a URL."""
    if "://" in value:
        return value
    path = Path(value).expanduser().absolute()
    return path.as_uri() if " " in str(path) else str(path)


def _to_path(value: str) -> Path:
    return Path(unquote(value.removeprefix("file://"))) if value.startswith("file://") else Path(value)


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


class Fault(NamedTuple):
    """What is wrong with uv's own work, and what to do. Where it `is_unreachable` uv's cache may do instead."""

    what: str
    cure: str
    is_unreachable: bool = False


CACHE_LACKS = "network was disabled"
NO_SOLUTION = "No solution found"
REQUIRED = re.compile(r"you\s+require\s+([A-Za-z0-9._-]+)")
"""The packages that uv's reason for that begins with."""
_FAULTS = (
    (
        ("Required uv version",),
        Fault("uv's own settings ask for another version of it", "install that version of uv, or unset UV_CONFIG_FILE"),
    ),
    (
        ("Failed to initialize cache", "Could not determine the cache", "Failed to determine the cache"),
        Fault("uv has no place for its cache", "set UV_CACHE_DIR (or HOME) to a folder that can be written"),
    ),
    (
        ("Could not acquire lock",),
        Fault("uv cannot lock its cache", "set UV_CACHE_DIR to a folder on a disk of this machine"),
    ),
    (
        (
            "Failed to parse environment variable",
            "error: invalid value '",
            "error: File not found:",
            "error: failed to open file",
            "`--require-hashes` mode",
        ),
        Fault("uv cannot work with what is set for it", "correct the UV_* and PIP_* variables, or pip's settings"),
    ),
    (
        ("Failed to read `--find-links`",),
        Fault("there is no such folder of wheels", "correct `--find-links` in the requirements, or in pip's settings"),
    ),
    (
        ("invalid peer certificate", "UnknownIssuer", "certificate verify failed"),
        Fault(
            "the package index shows a certificate that is not trusted",
            "set SSL_CERT_FILE to the file with your certificate authority's certificates",
        ),
    ),
    (
        ("401 Unauthorized", "403 Forbidden", "407 Proxy Authentication"),
        Fault("the package index wants a login", "put user and password into its URL (in pip's settings)"),
    ),
    (
        ("Failed to fetch", "error sending request", "Failed to download", CACHE_LACKS),
        Fault("the package index cannot be reached", "check the network, and pip's settings", is_unreachable=True),
    ),
)
"""What uv says, from the most special to the most general, and what that means."""


def explain(said: str) -> Fault | None:
    """The fault of uv or of the network that uv's output tells; None where it is about what was to be installed."""
    return next((fault for words, fault in _FAULTS if any(each in said for each in words)), None)


def run_reaching(
    command: Sequence[str], *, env: Mapping[str, str], run: processes.Runner, cwd: Path, say: Callable[[str], None]
) -> processes.Completed:
    """Run a command that installs by uv; where no index can be reached, once more with what uv's cache has."""
    done = run(command, env=env, cwd=cwd)
    fault = explain(done.stdout + done.stderr) if done.returncode else None
    if fault is None or not fault.is_unreachable or "UV_OFFLINE" in env:
        return done
    again = run(command, env={**env, "UV_OFFLINE": "1"}, cwd=cwd)
    if again.returncode and CACHE_LACKS in again.stdout + again.stderr:
        return done
    say(f"{fault.what}: what uv's cache has is taken")
    return again


def last_cause(said: str) -> str:
    """The lines of uv's output that say why, without a password: from its last `error` on."""
    lines = [re.sub(r"^(?:[|<] ?)+", "", line) for line in redaction.mask(said).strip().splitlines()]
    first = max((place for place, line in enumerate(lines) if line.startswith("error")), default=0)
    kept = [line for line in lines[first:] if not line.startswith("ERROR Command")]
    return "\n".join(kept).removeprefix("error: ")

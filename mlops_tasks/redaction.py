"""Credentials kept out of what is shown and recorded: out of URLs, and out of what other programs print."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit, urlunsplit

_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
"""Up to the last @ before the path: a password may hold one that nobody encoded."""
_LOGIN = re.compile(r"\b(Bearer|Basic) [^\s'\"]+")
"""A header of a request."""
_CONFIGURATION = re.compile(r"\. (?:Config|Env):")
"""Where databricks-sdk appends to its message the whole configuration, host and names of secrets included."""
_AUTOFLUSH = re.compile(r"^\(raised as a result of [^\n]*\n")
"""What SQLAlchemy may put before a database's message."""


def mask(text: str) -> str:
    """`text` with `***` for the credentials of every URL in it, and of every header."""
    return _LOGIN.sub(r"\1 ***", _CREDENTIALS.sub("***@", text))


def first_line(fault: BaseException) -> str:
    """What another library's error says, in one line that may be shown: masked, and without any configuration."""
    said = _AUTOFLUSH.sub("", mask(str(fault)).strip())
    return without_configuration(said).partition("\n")[0] or type(fault).__name__


def without_configuration(text: str) -> str:
    """databricks-sdk's message without the configuration that it appends."""
    return _CONFIGURATION.split(text)[0]


def strip(text: str) -> str:
    """`text` with every URL in it as somebody without credentials would write it."""
    return _CREDENTIALS.sub("", text)


def mask_login(text: str, url: str) -> str:
    """`text` with `***` for the user and the password of `url`, wherever they stand."""
    if show_repository(url) == url:
        return text
    login = urlsplit(url).netloc.rpartition("@")[0]
    for part in sorted({login, *login.split(":", 1)} - {""}, key=len, reverse=True):
        text = text.replace(part, "***")
    return text


def split_login(url: str) -> tuple[str, tuple[str, str] | None]:
    """An http(s) URL without its login, and that login (user and password, decoded); any other text as it is."""
    if not url.lower().startswith(("http://", "https://")):
        return url, None
    try:
        parts = urlsplit(url)
    except ValueError:
        return url, None
    login, _, host = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    return parts._replace(netloc=host).geturl(), (unquote(user), unquote(password)) if login else None


def show_repository(uri: str) -> str:
    """A git repository's URI without its credentials."""
    if "://" not in uri:
        return uri
    try:
        parts = urlsplit(uri)
    except ValueError:  # what is no URI may hold a password all the same
        return f"{uri.partition('://')[0]}://..."
    user, _, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    # over http even a name alone may be a token; over ssh it is the account's name
    kept = f"{name}@{host}" if name and parts.scheme == "ssh" else host
    return urlunsplit(parts._replace(netloc=kept))

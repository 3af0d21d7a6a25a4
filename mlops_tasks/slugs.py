"""Short legal names for any text; different texts get different names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlops_tasks import files

LENGTH = 40
HASH_LENGTH = 12
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")
"""What is legal, and means nothing else, in a workspace's path, in DBFS and as a folder's name."""
_HASHED = re.compile(r".*-[0-9a-f]{12}", re.DOTALL)


def slug(text: str) -> str:
    """`[a-z0-9-]`, 1 to 40 characters, a letter or digit at both ends; the same for the same text on any machine.

    A text that is one already stands alone; every other gets `-` and the first 12 hex digits of its SHA-256. What
    ends like that is hashed too, so that no branch can be named after another branch's slug.
    """
    if _SLUG.fullmatch(text) and not _HASHED.fullmatch(text):
        return text
    return _hashed(text, text.lower(), "branch")


def name(text: str, *, readable: str = "") -> str:
    """`text` in its own spelling, up to 64 characters, where any path can hold that; every other gets `slug`'s hash.

    Before the hash stands what can be read of the text, or of `readable`.
    """
    if _NAME.fullmatch(text) and not _HASHED.fullmatch(text):
        return text
    return _hashed(text, readable or text, "name")


def _hashed(text: str, readable: str, otherwise: str) -> str:
    digits = files.sha256(text.encode("utf-8", "surrogatepass"))[:HASH_LENGTH]
    words = re.sub(r"[^A-Za-z0-9]+", "-", readable)[: LENGTH - HASH_LENGTH - 1].strip("-")
    return f"{words or otherwise}-{digits}"


def telling_end(path: str, others: Iterable[str]) -> str:
    """The shortest end of `path`, in whole parts, that none of the `others` ends in; all of it where each is one's.

    So no two of a set of paths get the same.
    """
    parts = path.split("/")
    rest = [each.split("/") for each in others if each != path]
    for count in range(1, len(parts)):
        if all(each[-count:] != parts[-count:] for each in rest):
            return "/".join(parts[-count:])
    return path

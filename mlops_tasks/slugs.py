"""Short legal names for any text; different texts get different names."""

from __future__ import annotations

import re

from mlops_tasks import files

LENGTH = 40
HASH_LENGTH = 12
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_HASHED = re.compile(r".*-[0-9a-f]{12}", re.DOTALL)


def slug(text: str) -> str:
    """`[a-z0-9-]`, 1 to 40 characters, a letter or digit at both ends; the same for the same text on any machine.

    A text that is one already stands alone; every other gets `-` and the first 12 hex digits of its SHA-256. What
    ends like that is hashed too, so that no branch can be named after another branch's slug.
    """
    if _SLUG.fullmatch(text) and not _HASHED.fullmatch(text):
        return text
    hashed = files.sha256(text.encode("utf-8", "surrogatepass"))[:HASH_LENGTH]
    readable = re.sub(r"[^a-z0-9]+", "-", text.lower())[: LENGTH - HASH_LENGTH - 1].strip("-")
    return f"{readable or 'branch'}-{hashed}"

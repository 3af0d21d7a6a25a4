"""An entry of an environment YAML or a cluster spec that says where a wheel is, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging import utils

_NAME = r"(?:(?P<name>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(?:\[(?P<named_extras>[^]]*)\])?\s*@\s*)?"
_TAIL = r"(?:\[(?P<extras>[^]]*)\])?(?:#\S*)?(?:\s+--hash[= ]\S+)*(?:\s*;\s*(?P<marker>.+?))?(?:\s+#.*)?"


@dataclass(frozen=True, kw_only=True)
class WheelEntry:
    """`path` is a path or a URL; it ends in the placeholder (`stands_for_all`) or in a wheel's file name.

    `distribution` is normalised, and empty where a placeholder leaves it open. `extras` are without brackets.
    A hash is left out: it belongs to the file that was there before.
    """

    path: str
    distribution: str
    extras: str
    marker: str
    stands_for_all: bool


def read(entry: str, *, placeholder: str) -> WheelEntry | None:
    """What `entry` says of a wheel; None for any other requirement, and for pip's options."""
    if entry.startswith("-") or not entry.isprintable():
        return None
    pattern = rf"{_NAME}(?P<path>.*?(?:\.(?i:whl)|{re.escape(placeholder)})){_TAIL}"
    match = re.fullmatch(pattern, entry)
    if match is None:
        return None
    path = match["path"]
    stands_for_all = path.endswith(placeholder)
    file_name = re.split(r"[/\\]", path)[-1]
    named = match["name"] or ("" if stands_for_all else file_name.split("-")[0])
    return WheelEntry(
        path=path,
        distribution=utils.canonicalize_name(named),
        extras=(match["extras"] or match["named_extras"] or "").strip(),
        marker=(match["marker"] or "").strip(),
        stands_for_all=stands_for_all and not named,
    )

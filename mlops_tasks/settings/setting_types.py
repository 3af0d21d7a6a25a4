"""Readers of one value each: what YAML, a variable, a flag or Python holds becomes the typed value, or ValueError."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_tasks.settings.gates import Gate

CONFIGURATION = "(configuration)"
"""What the origin of a value in invoke.yaml, or wherever else Invoke reads its configuration, ends in."""


def text(raw: object) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError(f"must be text, not {show(raw)}")
    return raw.strip()


def place(raw: object) -> str:
    """A text; `~/` at its beginning is the user's home, as no shell has read it."""
    found = text(raw)
    return str(Path(found).expanduser()) if found.startswith("~/") else found


def texts(raw: object) -> tuple[str, ...]:
    """A list, or one text with commas between the items."""
    items = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError(f"must be a list of texts (or one text with commas), not {show(raw)}")
    return tuple(item.strip() for item in items if item.strip())


def one_of(*choices: str) -> Callable[[object], str]:
    def read(raw: object) -> str:
        if raw not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {show(raw)}")
        return str(raw)

    return read


def boolean(raw: object) -> bool:
    known = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}
    key = raw.strip().lower() if isinstance(raw, str) else raw
    if not isinstance(key, bool | str | int) or key not in known:
        raise ValueError(f"must be true or false, not {show(raw)}")
    return known[key]


def count(raw: object) -> int:
    text = str(raw) if isinstance(raw, str | int) and not isinstance(raw, bool) else ""
    if not (text.strip().isdecimal() and 0 < int(text) < 1 << 16):
        raise ValueError(f"must be a whole number from 1 to 65535, not {show(raw)}")
    return int(text)


def seconds(raw: object) -> float:
    try:
        value = float(raw) if isinstance(raw, str | int | float) and not isinstance(raw, bool) else math.nan
    except (ValueError, OverflowError):
        value = math.nan
    if not 0 < value <= threading.TIMEOUT_MAX:  # nothing can wait for longer than that
        raise ValueError(f"must be a number of seconds above 0, not {show(raw)}")
    return value


def mapping(raw: object) -> dict[str, str]:
    """A mapping, or the same as JSON text; or a list of `key=value` texts, as flags give it."""
    if isinstance(raw, list | tuple):
        return dict(_pair(item) for item in raw)
    if isinstance(raw, str):
        try:
            raw = json.loads(raw, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            raise ValueError(f"must be a JSON object, not {show(raw)}") from None
    if not isinstance(raw, Mapping):
        raise ValueError(f"must be a mapping, not {show(raw)}")
    return {str(key): _scalar(key, value) for key, value in raw.items()}


def gates(raw: object) -> tuple[Gate, ...]:
    """A list of gates, each as text or as a mapping of MLflow's words."""
    from mlops_tasks.settings import gates  # most commands have none to read

    return gates.read(raw)


def _pair(item: object) -> tuple[str, str]:
    key, equals, value = str(item).partition("=")
    if not equals or not key:
        raise ValueError(f"must be key=value, not {show(item)}")
    return key, value


def _scalar(key: object, value: object) -> str:
    """Booleans, nulls and dates have no one text that everybody would expect: the user says which, with quotes."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"has a value that is neither text nor number at {key!r}: put quotes around {show(value)}")
    return str(value)


def nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The one of the `known` words that is meant by a mistyped one; None where none is near."""
    import difflib  # only a mistake has to wait for it

    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=likeness)), None)


def suggest(word: str, known: Iterable[str]) -> str:
    """What to add to a message on an unknown word: the nearest of the `known` ones, or else all."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else f" (there are: {', '.join(known)})"


def show(raw: object) -> str:
    shown = repr(raw)
    return shown if len(shown) <= 60 else shown[:57] + "..."  # noqa: PLR2004 - a message is one line

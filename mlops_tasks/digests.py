"""Digests: what tells that inputs have changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path


def digest(inputs: Mapping[str, object]) -> str:
    """SHA-256 (hex) over `inputs` as JSON with sorted keys; texts may hold lone surrogates, tuples count as lists."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's content, read in blocks."""
    with path.open("rb") as stream:
        found = hashlib.sha256()
        while block := stream.read(1 << 20):
            found.update(block)
    return found.hexdigest()

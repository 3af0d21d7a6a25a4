"""A built wheel written anew with another METADATA, and everything else as it was."""

from __future__ import annotations

import base64
import csv
import io
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from packaging import utils

from mlops_tasks import files

_OWN_FOLDER = re.compile(r"([^/]+)-[^-/]+(\.dist-info|\.data)(/.*)")
"""A path below one of a wheel's folders whose names hold its name and version."""


def rewrite(path: Path, edit: Callable[[bytes], bytes], *, version: str | None = None) -> Path:
    """Write the wheel at `path` with its METADATA edited, under `version` where one is given: the wheel's new path.

    METADATA changes, RECORD's line on it, and the names that hold the version. Files keep their order, contents,
    times, modes and compression, so that the same wheel gives the same bytes.
    """
    distribution, old, rest = path.name.split("-", 2)
    new = path.with_name(f"{distribution}-{version or old}-{rest}")

    def rename(name: str) -> str:
        found = _OWN_FOLDER.fullmatch(name) if version else None
        is_own = found is not None and utils.canonicalize_name(found[1]) == utils.canonicalize_name(distribution)
        return f"{found[1]}-{version}{found[2]}{found[3]}" if found is not None and is_own else name

    half = path.with_name(f".{new.name}.part")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(half, "w") as target:
        changed = _change(source, edit, rename)
        for info in source.infolist():
            copy = zipfile.ZipInfo(rename(info.filename), info.date_time)
            copy.compress_type, copy.external_attr = info.compress_type, info.external_attr
            copy.create_system, copy.file_size = info.create_system, info.file_size
            if info.filename in changed:
                target.writestr(copy, changed[info.filename])
                continue
            with source.open(info) as stream, target.open(copy, "w") as out:
                shutil.copyfileobj(stream, out)
    return half.replace(new)


def edit_header(metadata: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    """METADATA with its header edited; the description after the first empty line stays as it is."""
    end = re.search(rb"\r?\n\r?\n", metadata)
    cut = end.start() if end else len(metadata)
    return edit(metadata[:cut]) + metadata[cut:]


def _change(source: zipfile.ZipFile, edit: Callable[[bytes], bytes], rename: Callable[[str], str]) -> dict[str, bytes]:
    """The new contents of METADATA and RECORD, by their old names."""
    names = {name.partition("/")[2]: name for name in source.namelist() if ".dist-info/" in name}
    metadata, record = names["METADATA"], names["RECORD"]
    new = edit(source.read(metadata))
    digest = base64.urlsafe_b64encode(bytes.fromhex(files.sha256(new))).rstrip(b"=").decode("ascii")
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    for name, *rest in filter(None, csv.reader(io.StringIO(source.read(record).decode("utf-8"), newline=""))):
        writer.writerow([rename(name), *((f"sha256={digest}", str(len(new))) if name == metadata else rest)])
    return {metadata: new, record: out.getvalue().encode("utf-8")}

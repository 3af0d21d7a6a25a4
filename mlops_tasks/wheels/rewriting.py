"""A built wheel under another version, with nothing else changed: no build backend has a common way to ask for that."""

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

_VERSION = re.compile(rb"^version:[^\r\n]*", re.IGNORECASE | re.MULTILINE)
_OWN_FOLDER = re.compile(r"([^/]+)-[^-/]+(\.dist-info|\.data)(/.*)")
"""The folders in a wheel that bear its name and version, and what is in them."""

_Rename = Callable[[str], str]


def with_version(path: Path, version: str) -> Path:
    """Write the wheel at `path` as one of `version` (as PEP 440 normalises it) into the same folder: its path.

    Files keep their order, contents, times, modes and compression, so that the same wheel gives the same bytes.
    METADATA's version changes, RECORD's line on it, and the names that hold the version.
    """
    distribution, _, rest = path.name.split("-", 2)
    new = path.with_name(f"{distribution}-{version}-{rest}")

    def rename(name: str) -> str:
        found = _OWN_FOLDER.fullmatch(name)
        is_own = found is not None and utils.canonicalize_name(found[1]) == utils.canonicalize_name(distribution)
        return f"{found[1]}-{version}{found[2]}{found[3]}" if found is not None and is_own else name

    with zipfile.ZipFile(path) as source, zipfile.ZipFile(new, "w") as target:
        changed = _change(source, version, rename)
        for info in source.infolist():
            copy = _copy_info(info, rename(info.filename))
            if info.filename in changed:
                target.writestr(copy, changed[info.filename])
                continue
            with source.open(info) as stream, target.open(copy, "w") as out:
                shutil.copyfileobj(stream, out)
    return new


def _change(source: zipfile.ZipFile, version: str, rename: _Rename) -> dict[str, bytes]:
    """The new contents of METADATA and RECORD, by their old names."""
    names = {name.partition("/")[2]: name for name in source.namelist() if ".dist-info/" in name}
    metadata, record = names["METADATA"], names["RECORD"]
    said = _VERSION.sub(b"Version: " + version.encode(), source.read(metadata), count=1)
    lines = list(csv.reader(io.StringIO(source.read(record).decode("utf-8"), newline="")))
    return {metadata: said, record: _write_record(lines, metadata=metadata, said=said, rename=rename)}


def _write_record(lines: list[list[str]], *, metadata: str, said: bytes, rename: _Rename) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    for name, *rest in filter(None, lines):
        writer.writerow([rename(name), *(_record(said) if name == metadata else rest)])
    return out.getvalue().encode("utf-8")


def _record(data: bytes) -> tuple[str, str]:
    """A file's hash and size as RECORD has them."""
    digest = base64.urlsafe_b64encode(bytes.fromhex(files.sha256(data))).rstrip(b"=")
    return f"sha256={digest.decode('ascii')}", str(len(data))


def _copy_info(info: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    copy = zipfile.ZipInfo(name, info.date_time)
    copy.compress_type, copy.external_attr = info.compress_type, info.external_attr
    copy.create_system, copy.file_size = info.create_system, info.file_size
    return copy

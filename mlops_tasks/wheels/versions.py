"""A local version (PEP 440) that moves with a library's code, and a built wheel rewritten to bear it.

A cluster that is kept from run to run keeps the wheel that it has of a version, even with `--upgrade`. Of
`1.0+g0123456789ab` and `1.0+gba9876543210` it installs both, and `mylib==1.0` is satisfied by either. Only the wheel
gets the version: a `__version__` in the code itself stays as it is.
"""

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
from packaging.version import Version

from mlops_tasks import files, processes
from mlops_tasks.checkout import git

LENGTH = 12
_VERSION = re.compile(rb"^version:[^\r\n]*", re.IGNORECASE | re.MULTILINE)
_OWN_FOLDER = re.compile(r"([^/]+)-[^-/]+(\.dist-info|\.data)(/.*)")
"""A path below one of a wheel's folders whose names hold its name and version."""


def choose_local(library: Path, outside: list[str], *, digest: str, run: processes.Runner) -> str:
    """`g` and 12 digits of the commit that last changed the library, or `d` and 12 of its sources' `digest`.

    A commit can be looked up, and stays when something else changes; it is taken where the work tree has no changes
    since and the history reaches back to it (a shallow clone would take its first commit for the last change).
    Otherwise, and without git, the digest is. `outside` are the files beyond the library's folder that a wheel of it
    is made of, relative to the folder.
    """
    paths = (".", *outside)

    def ask(*arguments: str) -> str | None:
        """The answer; None where git has none, as for a path outside of the repository or before the first commit."""
        done = git.call(*arguments, run=run, cwd=library)
        return None if done.returncode else done.stdout.strip()

    try:
        changed = ask("status", "--porcelain", "--", *paths)
        commit = ask("log", "-1", "--format=%H", "--", *paths) if changed == "" else None
        shallow = ask("rev-parse", "--git-path", "shallow") if commit else None
    except FileNotFoundError:  # there is no git
        commit = shallow = None
    # a shallow clone lists its first commits there: an earlier one may be the last that changed the library
    cut_off = library / shallow if shallow else None
    is_cut_off = cut_off is not None and cut_off.is_file() and commit in cut_off.read_text(encoding="ascii").split()
    return f"g{commit[:LENGTH]}" if commit and not is_cut_off else f"d{digest[:LENGTH]}"


def append_local(version: str, local: str) -> str:
    """`1.0` becomes `1.0+<local>`, and `1.0+cpu` becomes `1.0+cpu.<local>`."""
    return str(Version(f"{version}{'.' if '+' in version else '+'}{local}"))


def with_version(path: Path, version: str) -> Path:
    """Write the wheel at `path` under `version` (normalised by PEP 440) into the same folder: the new wheel's path.

    METADATA's version changes, RECORD's line on METADATA, and the names that hold the version. Files keep their order,
    contents, times, modes and compression, so that the same wheel gives the same bytes.
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
            copy = zipfile.ZipInfo(rename(info.filename), info.date_time)
            copy.compress_type, copy.external_attr = info.compress_type, info.external_attr
            copy.create_system, copy.file_size = info.create_system, info.file_size
            if info.filename in changed:
                target.writestr(copy, changed[info.filename])
                continue
            with source.open(info) as stream, target.open(copy, "w") as out:
                shutil.copyfileobj(stream, out)
    return new


def _change(source: zipfile.ZipFile, version: str, rename: Callable[[str], str]) -> dict[str, bytes]:
    """The new contents of METADATA and RECORD, by their old names."""
    names = {name.partition("/")[2]: name for name in source.namelist() if ".dist-info/" in name}
    metadata, record = names["METADATA"], names["RECORD"]
    new = _VERSION.sub(b"Version: " + version.encode(), source.read(metadata), count=1)
    digest = base64.urlsafe_b64encode(bytes.fromhex(files.sha256(new))).rstrip(b"=").decode("ascii")
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    for name, *rest in filter(None, csv.reader(io.StringIO(source.read(record).decode("utf-8"), newline=""))):
        writer.writerow([rename(name), *((f"sha256={digest}", str(len(new))) if name == metadata else rest)])
    return {metadata: new, record: out.getvalue().encode("utf-8")}

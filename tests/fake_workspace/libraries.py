"""A job's `libraries`: what pip is given for each of them, on which runtime."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from tests.fake_workspace.obstacles import Obstacle
from tests.fake_workspace.runtimes import Runtime

_SCHEMES = ("dbfs:/", "file:/", "s3:/", "abfss:/", "gs:/", "wasbs:/", "/Volumes/", "/Workspace/")
_INCLUDED = re.compile(r"\s*(?P<option>-r|-c|--requirement|--constraint)[ =]?\s*(?P<path>/\S+)\s*")
_FOLDER = re.compile(r"(?:(?<=file://)|(?<![\w./:-]))/(dbfs|Volumes|Workspace)(?=/)")
_WHEEL = re.compile(r"\s*(?:[\w.-]+\s*(?:\[[^]]*\])?\s*@\s*)?(?:file://)?(/.+?\.whl)(?=[\[\s;#]|$)")


class Installation(NamedTuple):
    """`wanted` are the words for the installer; the `wheels` among them are installed as the files that they are.

    `lines` are what was asked for, without the places at which wheels were found.
    """

    wanted: tuple[str, ...]
    wheels: tuple[Path, ...] = ()
    lines: tuple[str, ...] = ()

    def digest(self) -> str:
        """Of all that decides what is installed."""
        found = hashlib.sha256(repr(self.lines).encode())
        for wheel in self.wheels:
            found.update(wheel.name.encode() + hashlib.sha256(wheel.read_bytes()).digest())
        return found.hexdigest()


class LibraryFailed(Obstacle):
    """A library that can't be installed."""

    code = "LIBRARY_INSTALLATION_ERROR"

    def __init__(self, library: Mapping[str, Any], cluster_id: str, code: str, said: str) -> None:
        kind, value = next(iter(library.items()), ("library", ""))
        super().__init__(
            f"Library installation failed for library due to user error for {kind}: {json.dumps(value)}\n"
            " Error messages:\nLibrary installation attempted on the driver node of cluster "
            f"{cluster_id} and failed. Please refer to the following error message to fix the library or contact "
            f"Databricks support. Error Code: {code}. Error Message: {said}"
        )


class Shelf:
    """Where one cluster finds its libraries: the workspace's `disk`, and a folder for its own copies.

    `may_read` says whether whoever the cluster belongs to may read a path of the workspace.
    """

    def __init__(
        self, *, disk: Path, copies: Path, runtime: Runtime, cluster_id: str, may_read: Callable[[str], bool]
    ) -> None:
        self.disk = disk
        self.copies = copies
        self.runtime = runtime
        self.cluster_id = cluster_id
        self.may_read = may_read

    def find(self, library: Mapping[str, Any]) -> Installation:
        kinds = {
            "pypi": self._pypi,
            "whl": self._wheel,
            "requirements": self._requirements,
            "jar": self._jar,
            "maven": self._maven,
        }
        kind = next(iter(library), "")
        if kind not in kinds or len(library) != 1:
            raise self.fail(library, "UNSUPPORTED_LIBRARY_TYPE", "This workspace installs no such libraries")
        return kinds[kind](library)

    def fail(self, library: Mapping[str, Any], code: str, said: str) -> LibraryFailed:
        return LibraryFailed(library, self.cluster_id, code, said)

    def _pypi(self, library: Mapping[str, Any]) -> Installation:
        """MLflow puts quotes around the name of a version that isn't released, for a shell that isn't there."""
        package = str(library["pypi"].get("package", "")).strip("'")
        wanted = self._on_disk(package)
        repo = library["pypi"].get("repo")
        words = (*(("--default-index", str(repo)) if repo else ()), wanted)
        return Installation(words, _find_wheels([wanted]), tuple(map(_without_place, words)))

    def _wheel(self, library: Mapping[str, Any]) -> Installation:
        uri = str(library["whl"])
        if not uri.startswith(_SCHEMES):
            begin = "Python wheels must be stored in UC Volumes, dbfs, s3, adls, gs or as a workspace file/local file."
            raise self.fail(library, "INVALID_LIBRARY", f"{begin} Make sure the URI begins with {', '.join(_SCHEMES)}")
        path = self._reach(library, uri)
        self.copies.mkdir(parents=True, exist_ok=True)
        copy = Path(shutil.copy(path, self.copies / path.name))
        return Installation((str(copy),), (copy,), (copy.name,))

    def _maven(self, _: Mapping[str, Any]) -> Installation:
        """Taken, and seen by no task of this workspace."""
        return Installation(())

    def _jar(self, library: Mapping[str, Any]) -> Installation:
        """It has to be there; no task of this workspace sees it."""
        self._reach(library, str(library["jar"]))
        return Installation(())

    def _requirements(self, library: Mapping[str, Any]) -> Installation:
        if self.runtime.version < (15, 0):
            raise self.fail(library, "UNSUPPORTED_LIBRARY_TYPE", "requirements.txt needs Databricks Runtime 15.0")
        path = self._reach(library, str(library["requirements"]))
        return self.find_lines(path.read_text().splitlines())

    def find_lines(self, lines: Iterable[str]) -> Installation:
        """All of the lines of a requirements file at once, with the files that they include.

        One line with a hash wants one of all others too, as pip has it.
        """
        self.copies.mkdir(parents=True, exist_ok=True)
        found: list[str] = []
        copy = self._copy(lines, found)
        hashed = ("--require-hashes",) if any("--hash" in line for line in found) else ()
        words = ("-r", str(copy), *hashed)
        return Installation(words, _find_wheels(found), tuple(map(_without_place, found)))

    def _copy(self, lines: Iterable[str], found: list[str]) -> Path:
        """A copy whose paths are those of this machine; its lines, and those of what it includes, go to `found`."""
        translated = [self._include(self._on_disk(line), found) for line in lines]
        found += translated
        copy = self.copies / f"requirements-{len(list(self.copies.iterdir()))}.txt"
        copy.write_text("\n".join(translated) + "\n")
        return copy

    def _include(self, line: str, found: list[str]) -> str:
        asked = _INCLUDED.fullmatch(line)
        if not asked or not Path(asked["path"]).is_file():
            return line
        return f"{asked['option']} {self._copy(Path(asked['path']).read_text().splitlines(), found).name}"

    def _reach(self, library: Mapping[str, Any], uri: str) -> Path:
        """The file behind a URI, if this runtime may read it and it is there."""
        place = uri.removeprefix("dbfs:") if uri.startswith("dbfs:/Volumes/") else uri
        if place.startswith("dbfs:/"):
            if not self.runtime.dbfs_libraries:
                said = f"{uri}: the filesystem is not ready or has been disabled"
                raise self.fail(library, "DRIVER_LIBRARY_INSTALLATION_FAILURE", said)
            place = "/dbfs/" + place.removeprefix("dbfs:/").lstrip("/")
        name = place.split("/")[1]
        path = self.disk / place.lstrip("/")
        if name not in self.runtime.mounts or not path.is_file() or not self.may_read(place):
            said = f"java.io.FileNotFoundException: {uri} (No such file or directory)"
            raise self.fail(library, "DRIVER_LIBRARY_INSTALLATION_FAILURE", said)
        return path

    def _on_disk(self, line: str) -> str:
        """Paths as they are on a cluster's machine, as paths on this one; what isn't mounted leads nowhere there."""

        def lead(found: re.Match[str]) -> str:
            return str(self.disk / found[1]) if found[1] in self.runtime.mounts else found[0]

        return _FOLDER.sub(lead, line)


def _find_wheels(lines: Iterable[str]) -> tuple[Path, ...]:
    """The wheels that lines name by their paths, whatever else they say of them."""
    paths = (
        Path(unquote(found[1]) if "file://" in line else found[1]) for line in lines if (found := _WHEEL.match(line))
    )
    return tuple(path for path in paths if path.is_file())


def _without_place(line: str) -> str:
    return re.sub(r"^\s*/\S*/(?=[^/]+\.whl)", "", line)

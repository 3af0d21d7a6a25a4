"""A job's `libraries`: what pip is given for each of them, on which runtime."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.fake_workspace.obstacles import Obstacle
from tests.fake_workspace.runtimes import Runtime

_SCHEMES = ("dbfs:/", "file:/", "s3:/", "abfss:/", "gs:/", "wasbs:/", "/Volumes/", "/Workspace/")
_FOLDER = re.compile(r"(?<![\w./:-])/(dbfs|Volumes|Workspace)(?=/)")


class Installation(NamedTuple):
    """`wanted` are the words for the installer; a `wheel` is installed as the file that it is."""

    wanted: tuple[str, ...]
    wheel: Path | None = None


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
        kinds = {"pypi": self._pypi, "whl": self._wheel, "requirements": self._requirements}
        kind = next(iter(library), "")
        if kind not in kinds or len(library) != 1:
            raise self.fail(library, "UNSUPPORTED_LIBRARY_TYPE", "This workspace installs pypi, whl and requirements")
        return kinds[kind](library)

    def fail(self, library: Mapping[str, Any], code: str, said: str) -> LibraryFailed:
        return LibraryFailed(library, self.cluster_id, code, said)

    def _pypi(self, library: Mapping[str, Any]) -> Installation:
        """MLflow puts quotes around the name of a version that isn't released, for a shell that isn't there."""
        package = str(library["pypi"].get("package", "")).strip("'")
        wanted = self._on_disk(package)
        repo = library["pypi"].get("repo")
        return Installation((*(("--default-index", str(repo)) if repo else ()), wanted), self._as_wheel(wanted))

    def _wheel(self, library: Mapping[str, Any]) -> Installation:
        uri = str(library["whl"])
        if not uri.startswith(_SCHEMES):
            begin = "Python wheels must be stored in UC Volumes, dbfs, s3, adls, gs or as a workspace file/local file."
            raise self.fail(library, "INVALID_LIBRARY", f"{begin} Make sure the URI begins with {', '.join(_SCHEMES)}")
        path = self._reach(library, uri)
        self.copies.mkdir(parents=True, exist_ok=True)
        copy = Path(shutil.copy(path, self.copies / path.name))
        return Installation((str(copy),), copy)

    def _requirements(self, library: Mapping[str, Any]) -> Installation:
        if self.runtime.version < (15, 0):
            raise self.fail(library, "UNSUPPORTED_LIBRARY_TYPE", "requirements.txt needs Databricks Runtime 15.0")
        path = self._reach(library, str(library["requirements"]))
        self.copies.mkdir(parents=True, exist_ok=True)
        copy = self.copies / "requirements.txt"
        copy.write_text("\n".join(self._on_disk(line) for line in path.read_text().splitlines()) + "\n")
        return Installation(("-r", str(copy)))

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

    def _as_wheel(self, wanted: str) -> Path | None:
        path = Path(wanted)
        return path if path.suffix == ".whl" and path.is_file() else None

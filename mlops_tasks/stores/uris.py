"""Every spelling of a place for files: in a workspace, on one of its clusters, on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from mlops_tasks import errors

Kind = Literal["dbfs", "volume", "workspace", "folder"]

DBFS = "dbfs:"
VOLUMES = "/Volumes/"
WORKSPACE = "/Workspace/"
REMOTE = (DBFS, VOLUMES, WORKSPACE)
"""The beginnings of the URIs that name a place in a workspace."""
FUSE = "/dbfs/"
"""Where a cluster has DBFS mounted; volumes and workspace files have the same path there as everywhere."""

_KINDS: Mapping[str, Kind] = {DBFS: "dbfs", VOLUMES: "volume", WORKSPACE: "workspace"}
_FORMS: Mapping[Kind, str] = {
    "dbfs": r"dbfs:/(?!/|(Volumes|Workspace|dbfs)(/|$)).*",
    "volume": r"/Volumes(/[^/]+){3}(/.*)?",
    "workspace": r"/Workspace(/[^/]+)+/?",
}


def kind_of(uri: str) -> Kind:
    """The kind of store that `uri` names by its beginning: a folder of this machine where it begins as none does."""
    return next((kind for prefix, kind in _KINDS.items() if uri.startswith(prefix)), "folder")


def is_folder(root: str) -> bool:
    """Whether `root` names a folder of this machine, and is no place in a workspace that is spelt another way."""
    return kind_of(root) == "folder" and not has_scheme(root) and _respell(root) is None


def has_scheme(text: str) -> bool:
    """Whether `text` begins like a URI (`s3:...`); one letter and a colon is no scheme but a Windows drive."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", text) is not None


def check_remote(root: str) -> Kind:
    """The kind of store in a workspace that `root` names; BadInput, with the right spelling, where it names none."""
    for kind, form in _FORMS.items():
        if re.fullmatch(form, root):
            return kind
    known = "dbfs:/FOLDER, /Volumes/CATALOG/SCHEMA/VOLUME or /Workspace/FOLDER"
    raise errors.BadInput(
        f"{root} names no place for wheels in a Databricks workspace",
        where="wheel_root",
        cure=f"write {_respell(from_cluster(root)) or known}",
    )


def find_fault(uri: str) -> tuple[str, str] | None:
    """Why no run can install the wheel that `uri` (as `from_cluster` spells it) names, by its spelling, and the cure.

    A path and a file URL have none, there or not.
    """
    kind, scheme = kind_of(uri), uri.partition(":")[0].lower() if has_scheme(uri) else ""
    if kind == "folder":
        return _find_fault_of_scheme(scheme, uri)
    if {".", ".."} & set(uri.split("/")):
        return "the place of a wheel in a workspace has no `.` and no `..`", "write it as it is without them"
    if kind == "dbfs" and not re.fullmatch(_FORMS["dbfs"], uri):
        return "this names no file on DBFS", f"write {_respell(uri) or 'dbfs:/FOLDER/NAME.whl'}"
    if kind == "volume" and not re.fullmatch(_FORMS["volume"], uri.rpartition("/")[0]):
        return "this names no file in a volume", "write /Volumes/CATALOG/SCHEMA/VOLUME/NAME.whl"
    return None


def _find_fault_of_scheme(scheme: str, uri: str) -> tuple[str, str] | None:
    if scheme in {"http", "https"}:
        rest = uri.partition(":")[2]
        is_whole = re.match(r"//[^/?#]", rest) is not None
        return None if is_whole else (f"no host follows {scheme}://", f"write {scheme}://{rest.lstrip('/')}")
    if scheme not in {"", "file"}:
        known = "give one of https, on Databricks also of dbfs:/, /Volumes/ or /Workspace/"
        return f"neither pip nor uv knows the scheme {scheme}", f"{known}; or the file: `inv name deploy --wheel FILE`"
    return None


def _respell(root: str) -> str | None:
    """How what was probably meant is written: DBFS has three spellings, and the API takes one."""
    if found := re.match(r"(?:dbfs:)?/*(/Volumes|/Workspace)(?=/|$)(.*)", root):
        parts = [part for part in found[2].split("/") if part]
        wanted = ["CATALOG", "SCHEMA", "VOLUME"] if found[1] == "/Volumes" else ["FOLDER"]
        return "/".join([found[1], *parts, *wanted[len(parts) :]])
    if found := re.match(r"dbfs:/*(?:dbfs/+)?(.+)|/dbfs/+(.+)", root):
        return f"dbfs:/{found[1] or found[2]}"
    if re.match(r"/(Users|Shared|Repos)/.", root):
        return f"/Workspace{root}"
    return None


def to_cluster(uri: str) -> str:
    """`uri` as a cluster's file system spells it: `/dbfs/x` for `dbfs:/x`; any other stays as it is."""
    return FUSE + uri.removeprefix(DBFS).lstrip("/") if uri.startswith(DBFS) else uri


def from_cluster(path: str) -> str:
    """`path` of a cluster's file system as the API spells it: `dbfs:/x` for `/dbfs/x`, `/Volumes/x` for itself.

    A file URL and `dbfs:/Volumes/x` name the same files there; any other text stays as it is.
    """
    plain = str(to_path(path)) if is_file_url(path) else path
    if plain.startswith(FUSE):
        plain = f"{DBFS}/{plain.removeprefix(FUSE).lstrip('/')}"
    if plain.startswith(f"{DBFS}{VOLUMES}"):
        plain = plain.removeprefix(DBFS)
    return plain if plain.startswith(REMOTE) else path


def is_here(uri: str) -> bool:
    """Whether `uri`, a path or a file URL, names a file of this machine, and no place in a workspace."""
    place = from_cluster(uri)
    return kind_of(place) == "folder" and (is_file_url(place) or not has_scheme(place))


def is_file_url(text: str) -> bool:
    return text[:5].lower() == "file:"


def to_path(uri: str) -> Path:
    """The path of a file on this machine, from a file URL or from the path itself."""
    return Path(unquote(urlsplit(uri).path) if is_file_url(uri) else uri)


def given_path(text: str) -> Path:
    """The path of a file that the user names, by a file URL or by a path, whose `~` no shell has replaced."""
    return Path(os.path.expanduser(to_path(text)))  # noqa: PTH111 - pathlib raises for a `~NAME` that is no user


def name_of(uri: str) -> str:
    """The file's own name, which a URL has quoted: `x-1.0+local-...whl` of `https://host/x-1.0%2Blocal-...whl`."""
    name = to_path(uri).name if is_file_url(uri) else uri.rsplit("/", 1)[-1]
    return unquote(name) if "://" in uri else name


def volume_of(uri: str) -> str:
    """`/Volumes/CATALOG/SCHEMA/VOLUME` of a URI in a volume."""
    return "/".join(uri.split("/")[:5])


def without_workspace(name: str) -> str:
    """The name of a workspace object without a leading `/Workspace`, as MLflow and the workspace's API keep it."""
    return name.removeprefix("/Workspace") if name.startswith(WORKSPACE) else name


def home_of(user: str) -> str:
    """A user's own folder among the workspace's files."""
    return f"{WORKSPACE}Users/{user}"


def kept_for(user: str, what: str) -> str:
    """The folder in a user's own that this package keeps `what` in, where no setting names another."""
    return f"{home_of(user)}/.mlops/{what}"


def owner_of(uri: str) -> str:
    """The user in whose home folder `uri` lies, by the name that the workspace knows; empty for any other place."""
    found = re.match(r"/Users/([^/]+)(?:/|$)", without_workspace(uri))
    return found[1] if found else ""

"""The form that a wheel's URI takes in each place that can name it, told by the URI's scheme alone."""

from __future__ import annotations


def pip_entry(uri: str, distribution: str, *, extras: str = "", marker: str = "") -> str:
    """A requirement line that pip and uv can install: a path where the URI is one on the cluster, else `name @ URI`.

    `extras` are without brackets (`plots,ml`). On a cluster DBFS is mounted at /dbfs, volumes and workspace files at
    their own paths.
    """
    bracketed = f"[{extras}]" if extras else ""
    tail = f" ; {marker}" if marker else ""
    if uri.startswith("dbfs:"):
        return f"/dbfs/{uri.removeprefix('dbfs:').lstrip('/')}{bracketed}{tail}"
    if uri.startswith("/"):
        return f"{uri}{bracketed}{tail}"
    return f"{distribution}{bracketed} @ {uri}{tail}"


def library_entry(uri: str) -> str:
    """What stands after `{"whl": ...}`: Databricks takes every URI as its store names it."""
    return uri

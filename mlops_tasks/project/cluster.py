"""The cluster spec (JSON): its libraries, and the two forms that MLflow's Databricks backend understands.

For a conda or python_env project that backend takes `libraries` only from the wrapped form, `{"new_cluster": {...},
"libraries": [...]}`. For a databricks_spark_job project it sends the whole JSON as the cluster, so that form must be
flat, and its libraries come from MLproject (mlflow/projects/databricks.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_tasks import errors
from mlops_tasks.project import requirements
from mlops_tasks.project.text import json_tree, tree
from mlops_tasks.project.text import source as texts

FILE_NAME = "cluster.json"


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """`cluster` describes the cluster itself; `others` are the keys beside it and `libraries`.

    `is_wrapped` says that the file has `new_cluster` or `existing_cluster_id`.
    """

    cluster: Mapping[str, Any]
    libraries: tuple[Mapping[str, Any], ...]
    others: Mapping[str, Any]
    is_wrapped: bool

    @property
    def is_flat(self) -> bool:
        """Whether the file has no more than the cluster and no libraries, as the spec of a Spark job must."""
        return not self.is_wrapped and not self.libraries

    @property
    def existing(self) -> Any:
        """The id of an existing cluster; inside `new_cluster`, where Databricks ignores it, it counts too."""
        return self.others.get("existing_cluster_id", self.cluster.get("existing_cluster_id"))


def find(named: Path | None, folder: Path) -> Path | None:
    """The path of the spec: the one that the settings name, else the project's own; None where there is neither."""
    own = folder / FILE_NAME
    return named or (own if own.is_file() else None)


def read(path: Path) -> ClusterSpec:
    """The spec in either form. Raises BadInput for what is neither."""
    data = json_tree.load(path, texts.read(path))
    if not isinstance(data, Mapping):
        raise _ill_formed("a cluster spec must be a JSON object", path)
    libraries = data.get("libraries", [])
    if not isinstance(libraries, list) or not all(isinstance(each, Mapping) for each in libraries):
        raise _ill_formed('`libraries` must be a list of objects such as {"whl": "..."}', path)
    rest = {key: value for key, value in data.items() if key not in {"libraries", "new_cluster"}}
    is_wrapped = "new_cluster" in data or "existing_cluster_id" in data
    cluster = data.get("new_cluster", {}) if is_wrapped else rest
    if not isinstance(cluster, Mapping):
        raise _ill_formed("`new_cluster` must be an object", path)
    others = rest if is_wrapped else {}
    return ClusterSpec(cluster=cluster, libraries=tuple(libraries), others=others, is_wrapped=is_wrapped)


def entries(root: tree.Node | None) -> Iterator[tree.Entry]:
    """The libraries with their places: first those that are named by the URI of a wheel, then those for pip."""
    libraries = tree.get(root, "libraries")
    items = libraries.items if isinstance(libraries, tree.List) else ()
    wheels = [(item, tree.get(item.node, key)) for item in items for key in ("whl", "egg")]
    packages = [(item, tree.get(tree.get(item.node, "pypi"), "package")) for item in items]
    for found, is_uri in ((wheels, True), (packages, False)):
        for item, node in found:
            if isinstance(node, tree.Scalar):
                yield tree.Entry(item=item, scalar=node, is_uri=is_uri)


def to_requirements(spec: ClusterSpec, *, placeholder: str, note: Callable[[str], None]) -> Iterator[str]:
    """The libraries as requirement lines for the python_libraries of a Spark job.

    `note` gets a sentence on each part of the spec that is left out or changes its meaning there.
    """
    for key in spec.others:
        note(f"{key} of the cluster spec is left out: MLflow does not send it")
    for library in spec.libraries:
        pypi, uri = library.get("pypi"), library.get("whl")
        line = ""
        if isinstance(pypi, Mapping) and isinstance(pypi.get("package"), str):
            line = pypi["package"]
            if "repo" in pypi:
                note(f"{line} will come from pip's own index: python_libraries have no `repo`")
        elif isinstance(uri, str) and (parts := requirements.read_wheel(uri, placeholder=placeholder)):
            wheel = requirements.write_wheel(parts.path, parts.distribution, extras=parts.extras, marker=parts.marker)
            line = parts.path if parts.stands_for_all else wheel
        if line:
            yield line
        else:
            note(f"the library {json.dumps(library)} is left out: MLflow does not install it for a Spark job")


def write_wrapped(path: Path, spec: ClusterSpec, libraries: Sequence[Mapping[str, Any]]) -> None:
    """The form for conda and python_env projects; an existing cluster is one of the `others` and stays."""
    cluster = {"new_cluster": spec.cluster} if spec.cluster or not spec.is_wrapped else {}
    data = {**cluster, "libraries": list(libraries), **spec.others}
    texts.write({path: json.dumps(data, indent=2) + "\n"})


def flat_text(spec: ClusterSpec) -> str:
    """The file's text in the form for databricks_spark_job projects: the cluster alone."""
    return json.dumps(spec.cluster, indent=2) + "\n"


def _ill_formed(what: str, path: Path) -> errors.BadInput:
    return errors.BadInput(what, where=path, cure="write it as Databricks' Jobs API documents it")

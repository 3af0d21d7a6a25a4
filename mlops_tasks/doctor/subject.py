"""Subject: everything the checks look at, as one value. Fields not known yet are None or empty."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement

from mlops_tasks.backends.databricks_jobs import compute as computes
from mlops_tasks.backends.databricks_jobs import dependencies, rules
from mlops_tasks.backends.databricks_jobs.compute import Compute
from mlops_tasks.backends.databricks_jobs.dependencies import Dependencies
from mlops_tasks.checkout.missing import Missing
from mlops_tasks.errors import BadInput, ReleaseError, WorkspaceError
from mlops_tasks.project import cluster, conda, environment, mlproject, requirements
from mlops_tasks.project.text import json_tree, tree, yaml_tree
from mlops_tasks.project.text import source as texts
from mlops_tasks.stores import uris
from mlops_tasks.tracking import bounds
from mlops_tasks.workspace import runtimes

MLFLOW_BACKEND = "databricks"
"""The name of MLflow's own backend for Databricks; findings about that backend hold for no other."""
WITHOUT_CATALOG = {"NONE", "LEGACY_TABLE_ACL", "LEGACY_PASSTHROUGH", "LEGACY_SINGLE_USER"}
"""Modes without Unity Catalog. A job cluster that names no mode is a dedicated one, which has it."""
_IMPORTS_MLFLOW = re.compile(r"^\s*(?:import|from)\s+mlflow\b", re.MULTILINE)


class BuiltWheel(NamedTuple):
    """One wheel, as its file describes it. `tags` are such as `py3-none-any`; `requires_python` may be empty.

    `path` is that file, and `library` the folder that it was built from.
    """

    distribution: str
    version: str
    file_name: str
    tags: frozenset[str]
    requires_python: str = ""
    path: Path | None = None
    library: Path | None = None


class Questions(NamedTuple):
    """Questions that only the workspace can answer; each is None where it cannot be asked yet.

    `log_in` raises a ReleaseError. `has_volume` takes `/Volumes/<catalog>/<schema>/<volume>`, and `has_file` a path
    as `libraries` or a requirement names it. `runtimes` and `node_types` are all that a cluster may name there.
    `cluster` takes the id of an existing one.
    """

    log_in: Callable[[], object] | None = None
    has_volume: Callable[[str], bool] | None = None
    has_file: Callable[[str], bool] | None = None
    runtimes: Callable[[], Collection[str]] | None = None
    node_types: Callable[[], Collection[str]] | None = None
    cluster: Callable[[str], Mapping[str, Any] | None] | None = None


class Text(NamedTuple):
    """One file's text, so that a finding can name the line."""

    path: Path
    text: str


@dataclass(frozen=True, kw_only=True)
class Subject:
    """`wheel_root` is a URI, or a folder on the local target. `experiment` is a name, or a template of one.

    `reason` says why the release goes by `backend`, which `is_chosen` where no setting names it. For this package's own
    backend `compute` is what the cluster spec and the settings mean, or `refused` says why that cannot be told.
    `has_root` says that a setting names the wheel root, which is `backend`'s default otherwise.

    `ours` are the normalised names of the distributions whose references patch replaces, with the libraries' folders
    where they are known; with `add_wheels` it adds them where there is no reference. `unreadable` are the faults
    that a release stops at before its first step. `scripts` are the project's Python files. `missing` is what the
    checkout lacks of libraries and project.
    """

    today: date
    wheel_root: str
    project: mlproject.Project | None = None
    project_text: Text | None = None
    cluster: cluster.ClusterSpec | None = None
    cluster_text: Text | None = None
    environment: environment.Environment | None = None
    environment_text: Text | None = None
    wheels: tuple[BuiltWheel, ...] = ()
    ours: Mapping[str, Path | None] = field(default_factory=dict)
    experiment: str | None = None
    entry_point: str = "main"
    backend: str = MLFLOW_BACKEND
    reason: str = ""
    is_chosen: bool = False
    compute: Compute | None = None
    refused: BadInput | None = None
    has_root: bool = True
    driver_root: str | None = None
    mlflow: bounds.Client | None = None
    workers: bool = False
    add_wheels: bool = True
    placeholder: str = "WHEELPATH"
    commit: str | None = None
    scripts: tuple[Text, ...] = ()
    unreadable: tuple[BadInput, ...] = ()
    missing: tuple[Missing, ...] = ()
    ask: Questions = field(default_factory=Questions)

    @property
    def folder(self) -> Path:
        return self.project.folder if self.project is not None else Path()

    @property
    def is_spark_job(self) -> bool:
        return self.project is not None and self.project.spark_job is not None

    @property
    def is_classic(self) -> bool:
        """A conda or python_env project, or one that says nothing of its environment."""
        return self.project is not None and self.project.spark_job is None

    @property
    def uses_mlflow_backend(self) -> bool:
        return self.backend == MLFLOW_BACKEND

    @property
    def forced_mlflow(self) -> bounds.Client | None:
        """The MLflow that the backend installs on the cluster: none for a Spark job, or beside an MLflow from git."""
        from_git = any(each.startswith("git+https://github.com/") and "/mlflow" in each for each in self.packages)
        return self.mlflow if self.is_classic and self.uses_mlflow_backend and not from_git else None

    @cached_property
    def there(self) -> Compute | None:
        """The compute, with what the workspace says of an existing cluster where it can be asked."""
        if self.compute is None or self.ask.cluster is None:
            return self.compute
        try:
            return computes.ask(self.compute, self.ask.cluster)
        except ReleaseError:
            return self.compute  # a check of its own asks again, and says so

    @cached_property
    def needs(self) -> tuple[Dependencies, list[BadInput]] | None:
        """What that compute installs beside our wheels, and what of it cannot be; None where that is not known."""
        project, there = self.project, self.there
        if project is None or there is None or there.rule.backend != rules.BACKEND:
            return None
        with contextlib.suppress(BadInput):  # a file that cannot be read is among the `unreadable`
            return dependencies.look(
                project,
                there,
                sources=project.folder,
                ours=self.ours,
                client=self.mlflow,
                is_replaced=lambda line: self.placeholder in line or self.is_ours(line),
            )
        return None

    @property
    def described_cluster(self) -> Mapping[str, Any]:
        """The keys of the cluster that the run makes; for MLflow those too that stand beside `existing_cluster_id`."""
        if not self.uses_mlflow_backend:
            return self.compute.cluster if self.compute is not None and self.compute.kind == "new" else {}
        if self.cluster is None:
            return {}
        beside = {"existing_cluster_id", "spark_version"} <= self.cluster.others.keys()
        return self.cluster.others if beside else self.cluster.cluster

    @property
    def existing_cluster(self) -> Any:
        return self.cluster.existing if self.cluster is not None else None

    @property
    def spark_version(self) -> str | None:
        named = self.described_cluster.get("spark_version")
        return str(named) if named is not None else None

    @cached_property
    def runtime(self) -> runtimes.Runtime | None:
        """The runtime that the cluster spec names; of a name that is none, the one that is most likely meant."""
        named = self.spark_version
        return (runtimes.parse(named) or runtimes.guess(named)) if named is not None else None

    @cached_property
    def offered_runtimes(self) -> Collection[str] | None:
        """Each `spark_version` that the workspace has; None where it cannot be asked, or does not say."""
        try:
            return (self.ask.runtimes() or None) if self.ask.runtimes is not None else None
        except WorkspaceError:
            return None

    @property
    def access_mode(self) -> str:
        return str(self.described_cluster.get("data_security_mode", ""))

    @property
    def lacks_catalog(self) -> bool:
        return self.access_mode in WITHOUT_CATALOG

    @cached_property
    def python(self) -> str | None:
        """The Python, major and minor, of the environment that MLflow makes; None for a range and for no pin.

        Our own backend runs every project on the compute's Python.
        """
        asked = self.environment.python if self.environment is not None and self.uses_mlflow_backend else None
        return asked.minor if asked is not None else None

    @property
    def store_kind(self) -> uris.Kind:
        return uris.kind_of(self.wheel_root)

    @property
    def python_libraries(self) -> tuple[str, ...]:
        """The requirement lines of a Spark job; empty for other projects."""
        job = self.project.spark_job if self.project is not None else None
        return tuple(job.python_libraries) if job is not None else ()

    @property
    def packages(self) -> list[str]:
        """The requirement lines in the cluster spec's `libraries`."""
        listed = self.cluster.libraries if self.cluster is not None else ()
        found = [each["pypi"].get("package") for each in listed if isinstance(each.get("pypi"), Mapping)]
        return [each for each in found if isinstance(each, str)]

    @property
    def ships_wheels(self) -> bool:
        """Whether our wheels go into the cluster's own Python, beside any environment that MLflow makes there."""
        if not self.uses_mlflow_backend:
            return bool(self.ours)
        named = [*self.library_uris(), *self.packages, *self.python_libraries]
        added = self.lacks_wheels and self.is_spark_job
        return self.workers or added or any(self.is_ours(each) for each in named)

    @property
    def sends_libraries(self) -> bool:
        """Whether the cluster installs the spec's libraries: MLflow drops a Spark job's, others become requirements."""
        if self.uses_mlflow_backend:
            return not self.is_spark_job
        return self.compute is not None and self.compute.kind == "new" and not self.compute.has_environment

    @property
    def reads_volumes(self) -> bool:
        """Whether wheels of the cluster's lie in volumes, ours or somebody else's."""
        return self.store_kind == "volume" or any(uri.startswith(uris.VOLUMES) for uri, _ in self.cluster_wheels())

    @cached_property
    def names_wheels(self) -> bool:
        """Whether anything in the project refers to our wheels."""
        lines = self.environment.pip if self.environment is not None else ()
        return any(
            self.is_ours(each) for each in [*self.library_uris(), *self.packages, *self.python_libraries, *lines]
        )

    @property
    def lacks_wheels(self) -> bool:
        """Whether our wheels are added to what the project installs: by patch, or by hand where it may not."""
        return bool(self.ours) and not self.names_wheels

    @property
    def asked_mlflow(self) -> list[tuple[str, Requirement]]:
        """The lines that ask for an MLflow, in `-r` files too, each as it stands and as it is read."""
        if self.environment is None:
            return []
        lines = list(self._conda_requirements)
        with contextlib.suppress(BadInput):  # a `-r` file that is not there: the release is refused for that
            path = self.environment_text.path if self.environment_text is not None else Path()
            lines += [(each.text, each.text) for each in requirements.expand(self.environment.pip, path)]
        read = [(line, requirements.parse(text)) for line, text in lines]
        return [(line, asked) for line, asked in read if asked is not None and asked.name in bounds.DISTRIBUTIONS]

    @property
    def lacks_mlflow(self) -> Text | None:
        """The script that imports MLflow, where neither the runtime nor a Spark job's libraries bring it."""
        runtime = self.runtime
        if runtime is None or runtime.brings_mlflow:
            return None
        listed = (requirements.parse(line) for line in (*self.python_libraries, *self.packages))
        if self.asked_mlflow or any(each is not None and each.name in bounds.DISTRIBUTIONS for each in listed):
            return None
        return next((each for each in self.scripts if _IMPORTS_MLFLOW.search(each.text)), None)

    def runs_on(self, version: runtimes.Version) -> bool:
        """Whether that runtime runs a project of this form at all."""
        return not (self.is_classic and self.uses_mlflow_backend) or version < runtimes.PROJECTS_END

    def may_run(self, entry_point: str) -> bool:
        """Whether this release runs `entry_point`: any, where the project has no `main` and no other is named."""
        named = self.project.entry_points if self.project is not None else {}
        return self.entry_point == entry_point or (self.entry_point == "main" and "main" not in named)

    def names_script(self, name: str) -> bool:
        """Whether what this release may run names the project's file `name`."""
        listed = self.project.entry_points.items() if self.project is not None else ()
        job = self.project.spark_job if self.project is not None else None
        said = [each.command for key, each in listed if self.may_run(key)]
        said += [self.entry_point, (job.python_file if job is not None else None) or ""]
        return any(name in re.split(r"[\s'\"/]", each) for each in said)

    def is_ours(self, entry: str) -> bool:
        """Whether patch puts a deployed wheel in the place of `entry`."""
        parts = requirements.read_wheel(entry, placeholder=self.placeholder)
        if parts is not None:
            return self.placeholder in parts.path or parts.distribution in self.ours
        folder = self.environment_text.path.parent if self.environment_text is not None else self.folder
        return requirements.read_library(entry, folder, self.ours) is not None

    def wheel_path(self, entry: str) -> str | None:
        """The path in an entry that names a wheel; None for any other entry."""
        parts = requirements.read_wheel(entry, placeholder=self.placeholder)
        return parts.path if parts is not None else None

    def library_uris(self, kind: str = "whl") -> list[str]:
        """The URIs under `kind` in the cluster spec's `libraries`."""
        listed = self.cluster.libraries if self.cluster is not None else ()
        return [each[kind] for each in listed if isinstance(each.get(kind), str)]

    def installed(self, kind: str = "whl") -> list[str]:
        """Those that Databricks is asked to install as they are: our own backend sends our wheels by itself."""
        listed = self.library_uris(kind) if self.sends_libraries else []
        return [each for each in listed if self.uses_mlflow_backend or not self.is_ours(each)]

    def cluster_wheels(self) -> Iterator[tuple[str, str]]:
        """The URI of each wheel that the cluster installs by `whl`, and the place that says so.

        For our own wheels it is the wheel root's.
        """
        named = self.installed()
        for uri in named:
            yield (self.wheel_root if self.is_ours(uri) else uri), self.place_of_library(uri)
        adds = self.workers and not self.is_spark_job and not any(self.is_ours(uri) for uri in named)
        if adds and self.uses_mlflow_backend:
            yield self.wheel_root, "workers"
        if self.ours and self.compute is not None and self.compute.rule.wheels == "whl":
            yield self.wheel_root, "wheel_root"

    def place_of(self, *keys: str) -> str:
        """Where the cluster spec has the last of `keys`; the cluster's own keys are found in either form."""
        return _place(self.cluster_text, cluster.find_key(self._cluster_root, keys))

    def place_of_library(self, value: str) -> str:
        """Where the cluster spec has the library `value`."""
        return _place(self.cluster_text, _find_value(cluster.entries(self._cluster_root), value))

    def place_of_requirement(self, value: str) -> str:
        """Where the environment YAML has the requirement `value`, or the conda package."""
        kind = self.project.kind if self.project is not None else ""
        listed = [*environment.entries(self._environment_root, kind=kind), *self._dependencies]
        return _place(self.environment_text, _find_value(listed, value))

    def place_of_python(self) -> str:
        """Where the environment YAML asks for a Python."""
        return _place(self.environment_text, self._python_node.start if self._python_node is not None else None)

    def place_in_project(self, *keys: str) -> str:
        """Where MLproject has the last of `keys`."""
        return _place(self.project_text, tree.find_key(self._project_root, keys))

    def place_of_python_library(self, value: str) -> str:
        """Where MLproject has the python library `value`."""
        listed = tree.get(tree.get(self._project_root, "databricks_spark_job"), "python_libraries")
        return _place(self.project_text, _find_value(tree.entries(listed), value))

    @cached_property
    def _cluster_root(self) -> tree.Node | None:
        return json_tree.parse(*self.cluster_text) if self.cluster_text is not None else None

    @cached_property
    def _environment_root(self) -> tree.Node | None:
        return yaml_tree.parse(*self.environment_text) if self.environment_text is not None else None

    @cached_property
    def _project_root(self) -> tree.Node | None:
        return yaml_tree.parse(*self.project_text) if self.project_text is not None else None

    @cached_property
    def _python_node(self) -> tree.Scalar | None:
        return environment.find_python(self._environment_root)

    @property
    def _conda_requirements(self) -> Iterator[tuple[str, str]]:
        """The conda packages that PyPI has, each as it stands and as a requirement."""
        for package in self.environment.conda if self.environment is not None else ():
            with contextlib.suppress(conda.NotOnPyPI):
                yield package, conda.to_requirement(package)

    @property
    def _dependencies(self) -> list[tree.Entry]:
        return list(tree.entries(tree.get(self._environment_root, "dependencies")))


def _place(text: Text | None, index: int | None) -> str:
    """`file:line:column`, the file alone where nothing was found in it, and nothing without a file."""
    if text is None or index is None:
        return str(text.path) if text is not None else ""
    return texts.show_place(text.path, text.text, index)


def _find_value(entries: Iterable[tree.Entry], value: str) -> int | None:
    return next((each.scalar.start for each in entries if each.value == value), None)

"""The cluster spec (JSON): its libraries, its forms, and the two of them that MLflow's Databricks backend understands.

For a conda or python_env project that backend takes `libraries` only from the wrapped form, `{"new_cluster": {...},
"libraries": [...]}`, and writes settings of its own into a cluster in any other. For a databricks_spark_job project it
sends the whole JSON as the cluster, so that form must be flat, and its libraries come from MLproject
(mlflow/projects/databricks.py). What an answer about a job's run shows as `{"cluster_spec": {...}}` is read as well.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mlops_tasks import errors
from mlops_tasks.project import requirements
from mlops_tasks.project.text import json_tree, tree
from mlops_tasks.project.text import source as texts

FILE_NAME = "cluster.json"
WRAPPER = "cluster_spec"
STANDARD = {"USER_ISOLATION", "DATA_SECURITY_MODE_STANDARD"}
"""The names of the standard access mode, in which many users share a cluster."""
EXPORTED = {
    "autotermination_minutes",
    "cluster_cores",
    "cluster_id",
    "cluster_log_status",
    "cluster_memory_mb",
    "cluster_name",
    "cluster_source",
    "creator_user_name",
    "default_tags",
    "disk_spec",
    "driver",
    "effective_spark_version",
    "executors",
    "init_scripts_safe_mode",
    "jdbc_port",
    "last_activity_time",
    "last_restarted_time",
    "last_state_loss_time",
    "pinned_by_user_name",
    "spark_context_id",
    "spec",
    "start_time",
    "state",
    "state_message",
    "terminated_time",
    "termination_reason",
}
"""Keys of a cluster that is there, as Databricks' pages and `clusters get` show them."""

SUBMITTED = {
    "access_control_list",
    "budget_policy_id",
    "duration_target",
    "email_notifications",
    "environment_variables",
    "environments",
    "health",
    "notification_settings",
    "performance_target",
    "queue",
    "run_as",
    "run_name",
    "timeout_seconds",
    "usage_policy_id",
    "webhook_notifications",
}
"""Keys of a run that is submitted once, beside its tasks."""
TASK = {"compute", "disable_auto_optimization", "environment_variables_key"}
"""Keys of its task that say how it is run, and not what."""
SCHEDULED = {
    "continuous",
    "depends_on",
    "description",
    "edit_mode",
    "environment_key",
    "format",
    "git_source",
    "idempotency_token",
    "job_clusters",
    "max_concurrent_runs",
    "max_retries",
    "min_retry_interval_millis",
    "name",
    "notebook_task",
    "parameters",
    "python_wheel_task",
    "retry_on_timeout",
    "run_if",
    "schedule",
    "spark_jar_task",
    "spark_python_task",
    "spark_submit_task",
    "tags",
    "task_key",
    "tasks",
    "trigger",
}
"""Keys of a job that is kept, or that say what runs: a project's run takes none of them."""
JOB_KEYS = SUBMITTED | TASK | SCHEDULED
"""What a cluster itself does not have."""

Form = Literal["flat", "wrapped", "cluster_spec"]


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """`cluster` describes the cluster itself; `others` are the keys beside it and `libraries`.

    `form` says how the file has it: with `new_cluster` or `existing_cluster_id`, or one of these inside `cluster_spec`;
    `lists_libraries` whether it has that key, be it with nothing in it.
    """

    cluster: Mapping[str, Any]
    libraries: tuple[Mapping[str, Any], ...]
    others: Mapping[str, Any]
    form: Form
    lists_libraries: bool = False

    @property
    def is_wrapped(self) -> bool:
        return self.form == "wrapped"

    @property
    def is_flat(self) -> bool:
        """Whether the file has no more than the cluster and no libraries, as the spec of a Spark job must."""
        return self.form == "flat" and not self.lists_libraries

    @property
    def existing(self) -> Any:
        """The id of an existing cluster; inside `new_cluster`, where Databricks ignores it, it counts too."""
        return self.others.get("existing_cluster_id", self.cluster.get("existing_cluster_id"))


def find(named: Path | None, folder: Path) -> Path | None:
    """The path of the spec: the one that the settings name, else the project's own; None where there is neither."""
    own = folder / FILE_NAME
    return named or (own if own.is_file() else None)


def read(path: Path, *, source: Path | None = None) -> ClusterSpec:
    """The spec in any form. Raises BadInput for what is none, and for a key that is there twice.

    `source` is the user's own file, where `path` is a copy of it.
    """
    text, shown = texts.read(path), source or path
    data = json_tree.load(shown, text)
    twice = tree.find_twice(json_tree.parse(shown, text))
    if twice is not None:
        place = texts.show_place(shown, text, twice.start)
        raise errors.BadInput(f"{twice.value} is there twice", where=place, cure="keep one of the two")
    return read_data(data, shown)


def read_data(data: Any, shown: Path) -> ClusterSpec:
    """The same of what the JSON holds; `shown` is what messages name."""
    if not isinstance(data, Mapping):
        raise _ill_formed("a cluster spec must be a JSON object", shown)
    data, form = _unwrap(data)
    libraries = data.get("libraries", [])
    if not isinstance(libraries, list) or not all(isinstance(each, Mapping) for each in libraries):
        raise _ill_formed('`libraries` must be a list of objects such as {"whl": "..."}', shown)
    rest = {key: value for key, value in data.items() if key not in {"libraries", "new_cluster"}}
    cluster = rest if form == "flat" else data.get("new_cluster", {})
    if not isinstance(cluster, Mapping):
        raise _ill_formed("`new_cluster` must be an object", shown)
    others = {} if form == "flat" else rest
    return ClusterSpec(
        cluster=cluster, libraries=tuple(libraries), others=others, form=form, lists_libraries="libraries" in data
    )


def _unwrap(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], Form]:
    inner = data.get(WRAPPER)
    if isinstance(inner, Mapping) and inner:
        beside = {key: value for key, value in data.items() if key != WRAPPER}
        inner = inner if _is_wrapped(inner) else {"new_cluster": inner}
        return {**beside, **inner}, "cluster_spec"
    return data, "wrapped" if _is_wrapped(data) else "flat"


def _is_wrapped(data: Mapping[str, Any]) -> bool:
    return "new_cluster" in data or "existing_cluster_id" in data


_FORMS = ((), ("new_cluster",), (WRAPPER,), (WRAPPER, "new_cluster"))
"""The keys that lead to the cluster's own, in each form."""


def find_key(root: tree.Node | None, keys: Sequence[str]) -> int | None:
    """Where a spec has the last of `keys`; the cluster's own keys are found in each form."""
    found = (tree.find_key(root, (*outer, *keys)) for outer in _FORMS)
    return next((each for each in found if each is not None), None)


def find_place(path: Path, *keys: str) -> str:
    """`file:line:column` of the last of `keys` in the spec at `path`; the file alone where it is not there."""
    text = texts.read(path) if path.is_file() else ""
    index = find_key(json_tree.parse(path, text), keys) if text and keys else None
    return texts.show_place(path, text, index) if index is not None else str(path)


def find_deeper(spec: Any) -> list[str] | None:
    """The keys that lead to a cluster further down: specs are copied out of jobs, or wrapped in a name."""
    pairs = enumerate(spec) if isinstance(spec, list) else spec.items() if isinstance(spec, Mapping) else ()
    for key, value in pairs:
        if isinstance(value, Mapping) and "spark_version" in value:
            return [str(key)]
        if (further := find_deeper(value)) is not None:
            return [str(key), *further]
    return None


def entries(root: tree.Node | None) -> Iterator[tree.Entry]:
    """The libraries with their places: first those that are named by the URI of a wheel, then those for pip."""
    libraries = tree.get(root, "libraries") or tree.get(tree.get(root, WRAPPER), "libraries")
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
    cluster = {"new_cluster": spec.cluster} if spec.cluster or spec.form == "flat" else {}
    data = {**cluster, "libraries": list(libraries), **spec.others}
    texts.write({path: json.dumps(data, indent=2) + "\n"})


def flat_text(spec: ClusterSpec) -> str:
    """The file's text in the form for databricks_spark_job projects: the cluster alone."""
    return json.dumps(spec.cluster, indent=2) + "\n"


def text_with(path: Path, key: str, value: str) -> str:
    """The file's text with `value` for one of the cluster's own keys, which it has."""
    text = texts.read(path)
    root: tree.Node | None = json_tree.parse(path, text)
    found = (tree.get(functools.reduce(tree.get, outer, root), key) for outer in _FORMS)
    place = next(each for each in found if isinstance(each, tree.Scalar))
    return texts.apply(text, [texts.Edit(start=place.start, end=place.end, new=json.dumps(value))])


def _ill_formed(what: str, path: Path) -> errors.BadInput:
    return errors.BadInput(what, where=path, cure="write it as Databricks' Jobs API documents it")

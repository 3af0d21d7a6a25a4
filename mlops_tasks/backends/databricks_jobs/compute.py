"""The compute that a cluster spec and the settings mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlops_tasks import errors
from mlops_tasks.backends.databricks_jobs import rules
from mlops_tasks.project import cluster
from mlops_tasks.workspace import runtimes

SERVERLESS = "serverless"
DEFAULT_ENVIRONMENT = "5"
BACKEND_CONFIG = Path("--backend-config")
"""What messages name for a spec that MLflow has read: it keeps the name of the file to itself."""

_DESCRIBING = {"spark_version", "node_type_id", "instance_pool_id", "policy_id", "num_workers", "autoscale"}
"""One of these makes an object the description of a cluster."""
_WHY_LEFT = {
    "autotermination_minutes": "a job's cluster ends with its run",
    "cluster_id": "it names a cluster that is there (to run on that one, write existing_cluster_id)",
    "cluster_name": "Databricks names a job's cluster itself",
    "git_source": "the project is sent as it was staged",
    "max_retries": "a run is submitted once, and not begun again",
    "name": "write run_name",
    "tags": "a run that is submitted once has none; the setting `tags` gives the MLflow run some",
}


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where a run runs, and what its cluster spec says besides. `source` is the user's own file of it.

    `cluster` is sent as it is. `runtime` is None where it is not known: a custom image, one that a policy fixes, an
    existing cluster that was not asked for. `environment` is the spec that the job's environment is made from, without
    its version and its dependencies; these are in `lines`, with the libraries of the spec that travel as lines of
    requirements. `libraries` travel as they are. `submit` are the keys that belong beside the task, `task` those that
    belong to it. `said` has a sentence on each thing that is left out or overruled.
    """

    kind: rules.Kind
    source: Path | None = None
    cluster: Mapping[str, Any] = field(default_factory=dict)
    existing_cluster_id: str = ""
    runtime: runtimes.Runtime | None = None
    environment_version: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    libraries: tuple[Mapping[str, Any], ...] = ()
    submit: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    said: tuple[str, ...] = ()

    @property
    def has_environment(self) -> bool:
        """Whether its dependencies are those of a job's environment."""
        return self.kind == SERVERLESS or self.cluster.get("dependency_mode") == rules.ENVIRONMENTS_MODE

    @property
    def pythons(self) -> tuple[str, ...]:
        """The Pythons that it may have, major and minor; empty where that is not known."""
        if self.has_environment:
            found = runtimes.ENVIRONMENTS.get(self.environment_version)
            return (found.python,) if found is not None else ()
        return self.runtime.pythons if self.runtime is not None and "docker_image" not in self.cluster else ()

    @property
    def brings_mlflow(self) -> bool | None:
        """Whether it has an MLflow before anything is installed; None where that is not known."""
        if self.has_environment:
            found = runtimes.ENVIRONMENTS.get(self.environment_version)
            return found.mlflow is not None if found is not None else None
        if self.runtime is None or "docker_image" in self.cluster:
            return None
        return self.runtime.brings_mlflow or self.cluster.get("use_ml_runtime") is True

    @property
    def rule(self) -> rules.Rule:
        """How dependencies reach it, by this backend or by another."""
        version = self.runtime.version if self.runtime is not None else None
        return rules.find(self.kind, version, self.cluster, has_environment=self.has_environment)

    def as_asked(self, spark_version: str, data_security_mode: str = "") -> Compute:
        """The same existing cluster, once the workspace was asked what it is."""
        known = {"spark_version": spark_version, "data_security_mode": data_security_mode}
        return replace(self, cluster=known, runtime=runtimes.parse(spark_version))

    def place_of(self, *keys: str) -> str:
        """Where the user's file has the last of `keys`; the setting `compute` where there is no file."""
        return cluster.find_place(self.source, *keys) if self.source is not None else "compute"

    def __str__(self) -> str:
        if self.kind == SERVERLESS:
            version = f" (environment {self.environment_version})" if self.environment_version else ""
            return f"serverless compute{version}"
        runtime = str(self.runtime) if self.runtime is not None else ""
        if self.kind == "existing":
            return f"the existing cluster {self.existing_cluster_id}{f' ({runtime})' if runtime else ''}"
        return f"a new cluster ({runtime or 'its runtime is not known'})"


def find_rule(compute: Compute) -> rules.Rule:
    """How dependencies reach `compute`. Raises BadInput where this backend does not run on it."""
    if compute.rule.backend == rules.BACKEND:
        return compute.rule
    old = compute.place_of("existing_cluster_id" if compute.kind == "existing" else "spark_version")
    newest = runtimes.spell([*runtimes.LONG_TERM_ENDS][-1], like=str(compute.cluster.get("spark_version", "")))
    raise errors.BadInput(
        f"{compute} is older than runtime {runtimes.PROJECTS_END.major}, the first that the backend databricks-jobs "
        "runs on",
        where=old,
        cure=f"choose a newer one, such as {newest}, or set `backend: databricks`, MLflow's own"
        + (" (it wants a new_cluster)" if compute.kind == "existing" else ""),
    )


def ask(compute: Compute, find: Callable[[str], Mapping[str, Any] | None]) -> Compute:
    """`compute`, with what `find` says of an existing cluster by its id. Raises BadInput where there is none."""
    if compute.kind != "existing":
        return compute
    found = find(compute.existing_cluster_id)
    if found is None:
        raise errors.BadInput(
            f"there is no cluster {compute.existing_cluster_id} in the workspace",
            where=compute.place_of("existing_cluster_id"),
            cure="write the id of a cluster that is there (its page shows it), or describe a new_cluster",
        )
    asked = compute.as_asked(str(found.get("spark_version") or ""), str(found.get("data_security_mode") or ""))
    if found.get("state") not in {"TERMINATED", "TERMINATING"}:
        return asked
    waits = f"the cluster {compute.existing_cluster_id} is stopped, and has to start for the run"
    return replace(asked, said=(*asked.said, waits))


def choose_backend(compute: Compute) -> str:
    """The name of the backend that runs on `compute`: this one, or MLflow's own."""
    named = compute.rule.backend
    return named if named != "none" else rules.BACKEND  # which says why not


def read(
    spec: Path | Mapping[str, Any] | None,
    *,
    compute: str | None,
    environment_version: str | None,
    source: Path | None = None,
) -> Compute:
    """The compute that the cluster `spec` and the settings `compute` and `environment_version` mean.

    It is a file, or what MLflow has read of one. `source` is the user's own file, where `spec` is a copy of it. Raises
    BadInput for a spec that cannot be read, and for one that means no compute or several.
    """
    if spec is None and compute != SERVERLESS:
        raise errors.BadInput(
            "nothing says where the project shall run: there is no cluster spec",
            where="cluster",
            cure="write cluster.json beside the MLproject file (or name a file by the setting `cluster`), or set "
            "`compute: serverless`",
        )
    found = cluster.ClusterSpec(cluster={}, libraries=(), others={}, form="flat")
    if isinstance(spec, Path):
        found, source = cluster.read(spec, source=source), source or spec
    elif spec is not None:
        found, source = cluster.read_data(spec, BACKEND_CONFIG), BACKEND_CONFIG
    return _Reading(found, source, environment_version or "", overruled=compute == SERVERLESS).compute()


class _Reading:
    """One reading of a spec, which collects what there is to say."""

    def __init__(
        self, spec: cluster.ClusterSpec, source: Path | None, environment_version: str, *, overruled: bool
    ) -> None:
        self.spec, self.source, self.version, self.overruled = spec, source, environment_version, overruled
        self.said: list[str] = []
        own = {key: each for key, each in spec.cluster.items() if key != "existing_cluster_id"}
        lifted = own.keys() & cluster.JOB_KEYS  # in the flat form they stand among the cluster's
        self.beside = {**spec.others, **{key: own[key] for key in lifted}}
        self.beside.pop("existing_cluster_id", None)
        self.cluster = {key: each for key, each in own.items() if key not in lifted}

    def compute(self) -> Compute:
        self._check_parts()
        environments = self._read_environments()
        kind = self._choose(has_environment=bool(environments))
        self._drop()
        made = Compute(
            kind=kind,
            source=self.source,
            submit={key: each for key, each in self.beside.items() if key not in cluster.TASK},
            task={key: each for key, each in self.beside.items() if key in cluster.TASK},
        )
        if kind == "new":
            named = self.cluster.get("spark_version")
            made = replace(made, cluster=self.cluster, runtime=runtimes.parse(str(named)) if named else None)
        elif kind == "existing":
            made = replace(made, existing_cluster_id=self.spec.existing)
        if made.has_environment:
            made = self._with_environment(made, environments)
        elif self.version:
            self.said.append(f"environment_version {self.version} is not used: {made} has no environment")
        made = self._with_mode(made)
        as_they_are = () if made.has_environment else self.spec.libraries
        if kind == "existing":
            as_they_are = tuple(each for each in self.spec.libraries if not {"pypi", "whl"} & each.keys())
            self.said += [f"{_name(each)} stays on the cluster after the run" for each in as_they_are]
        lines = [self._to_line(each, made) for each in self.spec.libraries if each not in as_they_are]
        return replace(made, libraries=as_they_are, lines=(*made.lines, *lines), said=tuple(self.said))

    def _check_parts(self) -> None:
        for key in ("tasks", "job_clusters"):
            if key in self.beside:
                raise self._refuse(
                    f"{key} describes a whole job, and a project's run is one task on one compute",
                    key,
                    cure='write the one cluster as {"new_cluster": {...}}, and leave the rest out',
                )
        if "libraries" in self.cluster:
            what = "`libraries` stands inside new_cluster, where nothing reads it"
            raise self._refuse(what, "new_cluster", "libraries", cure="move it beside new_cluster")
        existing = self.spec.existing
        if existing is not None and (not isinstance(existing, str) or not existing.strip()):
            what = f"existing_cluster_id must be the id of a cluster, as text, not {existing!r}"
            raise self._refuse(what, "existing_cluster_id", cure='write it as "0123-456789-abcdefgh"')

    def _choose(self, *, has_environment: bool) -> rules.Kind:
        """The one kind of compute that is named, or the setting's."""
        named = {
            "a new cluster": not _DESCRIBING.isdisjoint(self.cluster),
            "existing_cluster_id": self.spec.existing is not None,
            "environments": has_environment and self.cluster.get("dependency_mode") != rules.ENVIRONMENTS_MODE,
        }
        found = [name for name, is_so in named.items() if is_so]
        if self.overruled:
            for name in found:
                if name != "environments":
                    self.said.append(f"`compute: serverless` is set: {name} of {self._name} is not used")
            return "serverless"
        stray = [key for key in self.beside if key in _DESCRIBING]
        if stray and "existing_cluster_id" not in found:
            what = f"{stray[0]} stands beside new_cluster, where nothing reads it"
            raise self._refuse(what, stray[0], cure="move it into new_cluster")
        found += stray[:1]
        if len(found) > 1:
            raise self._refuse(
                f"{self._name} names several kinds of compute: {' and '.join(found)}",
                found[-1],
                cure="keep one of them, or set `compute: serverless`, which goes before a cluster",
            )
        if not found:
            raise self._none_named()
        kinds: Mapping[str, rules.Kind] = {"a new cluster": "new", "existing_cluster_id": "existing"}
        return kinds.get(found[0], "serverless")

    def _none_named(self) -> errors.BadInput:
        deeper = cluster.find_deeper({**self.cluster, **self.beside})
        if deeper is not None:
            return self._refuse(
                f"the cluster is described under {'.'.join(deeper)}, where it is not looked for",
                deeper[0],
                cure='write that object itself as {"new_cluster": {...}}, and leave the rest out',
            )
        hint = ""
        if "cluster_id" in self.cluster:
            hint = f', or {{"existing_cluster_id": "{self.cluster["cluster_id"]}"}} to run on that cluster'
        return self._refuse(
            f"{self._name} names no compute",
            cure=f'describe a cluster in it ({{"new_cluster": {{"spark_version": ...}}}}){hint}, or set '
            "`compute: serverless`",
        )

    def _drop(self) -> None:
        """Leave out what a submit refuses, or what a project's run has no use for."""
        for keys, gone, why in (
            (self.cluster, cluster.EXPORTED, "it describes a cluster that is there"),
            (self.beside, cluster.SCHEDULED, "a run that is submitted once has no such key"),
            (self.beside, cluster.EXPORTED | _DESCRIBING, "it describes a cluster"),
        ):
            for key in [each for each in keys if each in gone]:
                del keys[key]
                self.said.append(f"{key} of {self._name} is left out: {_WHY_LEFT.get(key, why)}")

    def _read_environments(self) -> Mapping[str, Any]:
        """The one environment that the spec describes; nothing where it has none."""
        listed = self.beside.pop("environments", None) or []
        shaped = isinstance(listed, list) and all(
            isinstance(each, Mapping) and isinstance(each.get("spec"), Mapping) for each in listed
        )
        if not shaped:
            raise self._refuse(
                '`environments` must be a list of one {"environment_key": "...", "spec": {...}}',
                "environments",
                cure="write it as Databricks' Jobs API documents it",
            )
        if len(listed) > 1:
            names = ", ".join(str(each.get("environment_key")) for each in listed)
            raise self._refuse(
                f"{self._name} has several environments: {names}", "environments", cure="keep the one that is meant"
            )
        return listed[0]["spec"] if listed else {}

    def _with_environment(self, made: Compute, given: Mapping[str, Any]) -> Compute:
        spec = {**given}
        listed = spec.pop("dependencies", None) or []
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            what = "`dependencies` of an environment must be a list of texts"
            raise self._refuse(what, "environments", cure='write them as ["numpy<3", "..."]')
        own = [str(spec.pop(key)) for key in ("environment_version", "client") if key in spec]
        if "project_environment" in spec:
            what = "project_environment takes no dependencies beside it, and the wheels are some"
            raise self._refuse(what, "environments", cure="list what it has as `dependencies`")
        if "base_environment" in spec and self.version:
            what = f"environment_version {self.version} is set beside a base_environment, which has its own"
            raise self._refuse(what, "environments", cure="leave one of the two out")
        version = self.version or next(iter(own), "" if "base_environment" in spec else DEFAULT_ENVIRONMENT)
        if self.version and own and own[0] != self.version:
            self.said.append(f"environment_version {self.version} is set: {own[0]} of {self._name} is not used")
        self._check_version(version)
        return replace(made, environment=spec, environment_version=version, lines=tuple(listed))

    def _check_version(self, version: str) -> None:
        oldest, *_, newest = runtimes.ENVIRONMENTS
        if version and (not version.isdecimal() or int(version) < int(oldest)):
            is_set = self.version == version
            raise errors.BadInput(
                f"there is no serverless environment {version!r}",
                where="environment_version" if is_set else self._place_of("environments"),
                cure=f"write a version from {oldest} to {newest}, such as {DEFAULT_ENVIRONMENT}",
            )
        if version and int(version) > int(newest):
            self.said.append(
                f"environment {version} is newer than this package's table, which ends with {newest}: what depends on "
                "its Python was not checked"
            )

    def _with_mode(self, made: Compute) -> Compute:
        """From runtime 19 on, standard access mode takes libraries only where that is said."""
        mode, named = made.rule.mode, made.cluster.get("dependency_mode")
        if not mode or named == mode:
            return made
        if named is not None:
            self.said.append(f"dependency_mode {named} of {self._name} is overruled: the wheels need {mode}")
        return replace(made, cluster={**made.cluster, "dependency_mode": mode})

    def _to_line(self, library: Mapping[str, Any], made: Compute) -> str:
        """A library of the spec as a line of requirements."""
        pypi, wheel = library.get("pypi"), library.get("whl")
        if isinstance(pypi, Mapping) and isinstance(pypi.get("package"), str):
            if "repo" not in pypi:
                return str(pypi["package"])
            raise self._refuse(
                f"{pypi['package']} has a `repo` of its own, and {made} gets all packages by one pip",
                "libraries",
                cure="take the library out, and write it into the project's requirements with a line "
                f"`--extra-index-url {pypi['repo']}`",
            )
        if isinstance(wheel, str):
            return wheel  # whether it can be installed from there is asked once our own are told from the others
        raise self._refuse(
            f"{made} takes no library but pypi and whl: {_name(library)}",
            "libraries",
            cure="take it out, or describe a new_cluster that installs it",
        )

    @property
    def _name(self) -> str:
        return self.source.name if self.source is not None else "the cluster spec"

    def _place_of(self, *keys: str) -> str:
        return cluster.find_place(self.source, *keys) if self.source is not None else ""

    def _refuse(self, what: str, *keys: str, cure: str) -> errors.BadInput:
        return errors.BadInput(what, where=self._place_of(*keys), cure=cure)


def _name(library: Mapping[str, Any]) -> str:
    """A library as messages name it: `maven com.acme:x:1`."""
    kind, value = next(iter(library.items()), ("nothing", ""))
    return f"{kind} {next(texts_in(value), '')}".strip()


def texts_in(value: Any) -> Iterator[str]:
    """The texts of a library: the URI or the package that it names first."""
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, Mapping) else ():
        yield from texts_in(each)

"""What the cluster installs: the forms of a library, and the places that it may come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlops_tasks.doctor import findings
from mlops_tasks.doctor.subject import Subject
from mlops_tasks.stores import uris
from mlops_tasks.workspace import runtimes

CLI_WHEELS = "github.com/databricks/cli: bundle/trampoline/python_dbr_warning.go"
LIBRARIES = "https://docs.databricks.com/libraries.html"
LIBRARY_URIS = "https://github.com/dagster-io/dagster/issues/21326"
PATCH = "mlops_tasks: steps/patch.py"

SCHEMES = (uris.DBFS, "file:", "s3:", "abfss:", "gs:", "wasbs:", uris.VOLUMES, uris.WORKSPACE)
"""What the URI of a wheel may begin with."""
SEEN = (*uris.REMOTE, uris.FUSE)
"""What the path of a file in a workspace begins with, seen from outside or on a cluster."""


def check_dbfs(subject: Subject) -> Iterator[findings.Finding]:
    runtime = subject.runtime
    if runtime is None or runtime.version < runtimes.DBFS_LIBRARIES_END:
        return
    for uri, where in [
        *subject.cluster_wheels(),
        *((each, subject.place_of_value(each)) for each in subject.installed("jar")),
    ]:
        if uri.startswith(uris.DBFS):
            yield findings.error(
                f"{runtime} installs no library from DBFS ({uri}): the last that does is 14.3",
                where=where,
                cure="set wheel_root to /Volumes/<catalog>/<schema>/<volume>/... or /Workspace/...",
                basis="documented" if runtime.version > runtimes.DBFS_LIBRARIES_END else "assumed",
                source=LIBRARIES,
            )


def check_workspace_wheels(subject: Subject) -> Iterator[findings.Finding]:
    runtime = subject.runtime
    if runtime is None or runtime.version >= runtimes.WORKSPACE_WHEELS_BEGIN:
        return
    for uri, where in subject.cluster_wheels():
        if uri.startswith(uris.WORKSPACE):
            yield findings.error(
                f"{runtime} installs no library from workspace files ({uri}): they begin with "
                f"{runtimes.WORKSPACE_WHEELS_BEGIN}",
                where=where,
                cure=subject.newer_or(runtimes.WORKSPACE_WHEELS_BEGIN, "set wheel_root to dbfs:/..."),
                basis="seen",
                source=CLI_WHEELS,
            )


def check_eggs(subject: Subject) -> Iterator[findings.Finding]:
    runtime = subject.runtime
    for uri in subject.installed("egg"):
        if runtime is not None and runtime.version >= runtimes.EGGS_END:
            yield findings.error(
                f"{runtime} installs no eggs ({uri})",
                where=subject.place_of_value(uri),
                cure="build a wheel of it",
                basis="documented",
                source=findings.CLUSTERS,
            )


def check_requirements(subject: Subject) -> Iterator[findings.Finding]:
    runtime = subject.runtime
    for path in subject.installed("requirements"):
        if runtime is not None and runtime.version < runtimes.REQUIREMENTS_BEGIN:
            yield findings.warning(
                f"{runtime} may not install a requirements file ({path}): they begin with "
                f"{runtimes.REQUIREMENTS_BEGIN}",
                where=subject.place_of("libraries"),
                cure="list its lines as pypi libraries",
                basis="assumed",
                source=findings.CLUSTERS,
            )


def check_schemes(subject: Subject) -> Iterator[findings.Finding]:
    """Databricks refuses such a library late: the run fails, not the submit. A Spark job's go to pip instead."""
    for uri in subject.installed():
        if not subject.is_ours(uri) and not uri.startswith(SCHEMES):
            yield findings.error(
                f"no library can be installed from {uri}",
                where=subject.place_of_value(uri),
                cure=_respell(uri),
                basis="documented",
                source=LIBRARY_URIS,
            )


def _respell(uri: str) -> str:
    if uri.startswith(uris.FUSE):
        return f"write {uris.from_cluster(uri)}"
    return f"write a URI that begins with one of {', '.join(SCHEMES)}"


def check_wheel_packages(subject: Subject) -> Iterator[findings.Finding]:
    """A wheel's path in the place of a package's name: pip itself takes it, Databricks promises nothing."""
    for package in subject.packages():
        if subject.wheel_path(package) is not None and not subject.is_spark_job:
            yield findings.warning(
                f'whether Databricks installs {{"pypi": {{"package": "{package}"}}}}, a wheel\'s path, is not known',
                where=subject.place_of_value(package),
                cure='write {"whl": ...} instead',
                basis="assumed",
                source=findings.UNTRIED,
            )
    if subject.project is None or subject.project.spark_job is None or not subject.uses_mlflow_backend:
        return
    listed = [line for line in subject.project.spark_job.python_libraries if subject.wheel_path(line) is not None]
    if paths := listed or _moved(subject):
        yield findings.note(
            f"whether Databricks installs {', '.join(paths)} for a Spark job, by path as a PyPI package, is not known",
            where=subject.place_of_library(paths[0]),
            cure="try it once with a small job",
            basis="assumed",
            source=findings.UNTRIED,
        )


def check_spark_job_kinds(subject: Subject) -> Iterator[findings.Finding]:
    """MLflow hands a Spark job's libraries to pip alone, by their names."""
    listed = subject.cluster.libraries if subject.cluster is not None and subject.is_spark_job else ()
    for library in listed if subject.uses_mlflow_backend else ():
        kinds = sorted(library.keys() - {"whl", "pypi"})
        pypi = library.get("pypi")
        repository = pypi.get("repo") if isinstance(pypi, Mapping) else None
        if kinds or repository:
            lost = f"the {kinds[0]} library" if kinds else f"the index {repository}"
            yield findings.warning(
                f"{lost} of the cluster spec is lost: MLflow installs a Spark job's python_libraries alone, from "
                "pip's own index",
                where=subject.place_of("libraries"),
                cure="install it by an init script, or leave it out",
                basis="seen",
                source=findings.MLFLOW_BACKEND,
            )


def check_spark_job_dbfs(subject: Subject) -> Iterator[findings.Finding]:
    """A Spark job's wheel is no library from DBFS by its form, but lies where those are switched off."""
    runtime = subject.runtime
    if runtime is None or runtime.version < runtimes.DBFS_LIBRARIES_END or not subject.is_spark_job:
        return
    if subject.store_kind == "dbfs" and subject.ships_wheels():
        yield findings.warning(
            f"{runtime} installs no library from DBFS, and whether that holds for a wheel below {subject.wheel_root} "
            "that is named as a python library is not known",
            where="wheel_root",
            cure="set wheel_root to /Volumes/<catalog>/<schema>/<volume>/... or /Workspace/...",
            basis="assumed",
            source=LIBRARIES,
        )


def _moved(subject: Subject) -> list[str]:
    """What patch will bring into python_libraries."""
    if subject.ships_wheels():
        return [subject.placeholder]
    return [each for each in subject.library_uris() if subject.wheel_path(each) is not None]


def check_there(subject: Subject) -> Iterator[findings.Finding]:
    """Wheels that somebody else has to have put there: a missing one ends a run late, and says little."""
    has_file = subject.ask.has_file
    if has_file is None:
        return
    for name, where in _named_wheels(subject):
        path = subject.wheel_path(name) or ""
        if not subject.is_ours(name) and path.startswith(SEEN) and not has_file(path):
            yield findings.error(
                f"there is no {path} in the workspace",
                where=where,
                cure="add its library to the setting `libraries`, or correct the path",
                basis="seen",
                source=findings.WORKSPACE,
            )


def _named_wheels(subject: Subject) -> Iterator[tuple[str, str]]:
    yield from ((uri, subject.place_of_value(uri)) for uri in [*subject.library_uris(), *subject.packages()])
    if subject.environment is not None:
        yield from ((line, subject.place_of_requirement(line)) for line in subject.environment.pip)
    if subject.project is not None and subject.project.spark_job is not None:
        yield from ((line, subject.place_of_library(line)) for line in subject.project.spark_job.python_libraries)


def check_fixed(subject: Subject) -> Iterator[findings.Finding]:
    """A wheel's own path where a placeholder could stand: patch repoints it, but only while its name is ours."""
    for name, where in _named_wheels(subject):
        if subject.is_ours(name) and subject.placeholder not in name:
            yield findings.note(
                f"{name} is a fixed path: patch points it at the wheel that was deployed, and without patch it stays "
                "whatever lies there",
                where=where,
                cure=f"nothing, or write {subject.placeholder} in its place",
                basis="seen",
                source=PATCH,
            )

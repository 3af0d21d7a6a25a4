"""Checks of the libraries that a cluster installs: their kinds, and the places that they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlops_tasks.doctor import cures, findings
from mlops_tasks.doctor.subject import Subject
from mlops_tasks.stores import uris
from mlops_tasks.workspace import runtimes

CLI_WHEELS = findings.Evidence("seen", "github.com/databricks/cli: bundle/trampoline/python_dbr_warning.go")
LIBRARIES = findings.Evidence("documented", "https://docs.databricks.com/libraries.html")
LIBRARY_URIS = findings.Evidence("documented", "https://github.com/dagster-io/dagster/issues/21326")

SCHEMES = (uris.DBFS, "file:", "s3:", "abfss:", "gs:", "wasbs:", uris.VOLUMES, uris.WORKSPACE)
"""The beginnings of a URI from which Databricks installs a wheel."""


def check_dbfs(subject: Subject) -> Iterator[findings.Finding]:
    runtime = subject.runtime
    if runtime is None or runtime.version < runtimes.DBFS_LIBRARIES_END:
        return
    jars = ((uri, subject.place_of_library(uri)) for uri in subject.installed("jar"))
    for uri, where in [*subject.cluster_wheels(), *jars]:
        if uri.startswith(uris.DBFS):
            yield LIBRARIES.assumed(when=runtime.version == runtimes.DBFS_LIBRARIES_END).error(
                f"{runtime} installs no library from DBFS ({uri}): runtime 14.3 is the last that does",
                where=where,
                cure=cures.keep_off_dbfs(subject, uri),
            )


def check_workspace_wheels(subject: Subject) -> Iterator[findings.Finding]:
    runtime = subject.runtime
    if runtime is None or runtime.version >= runtimes.WORKSPACE_WHEELS_BEGIN:
        return
    for uri, where in subject.cluster_wheels():
        if uri.startswith(uris.WORKSPACE):
            yield CLI_WHEELS.error(
                f"{runtime} installs no library from workspace files ({uri}): that needs runtime "
                f"{runtimes.WORKSPACE_WHEELS_BEGIN} or newer",
                where=where,
                cure=f"{cures.keep_on_dbfs(subject, uri)}, or {cures.move(subject)}",
            )


def check_eggs(subject: Subject) -> Iterator[findings.Finding]:
    runtime = subject.runtime
    if runtime is None or runtime.version < runtimes.EGGS_END:
        return
    for uri in subject.installed("egg"):
        yield findings.CLUSTERS.error(
            f"{runtime} installs no eggs ({uri})", where=subject.place_of_library(uri), cure="build a wheel instead"
        )


def check_requirements(subject: Subject) -> Iterator[findings.Finding]:
    runtime = subject.runtime
    if runtime is None or runtime.version >= runtimes.REQUIREMENTS_BEGIN:
        return
    for path in subject.installed("requirements"):
        yield findings.CLUSTERS.assumed().warning(
            f"{runtime} may not install a requirements file ({path}): that needs runtime "
            f"{runtimes.REQUIREMENTS_BEGIN} or newer",
            where=subject.place_of("libraries"),
            cure="list its lines as pypi libraries",
        )


def check_schemes(subject: Subject) -> Iterator[findings.Finding]:
    """Databricks accepts such a library and fails the run later. A Spark job's libraries go to pip instead."""
    for uri in subject.installed():
        if not subject.is_ours(uri) and not uri.startswith(SCHEMES):
            yield LIBRARY_URIS.error(
                f"no library can be installed from {uri}",
                where=subject.place_of_library(uri),
                cure=f"write {uris.from_cluster(uri)}"
                if uri.startswith(uris.FUSE)
                else f"write a URI that begins with one of {', '.join(SCHEMES)}",
            )


def check_wheel_packages(subject: Subject) -> Iterator[findings.Finding]:
    """A wheel's path in the place of a package's name: pip itself takes it, Databricks promises nothing.

    For a Spark job patch adds to python_libraries the wheels that the cluster spec names.
    """
    for package in subject.packages if subject.sends_libraries else ():
        is_ours = subject.is_ours(package)
        if (subject.wheel_path(package) is not None or is_ours) and (subject.uses_mlflow_backend or not is_ours):
            yield findings.UNTRIED.warning(
                f'it is not known whether Databricks installs {{"pypi": {{"package": "{package}"}}}}, a wheel\'s path',
                where=subject.place_of_library(package),
                cure=f'write {{"whl": "{package}"}} instead{_placing(subject)}',
            )
    if not subject.is_spark_job or not subject.uses_mlflow_backend:
        return
    paths = [line for line in subject.python_libraries if subject.wheel_path(line) is not None]
    if not paths and subject.ships_wheels:
        paths = [subject.placeholder]
    if not paths:
        paths = [uri for uri in subject.library_uris() if subject.wheel_path(uri) is not None]
    if paths:
        yield findings.UNTRIED.note(
            f"it is not known whether Databricks installs {', '.join(paths)} for a Spark job: a path in the place of "
            "a PyPI package",
            where=subject.place_of_python_library(paths[0]),
            cure="try it once with a small job",
        )


def check_spark_job_kinds(subject: Subject) -> Iterator[findings.Finding]:
    """MLflow hands a Spark job's libraries to pip by name, and drops all others."""
    listed = subject.cluster.libraries if subject.cluster is not None and subject.is_spark_job else ()
    for library in listed if subject.uses_mlflow_backend else ():
        kinds = sorted(library.keys() - {"whl", "pypi"})
        pypi = library.get("pypi")
        repository = pypi.get("repo") if isinstance(pypi, Mapping) else None
        if kinds or repository:
            lost = f"the {kinds[0]} library" if kinds else f"the index {repository}"
            yield findings.MLFLOW_BACKEND.warning(
                f"{lost} of the cluster spec is lost: MLflow installs only a Spark job's python_libraries, from "
                "pip's own index",
                where=subject.place_of("libraries"),
                cure="install it with an init script, or remove it",
            )


def check_spark_job_dbfs(subject: Subject) -> Iterator[findings.Finding]:
    """A Spark job names its wheel as a PyPI package: whether the end of DBFS libraries includes it is open."""
    runtime = subject.runtime
    if runtime is None or runtime.version < runtimes.DBFS_LIBRARIES_END or not subject.is_spark_job:
        return
    if subject.store_kind == "dbfs" and subject.ships_wheels and subject.uses_mlflow_backend:
        yield LIBRARIES.assumed().warning(
            f"{runtime} installs no library from DBFS, and it is not known whether that includes a Spark job's wheel "
            f"below {subject.wheel_root}",
            where="wheel_root",
            cure=cures.place_wheels(subject),
        )


def check_there(subject: Subject) -> Iterator[findings.Finding]:
    """Wheels of others must be there already: a missing one fails the run late, with a poor message."""
    has_file = subject.ask.has_file
    if has_file is None:
        return
    for name, where in _named_wheels(subject):
        path = subject.wheel_path(name) or ""
        if not subject.is_ours(name) and path.startswith((*uris.REMOTE, uris.FUSE)) and not has_file(path):
            yield findings.WORKSPACE.error(
                f"there is no {path} in the workspace",
                where=where,
                cure="add its library to the setting `libraries`, or correct the path",
            )


def _placing(subject: Subject) -> str:
    """Where the wheel has to be, to be installed as a library of the cluster's."""
    runtime = subject.runtime
    if runtime is not None and subject.store_kind == "dbfs" and runtime.version >= runtimes.DBFS_LIBRARIES_END:
        return f", and {cures.place_wheels(subject)}"
    if runtime is not None and subject.store_kind == "workspace" and runtime.version < runtimes.WORKSPACE_WHEELS_BEGIN:
        return f", and {cures.keep_on_dbfs(subject, subject.wheel_root)}"
    return ""


def _named_wheels(subject: Subject) -> Iterator[tuple[str, str]]:
    yield from ((uri, subject.place_of_library(uri)) for uri in [*subject.library_uris(), *subject.packages])
    if subject.environment is not None:
        yield from ((line, subject.place_of_requirement(line)) for line in subject.environment.pip)
    yield from ((line, subject.place_of_python_library(line)) for line in subject.python_libraries)


def check_fixed(subject: Subject) -> Iterator[findings.Finding]:
    """Patch replaces a wheel's path only while the wheel's name is one of our libraries'."""
    for name, where in _named_wheels(subject):
        if subject.wheel_path(name) is not None and subject.is_ours(name) and subject.placeholder not in name:
            yield findings.PATCH.note(
                f"{name} is a fixed path: patch points it at the wheel that was deployed; without patch the file at "
                "that path is installed",
                where=where,
                cure=f"nothing, or write {subject.placeholder} in its place",
            )

"""What to do, where more than one check says it: with all that follows from it, so that no cure leads to a finding."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from mlops_tasks.backends.databricks_jobs import rules
from mlops_tasks.doctor import fix
from mlops_tasks.doctor.subject import Subject
from mlops_tasks.project import cluster
from mlops_tasks.stores import uris
from mlops_tasks.wheels import fitting
from mlops_tasks.workspace import runtimes

GO_AUTO = f"set `backend: auto`: {rules.BACKEND} runs the project as it is"

PYTHON_ENDS = {
    "2.7": date(2020, 1, 1),
    "3.5": date(2020, 9, 30),
    "3.6": date(2021, 12, 23),
    "3.7": date(2023, 6, 27),
    "3.8": date(2024, 10, 7),
    "3.9": date(2025, 10, 31),
    "3.10": date(2026, 10, 31),
    "3.11": date(2027, 10, 31),
    "3.12": date(2028, 10, 31),
}
"""When each Python gets its last security fix."""


def is_sound(subject: Subject, python: str) -> bool:
    """Whether an environment may ask for that Python without a word from any check of the environment alone."""
    end = PYTHON_ENDS.get(python)
    asking = [each.requires_python for each in subject.wheels]
    asking += [subject.forced_mlflow.requires_python] if subject.forced_mlflow is not None else []
    return (end is None or subject.today <= end) and all(fitting.allows(each, python) for each in asking)


def find_runtime(subject: Subject) -> runtimes.Runtime | None:
    """The nearest runtime with long-term support, from the named one on, that the project runs on once it is mended.

    It has the flavour of the named one. None where there is no such runtime.
    """
    offered = subject.offered_runtimes
    spelt = (runtimes.spell(each, like=subject.spark_version or "") for each in runtimes.LONG_TERM_ENDS)
    known = [runtimes.parse(each) for each in spelt if offered is None or each in offered]
    fitting = [each for each in known if each is not None and suits(subject, each)]
    if subject.runtime is None:
        return fitting[-1] if fitting else None
    later = [each for each in fitting if each.version >= subject.runtime.version]
    return next(iter(later or fitting[-1:]), None)


def move(subject: Subject, *, to: runtimes.Runtime | None = None) -> str:
    """What makes the project run on runtime `to`, else on the nearest with long-term support.

    That our own backend runs it as it is comes before a rewrite.
    """
    runtime = to or find_runtime(subject)
    if runtime is None:
        return "ask for a runtime with long-term support that fits (`databricks clusters spark-versions` lists them)"
    rewritten = subject.is_classic and subject.uses_mlflow_backend and not subject.is_chosen
    ways = [_stay(subject, runtime), *([_rewrite(subject, runtime)] if rewritten else [])]
    return ", or ".join(", and ".join(way) for way in ways)


def renew_python(subject: Subject) -> str:
    """Which Python the environment should ask for, or where it has one that it may ask for."""
    runtime = subject.runtime
    if runtime is None or not runtime.is_known:
        newest = next((each for each in reversed(PYTHON_ENDS) if is_sound(subject, each)), [*PYTHON_ENDS][-1])
        return f"ask for a newer one: python={newest}"
    if runtime.python is not None and is_sound(subject, runtime.python):
        return f"ask for python={runtime.python}, the runtime's own"
    return move(subject)


def renew_runtime(subject: Subject) -> runtimes.Runtime | None:
    """The runtime to choose where the one that the spec names is none, or has no support any more."""
    named, old = subject.spark_version, subject.runtime
    is_gone = named is not None and (runtimes.find_fault(named) or (old is not None and old.has_ended(subject.today)))
    return find_runtime(subject) if is_gone else None


def write_spark_job(subject: Subject) -> str:
    """How the project becomes a Spark job, with the reasons why it cannot become one as it is."""
    reasons = fix.find_obstacles(subject.project, subject.cluster) if subject.project is not None else []
    once = f" once this is fixed: {'; '.join(reasons)}" if reasons else ""
    return f"write the project as a Spark job (`inv doctor --fix`{once})"


def place_wheels(subject: Subject) -> str:
    """A place that runtimes without DBFS libraries install from."""
    volume = "" if subject.lacks_catalog else ", or to a volume (/Volumes/<catalog>/<schema>/<volume>/...)"
    return f"set wheel_root to /Workspace/Shared/wheels{volume}"


def keep_off_dbfs(subject: Subject, uri: str) -> str:
    """Another place for the library at `uri`; our own wheels' is the wheel root's."""
    if uri == subject.wheel_root:
        return place_wheels(subject)
    return f"put it among the workspace's files, and write /Workspace/Shared/{uri.rpartition('/')[2]} there"


def keep_on_dbfs(subject: Subject, uri: str) -> str:
    if uri == subject.wheel_root:
        return "set wheel_root to dbfs:/wheels"
    return f"put it on DBFS, and write dbfs:/libs/{uri.rpartition('/')[2]} there"


def _stay(subject: Subject, runtime: runtimes.Runtime) -> Iterator[str]:
    """The steps that make the project run there as it is."""
    becomes_ours = subject.uses_mlflow_backend and (subject.is_classic or subject.is_chosen)
    if runtime.name != subject.spark_version:
        follows = f" ({rules.BACKEND} runs the project there as it is)" if becomes_ours and subject.is_chosen else ""
        yield f"set spark_version to {runtime.name}{follows}"
    if becomes_ours and not subject.is_chosen:
        yield GO_AUTO
    yield from _renew_mode(subject)
    is_ours = becomes_ours or not subject.uses_mlflow_backend
    ships = bool(subject.ours) if is_ours else subject.ships_wheels
    if subject.has_root and subject.store_kind == "dbfs":
        is_shut = runtime.version >= runtimes.DBFS_LIBRARIES_END and ships
        lacks_mount = is_ours and subject.access_mode in cluster.STANDARD
        if is_shut or lacks_mount:
            yield "set wheel_root to /Workspace/Shared/wheels"
    for kind in ("whl", "jar"):
        for uri in subject.library_uris(kind) if is_ours or not subject.is_spark_job else ():
            is_theirs = uri.startswith(uris.DBFS) and not subject.is_ours(uri)
            if is_theirs and runtime.version >= runtimes.DBFS_LIBRARIES_END:
                yield keep_off_dbfs(subject, uri)
    if becomes_ours and subject.existing_cluster is not None:
        yield "remove existing_cluster_id"


def _rewrite(subject: Subject, runtime: runtimes.Runtime) -> Iterator[str]:
    """The steps that make a classic project run there by MLflow's own backend."""
    if runtime.name != subject.spark_version:
        yield f"set spark_version to {runtime.name}"
    yield write_spark_job(subject)
    yield from _renew_mode(subject)
    becomes_theirs = subject.names_wheels or subject.lacks_wheels
    is_shut = subject.store_kind == "dbfs" and runtime.version >= runtimes.DBFS_LIBRARIES_END
    if (becomes_theirs or subject.ships_wheels) and is_shut:
        yield "set wheel_root to /Workspace/Shared/wheels"


def _renew_mode(subject: Subject) -> Iterator[str]:
    old = subject.runtime
    if old is not None and old.version < runtimes.VOLUMES_BEGIN and subject.lacks_catalog and subject.reads_volumes:
        yield "set data_security_mode to SINGLE_USER"


def suits(subject: Subject, runtime: runtimes.Runtime) -> bool:
    """Whether it is supported today, and its Python fits the wheels."""
    python = runtime.python
    if python is None or runtime.has_ended(subject.today):
        return False
    return all(fitting.allows(each.requires_python, python) for each in subject.wheels)

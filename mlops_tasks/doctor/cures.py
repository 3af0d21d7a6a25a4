"""What to do, where more than one check says it: with all that follows from it, so that no cure leads to a finding."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from mlops_tasks.doctor import fix
from mlops_tasks.doctor.subject import Subject
from mlops_tasks.stores import uris
from mlops_tasks.wheels import fitting
from mlops_tasks.workspace import runtimes

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
    """What makes the project run on runtime `to`, else on the nearest with long-term support."""
    runtime = to or find_runtime(subject)
    if runtime is None:
        return "ask for a runtime with long-term support that fits (`databricks clusters spark-versions` lists them)"
    return ", and ".join(_steps(subject, runtime))


def renew_python(subject: Subject) -> str:
    """Which Python the environment should ask for, or where it has one that it may ask for."""
    runtime = subject.runtime
    if runtime is None or not runtime.is_known:
        newest = next((each for each in reversed(PYTHON_ENDS) if is_sound(subject, each)), [*PYTHON_ENDS][-1])
        return f"ask for a newer one: python={newest}"
    if runtime.python is not None and is_sound(subject, runtime.python):
        return f"ask for python={runtime.python}, the runtime's own"
    return move(subject)


def offer_runtime(subject: Subject) -> Iterator[str]:
    """The runtime to choose for a project that is rewritten anyhow, where its own has ended."""
    old, new = subject.runtime, find_runtime(subject)
    if old is not None and new is not None and old.has_ended(subject.today):
        yield f"{old} has no support any more: {new.name} is the nearest with long-term support"


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


def _steps(subject: Subject, runtime: runtimes.Runtime) -> Iterator[str]:
    if runtime.name != subject.spark_version:
        yield f"set spark_version to {runtime.name}"
    becomes_job = subject.is_classic and subject.uses_mlflow_backend
    if becomes_job:
        yield write_spark_job(subject)
    elif subject.is_classic and subject.python not in {None, runtime.python}:
        yield f"ask for python={runtime.python}"
    old = subject.runtime
    if old is not None and old.version < runtimes.VOLUMES_BEGIN and subject.lacks_catalog and subject.reads_volumes:
        yield "set data_security_mode to SINGLE_USER"
    becomes_theirs = becomes_job and (subject.names_wheels or subject.lacks_wheels)
    installs = becomes_theirs or subject.ships_wheels
    if installs and subject.store_kind == "dbfs" and runtime.version >= runtimes.DBFS_LIBRARIES_END:
        yield "set wheel_root to /Workspace/Shared/wheels"
    for uri in () if becomes_job else [*subject.installed("whl"), *subject.installed("jar")]:
        if uri.startswith(uris.DBFS) and not subject.is_ours(uri) and runtime.version >= runtimes.DBFS_LIBRARIES_END:
            yield keep_off_dbfs(subject, uri)


def suits(subject: Subject, runtime: runtimes.Runtime) -> bool:
    """Whether it is supported today, and its Python fits the wheels, or the environment that then asks for it."""
    python = runtime.python
    if python is None or runtime.has_ended(subject.today):
        return False
    stays_classic = subject.is_classic and not subject.uses_mlflow_backend
    return is_sound(subject, python) if stays_classic else _fits_wheels(subject, python)


def _fits_wheels(subject: Subject, python: str) -> bool:
    return all(fitting.allows(each.requires_python, python) for each in subject.wheels)

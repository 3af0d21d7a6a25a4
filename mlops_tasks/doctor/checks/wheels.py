"""Checks of the built wheels: they install where the project needs them, and pip replaces older ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from mlops_tasks.doctor import cures, findings
from mlops_tasks.doctor.subject import Subject
from mlops_tasks.wheels import fitting, syntax
from mlops_tasks.workspace.runtimes import Basis

PIP = findings.Evidence("seen", "pip: `already installed with the same version`")
WHEEL_TAGS = findings.Evidence("documented", "https://packaging.python.org/specifications/platform-compatibility-tags/")

COMPILER = findings.Evidence("seen", "Python's own compiler")


_CHOOSE = "choose a cluster or an environment of that Python"


class _Place(NamedTuple):
    """Where wheels are installed: the Pythons that it may have, of `whom`, and what in the project decides that."""

    pythons: tuple[str, ...]
    said: str
    whom: str
    where: str
    cure: str
    basis: Basis


def check_requires_python(subject: Subject) -> Iterator[findings.Finding]:
    for wheel, place in product(subject.wheels, _places(subject)):
        if not any(fitting.allows(wheel.requires_python, each) for each in place.pythons):
            yield findings.RUNTIMES._replace(basis=place.basis).error(
                f"{wheel.file_name} needs Python {wheel.requires_python}, and {place.whom} has {place.said}",
                where=place.where,
                cure=f"widen requires-python of {wheel.distribution}, or {place.cure}",
            )


def check_tags(subject: Subject) -> Iterator[findings.Finding]:
    for wheel, place in product(subject.wheels, _places(subject)):
        if not any(fitting.fits(wheel.tags, each) for each in place.pythons):
            yield WHEEL_TAGS._replace(basis=place.basis).error(
                f"{wheel.file_name} does not install in {place.whom} (Linux, Python {place.said})",
                where=place.where,
                cure=f"build {wheel.distribution} without compiled code, or on Linux with Python {place.pythons[-1]}",
            )


def check_compiles(subject: Subject) -> Iterator[findings.Finding]:
    """Modules that the cluster's Python cannot compile; what is newer than the Python here may only seem wrong."""
    pythons = {syntax.parse(place.pythons[-1]): place.whom for place in _places(subject)}
    asked = {version: whose for version, whose in pythons.items() if version <= syntax.RUNNING}
    for wheel, (version, whose) in product(subject.wheels, (asked or {syntax.RUNNING: "Python here"}).items()):
        fault = syntax.find_fault(wheel.path, version) if wheel.path is not None else None
        if fault is not None:
            judge = COMPILER.error if asked else COMPILER.warning
            python = ".".join(map(str, version))
            yield judge(
                f"{wheel.file_name} has a module that Python {python} ({whose}) cannot compile: {fault.what}",
                where=fault.find_place(wheel.library),
                cure="correct it, then `inv build-wheel`",
            )


def check_version_moves(subject: Subject) -> Iterator[findings.Finding]:
    """Pip keeps an installed wheel of the same version, even with `--upgrade`."""
    if subject.existing_cluster is None or not subject.uses_mlflow_backend:
        return  # our own backend installs nothing on such a cluster that stays there
    for wheel in subject.wheels:
        if "+" not in wheel.version:
            moved = f"{wheel.version}+g{(subject.commit or '<commit>')[:12]}"
            yield PIP.warning(
                f"an existing cluster keeps the {wheel.distribution} {wheel.version} that it has: pip does not install "
                "a new wheel of the same version, not even with --upgrade",
                where=subject.place_of("existing_cluster_id"),
                cure=f"set `local_version: true` (versions such as {moved} change with the code), or use a new cluster",
            )


def _places(subject: Subject) -> Iterator[_Place]:
    there = subject.there
    if there is not None:
        if there.pythons:
            decides = {"new": "spark_version", "existing": "existing_cluster_id"}.get(there.kind, "environments")
            cure = cures.move(subject) if there.kind == "new" and not there.has_environment else _CHOOSE
            basis = there.runtime.python_basis if there.runtime is not None else "documented"
            yield _Place(there.pythons, " or ".join(there.pythons), str(there), there.place_of(decides), cure, basis)
        return
    found, asked = subject.runtime, subject.python
    if found is not None and found.is_known and subject.ships_wheels:
        said, where = found.python_said, subject.place_of("spark_version")
        yield _Place(found.pythons, said, f"the cluster ({found})", where, cures.move(subject), found.python_basis)
    if asked is not None and subject.is_classic:
        where, cure = subject.place_of_python(), cures.renew_python(subject)
        yield _Place((asked,), asked, "the project's environment", where, cure, "documented")

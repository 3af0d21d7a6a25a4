"""What a run's compute installs: the project's requirements as they travel there, and our own wheels after them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging import utils
from packaging.requirements import Requirement

from mlops_tasks import errors
from mlops_tasks.backends.databricks_jobs import compute as computes
from mlops_tasks.backends.databricks_jobs import rules
from mlops_tasks.project import cluster, environment, mlproject, requirements
from mlops_tasks.project.requirements import Line
from mlops_tasks.release import Deployed
from mlops_tasks.stores import uris
from mlops_tasks.tracking import bounds
from mlops_tasks.wheels import fitting, metadata
from mlops_tasks.workspace import runtimes

SPARK = {"pyspark", "databricks-connect"}
_NO_PLACEHOLDER = "\0"
_CONSTRAINT = "-c "
_EDITABLE = re.compile(r"(?:-e|--editable)(?:\s*=\s*|\s+)(?P<value>[a-z]+\+\S+)")
_WEB = ("https:", "http:")
_OPTION_AFTER = re.compile(r"\s--\w")
_VARIABLE = re.compile(r"\$\{\w+\}")


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """`lines` are requirements without our own wheels; a path in them is one of the workspace.

    `wheels` are ours, each after those that it needs, and `extras` what the project asks for with them, by their
    normalised names. `libraries` are those of the cluster spec that travel as they are. `said` has a sentence on each
    thing that does not travel, or arrives as another.
    """

    lines: tuple[str, ...]
    wheels: tuple[Deployed, ...]
    extras: Mapping[str, str]
    libraries: tuple[Mapping[str, Any], ...]
    said: tuple[str, ...]

    @property
    def are_hashed(self) -> bool:
        """Whether pip will want the hash of everything that it installs with these lines."""
        return any("--hash" in line or line == "--require-hashes" for line in self.lines)


def read(
    project: mlproject.Project,
    there: computes.Compute,
    *,
    sources: Path,
    wheels: Sequence[Deployed],
    client: bounds.Client | None,
    files: Mapping[str, Path] | None = None,
    workers: bool = False,
) -> Dependencies:
    """What `there` installs for the staged `project` and the deployed `wheels`, which come in dependency order.

    `sources` is the folder that the project was staged from: errors name its files. `client` is the MLflow that is
    installed here. `files` has the wheels' files on this machine by normalised name, where they are known. Raises
    BadInput for what the run could not work without.
    """
    names = frozenset(utils.canonicalize_name(each.distribution) for each in wheels)
    found, faults = look(project, there, sources=sources, ours=names, client=client)
    for fault in (*find_unfit(wheels, there, files=files or {}, workers=workers), *faults):
        raise fault
    return replace(found, wheels=tuple(wheels))


def look(
    project: mlproject.Project,
    there: computes.Compute,
    *,
    sources: Path,
    ours: Collection[str],
    client: bounds.Client | None,
    is_replaced: Callable[[str], bool] = lambda _: False,
) -> tuple[Dependencies, list[errors.BadInput]]:
    """What `there` installs beside the wheels of the distributions `ours`, and a fault for each line that cannot be.

    Of a project that is not patched yet, `is_replaced` tells the lines that will name such a wheel.
    """
    reading = _Reading(there=there, rule=computes.find_rule(there), ours=frozenset(ours))
    with _own_places(project.folder, sources):
        asked, source = environment.read(project)
        expanded = [_own(line, project.folder, sources) for line in requirements.expand(asked.pip, source)]
    own_source = sources / os.path.relpath(source, project.folder)
    reading.compare_python(asked, own_source)
    listed = [Line(text, there.source or own_source) for text in there.lines]
    listed += reading.translate(asked, own_source)
    lines = reading.travel(each for each in [*listed, *expanded] if not is_replaced(each.text))
    libraries = [each for each in there.libraries if not reading.is_ours(each)]
    lines += reading.add_mlflow(lines, libraries, client)
    found = Dependencies(
        lines=tuple(dict.fromkeys(lines)),
        wheels=(),
        extras=reading.extras,
        libraries=tuple(libraries),
        said=tuple(dict.fromkeys(reading.said)),
    )
    return found, reading.faults


@contextlib.contextmanager
def _own_places(folder: Path, sources: Path) -> Iterator[None]:
    """What is refused in the staged `folder` is so in the user's own file, which an error names."""
    try:
        yield
    except errors.BadInput as fault:
        where = fault.where.replace(f"{folder}/", f"{sources}/")
        raise errors.BadInput(fault.what, where=where, cure=fault.cure) from fault


def _own(line: Line, folder: Path, sources: Path) -> Line:
    """The same line in the user's own file, of which the one in the staged `folder` is a copy."""

    def move(path: Path) -> Path:
        own = sources / os.path.relpath(path, folder)
        return own if own.is_file() or not path.is_file() else path

    limits = _constraints_of(line)
    return Line(line.text if limits is None else f"{_CONSTRAINT}{move(limits)}", move(line.source))


def _constraints_of(line: Line) -> Path | None:
    """The file of constraints that `line` names; one at a URL stays for pip."""
    path = Path(line.text.removeprefix(_CONSTRAINT))
    return path if line.text.startswith(_CONSTRAINT) and path.is_absolute() else None


class _Reading:
    """One reading of a project's requirements, which collects what there is to say."""

    def __init__(self, *, there: computes.Compute, rule: rules.Rule, ours: frozenset[str]) -> None:
        self.there, self.rule, self.ours = there, rule, ours
        self.said: list[str] = []
        self.faults: list[errors.BadInput] = []
        self.extras: dict[str, str] = {}

    def compare_python(self, asked: environment.Environment, source: Path) -> None:
        python, pythons = asked.python, self.there.pythons
        if python is None or any(python.minor == each or python.allows(f"{each}.99") for each in pythons):
            return
        has = f"has {' or '.join(pythons)}" if pythons else "has its own, which is not known here"
        self.said.append(f"{source.name} asks for Python {python.asked}, and {self.there} {has}")

    def translate(self, asked: environment.Environment, source: Path) -> list[Line]:
        """The conda packages as requirements for PyPI; those that it cannot have are left out."""
        packages, others = environment.split(asked)
        for each, why in others:
            self.said.append(f"{each} ({Line(each, source).place}) is left out: {why}")
        if packages:
            self.said.append(f"conda packages are taken from PyPI, whatever the channels: {', '.join(packages)}")
        return [Line(each, source) for each in packages]

    def travel(self, listed: Iterable[Line]) -> list[str]:
        lines: list[str] = []
        limits: list[Line] = []
        for line in listed:
            path = _constraints_of(line)
            if path is not None:
                limits += requirements.expand([f"-r {path}"], path)
                continue
            try:
                lines += self._travel(line)
            except errors.BadInput as fault:
                self.faults.append(fault)
        return self._limit(lines, limits)

    def is_ours(self, library: Mapping[str, Any]) -> bool:
        """Whether a library of the cluster spec is one of our wheels, which travel by themselves."""
        parts = (requirements.read_wheel(each, placeholder=_NO_PLACEHOLDER) for each in computes.texts_in(library))
        return any(each is not None and each.distribution in self.ours for each in parts)

    def _travel(self, line: Line) -> Iterator[str]:
        """The line as it is installed there: none for our own wheels, and for what the compute has in any case."""
        text = requirements.without_comment(line.text)
        parts = requirements.read_wheel(text, placeholder=_NO_PLACEHOLDER)
        if parts is not None and parts.distribution in self.ours:
            if parts.extras:
                self._keep_extras(parts, line)
            return
        if parts is not None:
            text = text.replace(parts.path, uris.to_cluster(uris.from_cluster(parts.path)))
        text = self._as_installed(requirements.located(line._replace(text=text), base=line.source.parent))
        found = requirements.parse(text)
        if found is not None and found.name in SPARK and self.rule.requirements in {"dependencies", "driver"}:
            self.said.append(f"{text} is left out: {self.there} has a Spark of its own, which another would break")
            return
        self._check_places(text, parts, line)
        for variable in _VARIABLE.findall(text):
            self.said.append(f"{variable} ({line.place}) is read there, where it must be set too")
        if text:
            yield text if self.rule.requirements != "pypi" or parts is not None else self._as_package(text, found, line)

    def _keep_extras(self, parts: requirements.WheelEntry, line: Line) -> None:
        self.extras[parts.distribution] = parts.extras
        if self.rule.wheels != "dependencies":
            self.said.append(
                f"{parts.distribution}[{parts.extras}] ({line.place}): extras do not travel to {self.there}; what they "
                "need has to be among the project's requirements"
            )

    def _as_installed(self, text: str) -> str:
        editable = _EDITABLE.fullmatch(text)
        if editable is None:
            return text
        self.said.append(f"{text} is installed as it is, and not as editable: a job's kernel would not find it")
        return editable["value"]

    def _check_places(self, text: str, parts: requirements.WheelEntry | None, line: Line) -> None:
        here = requirements.find_paths_here(text)
        if here:
            is_place = text.startswith(("-f", "--find-links", "-i", "--index-url", "--extra-index-url"))
            raise errors.BadInput(
                f"{line.text} is a place on this machine: {self.there} cannot install from it",
                where=line.place,
                cure="put the wheels into a volume, and name their URIs"
                if is_place
                else "name that library's folder in the setting `libraries`, which makes a wheel of it",
            )
        place = uris.from_cluster(parts.path) if parts is not None else ""
        is_alien = uris.kind_of(place) == "folder" and uris.has_scheme(place) and not place.startswith(_WEB)
        if is_alien or not installs_from(place, self.there):
            raise errors.BadInput(
                f"{self.there} installs nothing from {'there' if is_alien else 'DBFS'}: {place}",
                where=line.place,
                cure=f"put that wheel into a volume or among the workspace's files ({uris.WORKSPACE}Shared/...), and "
                "name that",
            )

    def _as_package(self, text: str, found: Requirement | None, line: Line) -> str:
        """The line as one that a `pypi` library can hold."""
        if text.startswith("-") or _OPTION_AFTER.search(text):
            raise errors.BadInput(
                f"{self.there} takes one package a line, and none of pip's options: {text}",
                where=line.place,
                cure=f"set spark_version to {runtimes.spell([*runtimes.LONG_TERM_ENDS][-1])}, say (runtimes from "
                f"{runtimes.REQUIREMENTS_BEGIN.major} on take a whole file of requirements), or take the option out",
            )
        if found is None or found.marker is None or not self.there.pythons:
            return text
        python = self.there.pythons[-1]
        known = {"python_version": python, "python_full_version": f"{python}.99", "sys_platform": "linux"}
        known |= {"platform_system": "Linux", "os_name": "posix", "implementation_name": "cpython", "extra": ""}
        holds = found.marker.evaluate(known | {"platform_python_implementation": "CPython"})
        return text.partition(";")[0].strip() if holds else ""

    def _limit(self, lines: list[str], limits: Sequence[Line]) -> list[str]:
        """The lines with the versions that constraint files allow of the packages that they name."""
        allowed: dict[str, Requirement] = {}
        for limit in limits:
            found = requirements.parse(limit.text)
            if found is None or found.marker is not None or found.url:
                self.said.append(f"the constraint {limit.text} ({limit.place}) is left out: only versions travel")
            elif found.name in allowed:
                allowed[found.name].specifier &= found.specifier
            else:
                allowed[found.name] = found
        limited = [_narrow(line, allowed) for line in lines if line]
        named = {found.name for line in lines if (found := requirements.parse(line)) is not None}
        idle = sorted(allowed.keys() - named)
        if idle:
            self.said.append(
                f"constraints on packages that the project does not ask for are left out: {', '.join(idle)}"
            )
        return limited

    def add_mlflow(
        self, lines: Iterable[str], libraries: Iterable[Mapping[str, Any]], client: bounds.Client | None
    ) -> list[str]:
        """The line of an MLflow, where neither the compute nor the project brings one."""
        brings = self.there.brings_mlflow
        packages = [each["pypi"].get("package") for each in libraries if isinstance(each.get("pypi"), Mapping)]
        if brings or any(_is_mlflow(str(each)) for each in [*lines, *packages]):
            return []
        if brings is None:
            self.said.append(f"no MLflow is added: whether {self.there} has one is not known; it needs one")
            return []
        if any("--hash" in line for line in lines):
            self.said.append(f"no MLflow is added to requirements with hashes, and {self.there} has none: list one")
            return []
        fits = client is not None and any(fitting.allows(client.requires_python, each) for each in self.there.pythons)
        added = f"mlflow-skinny=={client.version}" if client is not None and fits else "mlflow-skinny"
        self.said.append(f"{added} is added: {self.there} has no MLflow, and the project asks for none")
        return [added]


def _narrow(line: str, allowed: Mapping[str, Requirement]) -> str:
    found = requirements.parse(line)
    limit = allowed.get(found.name) if found is not None else None
    if found is None or limit is None or found.url:
        return line
    found.specifier &= limit.specifier
    options = re.search(r" +--\w.*$", line)
    return f"{found}{options[0] if options else ''}"


def _is_mlflow(line: str) -> bool:
    found = requirements.parse(line)
    return (found is not None and found.name in bounds.DISTRIBUTIONS) or (
        "git+" in line and re.search(r"/mlflow(\.git)?(@|#|$)", line) is not None
    )


def installs_from(uri: str, there: computes.Compute) -> bool:
    """Whether what lies at `uri` can be installed: from DBFS up to 14.3, or by the mount of a dedicated cluster."""
    if uris.kind_of(uri) != "dbfs":
        return True
    if there.kind == "existing":
        return there.cluster.get("data_security_mode") not in cluster.STANDARD
    is_old = there.runtime is None or there.runtime.version < runtimes.DBFS_LIBRARIES_END
    return not there.has_environment and is_old


def find_unfit(
    wheels: Sequence[Deployed], there: computes.Compute, *, files: Mapping[str, Path], workers: bool
) -> Iterator[errors.BadInput]:
    """A fault for each reason why one of our own wheels cannot be installed there."""
    decides = "spark_version" if there.kind == "new" else "existing_cluster_id"
    where = "environment_version" if there.has_environment else there.place_of(decides)
    for wheel in wheels:
        name, python = wheel.uri.rpartition("/")[2], " or ".join(there.pythons)
        if not installs_from(wheel.uri, there):
            yield errors.BadInput(
                f"{there} installs nothing from DBFS: {wheel.uri}",
                where="wheel_root",
                cure=f"set wheel_root to {uris.WORKSPACE}Shared/wheels, or to a volume",
            )
        tags = fitting.parse_tags(name)
        if there.pythons and not any(fitting.fits(tags, each) for each in there.pythons):
            yield errors.BadInput(
                f"{name} does not install on {there} (Linux, Python {python})",
                where=where,
                cure=f"build {wheel.distribution} without compiled code, or on Linux with Python {there.pythons[-1]}",
            )
        path = files.get(utils.canonicalize_name(wheel.distribution))
        needs = metadata.read(path).requires_python if path is not None else ""
        if there.pythons and not any(fitting.allows(needs, each) for each in there.pythons):
            yield errors.BadInput(
                f"{name} needs Python {needs}, and {there} has {python}",
                where=where,
                cure=f"widen requires-python of {wheel.distribution}, or choose a runtime or an environment of that "
                "Python",
            )
        if workers:
            yield from find_unsendable(name, there)


def find_unsendable(name: str, there: computes.Compute) -> Iterator[errors.BadInput]:
    """A fault for the wheel called `name` where the workers cannot be sent it."""
    if there.kind == "existing" and not any(each.endswith("-none-any") for each in fitting.parse_tags(name)):
        yield errors.BadInput(
            f"{name} has compiled code, and the workers of an existing cluster are sent pure Python alone",
            where="workers",
            cure="describe a new_cluster, which installs it on its workers, or leave `workers` out",
        )

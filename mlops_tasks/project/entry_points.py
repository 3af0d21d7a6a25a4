"""The parameters of a run, checked against its entry point before anything runs."""

from __future__ import annotations

import decimal
import difflib
import shlex
import string
from collections.abc import Container, Iterable, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from urllib.parse import urlsplit

from mlops_tasks import errors
from mlops_tasks.project import spark_command
from mlops_tasks.project.mlproject import EntryPoint, Parameter, Project

SCRIPTS = {".py", ".sh", ".R"}
TYPES = ("string", "float", "path", "uri")
NUMBERS = {"float", "int", "integer"}
"""MLflow documents `float` alone; of the others it makes a string, and their authors mean numbers."""
EXACT = decimal.Context(prec=100, traps=[])
EXPANDED = set("$`~")
"""A shell changes a word that holds one of these."""
NOWHERE: Mapping[str, str] = MappingProxyType({})


def resolve(
    project: Project, entry_point: str, parameters: Mapping[str, str], *, places: Mapping[str, str] = NOWHERE
) -> Mapping[str, str]:
    """The parameters of a run of `entry_point`: `parameters` completed with the defaults, all as text.

    A script (`train.py`, `check.sh`) takes any parameters; a Spark job runs Python scripts alone. Those that an entry
    point does not declare are passed on after its command, as `mlflow run` does. Raises BadInput for an unknown entry
    point, for a parameter that is probably misspelt, has no value or one of another type, and for a command that
    cannot run. `places` says of parameters that nobody typed where their values stand.
    """
    path = project.folder / project.mlproject
    if project.spark_job is not None and project.spark_job.python_file is not None:
        _check_ignored(project.spark_job.python_file, entry_point, parameters, path)
        _refuse("python_file", spark_command.find_missing(project.spark_job.python_file, project.folder), path)
        return {}
    found = project.entry_points.get(entry_point)
    if found is not None:
        check_command(project, entry_point, found)
        for name in find_undeclared(project, entry_point, parameters):
            if near := find_near(project, entry_point, name, parameters):
                raise errors.BadInput(
                    f"the entry point {entry_point} has no parameter {name!r}; did you mean {near}?",
                    where=path,
                    cure="correct the name, or declare it under the entry point's `parameters:`",
                )
        return _complete(entry_point, found.parameters, parameters, path, places)
    if PurePosixPath(entry_point).suffix in (SCRIPTS if project.spark_job is None else {".py"}):
        if not (project.folder / entry_point).is_file():
            known = _nearest(entry_point, project.entry_points)
            raise errors.BadInput(
                f"{entry_point} is neither an entry point nor a file of the project{known}",
                where=project.folder,
                cure="give an entry point or a file of the project with `--entry-point`",
            )
        return dict(parameters)
    raise errors.BadInput(
        f"there is no entry point {entry_point!r}{_nearest(entry_point, project.entry_points)}",
        where=path,
        cure="give an entry point with `--entry-point`, or a script of the project such as train.py",
    )


def find_undeclared(project: Project, entry_point: str, parameters: Iterable[str]) -> list[str]:
    """Those of `parameters` that `entry_point` does not declare; none of a script, which takes any."""
    if project.spark_job is not None and project.spark_job.python_file is not None:
        return list(parameters)
    found = project.entry_points.get(entry_point)
    return [name for name in parameters if name not in found.parameters] if found is not None else []


def find_near(project: Project, entry_point: str, name: str, given: Container[str]) -> str | None:
    """The declared parameter that `name` is probably a misspelling of, unless it is `given` itself."""
    found = project.entry_points.get(entry_point)
    near = difflib.get_close_matches(name, found.parameters, n=1, cutoff=0.75) if found is not None else []
    return near[0] if near and near[0] not in given else None


def read_as(project: Project, entry_point: str, name: str, value: str) -> str:
    """A text that is the same for all spellings of a value: of a parameter that is a number `1`, `1.0` and `1e0`."""
    found = project.entry_points.get(entry_point)
    declared = found.parameters.get(name) if found is not None else None
    is_number = declared is not None and declared.type in NUMBERS and _is_number(value)
    return str(decimal.Decimal(value.strip()).normalize(EXACT)) if is_number else value


def _check_ignored(python_file: str, entry_point: str, parameters: Mapping[str, str], path: Path) -> None:
    if parameters or entry_point != "main":
        given = ", ".join(parameters) or entry_point
        kept = "write it under databricks_spark_job: parameters" if parameters else "leave `--entry-point` out"
        raise errors.BadInput(
            f"the Spark job always runs {python_file} with the parameters of MLproject: {given} would be ignored",
            where=path,
            cure=f"{kept}, or have entry_points instead of python_file",
        )


def check_command(project: Project, name: str, entry_point: EntryPoint) -> None:
    """Raise BadInput for a command that cannot run, and for a parameter whose type is misspelt.

    Of a classic project's command only `python SCRIPT.py ...` is checked: others may find their program anywhere.
    """
    path, place = project.folder / project.mlproject, f"entry_points: {name}: command"
    if not entry_point.command:
        raise errors.BadInput(f"entry_points: {name} has no command", where=path, cure="give it a `command:` line")
    _check_types(entry_point, f"entry_points: {name}: parameters", path)
    _check_placeholders(entry_point, place, path)
    if project.spark_job is not None:
        _refuse(f"the entry point {name}", spark_command.find_fault(entry_point.command, project.folder), path)
        return
    try:
        words = shlex.split(entry_point.command)
    except ValueError:
        return  # a shell may still be able to read it
    first, script, *_ = [*words, "", ""]
    if first in {"python", "python3"} and script.endswith(".py") and not EXPANDED.intersection(script):
        _refuse(place, spark_command.find_missing(script, project.folder), path)


def _check_types(entry_point: EntryPoint, place: str, path: Path) -> None:
    """Refuse a misspelt type: MLflow takes every type that it does not know for a string."""
    for name, each in entry_point.parameters.items():
        near = difflib.get_close_matches(each.type, TYPES, n=1, cutoff=0.7)
        if near and each.type not in TYPES:
            raise errors.BadInput(
                f"{place}: {name} has the type {each.type!r}; did you mean {near[0]}?",
                where=path,
                cure=f"write one of MLflow's types: {', '.join(TYPES)}",
            )


def _refuse(subject: str, fault: spark_command.Fault | None, path: Path) -> None:
    if fault is not None:
        raise errors.BadInput(f"{subject} {fault.what}", where=path, cure=fault.cure)


def _check_placeholders(entry_point: EntryPoint, place: str, path: Path) -> None:
    """Refuse braces that are no parameter: MLflow formats the command with `str.format`."""
    command, parameters = entry_point.command, entry_point.parameters
    try:
        used = [each for each in string.Formatter().parse(command) if each[1] is not None]
        unknown = [name for _, name, _, _ in used if name not in parameters]
        if not unknown:
            command.format(**dict.fromkeys(parameters, ""))
    except (ValueError, LookupError) as fault:
        raise errors.BadInput(
            f"{place} cannot be formatted: {fault}",
            where=path,
            cure="write a parameter as {name}, and any other brace twice: {{ or }}",
        ) from fault
    if unknown:
        raise errors.BadInput(
            f"{place} uses {{{unknown[0]}}}, which is none of its parameters",
            where=path,
            cure="declare it under the entry point's `parameters:`, or write each brace twice: {{ or }}",
        )
    formed = [name for _, name, spec, way in used if name and (spec or way) and parameters[name].type == "path"]
    if formed:
        raise errors.BadInput(
            f"{place} formats the path {{{formed[0]}}}: a path must stay as it is",
            where=path,
            cure=f"write {{{formed[0]}}} alone",
        )


def _complete(
    entry_point: str,
    declared: Mapping[str, Parameter],
    given: Mapping[str, str],
    path: Path,
    places: Mapping[str, str],
) -> Mapping[str, str]:
    missing = [name for name, each in declared.items() if name not in given and each.default is None]
    if missing:
        raise errors.BadInput(
            f"the entry point {entry_point} needs a value for: {', '.join(missing)}",
            where=path,
            cure="pass " + " ".join(f"-P {name}=..." for name in missing),
        )
    values = {name: given.get(name, each.default or "") for name, each in declared.items()}
    for name, value in values.items():
        place = places.get(name, "") if name in given else ""
        _check_uri(name, value, declared[name].type, path, place)
        if name in given:
            _check_number(name, value, declared[name], path, place)
    return {**values, **{name: value for name, value in given.items() if name not in declared}}


def _check_number(name: str, value: str, declared: Parameter, path: Path, place: str) -> None:
    """Refuse a value that is no number where the type is one, but for a type that the default itself does not keep."""
    is_kept = declared.default is None or _is_number(declared.default)
    if declared.type in NUMBERS and is_kept and not _is_number(value):
        raise errors.BadInput(
            f"the parameter {name} is a {declared.type}, and {value!r} is no number",
            where=place or path,
            cure=f"write a number there, or correct its type in {path.name}"
            if place
            else f"pass -P {errors.typed(name)}=NUMBER, or correct its type",
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_uri(name: str, value: str, kind: str, path: Path, place: str) -> None:
    """Refuse a parameter of type uri without a scheme, as MLflow does."""
    try:
        is_uri = kind not in {"path", "uri"} or bool(urlsplit(value).scheme)
    except ValueError:
        kind, is_uri = "uri", False
    if kind == "uri" and not is_uri:
        raise errors.BadInput(
            f"the parameter {name} is a URI, and {value!r} is none",
            where=place or path,
            cure="write SCHEME://... there" if place else f"pass -P {errors.typed(name)}=SCHEME://...",
        )


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    said = f"; there are: {', '.join(names)}" if names else "; there are none"
    return f"{said}; did you mean {near[0]}?" if near else said

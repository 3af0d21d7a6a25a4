"""Settings: every setting as one typed value, read once at the door, with all faults in one message."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from mlops_tasks import errors, setting_types

PREFIX = "MLOPS_"
CONFIGURATION = "(configuration)"
NO_PROJECT = "no project is set"
REPEATED = {"parameters": "-P", "tags": "--tag"}
"""Settings whose flag is given once for each `key=value`."""


def _setting(read: Callable[[object], object], meaning: str, default: Any = None) -> Any:
    metadata = {"read": read, "meaning": meaning}
    return (
        field(default_factory=dict, metadata=metadata) if default == {} else field(default=default, metadata=metadata)
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a release is made of. Paths are as given: relative ones count from the folder that holds tasks.py.

    `timeout`, `poll_interval` and `lost_contact` are seconds. `origins` says for each key that is not at its
    default where its value came from.
    """

    project: str = _setting(setting_types.text, "folder of the MLproject file, or a git URI with #subfolder", "")
    version: str | None = _setting(setting_types.text, "branch, tag or commit of a project at a git URI")
    libraries: tuple[str, ...] = _setting(setting_types.texts, "folders (globs too) to build wheels from", ())
    local_version: bool = _setting(
        setting_types.boolean, "give each wheel a local version that moves with the code", default=False
    )
    target: str = _setting(setting_types.one_of("local", "databricks"), "where to release to", "local")
    wheel_root: str | None = _setting(setting_types.text, "folder or URI below which each branch has its wheels")
    experiment: str = _setting(
        setting_types.text,
        "name of the experiment; {project}, {branch}, {user}, {target}",
        "/Shared/{project}/{branch}",
    )
    branch: str | None = _setting(setting_types.text, "name of the branch, instead of the detected one")
    entry_point: str = _setting(setting_types.text, "entry point or script to run", "main")
    parameters: Mapping[str, str] = _setting(
        setting_types.mapping, "a parameter of the entry point, key=value (repeatable)", {}
    )
    cluster: str | None = _setting(setting_types.text, "cluster spec (default: cluster.json of the project)")
    workers: bool = _setting(setting_types.boolean, "install the wheels on the workers too", default=False)
    placeholder: str = _setting(
        setting_types.text, "text that stands for the wheels in the project's files", "WHEELPATH"
    )
    include: tuple[str, ...] = _setting(setting_types.texts, "files to stage although git ignores them (globs)", ())
    backend: str = _setting(setting_types.text, "MLflow project backend, or auto", "auto")
    env_manager: str = _setting(
        setting_types.one_of("auto", "conda", "virtualenv", "uv", "local"), "who builds the run's environment", "auto"
    )
    profile: str | None = _setting(setting_types.text, "profile in ~/.databrickscfg")
    run_name: str | None = _setting(setting_types.text, "name of the MLflow run")
    tags: Mapping[str, str] = _setting(setting_types.mapping, "a tag of the MLflow run, key=value (repeatable)", {})
    poll_interval: float = _setting(setting_types.seconds, "seconds between two looks at a remote run", 5.0)
    timeout: float | None = _setting(setting_types.seconds, "seconds after which a run is stopped")
    lost_contact: float = _setting(
        setting_types.seconds, "seconds without an answer after which a run is given up", 600.0
    )
    parallel_uploads: int = _setting(setting_types.count, "wheels that are uploaded at a time", 4)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def read(
        cls,
        *,
        config: Mapping[str, object],
        environ: Mapping[str, str],
        flags: Mapping[str, object],
        config_file: str = "invoke.yaml",
    ) -> Settings:
        """Merge the sources in rising precedence: defaults, `config` (Invoke's `mlops`), MLOPS_* variables, flags.

        Parameters and tags given as flags are added to those from elsewhere and win. Raises BadInput with every fault
        that was found; `config_file` is what it calls the file of `config`.
        """
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        faults: list[str] = []
        for key, raw, origin in _sources(config, environ, flags):
            if key not in SETTINGS:
                faults.append(f"{origin} is not a setting{_nearest(key, origin)}")
                continue
            try:
                value = SETTINGS[key].metadata["read"](raw)
            except ValueError as fault:
                faults.append(f"{origin} {fault}")
                continue
            added = key in REPEATED and origin.startswith("-")
            values[key] = {**values.get(key, {}), **value} if added else value
            origins[key] = origin
        if not values.get("project") and not any("project" in fault for fault in faults):
            faults.append(NO_PROJECT)
        if faults:
            raise errors.BadInput(_say(faults), where=config_file if _is_in_file(faults) else "", cure=_cure(faults))
        return cls(**values, origins=origins)


SETTINGS: Mapping[str, Field[Any]] = {each.name: each for each in fields(Settings) if "read" in each.metadata}


def _sources(
    config: Mapping[str, object], environ: Mapping[str, str], flags: Mapping[str, object]
) -> Iterator[tuple[str, object, str]]:
    for key, value in config.items():
        if value is not None:
            yield key, value, f"mlops.{key} {CONFIGURATION}"
    for variable, text in environ.items():
        if variable.startswith(PREFIX):
            yield variable.removeprefix(PREFIX).lower(), text, f"{variable} (environment)"
    for key, value in flags.items():
        if value is not None and value is not False:
            yield key, value, REPEATED.get(key, f"--{key.replace('_', '-')}")


def _nearest(key: str, origin: str) -> str:
    import difflib  # only a mistake has to wait for it

    near = difflib.get_close_matches(key, SETTINGS, n=1)
    if not near:
        return f" (there are: {', '.join(SETTINGS)})"
    spelt = PREFIX + near[0].upper() if origin.startswith(PREFIX) else near[0]
    return f"; did you mean {spelt}?"


def _say(faults: list[str]) -> str:
    if len(faults) == 1:
        return faults[0]
    return "\n".join([f"{len(faults)} settings are wrong:", *(f"  - {fault}" for fault in faults)])


def _is_in_file(faults: list[str]) -> bool:
    return any(fault == NO_PROJECT or CONFIGURATION in fault for fault in faults)


def _cure(faults: list[str]) -> str:
    """It names only the places where something is wrong."""
    if faults == [NO_PROJECT]:
        return "write `mlops: {project: <folder of your MLproject>}` into invoke.yaml, or start from `inv init`"
    found = {
        "in invoke.yaml": _is_in_file(faults),
        "in the MLOPS_* variables": any("(environment)" in fault for fault in faults),
        "in the flags": any(fault.startswith("-") for fault in faults),
    }
    return (
        f"correct {'it' if len(faults) == 1 else 'them'} {' and '.join(each for each, is_so in found.items() if is_so)}"
    )

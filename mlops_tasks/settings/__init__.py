"""Settings: every setting, typed and checked, with its origin; all faults are in one message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from mlops_tasks import errors
from mlops_tasks.settings import setting_types
from mlops_tasks.settings.setting_types import CONFIGURATION

if TYPE_CHECKING:
    from mlops_tasks.settings.environments import Environment, Source
    from mlops_tasks.settings.gates import Gate
    from mlops_tasks.settings.projects import Listed

PREFIX = "MLOPS_"
IN_ENVIRONMENT = "mlops.environments."
IN_SETS = (IN_ENVIRONMENT, "mlops.projects.")
"""How the origin of a value begins that an environment holds, or a set of settings at all."""
FOR_ALL = "-P (for all projects)"
"""The origin of a flag's parameter where several projects are released: not each of them has to have it."""
NO_PROJECT = "no project is set"
SETS = ("environments", "projects")
"""The keys of the configuration that hold sets of settings."""
REPEATED = {"parameters": "-P", "tags": "--tag", "require": "--require"}
"""Settings whose flag may be given several times, each time with one more value."""


def _setting(read: Callable[[object], object], meaning: str, default: Any = None) -> Any:
    metadata = {"read": read, "meaning": meaning}
    return (
        field(default_factory=dict, metadata=metadata) if default == {} else field(default=default, metadata=metadata)
    )


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """The settings of a release. Raises BadInput with every fault of the values given, as `read` does.

    Paths are as given: relative ones count from the folder of tasks.py or invoke.yaml. `timeout`, `poll_interval` and
    `lost_contact` are seconds. `origins` says for each key that `read` found in a source which source it was, and the
    same of each parameter, tag and gate (`parameters.NAME`); `foreign` are the MLOPS_* variables that it took for
    another program's. `environments` are those that the configuration `config` names, in `config_file`; `env` is None
    for the built-in one of the target's name. `listed_as` is the name of a project that the configuration lists, and
    `earlier` are the settings of those before it: its parameters, tags and run's name are templates then, as `projects`
    has it.
    """

    project: str = _setting(
        setting_types.text,
        "folder of the MLproject file, a git URI with #subfolder, or the name of a listed project",
        "",
    )
    version: str | None = _setting(setting_types.text, "branch, tag or commit of a project at a git URI")
    libraries: tuple[str, ...] = _setting(setting_types.texts, "folders (globs too) to build wheels from", ())
    local_version: bool = _setting(
        setting_types.boolean,
        "end each wheel's version in +g<commit>, the last that changed its library",
        default=False,
    )
    target: str = _setting(
        setting_types.one_of("local", "databricks"),
        "where to release to: local or databricks (default: local)",
        "local",
    )
    env: str | None = _setting(
        setting_types.text, "environment to release to: one of `environments` in invoke.yaml, or a target"
    )
    wheel_root: str | None = _setting(
        setting_types.place,
        "where each repository's branches have their wheel folders (default: below .mlops; on databricks in your home "
        "among the workspace's files, or dbfs:/wheels for the backend databricks)",
    )
    experiment: str = _setting(
        setting_types.text,
        "name of the experiment; may hold {repository}, {project}, {branch}, {user}, {target}, {environment} "
        "(default: /Shared/{repository}/{project}/{branch})",
        "/Shared/{repository}/{project}/{branch}",
    )
    repository: str | None = _setting(
        setting_types.text, "the repository's name in experiments and wheel folders (default: its remote's)"
    )
    branch: str | None = _setting(setting_types.text, "name of the branch (default: detected)")
    entry_point: str = _setting(setting_types.text, "entry point or script to run (default: main)", "main")
    parameters: Mapping[str, str] = _setting(
        setting_types.mapping, "a parameter of the entry point, key=value (repeatable)", {}
    )
    cluster: str | None = _setting(setting_types.text, "cluster spec (default: cluster.json of the project)")
    workers: bool = _setting(setting_types.boolean, "install the wheels on the workers too", default=False)
    placeholder: str = _setting(
        setting_types.text, "text that stands for the wheels in the project's files (default: WHEELPATH)", "WHEELPATH"
    )
    add_wheels: bool = _setting(
        setting_types.boolean,
        "add the wheels to a project in which nothing refers to them (default: true)",
        default=True,
    )
    include: tuple[str, ...] = _setting(
        setting_types.texts, "files of project and libraries that come along although git ignores them (globs)", ()
    )
    backend: str = _setting(
        setting_types.text,
        "who runs the project: auto, local, databricks, databricks-jobs or an MLflow backend plugin (default: auto)",
        "auto",
    )
    compute: str | None = _setting(
        setting_types.one_of("serverless"),
        "where a run on Databricks runs: serverless (default: as the cluster spec says)",
    )
    environment_version: str | None = _setting(
        setting_types.text, "version of a serverless environment (default: the cluster spec's, else 5)"
    )
    driver_root: str | None = _setting(
        setting_types.text,
        "folder of workspace files for the program that starts the entry point (default: .mlops/driver in your home)",
    )
    env_manager: str = _setting(
        setting_types.one_of("auto", "conda", "virtualenv", "uv", "local"),
        "who builds the run's environment: auto, conda, virtualenv, uv or local (default: auto)",
        "auto",
    )
    profile: str | None = _setting(setting_types.text, "profile in ~/.databrickscfg to log in with")
    run_name: str | None = _setting(setting_types.text, "name of the MLflow run")
    tags: Mapping[str, str] = _setting(setting_types.mapping, "a tag of the MLflow run, key=value (repeatable)", {})
    require: tuple[Gate, ...] = _setting(
        setting_types.gates, "a gate that the run must meet, such as 'auc >= main - 0.005' (repeatable)", ()
    )
    strict: bool = _setting(
        setting_types.boolean, "fail a gate that finds no run to compare with, which it else passes", default=False
    )
    poll_interval: float = _setting(
        setting_types.seconds, "seconds between two looks at a remote run (default: 5)", 5.0
    )
    timeout: float | None = _setting(
        setting_types.seconds, "seconds after which a run is stopped, its job cancelled (default: never)"
    )
    pending_timeout: float | None = _setting(
        setting_types.seconds, "seconds after which a run that waits for its compute is stopped (default: never)"
    )
    lost_contact: float = _setting(
        setting_types.seconds,
        "seconds without an answer after which a run on Databricks is left to itself (default: 600)",
        600.0,
    )
    at_once: int = _setting(setting_types.count, "runs of a sweep that go on at a time (default: 2)", 2)
    parallel_uploads: int = _setting(setting_types.count, "wheels that are uploaded at a time (default: 8)", 8)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    foreign: tuple[str, ...] = field(default=(), compare=False)
    environments: Mapping[str, Environment] = field(default_factory=dict, compare=False)
    config_file: str = field(default="", compare=False)
    listed_as: str = field(default="", compare=False)
    earlier: tuple[Settings, ...] = field(default=(), compare=False)
    config: Mapping[str, object] = field(default_factory=dict, compare=False)

    @property
    def environment(self) -> str:
        """The name of the environment that is released to."""
        return self.env or self.target

    @property
    def given_for_all(self) -> list[str]:
        """The parameters that a flag gives to several projects, not each of which has to have them."""
        return [name for name in self.parameters if self.origins.get(f"parameters.{name}") == FOR_ALL]

    def place_of(self, where: str) -> str:
        """`where`, but of a setting that a set of settings holds the place there. A value may follow after a colon."""
        key, *rest = where.split(": ", 1)
        origin = self.origins.get(key, "")
        return ": ".join([origin, *rest]) if origin.startswith(IN_SETS) else where

    def __post_init__(self) -> None:
        given = [
            (key, getattr(self, key), key) for key, each in SETTINGS.items() if getattr(self, key) is not each.default
        ]
        values, _, faults = _parse(given)
        faults += [*_settle_environment(values, self.environments), *_check_gates(values, {}, self.environments)]
        if faults == [NO_PROJECT]:
            raise errors.BadInput(NO_PROJECT, cure="give Settings the folder of your MLproject file as `project`")
        if faults:
            raise errors.BadInput(_join(faults), cure=f"correct {_it(faults)} where Settings is called")
        for key, value in values.items():
            object.__setattr__(self, key, value)

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

        The environment's values come between `config` and the variables. Parameters, tags and gates that are given as
        flags, or by the environment, are added to those from elsewhere and win. Raises BadInput with every fault that
        was found, and where several projects are listed and none of them is named; `config_file` is the name of the
        file of `config`.
        """
        found = cls.read_each(config=config, environ=environ, flags=flags, config_file=config_file)
        if len(found) > 1:
            names = ", ".join(each.listed_as for each in found)
            raise errors.BadInput(
                f"{len(found)} projects are listed, and this takes one of them: {names}",
                where=config_file,
                cure="give `--project NAME`",
            )
        return found[0]

    @classmethod
    def read_each(
        cls,
        *,
        config: Mapping[str, object],
        environ: Mapping[str, str],
        flags: Mapping[str, object],
        config_file: str = "invoke.yaml",
    ) -> tuple[Settings, ...]:
        """The settings of each project that `config` lists, in order, or of the one that a variable or a flag names.

        As `read`, with a listed project's own values between `config` and the environment's.
        """
        from mlops_tasks.settings import environments, projects

        foreign = tuple(sorted(each for each, text in environ.items() if text and _is_foreign(each)))
        known = {name: text for name, text in environ.items() if name not in foreign}
        readers = {key: each.metadata["read"] for key, each in SETTINGS.items() if key != "env"}
        sets, wrong = environments.read(config.get("environments"), readers)
        listed, faults = projects.read(config.get("projects"), readers)
        layers = [list(each) for each in (_in_file(config), _in_variables(known), _in_flags(flags))]
        chosen = environments.choose(layers, sets) if not wrong else environments.Choice()
        layers.insert(1, [*sets[chosen.name].values] if chosen.name in sets else [])
        wrong += [*faults, *filter(None, [chosen.fault]), *projects.find_beside(listed, [*layers[0], *layers[1]])]
        one, released = _choose_project(listed, layers)
        parsed = []
        for _, sources in released:
            values, origins, faults = _parse(sources)
            parsed.append({**values, "env": chosen.name, "target": chosen.target, "origins": origins})
            faults += _check_gates(values, origins, sets)
            wrong += [fault for fault in faults if fault not in wrong and not (fault == NO_PROJECT and wrong)]
        names = [name for name, _ in released]
        for own, values in zip(names, parsed, strict=True) if all(names) else ():
            wrong += projects.check(values, values["origins"], own, names)
        if wrong:
            raise errors.BadInput(_join(wrong), where=config_file if _is_in_file(wrong) else "", cure=_cure(wrong))
        found: list[Settings] = []
        for name, values in zip(names, parsed, strict=True):
            same = {"foreign": foreign, "environments": sets, "config_file": config_file, "config": config}
            found.append(cls(**{**values, **same}, listed_as=name, earlier=tuple(found)))
        return tuple(each for each in found if not one or each.listed_as == one)

    def in_environment(self, name: str) -> Settings:
        """What the configuration has for the same project and branch in another environment.

        The flags and variables of this command are meant for its own.
        """
        if name == self.environment:
            return self
        same = {key: getattr(self, key) for key in ("version", "repository", "branch")}
        given = {**same, "env": name, "project": self.listed_as or self.project}
        return Settings.read(config=self.config, environ={}, flags=given, config_file=self.config_file)


SETTINGS: Mapping[str, Field[Any]] = {each.name: each for each in fields(Settings) if "read" in each.metadata}


def _choose_project(
    listed: Sequence[Listed], layers: Sequence[Sequence[Source]]
) -> tuple[str, list[tuple[str, list[Source]]]]:
    """The listed project that a variable or a flag names, and each one's name with its sources in rising precedence.

    The flags of one project are not those of the others. A name that is none is a project of its own, beside which the
    list does not count.
    """
    from mlops_tasks.settings import projects

    file, environment, variables, flags = layers
    named = [str(raw) for key, raw, _ in (*variables, *flags) if key == "project"]
    one = projects.find(named[-1], listed) if named else None
    if not listed or (named and one is None):
        return "", [("", [*file, *environment, *variables, *flags])]
    for_all = [(key, raw, FOR_ALL if key == "parameters" else origin) for key, raw, origin in flags]
    of_others = [source for source in flags if source[0] in projects.OF_ALL]
    found = []
    for each in listed:
        flagged = flags if each is one or len(listed) == 1 else for_all if one is None else of_others
        own = [source for source in (*variables, *flagged) if source[0] != "project"]
        found.append((each.name, [*file, *each.values, *environment, *own]))
    return one.name if one else "", found


def _in_file(config: Mapping[str, object]) -> Iterator[Source]:
    for key, value in config.items():
        if value is not None and key not in SETS:
            yield key, value, f"mlops.{key} {CONFIGURATION}"


def _in_variables(environ: Mapping[str, str]) -> Iterator[Source]:
    for variable, text in environ.items():
        if variable.startswith(PREFIX) and text:  # CI systems pass an input that was not given as an empty variable
            yield variable.removeprefix(PREFIX).lower(), text, f"{variable} (environment)"


def _in_flags(flags: Mapping[str, object]) -> Iterator[Source]:
    for key, value in flags.items():
        if value is not None and value is not False:
            yield key, value, spell_flag(key)


def _settle_environment(values: dict[str, Any], known: Mapping[str, Environment]) -> list[str]:
    """Put the target of the environment that `env` names into `values`; what is wrong with `env`."""
    name = values.pop("env", None)
    if name is None:
        return []
    from mlops_tasks.settings import environments

    if name not in {*known, *environments.TARGETS}:
        return [f"env names no environment: {name}{environments.suggest(name, known)}"]
    values["target"] = environments.target_of(name, known, default=values.get("target", environments.TARGETS[0]))
    values["env"] = None if name in environments.TARGETS else name
    return []


def spell_flag(key: str) -> str:
    """The flag of a setting, as it is typed."""
    return REPEATED.get(key, f"--{key.replace('_', '-')}")


def _is_foreign(variable: str) -> bool:
    """Whether a variable is another program's, and no setting that somebody mistyped: DataRobot's are MLOPS_* too."""
    key = variable.removeprefix(PREFIX).lower()
    return variable.startswith(PREFIX) and key not in SETTINGS and not setting_types.nearest(key, SETTINGS, 0.75)


def _parse(sources: Iterable[tuple[str, object, str]]) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """The typed values of (key, raw value, origin) in rising precedence, the origin of each, and all faults."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    faults: list[str] = []
    for key, raw, origin in sources:
        if key not in SETTINGS:
            faults.append(f"{origin} is not a setting{_nearest(key, origin)}")
            continue
        try:
            value = SETTINGS[key].metadata["read"](raw)
        except ValueError as fault:
            faults.append(f"{origin} {fault}")
            continue
        added = key in REPEATED and origin.startswith(("-", *IN_SETS))
        values[key] = _add(values.get(key), value) if added else value
        origins[key] = origin
        if key in REPEATED:
            origins.update(dict.fromkeys((f"{key}.{name}" for name in value), origin))
    if not values.get("project") and not any("project" in fault for fault in faults):
        faults.append(NO_PROJECT)
    return values, origins, faults


def _check_gates(values: Mapping[str, Any], origins: Mapping[str, str], known: Iterable[str]) -> Iterator[str]:
    """What is wrong with the gates that compare with a run in no environment."""
    for gate in values.get("require", ()):
        from mlops_tasks.settings import environments

        if why := gate.explain_unknown((*known, *environments.TARGETS)):
            yield f"{origins.get(f'require.{gate}', 'require')} {why}"


def _add(before: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {**(before or {}), **value}
    return (*(before or ()), *value)


def _nearest(key: str, origin: str) -> str:
    if not origin.startswith(PREFIX):
        return setting_types.suggest(key, [*SETTINGS, *SETS])
    near = setting_types.nearest(key, SETTINGS)
    return f"; did you mean {PREFIX}{near.upper()}?" if near else setting_types.suggest(key, SETTINGS)


def _join(faults: list[str]) -> str:
    if len(faults) == 1:
        return faults[0]
    return "\n".join([f"{len(faults)} settings are wrong:", *(f"  - {fault}" for fault in faults)])


def _is_in_file(faults: list[str]) -> bool:
    return any(fault == NO_PROJECT or CONFIGURATION in fault for fault in faults)


def _it(faults: list[str]) -> str:
    return "it" if len(faults) == 1 else "them"


def _cure(faults: list[str]) -> str:
    """Names only the places where something is wrong."""
    if faults == [NO_PROJECT]:
        return "write `mlops: {project: <folder of your MLproject>}` into invoke.yaml, or start from `inv init`"
    found = {
        "in invoke.yaml": _is_in_file(faults),
        "in the MLOPS_* variables": any("(environment)" in fault for fault in faults),
        "in the flags": any(fault.startswith("-") for fault in faults),
    }
    return f"correct {_it(faults)} {' and '.join(each for each, is_so in found.items() if is_so)}"

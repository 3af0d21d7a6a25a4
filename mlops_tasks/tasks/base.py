"""ReleaseTask: an Invoke task with the shared flags, whose errors end as exit codes with a message on stderr."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any

import invoke
from invoke.executor import Executor
from invoke.parser.parser import ParseMachine

from mlops_tasks import errors, processes
from mlops_tasks.settings import REPEATED, SETTINGS, spell_flag
from mlops_tasks.tasks import chain, console, job, spelling

_called: ContextVar[spelling.Called] = ContextVar("_called", default=spelling.BY_NOBODY)
_place: ContextVar[chain.Place] = ContextVar("_place", default=chain.ALONE)
_said: ContextVar[dict[object, set[str]]] = ContextVar("_said")

IDENTITY = ("project", "version", "target", "env", "repository", "branch", "experiment", "wheel_root", "profile")
NAMING = (*IDENTITY, "backend", "compute", "cluster")
BUILDING = (*NAMING, "libraries", "local_version", "include")
PATCHING = (*BUILDING, "placeholder", "add_wheels", "workers")
"""The settings that a step's inputs depend on, its own and those of the steps before it."""
RUNNING = (
    "entry_point",
    *REPEATED,
    "strict",
    "run_name",
    "env_manager",
    "environment_version",
    "experiment_name",
    "experiment_id",
    "sweep",
    "force",
)
KEPT = (*PATCHING, *RUNNING)
"""The flags that a message repeats in the commands that it says to type, where they were given."""

SWITCHES = {
    "json": "print the record so far as JSON, and nothing else",
    "dry_run": "show everything that would happen; only wheels are really built",
    "quiet": "print results, warnings and errors only",
    "verbose": "print what helps when something goes wrong",
}


class ReleaseTask(invoke.Task[Any]):
    """A task with flags for settings and for output beside those of its own signature.

    Every ReleaseError ends as its exit code with its message on stderr, with `--json` also as an object on stdout, and
    so do Ctrl-C, SIGTERM and SIGHUP. Anything else is a bug and keeps its traceback. Messages name the tasks as the
    user's own collection does.
    """

    _signature: inspect.Signature | None = None

    def __init__(self, body: Callable[..., Any], *, settings: Iterable[str] = (), **kwargs: Any) -> None:
        self.settings = tuple(settings)
        self.flags = (*self.settings, *kwargs.get("help", ()))
        super().__init__(body, auto_shortflags=False, **kwargs)
        meanings = {key: SETTINGS[key].metadata["meaning"] for key in self.settings}
        self.help = {**meanings, **SWITCHES, **self.help}

    def get_arguments(self, *args: Any, **kwargs: Any) -> list[invoke.Argument]:
        """Invoke empties `help` as it makes the arguments, and makes them anew whenever it parses or completes."""
        meanings = dict(self.help)
        for argument in (found := super().get_arguments(*args, **kwargs)):
            argument.__class__ = Word if argument.positional else Flag
        self.help = meanings
        return found

    def argspec(self, body: Callable[..., Any]) -> inspect.Signature:
        """The body's own flags, then those of the settings, then the switches: Invoke makes the flags of these."""
        if self._signature is not None:  # asked for twice at every start
            return self._signature
        signature: inspect.Signature = super().argspec(body)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        keyword = inspect.Parameter.KEYWORD_ONLY
        added = (inspect.Parameter(key, keyword, default=value) for key, value in self._defaults().items())
        self._signature = inspect.Signature([*own, *added])
        return self._signature

    def _defaults(self) -> dict[str, Any]:
        """A truth value's flag can only be set; every other flag is absent until given."""
        settings = {key: False if SETTINGS[key].default is False else None for key in self.settings}
        return {**settings, **dict.fromkeys(SWITCHES, False)}

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        if name in REPEATED:
            options.update(names=[REPEATED[name].lstrip("-")], kind=list, default=[])
        return options

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        console.open_streams()
        frame, given = sys._getframe(1), kwargs  # noqa: SLF001 - see _read_call
        try:
            links, position = _read_chain(frame)
            _refuse_empty([kwargs, *(link.flags for link in links)])
            _place.set(position)
            if position.is_first:
                _said.set({})
            given = kwargs | chain.switch(links, SWITCHES)
            shared, defaults = chain.share(links, PATCHING), self._defaults()
            given = {**defaults, **given, **{key: value for key, value in shared.items() if key in defaults}}
            _called.set(_read_call(frame, given))
            with processes.signals_raise():
                return super().__call__(*args, **given)
        except errors.ReleaseError as fault:
            raise _end(fault, fault.exit_code, as_json=_is_json(given)) from fault
        except KeyboardInterrupt as fault:
            raise _end(errors.of_interrupt(fault), errors.exit_code_of(fault), as_json=_is_json(given)) from fault


def _refuse_empty(given: Iterable[Mapping[str, Any]]) -> None:
    """Raise BadInput for a flag of any of the tasks with an empty text: a variable of a script that is not set, say."""
    for flags in given:
        for key, value in flags.items():
            texts = value if isinstance(value, list) else [value]
            for empty in (each for each in texts if isinstance(each, str) and not each.strip()):
                raise errors.BadInput(
                    f"{_spell_flag(key)} must be text, not {empty!r}", cure="give it a value, or leave it out"
                )


def _spell_flag(name: str) -> str:
    """The flag of an argument, as it is typed."""
    return f"-{name}" if len(name) == 1 else spell_flag(name.strip("_"))


def _is_json(flags: Mapping[str, Any]) -> bool:
    return bool(flags.get("json")) or flags.get("format_") == "json"


def _end(fault: errors.ReleaseError, code: errors.ExitCode, *, as_json: bool) -> invoke.Exit:
    """Show the error on stderr, and with `--json` on stdout too."""
    shown = console.standard()
    if as_json:
        shown.data({**fault.beside, "error": describe(fault, code)})
    shown.fail(spell_as_called(str(fault)))
    job.show_problem(spell_as_called(f"{fault.what}\ndo: {fault.cure}"), fault.where, os.environ)
    return invoke.Exit(code=int(code))  # Invoke would write a message and its line end apart


def describe(fault: errors.ReleaseError, code: errors.ExitCode) -> dict[str, Any]:
    """The error as `--json` has it."""
    what, cure = spell_as_called(fault.what), spell_as_called(fault.cure)
    return {"code": int(code), "what": what, "where": fault.where, "try": cure}


class Flag(invoke.Argument):
    """An argument that is copied quickly: Invoke's parser copies every flag of every task, at every start.

    A shallow copy does: Invoke replaces an argument's values and never changes them.
    """

    def __deepcopy__(self, _: object) -> Flag:
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        return twin


class Word(Flag):
    """An argument that may be given by its place, or not at all: Invoke demands every one that has a place.

    Invoke's parser looks for one whose value is None, and finds none where the command ends, or at what is a flag or
    the next task.
    """

    @property
    def value(self) -> Any:
        found = super().value
        return "" if found is None and _is_no_word(sys._getframe(1)) else found  # noqa: SLF001

    @value.setter
    def value(self, value: Any) -> None:
        self.set_value(value)


def _is_no_word(frame: FrameType | None) -> bool:
    """Whether Invoke's parser, which may be asking, is at the end of a command, at a flag or at the name of a task."""
    while frame and frame.f_code.co_name in {"missing_positional_args", "<listcomp>"}:
        frame = frame.f_back
    if frame is None or not isinstance(parser := frame.f_locals.get("self"), ParseMachine):
        return False
    token = frame.f_locals.get("token", "")
    return token.startswith("-") or token in parser.contexts or frame.f_code.co_name == "complete_context"


def _read_call(frame: FrameType | None, flags: Mapping[str, Any]) -> spelling.Called:
    """How the task was called: by which program, under which names (`mlops.deploy`, say), with which flags.

    Invoke passes neither to a task: only the executor, which calls it, knows its collection. A program of our own has
    an executor with its name. Called from Python there is no executor, and the names are our own.
    """
    given = {key: value for key in KEPT if (value := flags.get(REPEATED.get(key, key).lstrip("-")))}
    if "project" in given:  # a git URI may hold a password
        from mlops_tasks import redaction

        given["project"] = redaction.show_repository(given["project"])
    executor = frame.f_locals.get("self") if frame else None
    if not isinstance(executor, Executor):
        return spelling.Called(flags=given)
    found = {name: executor.collection[name] for name in executor.collection.task_names}
    ours = {name: task for name, task in found.items() if isinstance(task, ReleaseTask)}
    tasks = {task.name: spelling.Task(name, task.flags) for name, task in ours.items()}
    return spelling.Called(getattr(executor, "program", "inv"), tasks, given)


def _read_chain(frame: FrameType | None) -> tuple[list[chain.Link], chain.Place]:
    """Our tasks of the command, and where the one at work stands among them."""
    known = frame.f_locals if frame and isinstance(frame.f_locals.get("self"), Executor) else {}
    calls = [each for each in known.get("calls", ()) if isinstance(each.task, ReleaseTask)]
    links = [chain.Link(each.task.name, each.kwargs) for each in calls]
    now = known.get("call")
    place = chain.Place(is_first=now is calls[0], is_last=now is calls[-1]) if calls else chain.Place()
    return links, place


def place() -> chain.Place:
    """Where the task at work stands among ours of the command."""
    return _place.get()


def said_of(subject: object) -> set[str]:
    """What the tasks of the command at work have said once so far of a project and its environment."""
    return _said.get().setdefault(subject, set())


def spell_as_called(text: str) -> str:
    """`text` with each `inv <task>` in it as the user would type it, who called the task at work."""
    return spelling.spell(text, _called.get())


@contextlib.contextmanager
def called_with(*, but: str = "", **flags: Any) -> Iterator[None]:
    """While the block runs, messages spell the task at work as if it had been called with these flags too.

    The task `but` is spelt as it was. The message of an error that ends the block speaks as the block does, wherever it
    is shown.
    """
    called = _called.get()
    given = {key: value for key, value in {**called.flags, **flags}.items() if value}
    _called.set(called._replace(flags=given, own={but: called.flags} if but else {}))
    yield
    _called.set(called)


@contextlib.contextmanager
def called_as_now() -> Iterator[None]:
    """Whatever the block does, messages after it spell the task at work as those before it."""
    token = _called.set(_called.get())
    try:
        yield
    finally:
        _called.reset(token)


def root_of(context: invoke.Context) -> Path:
    """The folder of the user's tasks.py or invoke.yaml: Invoke keeps it in its configuration, under no public name."""
    return Path(getattr(context.config, "_project_prefix", None) or "").absolute()


def settings_of(context: invoke.Context) -> dict[str, Any]:
    """The user's `mlops` subtree, as plain data; BadInput where it is no mapping."""
    found = context.config.get("mlops") or {}
    if not hasattr(found, "items"):
        raise errors.BadInput(
            "mlops must be a mapping of settings",
            where=show_config(context),
            cure="indent the settings below `mlops:`",
        )
    return {key: _plain(value) for key, value in found.items()}


def show_config(context: invoke.Context) -> str:
    """Where the user's settings are, or would be: Invoke keeps that file's path, under no public name."""
    path = getattr(context.config, "_project_path", None)
    if not path or not Path(path).is_file():
        return f"{root_of(context)} (there is no invoke.yaml in it)"
    return str(path) if "mlops" in context.config else f"{path} (there is no `mlops:` in it)"


def _plain(value: Any) -> Any:
    """Invoke wraps every mapping that it hands out."""
    return {key: _plain(each) for key, each in value.items()} if hasattr(value, "items") else value

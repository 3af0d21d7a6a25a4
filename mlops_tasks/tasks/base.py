"""The boundary between Invoke and the pipeline: shared flags, and where an error becomes an exit code."""

from __future__ import annotations

import inspect
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any

import invoke
from invoke.executor import Executor

from mlops_tasks import errors
from mlops_tasks.settings import REPEATED, SETTINGS
from mlops_tasks.tasks import console, flags, spelling

ENDINGS = (signal.SIGTERM, signal.SIGHUP)
_called: ContextVar[spelling.Called] = ContextVar("_called", default=spelling.BY_NOBODY)

IDENTITY = ("project", "version", "target", "branch", "experiment", "wheel_root", "profile")
BUILDING = (*IDENTITY, "libraries", "local_version")
PATCHING = (*BUILDING, "placeholder", "include", "workers", "cluster")
"""The settings that a step's inputs depend on, its own and those of the steps before it."""
RUNNING = ("entry_point", *REPEATED, "run_name", "backend", "env_manager", "experiment_name", "experiment_id", "force")
TOLD = (*PATCHING, *RUNNING)
"""The flags that a command is given again with, where one is told to type it."""

SWITCHES = {
    "json": "print the record so far as JSON, and nothing else",
    "dry_run": "show everything that would happen; only wheels are really built",
    "quiet": "print results, warnings and errors only",
    "verbose": "print what helps when something goes wrong",
}


class ReleaseTask(invoke.Task[Any]):
    """A task with flags for settings and for output beside those of its own signature.

    Every ReleaseError ends as its exit code with its message on stderr, under the task names of the user's own
    collection; so do Ctrl-C, SIGTERM and SIGHUP. Anything else is a bug and keeps its traceback.
    """

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
            argument.__class__ = flags.Word if argument.positional else flags.Flag
        self.help = meanings
        return found

    def argspec(self, body: Callable[..., Any]) -> inspect.Signature:
        """The body's own flags, then those of the settings, then the switches: Invoke makes the flags of these."""
        signature: inspect.Signature = super().argspec(body)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        keyword = inspect.Parameter.KEYWORD_ONLY
        added = (inspect.Parameter(key, keyword, default=value) for key, value in self._defaults().items())
        return inspect.Signature([*own, *added])

    def _defaults(self) -> dict[str, Any]:
        return {**{key: _default(key) for key in self.settings}, **dict.fromkeys(SWITCHES, False)}

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        if name in REPEATED:
            options.update(names=[REPEATED[name].lstrip("-")], kind=list, default=[])
        return options

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _called.set(spelling.Called(collected_tasks(sys._getframe(1)), _given(kwargs)))  # noqa: SLF001 - see there
        try:
            with _endings_raise():
                return super().__call__(*args, **{**self._defaults(), **kwargs})
        except errors.ReleaseError as fault:
            raise _exit(str(fault), fault.exit_code) from fault
        except KeyboardInterrupt as fault:
            word, code = _ending(fault)
            raise _exit(f"{word}\n  do: `inv status` shows how far it came", code) from fault


def _exit(said: str, code: errors.ExitCode) -> invoke.Exit:
    return invoke.Exit(console.standard().show_error(spell_as_called(said)), int(code))


def _ending(fault: KeyboardInterrupt) -> tuple[str, errors.ExitCode]:
    if isinstance(fault, errors.Terminated):
        return "terminated", errors.ExitCode.TERMINATED
    return "interrupted", errors.ExitCode.INTERRUPTED


def collected_tasks(frame: FrameType | None) -> Mapping[str, spelling.Task]:
    """Our tasks as the user's own collection has them: `mlops.deploy` for `deploy`, say.

    Invoke tells a task neither the name it is called by nor the collection that it is in; both are known only to the
    executor that calls it. Called from Python there is no executor, and the names are our own.
    """
    executor = frame.f_locals.get("self") if frame else None
    if not isinstance(executor, Executor):
        return {}
    found = {name: executor.collection[name] for name in executor.collection.task_names}
    ours = {name: task for name, task in found.items() if isinstance(task, ReleaseTask)}
    return {task.name: spelling.Task(name, task.flags) for name, task in ours.items()}


def _given(flags: Mapping[str, Any]) -> Mapping[str, Any]:
    """The flags that say what is released and run, without what must not be shown."""
    found = {key: flags.get(REPEATED.get(key, key).lstrip("-")) for key in TOLD}
    if found["project"]:
        from mlops_tasks import redaction

        found["project"] = redaction.show_repository(found["project"])
    return {key: value for key, value in found.items() if value}


def spell_as_called(text: str) -> str:
    """`text` with the commands in it as whoever called the task at work would type them."""
    return spelling.spell(text, _called.get())


def root_of(context: invoke.Context) -> Path:
    """The folder that holds the user's tasks.py: Invoke keeps it in its configuration, under no public name."""
    prefix = getattr(context.config, "_project_prefix", None)
    return Path(prefix) if prefix else Path.cwd()


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


def _default(key: str) -> Any:
    """Flags of truth values can only be set; every other flag is absent until given."""
    return False if SETTINGS[key].default is False else None


@contextmanager
def _endings_raise() -> Iterator[None]:
    """CI systems end a job with SIGTERM, a closed terminal with SIGHUP: let what is under way be stopped and marked.

    A signal that somebody ignores (nohup) or handles stays theirs, and so do all of them outside the main thread.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise errors.Terminated

    def tell(fault: Any) -> None:
        if type(fault.object).__name__ != "HTTPResponse":  # one that is cut off while it is made cannot close itself
            before(fault)

    is_main = threading.current_thread() is threading.main_thread()
    taken = [each for each in ENDINGS if is_main and signal.getsignal(each) is signal.SIG_DFL]
    for each in taken:
        signal.signal(each, stop)
    sys.unraisablehook, before = tell, sys.unraisablehook
    try:
        yield
    finally:
        sys.unraisablehook = before
        for each in taken:
            signal.signal(each, signal.SIG_DFL)

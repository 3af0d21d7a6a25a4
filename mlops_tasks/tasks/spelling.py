"""What a person is told to type: under the names of their own collection, with the flags that they have given."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlops_tasks.settings import REPEATED


class Task(NamedTuple):
    """One of our tasks in the user's collection: `name` there, and the flags that it takes, by the settings' keys."""

    name: str
    flags: tuple[str, ...]


class Called(NamedTuple):
    """How the task at work was called: our tasks by our own names, and the flags that were given, by their keys."""

    tasks: Mapping[str, Task]
    flags: Mapping[str, Any]


BY_NOBODY = Called(tasks={}, flags={})


def spell(text: str, called: Called) -> str:
    """`text` with each `inv <task> ...` in it as that collection has it, and with the flags that each task takes.

    Flags are no part of the configuration: without them the task would work on another release, or run another thing.
    """

    def rename(found: re.Match[str]) -> str:
        return " ".join(_spell_task(word, called) for word in found[0].split(" "))

    return re.sub(r"\binv [a-z-]+(?: [a-z-]+)*", rename, text)


def _spell_task(word: str, called: Called) -> str:
    if word not in called.tasks:
        return word
    task = called.tasks[word]
    given = (_flag(key, value) for key, value in called.flags.items() if key in task.flags)
    return " ".join([task.name, *given])


def _flag(key: str, value: Any) -> str:
    flag = REPEATED.get(key, f"--{key.replace('_', '-')}")
    if value is True:
        return flag
    return " ".join(f"{flag} {shlex.quote(str(each))}" for each in (value if isinstance(value, list) else [value]))

"""Commands in messages, spelt as the user types them: their program, their task names, the flags that they gave."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from mlops_tasks import errors
from mlops_tasks.settings import spell_flag


class Task(NamedTuple):
    """One of our tasks in the user's collection: its name there, and the flags that it takes, by the settings' keys."""

    name: str
    flags: tuple[str, ...]


class Called(NamedTuple):
    """How the task at work was called: the tasks by our own names for them, the flags by the settings' keys.

    `own` are the flags of a task that does not get the others' ones.
    """

    program: str = "inv"
    tasks: Mapping[str, Task] = MappingProxyType({})
    flags: Mapping[str, Any] = MappingProxyType({})
    own: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


BY_NOBODY = Called()


def spell(text: str, called: Called) -> str:
    """`text` with each `inv <task> ...` in it as `called` has it, and with the flags that each task takes.

    Flags are no part of the configuration: without them the task would work on another release, or run another thing.
    """

    def rename(found: re.Match[str]) -> str:
        return " ".join([called.program, *(_spell_task(word, called) for word in found[1].split(" "))])

    return re.sub(r"\binv ([a-z-]+(?: [a-z-]+)*)(?!\.?[\w-])", rename, text)


def _spell_task(word: str, called: Called) -> str:
    if word not in called.tasks:
        return word
    task = called.tasks[word]
    given = (_flag(key, value) for key, value in called.own.get(word, called.flags).items() if key in task.flags)
    return " ".join([task.name, *given])


def _flag(key: str, value: Any) -> str:
    flag = spell_flag(key)
    if value is True:
        return flag
    from mlops_tasks import redaction  # only a message has a use for it

    values = value if isinstance(value, list) else [value]
    return " ".join(errors.typed(flag, redaction.mask(str(each))) for each in values)

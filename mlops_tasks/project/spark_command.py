"""The command of a Spark job's entry point, checked: `python`, one file of the project, and arguments.

MLflow splits the command at blanks, refuses it unless `python` comes first, sends the file that comes second, and
passes the rest to that file, without a shell and Python's own options (mlflow/projects/databricks.py, 2.17 to 3.17).
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""")
_EXPANDED = re.compile(r"\$[A-Za-z_({][^\s\"]*|`[^`]*`")
_SHELL = re.compile(rf"(?<!\S)(?:\|\|?|&&?|;|[\d&]?[<>]{{1,2}}\S*)(?!\S)|;(?!\S)|{_EXPANDED.pattern}|\n")
"""Text that a shell would act on. Inside a word (`http://host/?a=1&b=2`) most signs are ordinary characters."""
_INTERPRETER = re.compile(r"(?:.*/)?python[\d.]*")
_RUNS_OTHERS = re.compile(r"-[^-WXmc]*([mc])")
"""Options of Python's, several in one word among them (`-um`), that run no file."""
_INSTEAD = {
    "m": "write `python FILE.py ...`, with a file that calls runpy.run_module",
    "c": "write that code into a file, and `python FILE.py ...`",
}


class Fault(NamedTuple):
    """`what` is the rest of a sentence that begins with the entry point's name."""

    what: str
    cure: str


def find_fault(command: str, folder: Path) -> Fault | None:
    """Why the project in `folder` cannot run `command` as a Spark job; None where it can."""
    try:
        first, script, *_ = [*shlex.split(command), "", ""]
    except ValueError as fault:
        return Fault(f"cannot be read: {fault}", "close that quote")
    rest = (*command.split(maxsplit=2), "", "")
    if first != "python":
        left = find_fault(f"python {rest[1]} {rest[2]}", folder) if _INTERPRETER.fullmatch(first) else None
        return Fault(
            f"begins with {first or 'nothing'}, and MLflow refuses a Spark job's command that begins without `python `",
            _join(_replace_program(first), left),
        )
    if script.startswith("-"):
        what = f"begins with `python {script}`, and MLflow takes {script} for the file to run"
        option = _RUNS_OTHERS.match(script)
        if option is not None:
            return Fault(what, _INSTEAD[option[1]])
        return Fault(what, _join(f"leave {script} out", find_fault(f"python {rest[2]}", folder)))
    return find_missing(script, folder) or _find_shell(command, script)


def find_missing(script: str, folder: Path) -> Fault | None:
    """The fault of a file that is not in the project; None too for a parameter and for an absolute path."""
    if "{" in script or script.startswith("/") or (script and (folder / script).is_file()):
        return None
    return Fault(f"runs {script or 'nothing'}, which is no file of the project", "correct the name, or add the file")


def _find_shell(command: str, script: str) -> Fault | None:
    found = _SHELL.search(_QUOTED.sub(_unquote, command.strip()))
    if found is None:
        return None
    if found[0] == "\n":
        return Fault("has several lines, and MLflow runs them as one command", "write one line (`command: >-` folds)")
    return Fault(
        f"needs a shell for `{found[0]}`, and MLflow hands that to {script} as it stands", f"do that in {script} itself"
    )


def _unquote(quoted: re.Match[str]) -> str:
    """A word in place of a quoted text, with what a shell would expand in double quotes."""
    return " ".join(["x", *_EXPANDED.findall(quoted[0])]) if quoted[0].startswith('"') else "x"


def _join(cure: str, left: Fault | None) -> str:
    """The cure with what would be wrong once it is followed."""
    return f"{cure}; then {left.cure}" if left is not None else cure


def _replace_program(first: str) -> str:
    if _INTERPRETER.fullmatch(first):
        return "write `python` alone: the cluster has one interpreter"
    if "=" in first:
        return "set that under spark_env_vars of the cluster spec, and write `python FILE.py ...`"
    return "write `python FILE.py ...`, with a file that does the same"

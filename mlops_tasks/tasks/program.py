"""The command `mlops`: the tasks without a tasks.py, with the settings of the nearest invoke.yaml.

A tasks.py that is there is not read: `inv` is the command for tasks of your own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import invoke
from invoke.program import Program

from mlops_tasks import __version__
from mlops_tasks.tasks import namespace

SETTINGS_FILES = tuple(f"invoke.{suffix}" for suffix in ("yaml", "yml", "json", "py"))
HELP = """\
Usage: mlops [--core-opts] TASK [--options] [TASK [--options] ...]

Release an MLflow Project with the wheels that it needs. Settings are read from `mlops:` in the invoke.yaml of this
folder or the nearest one above it, which relative paths count from; then from MLOPS_* variables and from flags.
`mlops init` writes a small project to start from, `mlops --help TASK` lists the flags of a task.
"""
OPTIONS = {
    "config": "Another file of settings, which wins over invoke.yaml.",
    "dry": "Show everything that would happen; only wheels are really built.",
    "help": "Show this help, or that of a task, and exit.",
    "list": "List the tasks and exit.",
    "print-completion-script": "Print the completion script of a shell (bash|zsh|fish) and exit.",
    "version": "Show the version and exit.",
}
"""The core options that matter to these tasks. Invoke's others, for tasks that run shell commands, work unmentioned."""


class Executor(invoke.Executor):
    """Invoke's, which tells the tasks that they were called by `mlops`: messages say `mlops deploy`."""

    program = "mlops"


class Mlops(Program):
    """Invoke's program on our tasks. Invoke itself looks for no invoke.yaml where it looks for no tasks.py."""

    def core_args(self) -> list[invoke.Argument]:
        for argument in (found := super().core_args()):
            argument.help = OPTIONS.get(argument.name or "", argument.help or "")
        return found

    def parse_collection(self) -> None:
        super().parse_collection()
        folders = (Path.cwd(), *Path.cwd().parents)
        settled = (folder for folder in folders if any((folder / each).is_file() for each in SETTINGS_FILES))
        self.config.set_project_location(next(settled, folders[0]))
        self.config.load_project()

    def print_help(self) -> None:
        sys.stdout.write(f"{HELP}\nCore options:\n\n")
        context = self.initial_context
        self.print_columns([context.help_for(f"--{name}") for name in OPTIONS])
        self.list_tasks()

    def task_list_opener(self, extra: str = "") -> str:
        return "Tasks"


def main(argv: list[str] | None = None) -> None:
    """Run the command line `argv` (default: this process's own); exits with the code of what failed."""
    name = Executor.program
    program = Mlops(__version__, namespace, name, binary=name, executor_class=Executor, binary_names=[name])
    program.run(argv)


if __name__ == "__main__":
    main()

"""What a task made, handed to the CI system of the job: values for later steps, a summary, the error's place."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlops_tasks import errors
from mlops_tasks.tasks import console

if TYPE_CHECKING:
    from mlops_tasks.pipeline.ci_outputs import File, Texts
    from mlops_tasks.pipeline.pipeline import Pipeline
    from mlops_tasks.release import Release

NONE: Mapping[str, Release] = MappingProxyType({})


class Job:
    """The CI job that a command is part of. On a laptop, and in a dry run, nothing is handed on.

    `spell` rewrites the commands in an error as the user would type them.
    """

    def __init__(self, pipeline: Pipeline, *, dry_run: bool, spell: Callable[[str], str]) -> None:
        from mlops_tasks.checkout import ci

        self._pipeline, self._spell = pipeline, spell
        self._is_told = not dry_run and ci.find(os.environ) is not None
        self._before = _load(pipeline) if self._is_told else None

    def hand_on(
        self, release: Release | None, fault: BaseException | None = None, *, beside: Mapping[str, Release] = NONE
    ) -> None:
        """Give what the command made to the steps after it, and what it failed by, to the summary.

        `beside` are the releases of several projects, by their names, the last of which is `release`.
        """
        if not self._is_told or isinstance(fault, (SystemExit, GeneratorExit)):
            return
        from mlops_tasks.pipeline import ci_outputs

        found = release or _load(self._pipeline)
        is_compared = found is not None and ci_outputs.is_new(found, self._before)
        made = ci_outputs.of_release(
            found,
            self._before,
            exit_code=errors.exit_code_of(fault) if fault else errors.ExitCode.DONE,
            beside=beside,
            problem=self._spell(str(fault)) if isinstance(fault, errors.ReleaseError) else "",
            # a job that is cancelled has a few seconds left
            comparison=self._compare(found) if is_compared and not isinstance(fault, KeyboardInterrupt) else "",
        )
        _write(ci_outputs.write(made, os.environ))

    def _compare(self, release: Release | None) -> str:
        """The run beside others, in Markdown; empty where there is none, or where the store does not answer."""
        from mlops_tasks.pipeline import comparison, history

        run = release.run if release else None
        if run is None:
            return ""
        try:
            found = comparison.beside(history.history_of(self._pipeline.context, run))
        except errors.ReleaseError:
            return ""
        return comparison.to_markdown(found, checked=run.gates, url=run.url)


def show_problem(text: str, where: str, environ: Mapping[str, str]) -> None:
    """Mark the file that an error names, where the CI system can show that."""
    from mlops_tasks.checkout import ci

    if ci.find(environ):
        from mlops_tasks.pipeline import ci_outputs

        if line := ci_outputs.show_problem(text, where, environ):
            console.standard().command(line)


def _load(pipeline: Pipeline) -> Release | None:
    try:
        return pipeline.load()
    except errors.ReleaseError:
        return None


def _write(texts: Texts) -> None:
    """Nothing of it fails the task, which is done."""
    shown = console.standard()
    for name in texts.left_out:
        shown.warning(f"{name} is not handed to the CI system: it is no plain text of one line without a $")
    for file in texts.files:
        _put(file, shown)
    for line in texts.lines:
        shown.command(line)


def _put(file: File, shown: console.Console) -> None:
    """A file that the system has made already is added to; any other is written where its folder is there."""
    from mlops_tasks import files

    text = file.text.encode("utf-8", "backslashreplace")
    try:
        if file.is_added:
            with file.path.open("ab") as stream:
                stream.write(text)
        elif file.path.parent.is_dir():
            with files.written_whole(file.path) as whole:
                whole.write(text)
    except OSError as fault:
        shown.warning(f"{file.path} cannot be written ({fault.strerror}): later steps do not get what this one made")

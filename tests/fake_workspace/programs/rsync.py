"""rsync as MLflow calls it: one file into a folder, unless it is there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.fake_workspace.programs import speech


def main(arguments: Sequence[str]) -> int:
    match list(arguments):
        case ["-a", "-v", "--ignore-existing", source, folder] if not source.startswith("-"):
            return copy(Path(source), Path(folder))
    return speech.refuse("rsync", arguments)


def copy(source: Path, folder: Path) -> int:
    """Exit code 23 is rsync's own for a source that isn't there."""
    if not source.is_file():
        speech.complain(f'rsync: [sender] link_stat "{source}" failed: No such file or directory (2)')
        return 23
    speech.say("sending incremental file list")
    if not (folder / source.name).exists():
        shutil.copy2(source, folder / source.name)
        speech.say(source.name)
    return 0

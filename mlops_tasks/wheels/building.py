"""A wheel built from a library: PEP 517 through `build`, isolated, with uv as its installer."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlops_tasks import errors, files, processes, redaction, uv
from mlops_tasks.checkout import git
from mlops_tasks.report import Report
from mlops_tasks.wheels import copies

SOURCE_DATE_EPOCH = "315532800"
"""1980-01-01, the first time that a zip file can hold: always the same, so that the wheel's bytes are."""

BUILD = "import os, runpy; os.umask(0o022); runpy.run_module('build', run_name='__main__', alter_sys=True)"
"""`python -m build` under a fixed umask: setuptools keeps the modes of the files that it writes on the way."""

STRAYS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", *git.STRAYS)
"""Variables that would let another environment into the isolated build, or the user's repository."""

LAST_WORDS = 30
"""Lines of the backend's log that a failure shows."""


@contextlib.contextmanager
def built(
    library: Path, *, top: Path, environ: Mapping[str, str], run: processes.Runner, report: Report
) -> Iterator[Path]:
    """The wheel of `library`, in a folder that is removed after the block.

    Raises StepFailed with the last lines of the build backend's log.
    """
    build_environ = _environ(environ)
    with contextlib.ExitStack() as stack:
        try:
            folder = tempfile.TemporaryDirectory(prefix="mlops-", ignore_cleanup_errors=True)
            work = Path(stack.enter_context(folder))
            place = copies.copy_library(library, work / "sources", top=top, run=run)
            out = work / "wheel"
            out.mkdir()
        except OSError as fault:
            raise not_copied("the sources", fault, where=library) from fault
        command = [sys.executable, "-c", BUILD, "--wheel", "--installer", "uv", "--outdir", str(out), str(place)]
        with report.waiting(f"building {library.name}"):
            done = run(command, cwd=out, env=build_environ)
        log = redaction.mask(done.stdout + done.stderr)
        if done.returncode:
            raise _failed("cannot be built", library, log, is_full=processes.ran_full(done))
        for line in log.splitlines():
            report.debug(line)
        found = list(out.glob("*.whl"))
        if len(found) != 1:
            raise _failed(f"made {len(found)} wheels instead of one", library, log, is_full=False)
        yield found[0]


def not_copied(what: str, fault: OSError, *, where: Path) -> errors.StepFailed:
    """The error for `what` (such as "the wheel") that cannot be copied to or below `where`."""
    cure = "make room, then `inv build-wheel`" if files.is_full(fault) else "make it readable, then `inv build-wheel`"
    return errors.StepFailed(f"{what} cannot be copied: {fault}", where=where, cure=cure)


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in environ.items() if key not in STRAYS}
    return {
        **uv.environment(kept),
        "PATH": os.pathsep.join([str(uv.find().parent), environ.get("PATH", os.defpath)]),
        "SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH,
        "NO_COLOR": "1",
    }


def _failed(what: str, library: Path, log: str, *, is_full: bool) -> errors.StepFailed:
    said = "".join(f"\n  | {line}" for line in log.rstrip().splitlines()[-LAST_WORDS:])
    first = "make room" if is_full else "correct what the build backend says"
    return errors.StepFailed(
        f"the library {library.name} {what}:{said}", where=library, cure=f"{first}, then `inv build-wheel`"
    )

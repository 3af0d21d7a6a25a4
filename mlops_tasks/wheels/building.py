"""One library to one wheel: PEP 517 through `build`, isolated, with uv as its installer."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlops_tasks import errors, files, indexes, runner
from mlops_tasks.report import Report
from mlops_tasks.wheels import copies

SOURCE_DATE_EPOCH = "315532800"
"""1980-01-01, the first moment that a zip file can hold: one time for all, so that the bytes are the same."""

BUILD = "import os, runpy; os.umask(0o022); runpy.run_module('build', run_name='__main__', alter_sys=True)"
"""`python -m build` under one umask for all: setuptools keeps the modes of the files that it writes on the way."""

STRAYS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX")
"""Variables that would let another environment into the isolated build."""

LAST_WORDS = 30
"""Lines of the backend's log that a failure shows."""


@contextlib.contextmanager
def built(
    library: Path, *, top: Path, environ: Mapping[str, str], run: runner.Runner, report: Report
) -> Iterator[Path]:
    """The wheel of `library`, in a folder that goes with the block.

    Raises StepFailed with the build backend's own words.
    """
    with tempfile.TemporaryDirectory(prefix="mlops-") as work:
        try:
            place = copies.copy_library(library, Path(work, "sources"), top=top, run=run)
            out = Path(work, "wheel")
            out.mkdir()
        except OSError as fault:
            raise no_room_or(fault, library) from fault
        command = [sys.executable, "-c", BUILD, "--wheel", "--installer", "uv", "--outdir", str(out), str(place)]
        with report.waiting(f"building {library.name}"):
            done = run(command, cwd=out, env=_environ(environ))
        log = indexes.mask(done.stdout + done.stderr)
        if done.returncode:
            raise _failed("cannot be built", library, log)
        for line in log.splitlines():
            report.debug(line)
        found = list(out.glob("*.whl"))
        if len(found) != 1:
            raise _failed(f"made {len(found)} wheels instead of one", library, log)
        yield found[0]


def no_room_or(fault: OSError, library: Path) -> errors.StepFailed:
    cure = "make room, then `inv build-wheel`" if files.is_full(fault) else "mend that, then `inv build-wheel`"
    return errors.StepFailed(f"the sources cannot be copied: {fault}", where=library, cure=cure)


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    import uv

    config_files = indexes.pip_config_files(environ, Path(sys.prefix))
    kept = {key: value for key, value in environ.items() if key not in STRAYS}
    return {
        **kept,
        **indexes.uv_environment(environ, config_files=config_files),
        "PATH": os.pathsep.join([str(Path(uv.find_uv_bin()).parent), environ.get("PATH", os.defpath)]),
        "SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH,
        "UV_PYTHON_DOWNLOADS": "never",
        "NO_COLOR": "1",
    }


def _failed(what: str, library: Path, log: str) -> errors.StepFailed:
    said = "".join(f"\n  | {line}" for line in log.rstrip().splitlines()[-LAST_WORDS:])
    return errors.StepFailed(
        f"the library {library.name} {what}:{said}",
        where=library,
        cure="correct what the build backend says, then `inv build-wheel`",
    )

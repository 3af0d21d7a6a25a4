"""All tasks as one Collection, `namespace`: what a user's tasks.py imports."""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import sys
from pathlib import Path

import invoke

# Invoke has Python keep nothing compiled, for the sake of tasks.py alone: where the installer did not compile them
# (uv, an editable install), our modules and MLflow's would be compiled anew at every start
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

from mlops_tasks.tasks import compare, doctor, init, runs, steps, ui  # noqa: E402


def _end_at_once() -> None:
    """Leave to the system what goes with the process: to free it takes more than a second where MLflow is in it.

    The user's own tasks may leave it to the end to write and close their files. Where any file is open, all that is
    written is flushed, and what modules hold is let go of: Python empties each one that is still there at last.
    """
    if _has_open_files():
        gc.unfreeze()  # what was there before a large import is not looked through any more
        kinds = {io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom}
        for each in [each for each in gc.get_objects() if type(each) in kinds]:  # of half a million
            with contextlib.suppress(OSError, ValueError):  # nobody reads it any more, or it is closed
                each.flush()
        modules: list[object] = list(sys.modules.values())
        modules.append(modules)  # so that they stay: nothing looks for such circles any more
    gc.freeze()


def _has_open_files() -> bool:
    """Whether any is open beside the three standard streams and the folder that lists them."""
    with contextlib.suppress(OSError):
        return len({each.name for each in Path("/dev/fd").iterdir()} - {"0", "1", "2"}) > 1
    return True


atexit.register(_end_at_once)

namespace = invoke.Collection(
    steps.name,
    steps.build_wheel,
    steps.deploy,
    steps.patch,
    steps.run,
    steps.release,
    init.init,
    steps.plan,
    steps.status,
    compare.compare,
    doctor.doctor,
    ui.ui,
    runs.runs,
    runs.watch,
    runs.cancel,
)

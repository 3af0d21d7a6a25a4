"""All tasks as one Collection, `namespace`: what a user's tasks.py imports."""

from __future__ import annotations

import atexit
import gc
import sys

import invoke

# Invoke has Python keep nothing compiled, for the sake of tasks.py alone: where the installer did not compile them
# (uv, an editable install), our modules and MLflow's would be compiled anew at every start
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

# a process that has MLflow in it spends more than a second at its end on freeing what goes with the process anyway
atexit.register(gc.freeze)

from mlops_tasks.tasks import compare, doctor, init, runs, steps, ui  # noqa: E402

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

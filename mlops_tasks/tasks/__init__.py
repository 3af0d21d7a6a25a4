"""All tasks as one Collection, `namespace`: what a user's tasks.py imports."""

from __future__ import annotations

import invoke

from mlops_tasks.tasks import compare, doctor, init, runs, steps, ui

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

"""A run as each version of the Jobs API shows it. Times are milliseconds."""

from __future__ import annotations

import itertools
from typing import Any

from tests.fake_workspace.runs import ENDED, Mode, Progress, Run, State, Task

_TASK_KEYS = ("shell_command_task", "spark_python_task")
_PLACE_KEYS = ("new_cluster", "existing_cluster_id", "libraries")
_TYPES = {"SUCCESS": "SUCCESS", "INTERNAL_ERROR": "INTERNAL_ERROR", "CLUSTER_ERROR": "CLOUD_FAILURE"}


def show(run: Run, version: str, *, tasks: bool = True) -> dict[str, Any]:
    """2.0 shows a single task in place, later versions a list of tasks (left out of lists of runs)."""
    shown = {
        "job_id": run.run_id,
        "run_id": run.run_id,
        "number_in_job": run.run_id,
        "original_attempt_run_id": run.run_id,
        "creator_user_name": run.user,
        "run_name": run.body.get("run_name") or "Untitled",
        "run_page_url": f"{run.site.url}/?o=900800700600#job/{run.run_id}/run/{run.run_id}",
        "run_type": "SUBMIT_RUN",
        "trigger": "ONE_TIME",
        "format": "MULTI_TASK" if run.several else "SINGLE_TASK",
        **_show_progress(run.progress, run.mode, version),
    }
    if version == "2.0" and not run.several:
        return shown | _show_in_place(run.tasks[0])
    return shown | ({"tasks": [_show_task(task, run.mode, version) for task in run.tasks]} if tasks else {})


def show_as_run(run: Run, task: Task, version: str) -> dict[str, Any]:
    """One task of several, asked for by its own run id."""
    whole = show(run, version, tasks=False)
    own = {"run_id": task.run_id, "run_name": task.key, "job_run_id": run.run_id}
    return {**whole, **own, **_show_progress(task.progress, run.mode, version), **_show_in_place(task)}


def _show_in_place(task: Task) -> dict[str, Any]:
    spec = {key: task.spec[key] for key in _PLACE_KEYS if key in task.spec}
    return {
        "task": {key: task.spec[key] for key in _TASK_KEYS if key in task.spec},
        "cluster_spec": spec,
        "cluster_instance": {"cluster_id": task.cluster_id},
    }


def _show_task(task: Task, mode: Mode, version: str) -> dict[str, Any]:
    sent = {key: value for key, value in task.spec.items() if key in _TASK_KEYS}
    places = {key: task.spec[key] for key in (*_PLACE_KEYS, "environment_key") if key in task.spec}
    return {
        "run_id": task.run_id,
        "task_key": task.key,
        "attempt_number": 0,
        "depends_on": [{"task_key": key} for key in task.dependencies],
        "cluster_instance": {"cluster_id": task.cluster_id},
        **sent,
        **places,
        **_show_progress(task.progress, mode, version),
    }


def _show_progress(progress: Progress, mode: Mode, version: str) -> dict[str, Any]:
    moves = progress.moves
    state, last = moves[-1]
    spent = dict.fromkeys(("QUEUED", "PENDING", "RUNNING", "TERMINATING"), 0)
    for (each, began), (_, ended) in itertools.pairwise(moves):
        spent[each.life_cycle] += round((ended - began) * 1000)
    return {
        **({"state": _show_state(state)} if version != "2.2" or not mode.stateless else {}),
        **({"status": _show_status(state)} if version == "2.2" else {}),
        "start_time": round(moves[0][1] * 1000),
        "queue_duration": spent["QUEUED"],
        "setup_duration": spent["PENDING"],
        "execution_duration": spent["RUNNING"],
        "cleanup_duration": spent["TERMINATING"],
        "end_time": round(last * 1000) if state.life_cycle in ENDED else 0,
    }


def _show_state(state: State) -> dict[str, Any]:
    return {
        "life_cycle_state": state.life_cycle,
        "state_message": state.message,
        "user_cancelled_or_timedout": state.stopped,
        **({"result_state": state.result} if state.result else {}),
    }


def _show_status(state: State) -> dict[str, Any]:
    if state.life_cycle not in ENDED:
        return {"state": state.life_cycle}
    kind = _TYPES.get(state.code, "CLIENT_ERROR")
    return {"state": "TERMINATED", "termination_details": {"code": state.code, "type": kind, "message": state.message}}

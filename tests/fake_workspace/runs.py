"""Runs: what happens to a submitted job between its submission and its end, each in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.fake_workspace import serverless
from tests.fake_workspace.clusters import Cluster, Outcome, Owner, Site, Unreadable
from tests.fake_workspace.compute import Compute
from tests.fake_workspace.obstacles import Obstacle
from tests.fake_workspace.standing import Visit
from tests.fake_workspace.work import Stopped, Work

ENDED = {"TERMINATED", "SKIPPED", "INTERNAL_ERROR"}
_FAILED = "Workload failed, see run output for details"


class State(NamedTuple):
    """A run's state as the APIs up to 2.1 name it; `code` is its end's name in 2.2."""

    life_cycle: str
    message: str = ""
    result: str = ""
    code: str = ""
    stopped: bool = False


PENDING = State("PENDING", "Waiting for cluster")
QUEUED = State("QUEUED", "Queued due to reaching maximum concurrent runs in the workspace.")
RUNNING = State("RUNNING", "In run")
TERMINATING = State("TERMINATING", "Terminating the cluster")
SUCCESS = State("TERMINATED", "", "SUCCESS", "SUCCESS")
CANCELED = State("TERMINATED", "Run cancelled.", "CANCELED", "USER_CANCELED", stopped=True)
TIMEDOUT = State("TERMINATED", "Run timed out.", "TIMEDOUT", "RUN_EXECUTION_ERROR", stopped=True)
UPSTREAM_FAILED = State("SKIPPED", "An upstream task failed.", "UPSTREAM_FAILED", "SKIPPED")
SKIPPED = State(
    "SKIPPED", "Skipping this run because the limit of 1 maximum concurrent runs is reached.", "", "SKIPPED"
)
LOST = State("INTERNAL_ERROR", "Unexpected failure while waiting for the cluster.", "", "INTERNAL_ERROR")
INSTALLING = State("PENDING", "Installing libraries")
NO_DRIVER = State(
    "INTERNAL_ERROR",
    "The spark driver has stopped unexpectedly and is restarting. Your notebook will be automatically reattached.",
    "FAILED",
    "DRIVER_ERROR",
)
"""The words are those of notebooks; that a job's run has them is assumed."""

NO_CLUSTER = State(
    "INTERNAL_ERROR",
    "Cluster became unusable before the run began: the cloud provider has no more nodes of this type.",
    "FAILED",
    "CLUSTER_ERROR",
)


@dataclass(frozen=True, kw_only=True)
class Mode:
    """How the runs that are submitted from now on behave on purpose.

    `failure` is the state in which an ordinary failure of a run is shown: TERMINATED or INTERNAL_ERROR, both are seen;
    one task of many is TERMINATED. A task whose kernel dies is one too, or takes the driver with it (`driver_dies`,
    assumed of those that are out of memory). Version 2.2 may come to show a `status` without a `state` (`stateless`).
    With `ending` a run ends so, and its task never starts: SKIPPED, LOST, NO_CLUSTER, TIMEDOUT.
    `endless` runs are RUNNING until somebody ends them, and their task never starts either; `installing` ones are
    PENDING as long, and say what they wait for.
    The first `unseen` looks at a run answer that it doesn't exist; in the next `queued` ones it waits in the queue.
    Whether serverless `reads_volumes`, where a task's Python file is in one, isn't known: one report says no.
    A Python file's own process is logged in, as Databricks' SDK and MLflow find it, and processes that it starts are
    not; with `login_for_all` they are too. Tasks can't write to `read_only`, folders such as `Volumes`.
    `shell_logs`: whether the output of a shell command is given, which isn't known of the real workspace.
    """

    failure: str = "TERMINATED"
    driver_dies: bool = False
    stateless: bool = False
    ending: State | None = None
    endless: bool = False
    installing: bool = False
    unseen: int = 0
    queued: int = 0
    reads_volumes: bool = False
    login_for_all: bool = False
    read_only: tuple[str, ...] = ()
    shell_logs: bool = False


class Progress:
    """The states that something went through, with the time at which each began."""

    def __init__(self, state: State) -> None:
        self._moves = [(state, time.time())]
        self._lock = threading.Lock()

    @property
    def state(self) -> State:
        return self._moves[-1][0]

    @property
    def moves(self) -> tuple[tuple[State, float], ...]:
        with self._lock:
            return tuple(self._moves)

    def move(self, state: State) -> None:
        """The end is the end: nothing moves after it."""
        with self._lock:
            if self.state.life_cycle not in ENDED and self.state != state:
                self._moves.append((state, time.time()))


@dataclass(kw_only=True)
class Task:
    """One task of a run; `spec` is what was sent for it."""

    run_id: int
    key: str
    spec: Mapping[str, Any]
    cluster_id: str
    output: Path
    progress: Progress
    environment: Mapping[str, Any] | None = None
    dependencies: tuple[str, ...] = ()
    outcome: Outcome | None = None


@dataclass(kw_only=True)
class Run:
    """A run of one task or, with `several`, of a list of tasks, which have run ids of their own.

    `user` has submitted it, and its tasks run as `identity`, with this one's `token`.
    """

    run_id: int
    user: str
    identity: str
    token: str
    body: Mapping[str, Any]
    tasks: list[Task]
    several: bool
    mode: Mode
    site: Site
    compute: Compute
    progress: Progress
    looks: int = 0
    work: Work = field(default_factory=Work)
    _stop: State | None = field(default=None, init=False)
    _let_go: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> None:
        if not self.mode.queued:
            self._let_go.set()
        self._thread = threading.Thread(target=self._live, name=f"run {self.run_id}", daemon=True)
        self._thread.start()

    def look(self) -> bool:
        """Whether the run can be seen yet; looking at it is what lets it leave the queue."""
        self.looks += 1
        if self.looks > self.mode.unseen + self.mode.queued:
            self._let_go.set()
        return self.looks > self.mode.unseen

    def stop(self, state: State = CANCELED) -> None:
        """End the run, in `state`; one that has ended keeps its end."""
        if self._stop is None:
            self._stop = state
        for progress in self._progresses():
            progress.move(TERMINATING)
        self._let_go.set()
        self.work.stop()

    def wait(self, timeout: float | None = None) -> State:
        """Until nothing of the run is left, or `timeout` seconds."""
        if self._thread:
            self._thread.join(timeout)
        return self.progress.state

    def _live(self) -> None:
        """A fault of the workspace's own ends the run too, and is shown as what it is."""
        timeouts = [each.get("timeout_seconds") or 0 for each in (self.body, *(task.spec for task in self.tasks))]
        clock = threading.Timer(min(filter(None, timeouts), default=0), self.stop, [TIMEDOUT])
        clock.daemon = True
        if clock.interval:
            clock.start()
        try:
            self._end(self._run_tasks())
        except BaseException as fault:
            self._end(LOST._replace(message=f"{fault!r}"))
            raise
        finally:
            clock.cancel()

    def _run_tasks(self) -> State:
        """In the order in which they were sent; what becomes of the run."""
        try:
            self._wait_in_queue()
            for task in self.tasks:
                task.progress.move(self._run(task))
        except Stopped:
            return self._stop or CANCELED
        return self._sum_up()

    def _wait_in_queue(self) -> None:
        self._let_go.wait()
        if self._stop:
            raise Stopped
        if self.mode.queued:
            for progress in self._progresses():
                progress.move(PENDING)
        if self.mode.endless or self.mode.installing:
            for progress in self._progresses():
                progress.move(INSTALLING if self.mode.installing else RUNNING)
            self.work.stopped.wait()
            raise Stopped

    def _run(self, task: Task) -> State:
        """The end of one task."""
        ended = {other.key: other.progress.state for other in self.tasks}
        if any(ended[key].result != "SUCCESS" for key in task.dependencies):
            return UPSTREAM_FAILED
        if self.mode.ending:
            return self.mode.ending
        try:
            task.outcome = self._run_on_cluster(task)
        except Obstacle as fault:
            return State("INTERNAL_ERROR", str(fault), "FAILED", fault.code)
        if task.outcome.lost and self.mode.driver_dies:
            return NO_DRIVER
        life_cycle = "TERMINATED" if self.several else self.mode.failure
        return State(life_cycle, _FAILED, "FAILED", "RUN_EXECUTION_ERROR") if task.outcome.failed else SUCCESS

    def _run_on_cluster(self, task: Task) -> Outcome:
        cluster = self._choose_cluster(task)
        try:
            cluster.prepare(task.spec.get("libraries") or [])
            self._move(task, RUNNING)
            outcome = _run_task(cluster, task.spec)
            self._move(task, TERMINATING)
        finally:
            cluster.remove()
        return outcome

    def _choose_cluster(self, task: Task) -> Cluster:
        stranger = self.user if self.identity != self.user else ""
        owner = Owner(self.identity, self.token, stranger, self.mode.read_only, not self.mode.login_for_all)
        if existing := task.spec.get("existing_cluster_id"):
            standing = self.compute.find(str(existing))
            return Visit(standing, site=self.site, owner=owner, run_id=task.run_id, work=self.work, output=task.output)
        spec = task.spec.get("new_cluster") or {}
        environment = task.environment and serverless.resolve(task.environment, self.site.disk)
        if not spec:
            self._check_serverless(task, environment or {})
        return Cluster(
            site=self.site,
            owner=owner,
            cluster_id=task.cluster_id,
            spec=spec,
            environment=environment,
            work=self.work,
            output=task.output,
        )

    def _check_serverless(self, task: Task, environment: Mapping[str, Any]) -> None:
        self.compute.check_environment(environment)
        file = str(task.spec["spark_python_task"]["python_file"])
        if file.removeprefix("dbfs:").startswith("/Volumes/") and not self.mode.reads_volumes:
            raise Unreadable(f"Cannot read the python file {file}. Please check driver logs for more details.")

    def _move(self, task: Task, state: State) -> None:
        if not self._stop:
            task.progress.move(state)
        if not self._stop and (state == RUNNING or task is self.tasks[-1]):
            self.progress.move(state)

    def _sum_up(self) -> State:
        """A run of several tasks is told apart from its tasks: the first that failed gives it its end."""
        ends = [(task, task.progress.state) for task in self.tasks]
        for task, end in ends:
            if end.result == "FAILED":
                ordinary = task.outcome and task.outcome.failed and end != NO_DRIVER
                life_cycle = self.mode.failure if ordinary else end.life_cycle
                message = f"Task {task.key} failed with message: {end.message}."
                return end._replace(life_cycle=life_cycle, message=message)
            if end.result != "SUCCESS":
                return end
        return SUCCESS

    def _end(self, state: State) -> None:
        for progress in self._progresses():
            progress.move(state)

    def _progresses(self) -> list[Progress]:
        """The run's own last: whoever sees that it has ended finds its tasks ended."""
        return [*(task.progress for task in self.tasks if task.progress is not self.progress), self.progress]


def _run_task(cluster: Cluster, spec: Mapping[str, Any]) -> Outcome:
    if shell := spec.get("shell_command_task"):
        return cluster.run_command(shell["command"], shell.get("env_vars") or {})
    python = spec["spark_python_task"]
    return cluster.run_python(python["python_file"], python.get("parameters") or [])

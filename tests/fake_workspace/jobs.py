"""The Jobs API, 2.0 to 2.2: one-time runs, which are run for real on clusters of this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.fake_workspace import runs, shapes, submissions
from tests.fake_workspace.clusters import Site
from tests.fake_workspace.compute import Compute
from tests.fake_workspace.exchange import Answer, Handler, Refused, Request, Routes
from tests.fake_workspace.refusals import invalid
from tests.fake_workspace.runs import ENDED, Mode, Progress, Run, State, Task

LOGS = 5 * 1024 * 1024
"""Only the end of what a task printed is given, as many bytes."""

_PAGE = 20
_LONGEST_PAGE = {"2.0": 1000, "2.1": 25, "2.2": 25}
_SEVERAL = (
    "Retrieving the output of runs with multiple tasks is not supported. "
    "Please retrieve the output of each individual task run instead."
)


class Jobs:
    """The jobs of the workspace at `url`, whose files are in `disk`; clusters and outputs are kept in `home`.

    `submitted` are the bodies of all submissions, as they came; `mode` says how the next runs behave on purpose, and
    `versions` are those of the API that there are. `token_of` gives a token of who is known by that name.
    With `reuse`, environments with the same libraries are made only once; `has_dbfs` tells whether there is a DBFS.
    """

    def __init__(
        self,
        disk: Path,
        url: str,
        token_of: Callable[[str], str],
        home: Path,
        *,
        compute: Compute | None = None,
        reuse: bool = False,
        has_dbfs: Callable[[], bool] = lambda: True,
    ) -> None:
        self.submitted: list[dict[str, Any]] = []
        self.mode = Mode()
        self.versions = {"2.0", "2.1", "2.2"}
        self._compute = compute or Compute(home.resolve())
        self.token_of = token_of
        self._site = Site(disk=disk.resolve(), url=url, home=home.resolve(), reuse=reuse, has_dbfs=has_dbfs)
        self._lock = threading.Lock()
        self._runs: dict[int, Run] = {}
        self._tokens: dict[str, int] = {}
        self._last_id = max((int(path.stem) for path in self._site.home.glob("outputs/*.txt")), default=1000)
        self._closed = False

    def routes(self) -> Routes:
        calls: dict[tuple[str, str], Handler] = {
            ("POST", "submit"): self._submit,
            ("GET", "get"): self._get,
            ("GET", "list"): self._list,
            ("GET", "get-output"): self._get_output,
            ("POST", "cancel"): self._cancel,
        }
        path = r"/api/(?P<version>2\.[012])/jobs/runs/"
        return {(method, path + call): self._of_known_versions(run) for (method, call), run in calls.items()}

    def find_runs(self, text: str) -> list[int]:
        """The ids of the runs that have `text` in their names."""
        return [run.run_id for run in self._newest_first() if text in str(run.body.get("run_name"))]

    def wait(self, run_id: int, timeout: float | None = None) -> State:
        """The end of a run, or where it stands after `timeout` seconds."""
        return self._runs[run_id].wait(timeout)

    def history(self, run_id: int) -> list[str]:
        """The life cycle states that a run went through."""
        return [state.life_cycle for state, _ in self._runs[run_id].progress.moves]

    def output(self, run_id: int) -> str:
        """All that a run's task, or a task's run, has printed."""
        _, task = self._find(run_id)
        return _read(task.output).decode(errors="replace")

    def close(self) -> None:
        """End every run, and wait until nothing of them is left."""
        with self._lock:
            self._closed = True
        for run in self._runs.values():
            run.stop()
        for run in self._runs.values():
            run.wait()

    def _of_known_versions(self, handler: Handler) -> Handler:
        def handle(request: Request) -> dict[str, Any] | Answer:
            if request.match["version"] not in self.versions:
                raise Refused(404, "ENDPOINT_NOT_FOUND", f"No API found for '{request.method} {request.path}'")
            return handler(request)

        return handle

    def _submit(self, request: Request) -> dict[str, Any]:
        body = request.json()
        several = request.match["version"] != "2.0"
        with self._lock:
            self.submitted.append(body)
            known = self._tokens.get(str(body.get("idempotency_token") or ""))
            if known:
                return {"run_id": known}
            tasks = submissions.check(body, self._compute, several=several)
            identity = submissions.check_identity(body, request.user, lambda name: bool(self.token_of(name)))
            run = self._make(request.user, identity, body, tasks, several=several)
            if body.get("idempotency_token"):
                self._tokens[str(body["idempotency_token"])] = run.run_id
        return {"run_id": run.run_id}

    def _make(
        self, user: str, identity: str, body: dict[str, Any], found: list[submissions.Checked], *, several: bool
    ) -> Run:
        if self._closed:
            raise Refused(503, "TEMPORARILY_UNAVAILABLE", "The workspace is closed")
        run_id, first = self._next_id(), Progress(runs.QUEUED if self.mode.queued else runs.PENDING)
        tasks = [self._make_task(each, run_id, first, several=several) for each in found]
        run = Run(
            run_id=run_id,
            user=user,
            identity=identity,
            token=self.token_of(identity),
            body=body,
            tasks=tasks,
            several=several,
            mode=self.mode,
            site=self._site,
            compute=self._compute,
            progress=first,
        )
        self._runs[run_id] = run
        run.start()
        return run

    def _make_task(self, found: submissions.Checked, run_id: int, progress: Progress, *, several: bool) -> Task:
        """A single task is its run: it has no run id of its own."""
        spec = found.spec
        own = self._next_id() if several else run_id
        outputs = self._site.home / "outputs"
        outputs.mkdir(parents=True, exist_ok=True)
        return Task(
            run_id=own,
            key=str(spec.get("task_key", "main")),
            spec=spec,
            environment=found.environment,
            cluster_id=str(spec.get("existing_cluster_id") or f"1124-230000-{own:08d}"),
            output=outputs / f"{own}.txt",
            progress=Progress(progress.state) if several else progress,
            dependencies=tuple(each["task_key"] for each in spec.get("depends_on") or []),
        )

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _get(self, request: Request) -> dict[str, Any]:
        run_id = _run_id(request.json())
        run, task = self._look(run_id)
        if run.run_id == run_id:
            return shapes.show(run, request.match["version"])
        return shapes.show_as_run(run, task, request.match["version"])

    def _list(self, request: Request) -> dict[str, Any]:
        """The newest first; a page token is the offset of its page."""
        wanted, version = request.json(), request.match["version"]
        found = [run for run in self._newest_first() if _suits(run, wanted)]
        longest = _LONGEST_PAGE[version]
        limit = submissions.number(wanted, "limit", _PAGE) or longest
        if not 0 < limit <= longest:
            raise invalid(f"limit must be between 1 and {longest}.")
        start = submissions.number(wanted, "page_token", 0) or submissions.number(wanted, "offset", 0)
        page, more = found[start : start + limit], len(found) > start + limit
        with_tasks = _is_true(wanted, "expand_tasks")
        shown = [shapes.show(run, version, tasks=with_tasks) for run in page]
        after = {"next_page_token": str(start + limit)} if more and version != "2.0" else {}
        return {**({"runs": shown} if shown else {}), "has_more": more, **after}

    def _get_output(self, request: Request) -> dict[str, Any]:
        """Logs are given of Python files; of a shell command only where the run's mode says so."""
        run_id, version = _run_id(request.json()), request.match["version"]
        run, task = self._look(run_id)
        if run.several and run.run_id == run_id:
            raise invalid(_SEVERAL)
        if not run.several:
            shown: dict[str, Any] = {"metadata": shapes.show(run, version)}
        else:
            shown = {"metadata": shapes.show_as_run(run, task, version)}
        if task.progress.state.life_cycle not in ENDED:
            return shown
        has_logs = "spark_python_task" in task.spec or run.mode.shell_logs
        if has_logs and not (task.outcome and task.outcome.lost):
            shown |= _read_logs(task.output)
        if task.outcome and task.outcome.error:
            shown |= {"error": task.outcome.error, "error_trace": task.outcome.trace}
        return shown

    def _cancel(self, request: Request) -> dict[str, Any]:
        run, _ = self._find(_run_id(request.json()))
        run.stop()
        return {}

    def _look(self, run_id: int) -> tuple[Run, Task]:
        """A run may not be seen at once after it was submitted."""
        run, task = self._find(run_id)
        if not run.look():
            raise _missing(run_id)
        return run, task

    def _find(self, run_id: int) -> tuple[Run, Task]:
        """The run of this id with its first task, or the task of this id with its run."""
        for run in self._newest_first():
            for task in run.tasks:
                if run_id in {run.run_id, task.run_id}:
                    return run, task if run_id == task.run_id else run.tasks[0]
        raise _missing(run_id)

    def _newest_first(self) -> list[Run]:
        with self._lock:
            return list(reversed(self._runs.values()))


def _run_id(data: Mapping[str, Any]) -> int:
    if data.get("run_id") in (None, ""):
        raise invalid("Missing required field: run_id")
    return submissions.number(data, "run_id", 0)


def _missing(run_id: int) -> Refused:
    return invalid(f"Run {run_id} does not exist.")


def _suits(run: Run, wanted: Mapping[str, Any]) -> bool:
    """Whether a list of runs that is asked for so has this one, which must be one that can be seen."""
    active, completed = _is_true(wanted, "active_only"), _is_true(wanted, "completed_only")
    if active and completed:
        raise invalid("active_only and completed_only cannot both be true.")
    ended = run.progress.state.life_cycle in ENDED
    began = run.progress.moves[0][1] * 1000
    return (
        wanted.get("run_type") in {None, "", "SUBMIT_RUN"}
        and run.looks >= run.mode.unseen
        and not (active and ended)
        and not (completed and not ended)
        and submissions.number(wanted, "job_id", run.run_id) == run.run_id
        and submissions.number(wanted, "start_time_from", 0) <= began
        and began <= (submissions.number(wanted, "start_time_to", 0) or began)
    )


def _is_true(data: Mapping[str, Any], key: str) -> bool:
    """In a query a truth is a word, in the writing of the client's language."""
    return str(data.get(key)).lower() == "true"


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _read_logs(path: Path) -> dict[str, Any]:
    said = _read(path)
    return {"logs": said[-LOGS:].decode(errors="replace"), "logs_truncated": len(said) > LOGS}

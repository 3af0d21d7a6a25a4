"""Runs on this machine: tracked by MLflow, each in a child process with an environment of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path

from mlops_tasks import errors, files, processes, redaction, state
from mlops_tasks.backends import plugin
from mlops_tasks.backends.base import REMOVED, Job, Limits, Submitted, TimedOut, stopped_after
from mlops_tasks.backends.databricks import entry
from mlops_tasks.backends.local import environment
from mlops_tasks.checkout import git
from mlops_tasks.project import staging
from mlops_tasks.release import Attempt, Run
from mlops_tasks.report import Report
from mlops_tasks.tracking import bounds, client, uris

CHILD = Path(__file__).with_name("child.py")
STRAYS = (
    *("PYTHONPATH", "PYTHONHOME", "CONDA_PREFIX", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"),
    *git.STRAYS,
)
"""Variables of the user's shell that would lead the rehearsal into another run, environment or repository."""

SERVER_PAGE = re.compile(rb"View (?:run|experiment)\b")
"""In what MLflow 2 prints at a run's end, whatever it is told: pages of the run's own server, which ends with it."""
LOOKED_THROUGH = 200
"""Lines of the log in which a fault's own line is looked for."""


@dataclass(frozen=True, kw_only=True)
class LocalRuns:
    """The methods of `base.Runs`; a run here cannot be detached."""

    places: state.StateFolder
    environ: Mapping[str, str]
    run: processes.Runner
    report: Report

    def find_experiment(self, job: Job) -> str:
        """Build the environment meanwhile: a new store takes as long, and what cannot be installed leaves no run."""
        found = processes.begin(partial(self.tracking.find_experiment, job.experiment_id, job.experiment_name))
        try:
            if job.backend == "local":
                with self._environment(job, self.report):
                    pass
        finally:  # two stores cannot be made at once in one process: it has ended before anybody tries again
            with self.report.waiting("opening MLflow's tracking store", short=True):
                experiment_id = found()
        return experiment_id

    def submit(self, job: Job) -> Submitted:
        track = self.tracking
        experiment_id = job.experiment_id or self.find_experiment(job)
        if job.backend != "local":
            return self._plugins.submit(job, experiment_id)
        tags = {**job.tags, "mlflow.project.backend": "local"}
        run_id = track.create_run(
            experiment_id, name=job.run_name, tags=tags, parameters=job.parameters, record=job.record
        )
        self.report.debug(f"tracking in {track.shown.replace(f'{self.places.top}/', '')}, experiment {experiment_id}")
        return Submitted(run_id=run_id, experiment_id=experiment_id, backend="local")

    def show(self, job: Job) -> None: ...

    def follow(self, job: Job, submitted: Submitted, *, log: Path) -> Run:
        """The exit code decides: a script may end its MLflow run well and fail after that."""
        run_id, timed_out = submitted.run_id, False
        try:
            if submitted.backend == "local":
                reason = self._execute(job, submitted, log=log)
            else:
                reason = "" if self._plugins.wait(job, run_id) else f"the backend {job.backend} says so"
            status = "FAILED" if reason else "FINISHED"
        except (processes.TimedOut, TimedOut):
            status, timed_out, reason = "KILLED", True, stopped_after(job.limits)
        except BaseException:
            with errors.warn_on_failure(self.report.warning):
                self._end(run_id, "KILLED", submitted.backend)
            raise
        self._end(run_id, status, submitted.backend)
        if gone := self.tracking.find_gone():
            self.report.warning(f"{gone} {REMOVED}: what it has logged is lost")
        found = self._read(run_id, entry_point=job.entry_point, backend=submitted.backend)
        return found._replace(timed_out=timed_out, reason=reason)

    def pick_up(self, attempt: Attempt, *, again: bool = False) -> Run | None:
        """The run as it is now. One of this backend is marked KILLED; a plugin's run may still be going on."""
        run_id = attempt.run_id
        if run_id is None and attempt.experiment_id is not None:
            by_attempt = f"tags.`mlops.attempt` = '{attempt.id}'"
            run_id = self.tracking.find_run(attempt.experiment_id, filter_string=by_attempt)
        tags = self.tracking.read_tags(run_id) if run_id else None
        if run_id is None or tags is None:
            return None
        backend = tags.get("mlflow.project.backend", "local")
        if backend == "local":
            self._end(run_id, "KILLED", backend, overrule=False)
        return self._read(run_id, entry_point=tags.get("mlflow.project.entryPoint", ""), backend=backend)

    def _end(self, run_id: str, status: str, backend: str, *, overrule: bool = True) -> None:
        """Give the run its end, and a bad one to the steps that it started too, whose processes have ended with it.

        After a good end a step may go on in a session of its own, or the script has passed over that it failed.
        """
        self.tracking.end_run(run_id, status, overrule=overrule)
        if backend != "local":
            return
        with errors.warn_on_failure(self.report.warning):
            for each in self.tracking.find_going_on(run_id):
                if status == "FINISHED":
                    self.report.warning(f"run {each}, which this run started, has no end: did that step fail?")
                else:
                    self.tracking.end_run(each, status)
                    self.report.detail(f"run {each}, which this run started, is now {status}")

    def page(self, submitted: Submitted) -> str:
        return ""

    def watch(self, submitted: Submitted, *, limits: Limits, entry_point: str, log: Path) -> Run:
        raise not_remote()

    def stop(self, submitted: Submitted) -> str | None:
        raise not_remote()

    def find(self, run_id: str) -> tuple[Submitted, str]:
        raise not_remote()

    def _execute(self, job: Job, submitted: Submitted, *, log: Path) -> str:
        """Run the entry point in the child program: why it failed, or was not begun; empty where it ended well.

        A project that was patched in place runs where it is: it may hold anything, the whole repository too.
        """
        track, folder = self.tracking, job.project.folder
        with (
            self._until_output() as first,
            self._environment(job, Report()) as (path, is_same_mlflow),
            staging.disposable(folder) if job.is_staged else contextlib.nullcontext(folder) as work_folder,
        ):
            python = str(path / "bin" / "python") if path else "python"
            not_begun = job.scratch / "not-begun"
            unkept: list[OSError] = []
            port = _find_free_port()

            def tell_unkept(fault: OSError) -> None:
                unkept.append(fault)
                first(self.report.warning)(f"the output cannot be kept in {log}: {fault.strerror}; the run goes on")

            message = {
                "project": str(work_folder),
                "command": self._find_command(job, work_folder, python),
                "entry_point": job.entry_point,
                "parameters": dict(job.given),
                "experiment_id": submitted.experiment_id,
                "run_id": submitted.run_id,
                "backend": "local",
                "storage": str(job.scratch),  # without one MLflow makes a folder that stays
                "not_begun": str(not_begun),
                "env_manager": "local" if job.env_manager == "auto" else job.env_manager,
                "tracking_uri": track.uri,
                "through_server": not is_same_mlflow and not track.is_server,
                "port": port,
                "artifacts": self.places.artifacts.as_uri(),
            }
            try:
                code = processes.follow(
                    [sys.executable, str(CHILD)],
                    env={**self._child_environ(path), **track.login},
                    message=json.dumps(message),
                    log=log,
                    show=first(self.report.output),
                    unkept=tell_unkept,
                    timeout=job.limits.timeout,
                    mend=_without_pages(port, _naming_sources(work_folder, job.sources)),
                )
                stood_on = [work_folder / job.project.mlproject, *([path / "bin" / "python"] if path else [])]
                lacked = _read_not_begun(not_begun, job.entry_point)
                return lacked or _describe_exit(code, log, stood_on=stood_on, unkept=unkept)
            finally:
                shutil.rmtree(job.scratch, ignore_errors=True)

    @contextlib.contextmanager
    def _until_output(self) -> Iterator[Callable[[Callable[[str], None]], Callable[[str], None]]]:
        """Show that something is under way, until the first call of what the callable makes of a function."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.report.waiting("starting the entry point", short=True))

            def first(say: Callable[[str], None]) -> Callable[[str], None]:
                def say_after(text: str) -> None:
                    stack.close()
                    say(text)

                return say_after

            yield first

    def _find_command(self, job: Job, folder: Path, python: str) -> list[str] | None:
        """The program that runs the entry point, by MLflow's own words for it: here it is imported already.

        None where MLflow is left more to do than to start it: it builds the environment, fetches what a parameter
        names, or has something to say against one.
        """
        if job.project.spark_job:
            return [python, *entry.words(job)]
        if job.env_manager not in {"auto", "local"} or entry.fetched(job):
            return None
        from mlflow.exceptions import MlflowException
        from mlflow.projects.utils import load_project

        with contextlib.suppress(MlflowException):  # the child program meets it again, where its words are kept
            found = load_project(str(folder)).get_entry_point(job.entry_point)
            return ["bash", "-c", found.compute_command(dict(job.given), str(job.scratch))]
        return None

    @contextlib.contextmanager
    def _environment(self, job: Job, report: Report) -> Iterator[tuple[Path | None, bool]]:
        """The job's environment (None where it is left to MLflow), and whether its MLflow is the running one."""
        if job.env_manager != "auto":
            yield None, True
            return
        from mlflow.version import VERSION

        file = job.project.environment_file or job.project.folder / job.project.mlproject
        wanted = environment.Wanted(
            lines=tuple(environment.read_lines(job.project, report=report)),
            mlflow=VERSION,
            project=job.project.folder,
            source=job.sources / os.path.relpath(file, job.project.folder),
            is_conda=job.project.kind == "conda",
        )
        with environment.built(
            wanted, folder=self.places.environments, environ=self.environ, run=self.run, report=report
        ) as path:
            found = environment.find_mlflow(path)
            if found != VERSION:
                report.detail(f"the project has MLflow {found}, and not {VERSION}: it will log through a local server")
            yield path, found == VERSION

    def _child_environ(self, path: Path | None) -> dict[str, str]:
        """Programs are found in the run's environment at `path` first, then beside this interpreter, then on PATH."""
        env = {key: value for key, value in self.environ.items() if key not in STRAYS}
        env |= processes.beside_proxies(env)
        if env.get("MLFLOW_REGISTRY_URI", "").startswith("databricks"):
            del env["MLFLOW_REGISTRY_URI"]  # a rehearsal registers no model in a workspace either
        folders = [str(Path(sys.executable).parent), env.get("PATH", "/usr/bin:/bin")]
        env["PYTHONUNBUFFERED"] = "1"
        env["MLFLOW_ENV_ROOT"] = str(environment.mlflow_root(self.places.environments))
        env.pop("VIRTUAL_ENV", None)
        if path is not None:
            env["VIRTUAL_ENV"] = str(path)
            env.pop("PYTHONDONTWRITEBYTECODE", None)  # uv leaves it to the first run to compile MLflow
            folders.insert(0, str(path / "bin"))
        env["PATH"] = ":".join(folders)
        return env

    def _read(self, run_id: str, *, entry_point: str, backend: str) -> Run:
        found = self.tracking.read_run(run_id, entry_point=entry_point, backend=backend)
        return found._replace(url=found.url or (self.tracking.shown if uris.named(self.environ) else ""))

    @cached_property
    def tracking(self) -> client.Tracking:
        uri = uris.absolute(uris.named(self.environ) or f"sqlite:///{self.places.database}")
        if uri.startswith("databricks"):
            raise errors.BadInput(
                f"MLFLOW_TRACKING_URI is {uri}, and the local target writes to no workspace",
                where="MLFLOW_TRACKING_URI (environment)",
                cure="unset MLFLOW_TRACKING_URI",
            )
        bounds.check_here(metadata.version("mlflow"))
        return client.Tracking(uri, artifacts=self.places.artifacts)

    @cached_property
    def _plugins(self) -> plugin.PluginRuns:
        return plugin.PluginRuns(self.tracking, self.report)


def not_remote() -> errors.BadInput:
    return errors.BadInput(
        "a run on this machine ends with the command that follows it",
        where="target: local",
        cure="press Ctrl-C where it runs; for a run on Databricks give `--target databricks`",
    )


def _naming_sources(work_folder: Path, sources: Path) -> Callable[[bytes], bytes]:
    """What names a place in a program by the user's own file: the folder that the run has is removed after it."""
    folders = b"|".join({re.escape(os.fsencode(each)) for each in (work_folder, work_folder.resolve())})
    place = re.compile(rb"(?:%b)(?=/[^\"':\n]{1,1000}(?:\", line |:)\d)" % folders)  # a line may have a megabyte
    return lambda data: place.sub(lambda _: os.fsencode(sources), data)


def _without_pages(port: int, mend: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """What `mend` makes of the lines that name no page of the run's own server at `port`."""
    address = b" at: http://127.0.0.1:%d/" % port

    def without(data: bytes) -> bytes:
        if address in data:
            lines = data.splitlines(keepends=True)
            data = b"".join(line for line in lines if not (address in line and SERVER_PAGE.search(line)))
        return mend(data)

    return without


def _read_not_begun(path: Path, entry_point: str) -> str:
    """Why the child program did not begin the entry point; empty where it did."""
    if not path.is_file():
        return ""
    said = redaction.mask(path.read_text(encoding="utf-8")).strip().partition("\n")[0]  # the log has the rest
    return f"the entry point {entry_point} was not begun: {said}"


def _describe_exit(code: int, log: Path, *, stood_on: Iterable[Path], unkept: Iterable[OSError]) -> str:
    """Why the entry point failed: how it ended, and what it lacked or its last line; empty where it ended well.

    It lacked a folder that it `stood_on`, or room, so that its log was `unkept`: the last line there is no cause. As
    shells count, a code above 128 is 128 and the number of the signal that ended the program.
    """
    if code == 0:
        return ""
    try:
        how = f"the entry point was ended by {signal.Signals(code - 128).name}"
    except ValueError:
        how = f"the entry point ended with exit code {code}"
    gone = next(filter(None, map(files.find_gone, stood_on)), None)
    if gone is not None:
        return f"{how}: {gone} {REMOVED}"
    full = next(filter(files.is_full, unkept), None)
    if full is not None:
        return f"{how}: {full.strerror} in {log.parent}"
    last = _last_line(log)
    return f"{how}: {last}" if last else how


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _last_line(log: Path) -> str:
    """The last line, but for what SQLAlchemy adds to its own: the statement, its values and where to read of them."""
    lines = files.last_lines(log, LOOKED_THROUGH)
    if lines and lines[-1].startswith("(Background on this error at"):
        lines = lines[: max((number for number, line in enumerate(lines) if line.startswith("[SQL:")), default=-1)]
    return lines[-1] if lines else ""

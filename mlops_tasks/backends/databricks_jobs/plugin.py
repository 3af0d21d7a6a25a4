"""The backend `databricks-jobs` of MLflow's own command: `mlflow run . -b databricks-jobs --backend-config FILE.json`.

MLflow alone imports this module. It waits for no run of a plugin's, and its exit code is 0 as soon as `run` returns: so
`run` itself follows the run to its end.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import re
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import ExecutionException
from mlflow.projects import SubmittedRun
from mlflow.projects import utils as projects
from mlflow.projects.backend.abstract_backend import AbstractBackend
from packaging import utils

from mlops_tasks import errors, processes, redaction
from mlops_tasks.backends.base import Job, Limits, Submitted, Unsure
from mlops_tasks.backends.databricks_jobs import backend, shipment
from mlops_tasks.backends.databricks_jobs.compute import BACKEND_CONFIG
from mlops_tasks.backends.jobs import stopping
from mlops_tasks.checkout import git
from mlops_tasks.project import cluster, entry_points, environment, mlproject, requirements
from mlops_tasks.release import Attempt, Deployed, Release, Run
from mlops_tasks.report import Report, write_line
from mlops_tasks.settings import SETTINGS, setting_types
from mlops_tasks.stores import choosing, uris
from mlops_tasks.tracking import tags
from mlops_tasks.tracking import uris as tracking_uris
from mlops_tasks.wheels import metadata, wheel_files
from mlops_tasks.workspace import api, login

MLFLOWS = {
    projects.PROJECT_ENV_MANAGER,
    projects.PROJECT_SYNCHRONOUS,
    projects.PROJECT_DOCKER_ARGS,
    projects.PROJECT_STORAGE_DIR,
    projects.PROJECT_BUILD_IMAGE,
    projects.PROJECT_DOCKER_AUTH,
}
"""What MLflow adds to a backend's config."""
TAKEN = (
    *("compute", "driver_root", "environment_version", "lost_contact", "pending_timeout", "poll_interval", "profile"),
    *("run_name", "timeout", "wheel_root", "workers"),
)
"""The settings that are keys of the config too."""
READERS = {
    **{key: SETTINGS[key].metadata["read"] for key in TAKEN},
    "wait": setting_types.boolean,
    "wheels": setting_types.texts,
}
DEFAULTS = {**{key: SETTINGS[key].default for key in TAKEN}, "wait": True, "wheels": ()}
SPELT = {
    "write cluster.json beside the MLproject file (or name a file by the setting `cluster`), or set ": "give "
    "`--backend-config cluster.json`, or set ",
    "leave env_manager out": "leave --env-manager out",
    "give `--profile NAME` of ~/.databrickscfg": "MLFLOW_TRACKING_URI=databricks://NAME with a profile of "
    "~/.databrickscfg",
    "leave --profile out": "set MLFLOW_TRACKING_URI=databricks",
    "set `backend: databricks`": "run it with `-b databricks`",
    "the setting `libraries`, which makes a wheel of it": "pip wheel, and the wheel in `wheels`",
    "`inv watch` follows it and `inv cancel` ends it": "its page shows it and ends it",
    "`inv watch` follows it, `inv cancel` ends it": "its page among the workspace's job runs shows it and ends it",
    "`inv cancel` marks it, or `inv watch`, once MLflow answers for it": "mark it in MLflow, once that answers",
    "`inv run` in a moment follows it": "its page among the workspace's job runs shows it and ends it",
    "`inv run` sends the same request again, which makes no second job": "repeat the command: a job that was made all "
    "the same is ended, unless a warning says otherwise",
    "give an id that is there (`inv ui` shows them)": "give an id that is there",
    "set `project` to the folder that holds the MLproject file": "name the folder that holds the MLproject file",
}
"""What messages say for who types `inv`, and how they say it to who types `mlflow run`."""
_COMMAND = re.compile(r"`inv [a-z-]+`( again)?")
_SETTING = re.compile(r"`(\w+): (\w+)`")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A backend's config: the `values` of our own keys, the cluster spec that is left, and MLflow's `env_manager`."""

    values: Mapping[str, Any]
    spec: Mapping[str, Any]
    env_manager: str


def read_config(given: Mapping[str, Any]) -> Config:
    """Raises BadInput with every fault of our own keys, and for a key that is probably misspelt."""
    faults: list[str] = []
    rest = {key: value for key, value in given.items() if key not in MLFLOWS}
    ours = [key for key in READERS if _is_ours(key, rest.get(key))]
    values = DEFAULTS | {key: _read(key, rest.pop(key), faults) for key in ours}
    faults += [f"there is no key {key}; did you mean {near}?" for key in rest if (near := _find_near(key))]
    if faults:
        raise errors.BadInput("\n  - ".join(faults), where=BACKEND_CONFIG, cure="correct it there")
    spec = {key: value for key, value in rest.items() if key not in READERS or value is not None}
    return Config(values=values, spec=spec, env_manager=given.get(projects.PROJECT_ENV_MANAGER) or "auto")


def _read(key: str, raw: object, faults: list[str]) -> object:
    try:
        return READERS[key](raw)
    except ValueError as fault:
        faults.append(f"{key} {fault}")
        return None


def _is_ours(key: str, value: Any) -> bool:
    """A task has a `compute` too, which is an object."""
    return value is not None and not (key in cluster.JOB_KEYS and isinstance(value, Mapping))


def _find_near(key: str) -> str | None:
    if key in READERS or key in cluster.JOB_KEYS | cluster.EXPORTED:
        return None
    near = difflib.get_close_matches(key.lower().replace("-", "_"), READERS, n=1, cutoff=0.8)
    return near[0] if near else None


class JobsBackend(AbstractBackend):  # type: ignore[misc] # MLflow's types are not read
    """What MLflow makes for `-b databricks-jobs`."""

    def run(
        self,
        project_uri: str,
        entry_point: str,
        params: Mapping[str, Any] | None,
        version: str | None,
        backend_config: Mapping[str, Any],
        tracking_uri: str,
        experiment_id: str | None,
    ) -> FollowedRun:
        """The run, at its end unless the config says not to wait. Raises ExecutionException unless it ended well."""
        with _as_mlflow_raises(), processes.signals_raise():
            config, report = read_config(backend_config), MlflowReport()
            backend.check_env_manager(config.env_manager)
            workspace = connect(tracking_uri, config.values["profile"], report)
            folder = Path(projects.fetch_and_validate_project(project_uri, version, entry_point, dict(params or {})))
            runs = backend.DatabricksJobsRuns(workspace=workspace, run=processes.run_command, report=report)
            job = prepare(config, folder, runs, entry_point=entry_point, parameters=params or {})
            plan = runs.plan(job)
            job = replace(job, experiment_id=find_experiment(runs, experiment_id), deployed=plan.needs.wheels)
            release = describe(job, project_uri, version)
            found = tags.describe(release, ci_url="", entry_point=entry_point, user=workspace.user, tags=_parent())
            run = FollowedRun(runs, send(runs, replace(job, tags=found, record=release.to_dict()), plan), job)
            if config.values["wait"]:
                run.follow_to_its_end()
        return run


def connect(tracking_uri: str, profile: str | None, report: Report) -> api.Workspace:
    """The workspace that MLflow tracks in: whoever runs a project there has it run there."""
    scheme, _, named = tracking_uri.partition("://")
    if scheme != "databricks":
        raise errors.BadInput(
            f"MLflow tracks at {redaction.strip(tracking_uri)}, and {backend.NAME} runs in a Databricks workspace",
            where=tracking_uris.VARIABLE,
            cure=f"set {tracking_uris.VARIABLE}=databricks, or databricks://PROFILE",
        )
    if profile and profile != named:
        raise errors.BadInput(
            f"the profile is {profile}, and MLflow tracks by {named or 'the default login'}",
            where=_place("profile"),
            cure=f"set {tracking_uris.VARIABLE}=databricks://{profile}, or leave profile out",
        )
    return api.Workspace(login=login.resolve(named or None, os.environ), report=report)


def prepare(
    config: Config,
    folder: Path,
    runs: backend.DatabricksJobsRuns,
    *,
    entry_point: str,
    parameters: Mapping[str, Any],
) -> Job:
    """The job without its experiment, tags and record. Nothing is sent or written."""
    values, project = config.values, mlproject.load(folder)
    given = {str(key): str(value) for key, value in parameters.items()}
    wheel_root = (values["wheel_root"] or uris.kept_for(runs.workspace.user, "wheels")).rstrip("/")
    uris.check_remote(wheel_root)
    deployed, files = place_wheels(values["wheels"], wheel_root) if values["wheels"] else (find_wheels(project), {})
    return Job(
        project=project,
        sources=folder,
        entry_point=entry_point,
        given=given,
        parameters=entry_points.resolve(project, entry_point, given),
        experiment_name=None,
        experiment_id=None,
        run_name=values["run_name"],
        tags={},
        cluster=None,
        spec=config.spec or None,
        backend=backend.NAME,
        env_manager="auto",
        limits=Limits(
            timeout=values["timeout"],
            poll_interval=values["poll_interval"],
            lost_contact=values["lost_contact"],
            pending=values["pending_timeout"],
        ),
        attempt=uuid.uuid4().hex,
        release_folder=folder,
        record={},
        deployed=deployed,
        wheel_files=files,
        wheel_folder=wheel_root,
        workers=values["workers"],
        compute=values["compute"],
        environment_version=values["environment_version"],
        driver_root=values["driver_root"],
    )


def find_experiment(runs: backend.DatabricksJobsRuns, experiment_id: str | None) -> str:
    """The experiment that MLflow has found, if it has and there is one: on Databricks none is the default."""
    if experiment_id in {None, "None", ""}:
        raise errors.BadInput(
            "no experiment is named to run under",
            where="--experiment-name",
            cure=f"give `--experiment-name {errors.typed(f'/Users/{runs.workspace.user}/NAME')}`, or set "
            "MLFLOW_EXPERIMENT_NAME",
        )
    return runs.tracking.check_experiment(str(experiment_id))


def place_wheels(named: Sequence[str], wheel_root: str) -> tuple[list[Deployed], dict[str, Path]]:
    """The wheels of the config as they will lie in the store, and the files of those that are here, by their names."""
    there = [uris.from_cluster(each) for each in named if not uris.is_here(each)]
    for uri in there:
        if uris.kind_of(uri) == "folder":
            raise errors.BadInput(
                f"{redaction.mask(uri)} is neither a file here nor one in the workspace",
                where=_place("wheels"),
                cure="name the wheel's file, or its URI in a volume, among workspace files or on DBFS",
            )
    top = Path.cwd()
    here = wheel_files.read_given([uris.given_path(each) for each in named if uris.is_here(each)], top=top)
    files = {top / each.file: each for each in here}
    folder = f"{wheel_root}/{metadata.content(here)}"
    deployed = [Deployed(wheel_files.read_distribution(uri, where=_place("wheels")), uri, "") for uri in there]
    deployed += [Deployed(each.distribution, f"{folder}/{path.name}", each.sha256) for path, each in files.items()]
    return deployed, {utils.canonicalize_name(each.distribution): path for path, each in files.items()}


def find_wheels(project: mlproject.Project) -> list[Deployed]:
    """The wheels in the store that the project asks for itself, as a copy that `inv patch` has staged does."""
    asked, source = environment.read(project)
    lines = [each.text for each in requirements.expand(asked.pip, source) if requirements.is_elsewhere(each.text)]
    parts = [each for line in lines if (each := requirements.read_wheel(line, placeholder="\0")) and not each.marker]
    return [Deployed(each.distribution, uris.from_cluster(each.path), "") for each in parts]


def describe(job: Job, project_uri: str, version: str | None) -> Release:
    """The run's facts, which it is tagged with, and which are logged with it."""
    tree = git.read(job.project.folder, runner=processes.run_command)
    is_here = Path(project_uri).exists()
    return Release(
        target="databricks",
        project=str(Path(project_uri).resolve()) if is_here else redaction.strip(project_uri),
        branch=(tree.branch if tree else None) or version or "",
        commit=tree.commit if tree else None,
        dirty=tree.dirty if tree else None,
        deployed=tuple(job.deployed),
        attempt=Attempt(id=job.attempt, backend=job.backend, entry_point=job.entry_point),
    )


def send(runs: backend.DatabricksJobsRuns, job: Job, plan: backend.Plan) -> Submitted:
    """Put the wheels that are here into the store, and make the run. Of a job of which nobody knows, none is left."""
    store = choosing.choose_remote(job.wheel_folder, workspace=runs.workspace)
    for each in job.deployed:
        path = job.wheel_files.get(utils.canonicalize_name(each.distribution))
        if path is not None:
            shipment.send_wheel(path, into=each.uri.rpartition("/")[0], store=store, report=runs.report)
    try:
        return runs.send(job, plan)
    except Unsure:
        with errors.warn_on_failure(runs.report.warning):
            stopping.stop_attempt(runs.attempts, Attempt(id=job.attempt), job.experiment_id or "")
        raise


class FollowedRun(SubmittedRun):  # type: ignore[misc] # MLflow's types are not read
    """A run that MLflow's caller can wait for and cancel."""

    def __init__(self, runs: backend.DatabricksJobsRuns, submitted: Submitted, job: Job) -> None:
        super().__init__()
        self._runs, self._submitted, self._job = runs, submitted, job
        self._end: Run | None = None

    @property
    def run_id(self) -> str:
        return self._submitted.run_id

    def wait(self) -> bool:
        """Whether the run ended well; what it prints is shown meanwhile."""
        return self._follow().status == "FINISHED"

    def get_status(self) -> str:
        """MLflow's word for where the run stands."""
        if self._end is not None:
            return self._end.status
        with _as_mlflow_raises():
            state = self._runs.jobs.state(self._submitted.job_run_id or 0)
        return state.mlflow_status if state.is_over else "RUNNING"

    def cancel(self) -> None:
        with _as_mlflow_raises():
            self._runs.stop(self._submitted)

    def follow_to_its_end(self) -> None:
        """Raises ExecutionException unless the run ended well. Ctrl-C and SIGTERM cancel it."""
        try:
            end = self._follow()
        except KeyboardInterrupt:
            with errors.warn_on_failure(self._runs.report.warning):
                self.cancel()
            raise
        if end.status != "FINISHED":
            why = f": {end.reason}" if end.reason else ""
            raise ExecutionException(f"Run (ID '{self.run_id}') {end.status.lower()}{why}")

    def _follow(self) -> Run:
        with _as_mlflow_raises(), processes.signals_raise():
            if self._end is None:
                log = Path(os.devnull)  # the output is shown, and the store has it
                self._end = self._runs.follow(self._job, self._submitted, log=log)
        return self._end


class MlflowReport(Report):
    """Says what there is to say as MLflow does, by its log, and shows a run's output on stdout."""

    shows_output = True

    def __init__(self) -> None:
        self._log = logging.getLogger("mlflow.projects.databricks_jobs")
        self._is_read = True

    def detail(self, text: str) -> None:
        self._log.info("%s", spell(text))

    def warning(self, text: str) -> None:
        self._log.warning("%s", spell(text))

    def debug(self, text: str) -> None:
        self._log.debug("%s", spell(text))

    def output(self, line: str) -> None:
        try:
            if self._is_read:
                write_line(sys.stdout, line)
        except OSError as fault:  # `mlflow run | head`: the run goes on
            self._is_read = False
            self.warning(f"stdout takes no more: {fault.strerror}")


def spell(text: str) -> str:
    """`text` as it is said to who types `mlflow run`."""
    for said, meant in SPELT.items():
        text = text.replace(said, meant)
    return _COMMAND.sub("repeat the command", _SETTING.sub(r'`"\1": "\2"`', text))


@contextlib.contextmanager
def _as_mlflow_raises() -> Iterator[None]:
    """Of this exception alone MLflow shows the message, and ends with 1."""
    try:
        yield
    except errors.ReleaseError as fault:
        where = {"env_manager": "--env-manager", "cluster": str(BACKEND_CONFIG)}.get(fault.where, fault.where)
        where = _place(where) if where in READERS else where
        raise ExecutionException(
            str(errors.ReleaseError(spell(fault.what), where=where, cure=spell(fault.cure)))
        ) from fault


def _place(key: str) -> str:
    return f"{BACKEND_CONFIG}: {key}"


def _parent() -> dict[str, str]:
    """A run that is made by a program which has one itself belongs to that, as it does with MLflow's own backends."""
    active = mlflow.active_run()
    return {"mlflow.parentRunId": str(active.info.run_id)} if active else {}

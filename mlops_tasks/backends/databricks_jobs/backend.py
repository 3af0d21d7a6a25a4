"""Runs that are jobs of our own making: the Jobs API 2.2, any store, any compute from runtime 13 on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from mlops_tasks import __version__, errors, files
from mlops_tasks.backends.base import Asked, Job, Submitted, Unsure
from mlops_tasks.backends.databricks_jobs import compute as computes
from mlops_tasks.backends.databricks_jobs import dependencies, entry, live, shipment, submission
from mlops_tasks.backends.databricks_jobs.dependencies import Dependencies
from mlops_tasks.backends.jobs import lookup, runs
from mlops_tasks.project import cluster, staging
from mlops_tasks.release import Attempt, Deployed, Run
from mlops_tasks.report import Report
from mlops_tasks.stores import choosing, uris, workspace_files
from mlops_tasks.stores.base import Store
from mlops_tasks.tracking import bounds
from mlops_tasks.tracking import process as mlflow_process
from mlops_tasks.workspace import faults

NAME = "databricks-jobs"
FOLDER_TAG = "mlops.run_folder"
"""The tag of a run that names the folder of its files in the store."""
REGISTRIES = {"databricks", "databricks-uc"}
"""The registries that a run has as well as the command that submits it: MLFLOW_REGISTRY_URI goes along."""
ONE_TRY = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT": "1",
}
"""MLflow repeats the call that makes a run when its answer is lost, and there are two."""
CREATIONS = 3


class Plan(NamedTuple):
    """Where a job runs, what is installed there, and how its entry point is called."""

    there: computes.Compute
    needs: Dependencies
    called: entry.Call

    def tell(self, report: Report) -> None:
        """Say what is left out or overruled, and what does not travel or arrives as another."""
        for said in (*self.there.said, *self.needs.said):
            report.detail(said)


@dataclass(frozen=True, kw_only=True)
class DatabricksJobsRuns(runs.WorkspaceRuns):
    backend: ClassVar[str] = NAME
    api: ClassVar[str] = "2.2"

    def submit(self, job: Job) -> Submitted:
        """Send the project and make one job run of it, whatever answers are lost on the way.

        The request holds the attempt's id as its token: sent again it makes no second job run.
        """
        return self.send(job, self.plan(job))

    def send(self, job: Job, plan: Plan) -> Submitted:
        """`submit` with the plan that was made for the job."""
        plan.tell(self.report)
        experiment_id = job.experiment_id or self.find_experiment(job)
        store, folder = self._store(job), _run_folder(job)
        with self.stopped_when_cut_off(Attempt(id=job.attempt), experiment_id) as begun:
            shipped = self._ship(job, plan, store)
            begun.set()
            job.begun()
            earlier, known = shipment.find_run(folder, store) or ("", None)
            run_id = self._ensure_run(job, experiment_id, known=known)
            written = self._describe_to_driver(job, plan, shipped, run_id=run_id, experiment_id=experiment_id)
            parameter = earlier or shipment.send_run(written, into=folder, store=store, report=self.report)
            body = self._body(job, plan, shipped, parameter=uris.to_cluster(parameter))
            job_run_id = self._send(body, run_id)
            with errors.warn_on_failure(self.report.warning):
                self.tracking.set_tag(run_id, lookup.JOB_TAG, str(job_run_id))
        return Submitted(run_id=run_id, experiment_id=experiment_id, backend=self.backend, job_run_id=job_run_id)

    def show(self, job: Job) -> None:
        """Show what would be sent, without sending anything."""
        plan = self.plan(job)
        plan.tell(self.report)
        shipped = _Shipped(
            archive="",
            sha256="",
            driver=f"{self._driver_root(job)}/<version>/{shipment.DRIVER_NAME}",
            requirements=f"{_run_folder(job)}/requirements.txt" if submission.file_text(plan.there, plan.needs) else "",
        )
        body = self._body(job, plan, shipped, parameter=uris.to_cluster(f"{_run_folder(job)}/run.json"))
        self.report.text(json.dumps(body, indent=2))

    def pick_up(self, attempt: Attempt, *, again: bool = False) -> Submitted | Run | None:
        if again and attempt.run_id is None and attempt.experiment_id is not None:
            found = self.attempts.find(attempt, attempt.experiment_id)
            if found is None or found.job_run_id is None:
                return None  # the same request finds the job, or makes it
        return super().pick_up(attempt, again=again)

    def follow(self, job: Job, submitted: Submitted, *, log: Path) -> Run:
        """As of any job; then a run is removed that was made twice, as the answer to its creation was lost."""
        found = super().follow(job, submitted, log=log)
        with errors.warn_on_failure(self.report.warning):
            by_attempt = lookup.by_attempt(job.attempt)
            for twin in self.tracking.delete_twins(submitted.run_id, submitted.experiment_id, filter_string=by_attempt):
                self.report.detail(f"run {twin} was made for the same job run, and is deleted")
        return found

    def open_output(self, submitted: Submitted, log: Path) -> runs.RunOutput:
        folder = (self.tracking.read_tags(submitted.run_id) or {}).get(FOLDER_TAG, "")
        at_end = runs.OutputAtEnd(self.jobs, log)
        if not folder:
            return at_end
        store = choosing.choose_remote(folder, workspace=self.workspace.in_haste())
        return LiveJobOutput(live.LiveOutput(store, folder, log=log, report=self.report), at_end)

    def plan(self, job: Job) -> Plan:
        """Raises BadInput for all that can be known to fail before anything is sent."""
        own = job.sources / job.cluster if job.cluster else None
        there = computes.read(
            job.project.folder / job.cluster if job.cluster else job.spec,
            compute=job.compute,
            environment_version=job.environment_version,
            source=own if own and own.is_file() else None,
        )
        there = computes.ask(there, self.workspace.find_cluster)
        computes.find_rule(there)
        needs = dependencies.read(
            job.project,
            there,
            sources=job.sources,
            wheels=[self._with_hash(each) for each in job.deployed],
            client=bounds.read_client(),
            files=job.wheel_files,
            workers=job.workers,
        )
        check_store(job.wheel_folder, there)
        places = {"wheel_root": job.wheel_folder, "driver_root": self._driver_root(job)}
        submission.check_readable(there, user=self.workspace.user, places=places)
        return Plan(there, needs, entry.read(job))

    def _with_hash(self, wheel: Deployed) -> Deployed:
        """The wheel with the SHA-256 that the driver program compares; who names one by its URI does not know it."""
        if wheel.sha256 or uris.kind_of(wheel.uri) == "folder":
            return wheel
        try:
            content = choosing.choose_remote(wheel.uri, workspace=self.workspace).read(wheel.uri)
        except faults.ApiError as fault:
            if not fault.is_missing:
                raise
            what = f"there is no wheel {wheel.uri} in {self.workspace.login.host}"
            raise errors.BadInput(what, where=wheel.uri, cure="name one that is there") from fault
        return wheel._replace(sha256=files.sha256(content))

    def _store(self, job: Job) -> Store:
        return choosing.choose_remote(job.wheel_folder, workspace=self.workspace)

    def _driver_root(self, job: Job) -> str:
        return job.driver_root or uris.kept_for(self.workspace.user, "driver")

    def _ship(self, job: Job, plan: Plan, store: Store) -> _Shipped:
        """Send what does not depend on MLflow's run."""
        names = staging.list_again(job.project.folder, run=self.run)
        archive, sha256 = shipment.send_project(
            job.project.folder, names, into=f"{job.wheel_folder}/projects", store=store, report=self.report
        )
        driver = shipment.send_driver(
            self._driver_root(job),
            version=__version__,
            store=workspace_files.WorkspaceFilesStore(self.workspace),
            report=self.report,
        )
        text, requirements = submission.file_text(plan.there, plan.needs), ""
        if text:
            requirements = shipment.send_text(
                "requirements.txt", text, into=_run_folder(job), store=store, report=self.report
            )
        return _Shipped(archive=archive, sha256=sha256, driver=driver, requirements=requirements)

    def _describe_to_driver(
        self, job: Job, plan: Plan, shipped: _Shipped, *, run_id: str, experiment_id: str
    ) -> dict[str, Any]:
        """What the driver program is told (its docstring has the form)."""
        lines = submission.install_lines(plan.there, plan.needs)
        registry = os.environ.get("MLFLOW_REGISTRY_URI", "")
        return {
            "version": 1,
            "attempt": job.attempt,
            "folder": uris.to_cluster(_run_folder(job)),
            "archive": {"path": uris.to_cluster(shipped.archive), "sha256": shipped.sha256},
            "entry_point": plan.called.entry_point,
            "downloads": dict(plan.called.downloads),
            "variables": {
                "MLFLOW_TRACKING_URI": "databricks",
                "MLFLOW_EXPERIMENT_ID": experiment_id,
                "MLFLOW_RUN_ID": run_id,
                **({"MLFLOW_REGISTRY_URI": registry} if registry in REGISTRIES else {}),
            },
            "wheels": [
                {"distribution": each.distribution, "path": uris.to_cluster(each.uri), "sha256": each.sha256}
                for each in plan.needs.wheels
            ],
            "install": None if lines is None else {"lines": lines},
            "workers": job.workers and plan.there.kind == "existing",
        }

    def _body(self, job: Job, plan: Plan, shipped: _Shipped, *, parameter: str) -> dict[str, Any]:
        return submission.body(
            plan.there,
            plan.needs,
            attempt=job.attempt,
            run_name=job.run_name or f"{job.sources.name} {job.entry_point}",
            driver=shipped.driver,
            parameter=parameter,
            requirements_file=shipped.requirements,
            timeout=job.limits.timeout,
        )

    def _ensure_run(self, job: Job, experiment_id: str, *, known: str | None = None) -> str:
        """The id of the attempt's one MLflow run, which is RUNNING; its parameters and its record are logged.

        `known` is the one that a job of the attempt was told of, if there is one: a store shows at once what MLflow's
        search may show late.
        """
        tags = {
            **job.tags,
            "mlflow.project.backend": self.backend,
            FOLDER_TAG: _run_folder(job),
        }
        attempt = Attempt(id=job.attempt, run_id=known)
        run_id = self._find_or_create(attempt, experiment_id, name=job.run_name, tags=tags)
        with errors.warn_on_failure(self.report.warning):
            self.tracking.describe_run(run_id, tags=tags, parameters=job.parameters, record=job.record)
        return run_id

    def _find_or_create(
        self, attempt: Attempt, experiment_id: str, *, name: str | None, tags: Mapping[str, str]
    ) -> str:
        """A lost answer to the creation of a run is looked up before it is repeated: MLflow's search lags behind."""
        found = attempt.run_id or self.attempts.find_run(attempt, experiment_id, looks=1)
        for left in reversed(range(CREATIONS)):
            if found is not None:
                self.tracking.resume_run(found)
                return found
            try:
                with mlflow_process.variables(**ONE_TRY), mlflow_process.fresh_clients():
                    return self.tracking.start_run(experiment_id, name=name, tags=tags)
            except errors.WorkspaceError as fault:
                if not left:
                    raise
                self.report.detail(f"MLflow did not answer for a new run ({fault.what}); looking for it")
                found = self.attempts.find_run(attempt, experiment_id)
        raise AssertionError("every round returns or raises")

    def _send(self, body: Mapping[str, Any], run_id: str) -> int:
        """The id of the job run. Safe to repeat: the workspace knows the request by its token."""
        url = f"{self.workspace.login.host}/api/{self.api}/jobs/runs/submit"

        def post() -> int:
            answer = self.workspace.session.send_once("POST", url, json=body).json()
            try:
                return int(answer["run_id"])
            except (KeyError, TypeError, ValueError) as fault:
                what = "its answer has no run_id"
                raise faults.ApiError(what, where=url, cure="repeat", is_transient=True) from fault

        try:
            return self.workspace.persist("submitting the job", post)
        except faults.ApiError as fault:
            if fault.is_transient:
                raise Unsure(
                    f"whether the workspace took the job is not known: {fault.what}",
                    where=url,
                    cure="`inv run` sends the same request again, which makes no second job",
                ) from fault
            with errors.warn_on_failure(self.report.warning):
                self.tracking.end_run(run_id, "FAILED", overrule=False)
            raise _refused(fault, url) from fault


def check(asked: Asked) -> None:
    """Raise BadInput for what is bound to fail, by the settings and the project's own files alone."""
    check_env_manager(asked.env_manager)
    there = computes.read(asked.cluster, compute=asked.compute, environment_version=asked.environment_version)
    computes.find_rule(there)
    check_store(asked.wheel_root, there)


def check_env_manager(name: str) -> None:
    if name != "auto":
        raise errors.BadInput(
            f"env_manager is {name}, and {NAME} installs the project's requirements itself",
            where="env_manager",
            cure="leave env_manager out, or set `backend: databricks`, MLflow's own",
        )


class _Shipped(NamedTuple):
    """Where the files of a run lie, by their URIs, and the hash of the project's archive."""

    archive: str
    sha256: str
    driver: str
    requirements: str


class LiveJobOutput:
    """What a run prints, as it prints it; the workspace's own copy where that is not whole."""

    def __init__(self, output: live.LiveOutput, at_end: runs.OutputAtEnd) -> None:
        self._live, self._at_end = output, at_end

    def look(self) -> None:
        self._live.look()

    def end(self, job_run_id: int) -> runs.End:
        result = self._live.end()
        if result is None or not result.is_whole or self._live.shown < result.files:
            end = self._at_end.end(job_run_id)
            return runs.End(result.error, result.trace) if result and not end.error else end
        if result.trace:
            self._live.add(result.trace)
        return runs.End(result.error, result.trace)


def _run_folder(job: Job) -> str:
    return f"{job.wheel_folder}/runs/{job.attempt or '<attempt>'}"


def check_store(folder: str, there: computes.Compute) -> None:
    """Raise BadInput where the driver cannot read the store `folder`: DBFS has no mount everywhere."""
    if uris.kind_of(folder) != "dbfs":
        return
    if there.has_environment or there.cluster.get("data_security_mode") in cluster.STANDARD:
        raise errors.BadInput(
            f"{there} has no /dbfs, and wheel_root is {folder}",
            where="wheel_root",
            cure=f"leave wheel_root out, or set it to a volume or to {uris.WORKSPACE}Shared/wheels",
        )


def _refused(fault: faults.ApiError, url: str) -> errors.WorkspaceError:
    if fault.is_missing or fault.code == "ENDPOINT_NOT_FOUND":
        what = "this workspace does not know the Jobs API 2.2"
        return errors.WorkspaceError(what, where=url, cure="set `backend: databricks`, MLflow's own")
    return errors.WorkspaceError(
        f"the workspace did not take the job: {fault.what}", where=url, cure="correct what it says, then `inv release`"
    )

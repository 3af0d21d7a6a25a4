"""Plain `mlflow run -b databricks-jobs`, without Invoke and without a record."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import ExecutionException

import mlops_tasks
from mlops_tasks import errors
from mlops_tasks.backends.base import Submitted, Unsure
from mlops_tasks.backends.databricks_jobs import compute as computes
from mlops_tasks.backends.databricks_jobs import plugin
from mlops_tasks.files import file_sha256 as files_sha256
from mlops_tasks.project import cluster, mlproject
from mlops_tasks.release import Run
from mlops_tasks.report import Report
from tests.fake_workspace.mlflow_server import MlflowServer
from tests.support import sites, tiny_wheels
from tests.support.jobs import ENTRY_POINTS, make_job
from tests.support.repositories import write
from tests.support.sites import Site

pytest_plugins = ["tests.fake_workspace.fixture"]
CLUSTER = {**sites.SPARK_CLUSTER, "spark_version": "15.4.x-scala2.12"}
MLPROJECT = """\
name: plain
python_env: python_env.yaml
entry_points:
  main:
    parameters:
      text: {type: string, default: hello}
    command: "python train.py {text}"
  fail: {command: "python fail.py"}
  hang: {command: "python hang.py"}
"""
TRAIN = """\
import sys
import mlflow, mylib
print("TEXT", sys.argv[1], mylib.ANSWER)
if not mlflow.__version__.startswith("2."):  # the kernel of the test workspace logs in no older one
    with mlflow.start_run():
        mlflow.log_metric("answer", mylib.ANSWER)
"""
HANG = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"
FILES = {
    "MLproject": MLPROJECT,
    "python_env.yaml": "dependencies: [mlflow-skinny]\n",
    "train.py": TRAIN,
    "fail.py": "print('about to fail')\nraise ValueError('bad data')\n",
    "hang.py": HANG,
}


MLFLOWS: dict[str, Any] = {
    "ENV_MANAGER": None,
    "SYNCHRONOUS": False,
    "DOCKER_ARGS": {},
    "STORAGE_DIR": None,
    "build_image": False,
}
"""What MLflow adds to every config."""


def refused(config: Mapping[str, Any], *, uri: str = "databricks") -> str:
    """What MLflow shows of the error that a run with this config ends in, before anything is asked of a workspace."""
    with pytest.raises(ExecutionException) as caught:
        plugin.JobsBackend().run(".", "main", None, None, {**MLFLOWS, **config}, uri, "0")
    return str(caught.value)


def test_the_config_is_a_cluster_spec_with_keys_of_ours_and_of_mlflows() -> None:
    spec = {"new_cluster": CLUSTER, "compute": {"hardware_accelerator": "GPU_1xA10"}, "run_name": "night"}

    config = plugin.read_config({**MLFLOWS, **spec, "docker_auth": None, "wait": False, "wheels": "a.whl, b.whl"})

    assert config.spec == {key: spec[key] for key in ("new_cluster", "compute")}
    assert (config.values["wheels"], config.values["wait"], config.values["run_name"]) == (
        ("a.whl", "b.whl"),
        False,
        "night",
    )
    assert (config.values["poll_interval"], config.values["compute"], config.env_manager) == (5.0, None, "auto")


def test_a_key_of_ours_that_is_null_is_left_to_its_default() -> None:
    config = plugin.read_config({"timeout": None, "wheels": None, "compute": "serverless"})

    assert (config.values["timeout"], config.values["wheels"], config.values["compute"]) == (None, (), "serverless")
    assert config.spec == {}


@pytest.mark.parametrize(
    ("key", "near"), [("wheel", "wheels"), ("wheel-root", "wheel_root"), ("enviroment_version", "environment_version")]
)
def test_a_key_that_is_probably_misspelt_is_no_part_of_the_cluster(key: str, near: str) -> None:
    said = refused({"new_cluster": CLUSTER, key: "x"})

    assert said == f"there is no key {key}; did you mean {near}?\n  in: --backend-config\n  do: correct it there"


def test_keys_of_the_jobs_api_are_near_to_none_of_ours() -> None:
    known = {*cluster.JOB_KEYS, *cluster.EXPORTED, "num_workers", "node_type_id", "spark_version", "policy_id"}

    assert plugin.read_config(dict.fromkeys(known - set(plugin.READERS), "x")).spec.keys() == known - set(
        plugin.READERS
    )


def test_all_values_that_are_wrong_are_told_at_once() -> None:
    said = refused({"timeout": "soon", "compute": "cloud", "wait": 3})

    assert "timeout must be a number of seconds above 0, not 'soon'" in said
    assert "compute must be one of serverless, not 'cloud'" in said
    assert "wait must be true or false, not 3" in said


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "http://ada:pw@tracking"])
def test_a_project_runs_where_mlflow_tracks_or_nowhere(uri: str) -> None:
    said = refused({}, uri=uri)

    assert "runs in a Databricks workspace" in said
    assert "do: set MLFLOW_TRACKING_URI=databricks, or databricks://PROFILE" in said
    assert "pw" not in said


def test_a_profile_that_mlflow_does_not_track_by_is_refused() -> None:
    said = refused({"profile": "prod"}, uri="databricks://dev")

    assert said.startswith("the profile is prod, and MLflow tracks by dev\n  in: --backend-config: profile\n")
    assert "set MLFLOW_TRACKING_URI=databricks://prod" in said


def test_a_missing_login_is_told_in_the_words_of_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith(("DATABRICKS_", "ARM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))

    said = refused({}, uri="databricks")

    assert "no Databricks login is known" in said
    assert "MLFLOW_TRACKING_URI=databricks://NAME with a profile of ~/.databrickscfg" in said


def test_an_environment_manager_is_refused_by_its_flag() -> None:
    said = refused({"ENV_MANAGER": "virtualenv"})

    assert "in: --env-manager" in said
    assert "run it with `-b databricks`" in said


def test_a_spec_without_a_file_is_read_in_every_form_and_told_of_by_the_flag() -> None:
    for spec in (CLUSTER, {"new_cluster": CLUSTER}, {"cluster_spec": {"new_cluster": CLUSTER}}):
        assert computes.read(spec, compute=None, environment_version=None).cluster == CLUSTER

    with pytest.raises(errors.BadInput, match="--backend-config names no compute") as caught:
        computes.read({"libraries": []}, compute=None, environment_version=None)
    assert caught.value.where == "--backend-config"


def test_wheels_that_are_here_lie_under_their_content_and_others_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = tiny_wheels.make_wheel(tmp_path, "one", "1.0", "two")
    tiny_wheels.make_wheel(tmp_path, "two", "1.0")
    monkeypatch.chdir(tmp_path)
    named = [str(one), "two-1.0-py3-none-any.whl", "/dbfs/w/three-1.0-py3-none-any.whl"]

    deployed, files = plugin.place_wheels(named, "/Volumes/a/b/c")

    assert [each.distribution for each in deployed] == ["three", "two", "one"]
    assert deployed[0].uri == "dbfs:/w/three-1.0-py3-none-any.whl"
    assert {each.uri.rpartition("/")[0] for each in deployed[1:]} == {
        "/Volumes/a/b/c/" + deployed[1].uri.split("/")[-2]
    }
    assert set(files) == {"one", "two"}
    assert deployed[2].sha256 == files_sha256(files["one"])


@pytest.mark.parametrize(
    ("wheel", "reason"),
    [
        ("https://h/a-1.0-py3-none-any.whl", "neither a file here nor one in the workspace"),
        ("/Volumes/a/b/c/mylib", "Invalid wheel filename"),
        ("dist/a-1.0-py3-none-any.whl", "there is no such file"),
    ],
)
def test_what_is_no_wheel_is_refused(wheel: str, reason: str) -> None:
    with pytest.raises(errors.BadInput, match=reason):
        plugin.place_wheels([wheel], "/Volumes/a/b/c")


def test_wheels_in_the_store_that_a_project_names_count_as_its_own(tmp_path: Path) -> None:
    listed = "- numpy\n- /Volumes/a/b/c/one-1.0-py3-none-any.whl\n- two @ dbfs:/w/two-1.0-py3-none-any.whl\n"
    write(tmp_path, {**FILES, "python_env.yaml": f"dependencies:\n{listed}"})

    found = plugin.find_wheels(mlproject.load(tmp_path))

    assert [(each.distribution, each.uri) for each in found] == [
        ("one", "/Volumes/a/b/c/one-1.0-py3-none-any.whl"),
        ("two", "dbfs:/w/two-1.0-py3-none-any.whl"),
    ]


def test_no_message_sends_who_types_mlflow_to_invoke() -> None:
    package = Path(mlops_tasks.__file__).parent
    said = [
        node.value
        for path in package.rglob("*.py")
        if path.name != "plugin.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]

    assert [each for each in plugin.SPELT if not any(each in text for text in said)] == []
    assert plugin.spell("correct what it says, then `inv release`") == "correct what it says, then repeat the command"
    assert plugin.spell("set `compute: serverless`") == 'set `"compute": "serverless"`'


SUBMITTED = Submitted(run_id="r1", experiment_id="7", backend="databricks-jobs", job_run_id=3)


class Runs:
    """Runs that end as they are told to; `ended` are the ends that were given to one."""

    def __init__(self, end: Run | BaseException) -> None:
        self._end, self.ended, self.workspace, self.report = end, list[object](), None, Report()
        self.attempts = SimpleNamespace(
            find=lambda *_, **__: replace(SUBMITTED, job_run_id=None),
            tracking=SimpleNamespace(end_run=lambda *end: self.ended.append(end)),
        )

    def follow(self, job: object, submitted: object, *, log: object) -> Run:
        if isinstance(self._end, BaseException):
            raise self._end
        return self._end

    def send(self, *_: object) -> None:
        raise Unsure("nobody answered", where="there", cure="look")

    def stop(self, submitted: object) -> None:
        self.ended.append(submitted)


def make_end(status: str, reason: str) -> Run:
    return Run("r1", "7", status, "databricks-jobs", "", "main", reason=reason)


def followed(runs: Runs, folder: Path) -> plugin.FollowedRun:
    stubs: Any = runs
    return plugin.FollowedRun(stubs, SUBMITTED, make_job(folder, ENTRY_POINTS))


def test_a_run_that_its_time_limit_ends_is_a_failure_that_says_so(tmp_path: Path) -> None:
    run = followed(Runs(make_end("KILLED", "stopped after the timeout of 9 s")), tmp_path)

    with pytest.raises(ExecutionException, match=r"Run \(ID 'r1'\) killed: stopped after the timeout of 9 s"):
        run.follow_to_its_end()
    assert (run.wait(), run.get_status()) == (False, "KILLED")


def test_a_run_whose_caller_is_cut_off_is_stopped(tmp_path: Path) -> None:
    runs = Runs(KeyboardInterrupt())

    with pytest.raises(KeyboardInterrupt):
        followed(runs, tmp_path).follow_to_its_end()
    assert runs.ended == [SUBMITTED]


def test_what_was_submitted_without_an_answer_is_ended_as_nobody_keeps_a_record_of_it(tmp_path: Path) -> None:
    job = replace(make_job(tmp_path, ENTRY_POINTS), wheel_folder="/Volumes/a/b/c", experiment_id="7")
    runs: Any = Runs(make_end("FINISHED", ""))

    with pytest.raises(Unsure):
        plugin.send(runs, job, runs)
    assert runs.ended == [("r1", "KILLED")]


def test_who_reads_no_output_any_more_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(text: str) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", SimpleNamespace(encoding="utf-8", write=write))

    plugin.MlflowReport().output("a line")


@pytest.fixture(scope="module")
def site(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sites.opened(tmp_path_factory.mktemp("plugin") / "repository", mlflow_server) as opened:
        yield opened


@pytest.fixture
def project(site: Site, tmp_path: Path) -> Iterator[Path]:
    """A folder with a project, its wheel and its config, in no repository."""
    write(tmp_path, FILES)
    tiny_wheels.make_wheel(tmp_path / "dist", "mylib", "1.0", code="ANSWER = 42\n")
    config = {"new_cluster": CLUSTER, "wheels": ["dist/mylib-1.0-py3-none-any.whl"], "poll_interval": 0.2}
    write(tmp_path, {"cluster.json": json.dumps(config)})
    site.workspace.jobs.submitted.clear()
    site.workspace.requests.clear()
    with sites.entered(site.workspace), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "databricks")
        yield tmp_path


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`mlflow run` as a process of its own, which the test must see to its end."""
    command = [sys.executable, "-m", "mlflow", "run", ".", "-b", "databricks-jobs", "--backend-config", "cluster.json"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen(
        [*command, "--experiment-name", "/Shared/plain", *arguments],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.full
def test_a_run_is_followed_to_its_end_with_its_output(site: Site, project: Path) -> None:
    process = start(project, "-P", "text=it's me", "--run-name", "first")
    out, err = process.communicate(timeout=300)

    assert process.returncode == 0, err
    assert "TEXT it's me 42" in out
    (run_id,), (body,) = site.runs("FINISHED"), site.submits()
    tags = site.tags(run_id)
    assert (tags["mlflow.project.backend"], tags["mlflow.runName"]) == ("databricks-jobs", "first")
    assert (tags["mlflow.project.entryPoint"], tags["mlflow.source.name"]) == ("main", str(project))
    assert site.parameters(run_id) == {"text": "it's me"}
    (whl,) = (each["whl"] for each in body["tasks"][0]["libraries"] if "whl" in each)
    assert whl.startswith(f"/Workspace/Users/{site.workspace.user}/.mlops/wheels/")
    assert not {"wheels", "poll_interval", "ENV_MANAGER"} & set(body["tasks"][0]["new_cluster"])


@pytest.mark.full
def test_a_run_that_fails_ends_with_1_and_its_trace(site: Site, project: Path) -> None:
    process = start(project, "-e", "fail")
    out, err = process.communicate(timeout=300)

    assert process.returncode == 1
    assert "about to fail" in out
    assert "ValueError: bad data" in out
    assert "fail.py" in out
    said = re.search(r"=== Run \(ID '(\w+)'\) failed: ValueError: bad data ===", err)
    assert said is not None, err
    assert site.status(said[1]) == "FAILED"
    assert "Traceback" not in err


@pytest.mark.full
def test_sigterm_cancels_the_job_and_marks_the_run(site: Site, project: Path) -> None:
    process = start(project, "-e", "hang")
    assert process.stdout is not None
    for line in process.stdout:
        if "begun" in line:
            break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=300)

    assert process.returncode == 1, err
    assert len(site.runs("KILLED")) == 1
    assert not site.runs("RUNNING")

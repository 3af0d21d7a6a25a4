"""Whole releases to the test workspace, whose jobs really run: both project forms, all three stores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import mlops_tasks
from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.runs import Mode
from tests.fake_workspace.server import Workspace
from tests.support import sites
from tests.support.inv import inv
from tests.support.repositories import git
from tests.support.sites import Site

pytest_plugins = ["tests.fake_workspace.fixture"]

TRAIN = """\
import argparse
import json
from importlib import metadata

import mlflow
import mylib

parser = argparse.ArgumentParser()
parser.add_argument("--text")
arguments = parser.parse_args()
with mlflow.start_run():
    mlflow.log_metric("answer", mylib.ANSWER)
installed = json.loads(metadata.distribution("mylib").read_text("direct_url.json"))["archive_info"]
print("INSTALLED", installed["hashes"]["sha256"])
print("TEXT", json.dumps(arguments.text))
run_id = mlflow.last_active_run().info.run_id
mlflow.MlflowClient().set_tag(run_id, "installed", installed["hashes"]["sha256"])
mlflow.MlflowClient().set_tag(run_id, "text", arguments.text or "")
"""
FAIL = "def train():\n    print('about to fail')\n    raise ValueError('no such column')\n\n\ntrain()\n"
TRAIN_IT = """\
  train it:
    parameters: {text: string}
    command: "python train.py --text {text}"
"""
ML_CLUSTER = {**sites.SPARK_CLUSTER, "spark_version": "14.3.x-cpu-ml-scala2.12"}
ROOTS = {"dbfs": "dbfs:/wheels", "volume": "/Volumes/main/default/wheels", "workspace": "/Workspace/Shared/wheels"}
CLASSIC_ON = {
    "dbfs": "12.2.x-cpu-ml-scala2.12",
    "volume": "13.3.x-cpu-ml-scala2.12",
    "workspace": "14.3.x-cpu-ml-scala2.12",
}
"""Below 13 there are no volumes; the test workspace runs a shell command on any runtime."""
SPARK_ON = {"dbfs": "14.3.x-cpu-ml-scala2.12"}
"""Newer runtimes install nothing from DBFS."""
TEMPLATE = Path(mlops_tasks.__file__).parent / "template"
FORCE = ("--force",)
"""Which MLflow a runtime can have is no matter here: all of the test workspace's have the running Python."""


@pytest.fixture(scope="module")
def spark(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("spark") / "a repository"
    with sites.opened(folder, mlflow_server, TRAIN=TRAIN, FAIL=FAIL, CLUSTER=json.dumps(ML_CLUSTER)) as site:
        yield site


@pytest.fixture(scope="module")
def classic(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("classic") / "a repository"
    changed = sites.classic()
    changed["MLPROJECT"] += TRAIN_IT
    with sites.opened(folder, mlflow_server, TRAIN=TRAIN, FAIL=FAIL, **changed) as site:
        yield site


def check_run(site: Site) -> None:
    """The record's run ended well, with the metric of the wheel that was deployed from here."""
    run = site.record["run"]
    wheel = site.record["wheels"][0]
    assert run["metrics"] == {"answer": 42.0}
    assert run["status"] == site.status(run["run_id"]) == "FINISHED"
    tags = site.tags(run["run_id"])
    assert tags["installed"] == wheel["sha256"] == site.record["deployed"][0]["sha256"]
    assert (tags["mlflow.project.backend"], tags["mlflow.source.name"]) == ("databricks", "training")
    assert site.runs("RUNNING") == []


@pytest.mark.parametrize(
    "store",
    [
        pytest.param("dbfs", marks=pytest.mark.full),
        pytest.param("volume", marks=pytest.mark.full),
        pytest.param("workspace", marks=pytest.mark.full),
    ],
)
def test_a_spark_job_is_released_and_runs_with_the_very_wheel(spark: Site, store: str) -> None:
    text = 'it\'s "a  b" é $HOME'
    with sites.entered(spark.workspace):
        said = spark.inv("release", "--wheel-root", ROOTS[store], "-P", f"text={text}", *FORCE)

    assert said.code == 0, said.err
    check_run(spark)
    assert f"TEXT {json.dumps(text)}" in said.err
    assert spark.parameters(spark.record["run"]["run_id"]) == {"text": text}
    assert f"INSTALLED {spark.record['wheels'][0]['sha256']}" in (spark.folder / spark.record["run"]["log"]).read_text()


@pytest.mark.full
def test_a_spark_job_that_fails_shows_its_trace_and_keeps_it(spark: Site) -> None:
    with sites.entered(spark.workspace):
        said = spark.inv("release", "--wheel-root", ROOTS["volume"], "--entry-point", "fail", *FORCE)

    assert said.code == 5, said.err
    run = spark.record["run"]
    assert run["status"] == spark.status(run["run_id"]) == "FAILED"
    kept = (spark.folder / run["log"]).read_text()
    for words in ("about to fail", 'fail.py", line 3, in train', "ValueError: no such column"):
        assert words in said.err
        assert words in kept
    assert f"in: {spark.folder / run['log']}" in said.err


@pytest.mark.full
def test_a_spark_job_runs_a_script_that_is_no_entry_point(spark: Site) -> None:
    flags = ("--wheel-root", ROOTS["volume"], "--entry-point", "train.py", "-P", "text=a b", *FORCE)
    with sites.entered(spark.workspace):
        said = spark.inv("release", *flags)

    assert said.code == 0, said.err
    assert 'TEXT "a b"' in said.err
    assert spark.tags(spark.record["run"]["run_id"])["mlflow.project.entryPoint"] == "train.py"


@pytest.mark.full
def test_a_classic_project_is_sent_wrapped_and_runs_with_the_very_wheel(classic: Site) -> None:
    text = "it's {a} b"
    with sites.entered(classic.workspace):
        said = classic.inv("release", "--entry-point", "train it", "-P", f"text={text}", *FORCE)

    assert said.code == 0, said.err
    check_run(classic)
    run_id = classic.record["run"]["run_id"]
    assert classic.parameters(run_id) == {"text": text}
    assert (classic.tags(run_id)["mlflow.project.entryPoint"], classic.tags(run_id)["text"]) == ("train it", text)
    uri = classic.record["deployed"][0]["uri"]
    (body,) = classic.submits()
    assert body["new_cluster"] == sites.CLASSIC_CLUSTER
    assert {"whl": uri} in body["libraries"]
    staged = classic.folder / classic.record["patched"]["project_dir"]
    assert f"- /dbfs/{uri.removeprefix('dbfs:/')}" in (staged / "training_env.yaml").read_text()


@pytest.mark.full
@pytest.mark.parametrize("logs", [False, True])
def test_a_classic_project_that_fails_shows_what_the_workspace_tells(classic: Site, logs: bool) -> None:
    classic.workspace.jobs.mode = Mode(shell_logs=logs)
    with sites.entered(classic.workspace):
        said = classic.inv("release", "--entry-point", "fail", *FORCE)
    classic.workspace.jobs.mode = Mode()

    assert said.code == 5, said.err
    run = classic.record["run"]
    assert run["status"] == classic.status(run["run_id"]) == "FAILED"
    assert ("ValueError: no such column" in said.err) is logs
    assert "Workload failed" in said.err
    assert f"in: {classic.folder / run['log'] if logs else run['url']}" in said.err


@pytest.mark.parametrize(
    ("form", "store"),
    [
        pytest.param("spark", "volume", marks=pytest.mark.full, id="Spark job, volume"),
        pytest.param("spark", "dbfs", marks=pytest.mark.full, id="Spark job, DBFS"),
        pytest.param("spark", "workspace", marks=pytest.mark.full, id="Spark job, workspace files"),
        pytest.param("classic", "dbfs", marks=pytest.mark.full, id="classic, DBFS"),
        pytest.param("classic", "volume", marks=pytest.mark.full, id="classic, volume"),
        pytest.param("classic", "workspace", marks=pytest.mark.full, id="classic, workspace files"),
    ],
)
def test_the_bundled_project_is_released(mlflow_server: MlflowServer, tmp_path: Path, form: str, store: str) -> None:
    mlflow_server.wipe()
    with Workspace(mlflow=mlflow_server, reuse=True) as workspace, sites.entered(workspace):
        workspace.make_volume("main", "default", "wheels")
        workspace.jobs.mode = Mode(shell_logs=True)  # a job that fails says why
        git("init", "-q", "-b", "main", cwd=tmp_path)
        shutil.copytree(TEMPLATE, tmp_path, dirs_exist_ok=True)
        cluster = tmp_path / "projects" / "training" / "cluster.json"
        spark = SPARK_ON.get(store, "16.4.x-cpu-ml-scala2.12")
        runtime = {"spark": spark, "classic": CLASSIC_ON[store]}[form]
        spec = json.loads(cluster.read_text())
        spec["new_cluster"] |= {"spark_version": runtime, "data_security_mode": "SINGLE_USER"}
        cluster.write_text(json.dumps(spec))
        if form == "classic":  # a project's newer MLflow asks for what this server does not have
            yaml = cluster.with_name("training_env.yaml")
            yaml.write_text(yaml.read_text().replace("- mlflow\n", f"- mlflow=={metadata.version('mlflow')}\n"))
        if form == "spark":
            fixed = inv("doctor", "--fix", "--backend", "databricks", cwd=tmp_path)
            assert "databricks_spark_job" in (cluster.parent / "MLproject").read_text(), fixed.err
        git("add", ".", cwd=tmp_path)
        git("commit", "-q", "-m", "first", cwd=tmp_path)

        flags = ("--target", "databricks", "--wheel-root", ROOTS[store], "--poll-interval", "0.5")
        said = inv("release", *flags, "--json", *FORCE, cwd=tmp_path)

        assert said.code == 0, said.err
        assert said.json["run"]["metrics"]["accuracy"] > 0.9
        assert said.json["deployed"][0]["uri"].startswith(ROOTS[store])
    assert not workspace.crashes, workspace.crashes[0]

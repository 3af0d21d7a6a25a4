"""On a real Spark: the environment YAML brings a wheel to the driver alone, and `workers` brings it to the workers.

The driver's Python is the project's environment, made from the staged YAML; the workers' is the cluster's, into which
the staged cluster spec's `libraries` are installed. Both are made as the test workspace makes them for a job. Spark
itself is in neither of them, as on Databricks: it comes with the machine. On a cluster that stands already the driver
program sends the wheel to the workers itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_workspace import environments
from tests.fake_workspace.clusters import Cluster, Outcome, Owner, Site
from tests.fake_workspace.server import Workspace
from tests.fake_workspace.work import Work
from tests.support.inv import inv
from tests.support.repositories import make_repository, write
from tests.support.tiny_wheels import make_wheel

pytestmark = pytest.mark.full
pytest_plugins = ["tests.fake_workspace.fixture"]

TOP = Path(__file__).parents[2]
DRIVER = TOP / "mlops_tasks" / "backends" / "databricks_jobs" / "driver.py"
ENVIRONMENT = """\
name: training
dependencies:
  - python
  - pip:
      - WHEELPATH
"""
CLUSTER = '{"spark_version": "12.2.x-scala2.12", "node_type_id": "m5.large", "num_workers": 2}\n'
TRAIN = """\
import json
import os
import sys
from importlib import metadata

import mylib
from pyspark.sql import SparkSession, functions


def tell(**more):
    installed = json.loads(metadata.distribution("mylib").read_text("direct_url.json"))
    return json.dumps({"python": sys.prefix, "sha256": installed["archive_info"]["hashes"]["sha256"], **more})


print("DRIVER", tell(answer=mylib.ANSWER))
spark = SparkSession.builder.getOrCreate()


@functions.udf("string")
def ask(number):
    import mylib

    return tell(answer=number + mylib.ANSWER, worker=os.getcwd())


for row in spark.range(0, 2, 1, 2).select(ask("id").alias("said")).collect():
    print("WORKER", row.said)
"""
SUBMIT = """\
set -eu
cd "$1"
conda env create -n project --file training_env.yaml
export PYSPARK_PYTHON=/databricks/python/bin/python
export PYSPARK_DRIVER_PYTHON="$HOME/.conda/envs/project/bin/python"
"$SPARK_HOME/bin/spark-submit" --master 'local-cluster[2,1,1024]' \\
    --conf spark.ui.enabled=false --conf spark.scheduler.minRegisteredResourcesRatio=1 train.py
"""
"""It starts when both workers are there, so that each gets one of the two tasks."""

KERNEL = """\
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
driver = sys.argv[1]
sys.argv = sys.argv[1:]
exec(compile(open(driver).read(), driver, "exec"))
"""
"""As a cluster's: its session is there before the program runs."""
ON_A_CLUSTER = """\
import hashlib, os, sys
import mylib
from pyspark.sql import SparkSession, functions
print("DRIVER", mylib.ANSWER)

@functions.udf("string")
def ask(number):
    import mylib
    archive = os.path.dirname(mylib.__file__)
    return " ".join([str(mylib.ANSWER), hashlib.sha256(open(archive, "rb").read()).hexdigest(), os.getcwd()])

for row in SparkSession.builder.getOrCreate().range(0, 2, 1, 2).select(ask("id").alias("said")).collect():
    print("WORKER", row.said)
"""

JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Three processes of Java that live for seconds: they shall start soon rather than run fast."""


@pytest.fixture
def spark(tmp_path: Path) -> Iterator[Path]:
    """Spark as it comes with a machine; it is large, and gone after the test.

    It is built from source. Behind a mirror that hands its files out as not to be cached, uv would build it at each
    run and keep each build: 2 GB every time.
    """
    folder = tmp_path / "spark"
    install = environments.installing(folder, "--quiet", "--no-cache", read_pyspark())
    for command in (environments.making(folder), install):
        subprocess.run(command, check=True)
    (found,) = folder.glob("lib/*/site-packages/pyspark")
    yield found
    shutil.rmtree(folder)


@pytest.fixture
def repository(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose YAML names the wheel and whose cluster spec does not, released to `workspace`."""
    for name, value in workspace.environment.items():
        monkeypatch.setenv(name, value)
    settings = "mlops:\n  project: training\n  libraries: [libs/*]\n  target: databricks\n"
    return make_repository(
        tmp_path / "repository", SETTINGS=settings, ENVIRONMENT=ENVIRONMENT, CLUSTER=CLUSTER, TRAIN=TRAIN
    )


def read_pyspark() -> str:
    """The requirement of this repository's extra `spark`."""
    found = re.search(r'^spark = \["(.+)"\]$', (TOP / "pyproject.toml").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def stage(repository: Path, *flags: str) -> Path:
    """The staged project; --force, as MLflow's backend, which would pin its own version, has no part in this."""
    said = inv("name", "build-wheel", "deploy", "--force", "patch", *flags, cwd=repository)
    assert said.code == 0, said.err
    return repository / str(inv("status", "--json", cwd=repository).json["patched"]["project_dir"])


def submit(staged: Path, workspace: Workspace, spark: Path) -> tuple[Outcome, str]:
    """Run the project on a cluster of the workspace: how it ended, and what it said."""
    spec: dict[str, Any] = json.loads((staged / "cluster.json").read_text())
    output = workspace.root / "output.log"
    cluster = Cluster(
        site=Site(disk=workspace.root, url=workspace.url, home=workspace.root / "machines"),
        owner=Owner(workspace.user, workspace.token),
        cluster_id="workers",
        spec=spec["new_cluster"],
        work=Work(),
        output=output,
    )
    output.unlink(missing_ok=True)
    cluster.prepare(spec["libraries"])
    outcome = cluster.run_command(["sh", "-c", SUBMIT, "submit", str(staged)], machine(spark))
    cluster.remove()
    return outcome, output.read_text()


def machine(spark: Path) -> dict[str, str]:
    """The variables of a machine with Spark and Java."""
    return {
        "JAVA_HOME": os.environ.get("JAVA_HOME") or str(Path(os.path.realpath(find_java())).parents[1]),
        "JAVA_TOOL_OPTIONS": JAVA,
        "SPARK_HOME": str(spark),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


def find_java() -> str:
    found = shutil.which("java")
    assert found is not None, "Spark needs Java 17 or newer"
    return found


def find(said: str, who: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix(who)) for line in said.splitlines() if line.startswith(f"{who} ")]


def test_a_function_on_the_workers_finds_the_library_only_with_workers(
    repository: Path, workspace: Workspace, spark: Path
) -> None:
    outcome, said = submit(stage(repository), workspace, spark)

    assert outcome.failed, said
    assert [each["answer"] for each in find(said, "DRIVER")] == [42]
    assert find(said, "WORKER") == []
    assert "ModuleNotFoundError: No module named 'mylib'" in said

    outcome, said = submit(stage(repository, "--workers"), workspace, spark)

    assert not outcome.failed, said
    (driver,), workers = find(said, "DRIVER"), find(said, "WORKER")
    assert [each["answer"] for each in workers] == [42, 43]
    assert len({each["worker"] for each in workers}) == 2
    assert {each["python"] for each in workers} == {"/databricks/python"}
    assert driver["python"] == "/databricks/home/.conda/envs/project"
    (wheel,) = inv("status", "--json", cwd=repository).json["wheels"]
    assert {each["sha256"] for each in (driver, *workers)} == {wheel["sha256"]}


def test_the_workers_of_a_cluster_that_stands_are_sent_the_very_wheel(tmp_path: Path, spark: Path) -> None:
    wheel = make_wheel(tmp_path, "mylib", "1.0", code="ANSWER = 42\n")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    write(tmp_path, {"train.py": ON_A_CLUSTER, "kernel.py": KERNEL})
    with tarfile.open(tmp_path / "project.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "train.py", "train.py")
    packed = hashlib.sha256((tmp_path / "project.tar.gz").read_bytes()).hexdigest()
    run = {
        "version": 1,
        "attempt": "a",
        "folder": str(tmp_path),
        "archive": {"path": str(tmp_path / "project.tar.gz"), "sha256": packed},
        "entry_point": {"script": "train.py", "arguments": []},
        "downloads": {},
        "variables": {},
        "wheels": [{"distribution": "mylib", "path": str(wheel), "sha256": sha256}],
        "install": {"lines": []},
        "workers": True,
    }
    (tmp_path / "run.json").write_text(json.dumps(run))
    python = tmp_path / "python"
    subprocess.run(environments.making(python), check=True)

    submit = [str(spark / "bin" / "spark-submit"), "--master", "local-cluster[2,1,1024]"]
    for setting in ("spark.ui.enabled=false", "spark.scheduler.minRegisteredResourcesRatio=1"):
        submit += ["--conf", setting]
    done = subprocess.run(
        [*submit, str(tmp_path / "kernel.py"), str(DRIVER), str(tmp_path / "run.json")],
        env={**os.environ, **machine(spark), "PYSPARK_PYTHON": str(python / "bin" / "python")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "result.json").read_text())["wheels"] == [{"distribution": "mylib", "sha256": sha256}]
    assert "DRIVER 42" in done.stdout
    workers = [line.split() for line in done.stdout.splitlines() if line.startswith("WORKER ")]
    assert [(answer, found) for _, answer, found, _ in workers] == [("42", sha256)] * 2
    assert len({folder for *_, folder in workers}) == 2

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fake_workspace import environments, libraries, runtimes
from tests.fake_workspace.runs import Mode
from tests.support.benches import CLUSTER, Bench, python
from tests.support.tiny_wheels import make_wheel

pytest_plugins = ["tests.fake_workspace.fixture"]


def run(bench: Bench, code: str, *lines: str, file: str = "Workspace/Shared/less.py", **spec: Any) -> tuple[Any, str]:
    bench.write(file, code)
    task = {"task_key": "main", "environment_key": "e", **python(f"/{file}")}
    spec = {"environment_version": "2", "dependencies": list(lines), **spec}
    return bench.run_body({"tasks": [task], "environments": [{"environment_key": "e", "spec": spec}]})


def test_a_task_has_the_python_of_its_environment_and_no_dbfs(bench: Bench) -> None:
    code = """\
import importlib.metadata, os, sys
mlflow = [each.metadata["Name"] for each in importlib.metadata.distributions() if "mlflow" in each.metadata["Name"]]
print("{}.{}".format(*sys.version_info), os.environ["DATABRICKS_RUNTIME_VERSION"], os.environ["DATABRICKS_ENV_VERSION"])
print(mlflow, *[name for name in ("dbfs", "Volumes", "Workspace") if os.path.isdir("/" + name)])
"""
    at_hand = "3.12" if environments.interpreter("3.12") != sys.executable else "{}.{}".format(*sys.version_info)
    end, said = run(bench, code, environment_version="3")
    assert end.result == "SUCCESS"
    assert said == f"{at_hand} client.3.13 3\n[] Volumes Workspace\n"


def test_dependencies_are_lines_for_pip_installed_at_once(bench: Bench) -> None:
    """In any order: a wheel finds another of ours that comes after it, and what its extra asks for."""
    folder = bench.disk / "Volumes/c"
    base, more = make_wheel(folder, "tinybase", "1.0"), make_wheel(folder, "tinymore", "1.0")
    top = make_wheel(folder, "tinytop", "1.0", "tinybase", "tinymore ; extra == 'more'")
    bench.write("Workspace/Shared/lines.txt", f"/Volumes/c/{base.name}\n")
    lines = (f"/Volumes/c/{top.name}[more]", "-r /Workspace/Shared/lines.txt", "--find-links /Volumes/c")
    end, said = run(bench, "import tinytop, tinybase, tinymore\nprint('all')\n", *lines, "--no-index")
    assert (end.result, said) == ("SUCCESS", "all\n"), end
    assert more.exists()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("/d/a-1-py3-none-any.whl", "/d/a-1-py3-none-any.whl"),
        ("/d/e f/a-1-py3-none-any.whl[x,y] ; python_version > '3'", "/d/e f/a-1-py3-none-any.whl"),
        ("/d/a-1-py3-none-any.whl --hash=sha256:00", "/d/a-1-py3-none-any.whl"),
        ("a[x] @ file:///d/a%20b-1-py3-none-any.whl", "/d/a b-1-py3-none-any.whl"),
        ("a @ https://example.com/a-1-py3-none-any.whl", None),
        ("--find-links /d/a-1-py3-none-any.whl", None),
    ],
)
def test_wheels_are_found_in_lines(tmp_path: Path, line: str, found: str | None) -> None:
    if found:
        path = tmp_path / found.lstrip("/")
        path.parent.mkdir(parents=True)
        path.touch()
        line = line.replace("/d/", f"{tmp_path}/d/")
    assert libraries._find_wheels([line]) == ((path,) if found else ())


def test_a_hash_in_one_line_asks_for_hashes_in_all(bench: Bench) -> None:
    folder = bench.disk / "Volumes/hashed"
    one, two = make_wheel(folder, "tinyone", "1.0"), make_wheel(folder, "tinytwo", "1.0")
    sha256 = {wheel: f" --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}" for wheel in (one, two)}
    lines = [f"/Volumes/hashed/{wheel.name}" for wheel in (one, two)]
    assert (
        run(bench, "import tinyone, tinytwo\n", lines[0] + sha256[one], lines[1] + sha256[two])[0].result == "SUCCESS"
    )
    assert run(bench, "", lines[0] + sha256[one], lines[1])[0].code == "LIBRARY_INSTALLATION_ERROR"
    assert run(bench, "", lines[0] + sha256[two])[0].code == "LIBRARY_INSTALLATION_ERROR"


def test_a_wheel_that_has_changed_at_its_place_is_the_one_that_runs(bench: Bench) -> None:
    code = "import tiny\nprint(tiny.VERSION)\n"
    wheel = make_wheel(bench.disk / "Volumes/changing", "tiny", "1.0")
    assert run(bench, code, f"/Volumes/changing/{wheel.name}")[1] == "1.0\n"
    shutil.copy(make_wheel(bench.disk / "Volumes/other", "tiny", "1.0", code="VERSION = 2\n"), wheel)
    assert run(bench, code, f"/Volumes/changing/{wheel.name}")[1] == "2\n"


@pytest.mark.parametrize("line", ["pyspark==3.5.1", "databricks-connect", "PySpark"])
def test_a_spark_among_the_dependencies_breaks_the_task(bench: Bench, line: str) -> None:
    end, said = run(bench, "print('began')\n", line)
    assert (end.result, said) == ("FAILED", "")
    assert line in end.message


def test_a_dependency_that_cannot_be_had_ends_the_run_before_its_task(bench: Bench) -> None:
    end, said = run(bench, "print('began')\n", "/Volumes/none/tiny-1.0-py3-none-any.whl")
    assert (end.code, said) == ("LIBRARY_INSTALLATION_ERROR", "")


def test_a_python_file_in_a_volume_is_not_read_or_is(bench: Bench) -> None:
    end, _ = run(bench, "print('read')\n", file="Volumes/c/s/v/less.py")
    assert "Cannot read the python file /Volumes/c/s/v/less.py" in end.message
    bench.jobs.mode = Mode(reads_volumes=True)
    assert run(bench, "print('read')\n", file="Volumes/c/s/v/less.py")[1] == "read\n"


def test_a_base_environment_brings_its_own_dependencies(bench: Bench) -> None:
    make_wheel(bench.disk / "Volumes/based", "tinybased", "1.0")
    lines = "environment_version: '2'\ndependencies: [/Volumes/based/tinybased-1.0-py3-none-any.whl]\n"
    bench.write("Workspace/Shared/base.yml", lines)
    based = {"environment_version": "", "base_environment": "/Workspace/Shared/base.yml"}
    assert run(bench, "import tinybased, os\nprint(os.environ['DATABRICKS_ENV_VERSION'])\n", **based)[1] == "2\n"
    end, _ = run(bench, "", **{**based, "base_environment": "/Workspace/Shared/none.yml"})
    assert "/Workspace/Shared/none.yml does not exist" in end.message


@pytest.mark.full
def test_a_standard_cluster_of_runtime_19_takes_an_environment(bench: Bench) -> None:
    make_wheel(bench.disk / "Volumes/nineteen", "tinynine", "1.0")
    bench.write("Workspace/Shared/nine.py", "import tinynine, os\nprint(os.environ['DATABRICKS_RUNTIME_VERSION'])\n")
    cluster = {**CLUSTER, "spark_version": "19.x-scala2.13", "data_security_mode": "USER_ISOLATION"}
    task = {"task_key": "main", "new_cluster": cluster, "environment_key": "e", **python("/Workspace/Shared/nine.py")}
    spec = {"environment_version": "5", "dependencies": ["/Volumes/nineteen/tinynine-1.0-py3-none-any.whl"]}
    body = {"tasks": [task], "environments": [{"environment_key": "e", "spec": spec}]}
    assert bench.run_body(body)[1] == "19.0\n"


def test_environments_that_a_killed_process_has_left_are_swept(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    ours, left = tmp_path / f"environments-{os.getpid()}-a", tmp_path / f"environments-{dead.pid}-b"
    for folder in (ours, left):
        (folder / "bin").mkdir(parents=True)
    environments.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [ours]


def test_images_bring_mlflow_from_runtime_15_4_on_and_environments_from_4() -> None:
    found = [
        runtimes.read_runtime({"spark_version": f"{each}.x-scala2.12"}).mlflow for each in ("14.3", "15.0", "15.4")
    ]
    assert found == ["", "", "mlflow-skinny"]
    assert runtimes.read_runtime({"spark_version": "14.3.x-cpu-ml-scala2.12"}).mlflow == "mlflow"
    serverless = [runtimes.serverless(each).mlflow for each in runtimes.ENVIRONMENTS]
    assert serverless == ["", "", "", "mlflow-skinny", "mlflow", "mlflow"]

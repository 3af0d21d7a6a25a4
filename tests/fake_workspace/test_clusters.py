from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.projects.databricks
import mlflow.utils.file_utils
import pytest

from tests.fake_workspace import environments, runtimes
from tests.fake_workspace.calls import PRINCIPAL, USER, call
from tests.fake_workspace.dbfs import Dbfs
from tests.fake_workspace.disk import Disk
from tests.fake_workspace.files import Files
from tests.fake_workspace.programs import conda, pyenv, rsync
from tests.fake_workspace.runs import Mode
from tests.fake_workspace.signed import Signed
from tests.fake_workspace.workspace_files import WorkspaceFiles
from tests.support import benches, repositories
from tests.support.benches import Bench, python, shell, wait_until
from tests.support.tiny_wheels import make_wheel

pytest_plugins = ["tests.fake_workspace.fixture"]

WHEEL = "mylib-1.0-py3-none-any.whl"
MLFLOW = [{"pypi": {"package": f"{name}"}} for name in ("mlflow-skinny", "sqlalchemy", "alembic")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mylib")
    repositories.write(folder, {"pyproject.toml": repositories.LIBRARY, "mylib/__init__.py": "ANSWER = 42\n"})
    command = [environments.uv(), "build", "--quiet", "--wheel", "--out-dir", str(folder / "dist"), str(folder)]
    subprocess.run(command, check=True)
    return folder / "dist" / WHEEL


def test_a_command_reads_and_writes_the_files_of_the_workspace(bench: Bench) -> None:
    bench.write("dbfs/x", "from dbfs\n")
    script = 'cat /dbfs/x && echo "$A $B $DATABRICKS_RUNTIME_VERSION" > /Volumes/y && touch /databricks/z'
    end, said = bench.run(shell(script, A="one"), spark_env_vars={"B": "two"})
    assert (end.result, said) == ("SUCCESS", "from dbfs\n")
    assert (bench.disk / "Volumes" / "y").read_text() == "one two 14.3\n"


def test_nothing_of_a_cluster_is_left_on_the_machine(bench: Bench) -> None:
    before = sorted(Path("/").iterdir())
    bench.run(shell("touch /made-by-a-task; mkdir -p /databricks/x; cd $(mktemp -d) && touch y"))
    assert sorted(Path("/").iterdir()) == before
    assert not list((bench.jobs._site.home / "clusters").iterdir())


@pytest.mark.parametrize(
    ("cluster", "mounted"),
    [
        pytest.param({}, "dbfs Volumes Workspace", id="dedicated"),
        pytest.param({"data_security_mode": "USER_ISOLATION"}, "Volumes Workspace", id="standard"),
        pytest.param(
            {"data_security_mode": "DATA_SECURITY_MODE_STANDARD"}, "Volumes Workspace", id="standard-new-name"
        ),
        pytest.param({"data_security_mode": "NONE"}, "dbfs Workspace", id="no-isolation"),
        pytest.param({"spark_version": "12.2.x-scala2.12"}, "dbfs Workspace", id="older-runtime"),
    ],
)
def test_folders_are_mounted_as_the_access_mode_says(bench: Bench, cluster: Mapping[str, Any], mounted: str) -> None:
    _, said = bench.run(shell("for name in dbfs Volumes Workspace; do [ -d /$name ] && echo $name; done"), **cluster)
    assert said.split() == mounted.split()


def test_a_folder_of_the_workspace_can_be_one_that_no_task_writes_to(bench: Bench) -> None:
    bench.jobs.mode = Mode(read_only=("Volumes",))
    bench.write("Volumes/x", "there\n")
    script = "cat /Volumes/x; echo > /Volumes/y; echo > /Workspace/y && echo written"
    _, said = bench.run(shell(script))
    assert said.startswith("there\n")
    assert "Read-only file system" in said
    assert said.endswith("written\n")


def test_where_dbfs_is_off_no_cluster_has_it_and_old_runtimes_have_no_cluster(bench: Bench, wheel: Path) -> None:
    (bench.disk / "dbfs").mkdir(exist_ok=True)
    shutil.copy(wheel, bench.disk / "dbfs")
    bench.write("dbfs/good.py", "")
    bench.has_dbfs = False
    try:
        assert bench.run(shell("ls -d /dbfs /Volumes"))[1].count("No such file") == 1
        assert "has been disabled" in bench.run(shell("true"), [{"whl": f"dbfs:/{WHEEL}"}])[0].message
        assert "Cannot read the python file" in bench.run(python("dbfs:/good.py"))[0].message
        assert "is blocked" in bench.run(shell("true"), spark_version="12.2.x-scala2.12")[0].message
    finally:
        bench.has_dbfs = True


def test_files_of_a_running_task_are_seen_from_outside(bench: Bench) -> None:
    """By each API that lists and reads, in parts too."""
    disk = Disk(bench.disk)
    disk.make_volume("c", "s", "live")
    dbfs, files, nodes = Dbfs(disk), Files(disk, Signed("")), WorkspaceFiles(disk)
    places = "/dbfs/live /Volumes/c/s/live /Workspace/Shared/live"
    script = f"for at in {places}; do mkdir -p $at; printf 0123456789 > $at/x; mv $at/x $at/out; done"
    run_id = bench.submit(shell(f"{script}; while [ ! -e /dbfs/live/go ]; do sleep 0.05; done"))
    wait_until((bench.disk / "Workspace/Shared/live/out").exists)
    listed = call(dbfs.routes(), "GET", "/api/2.0/dbfs/list", {"path": "/live"})["files"]
    assert [each["path"] for each in listed] == ["/live/out"]
    listed = call(files.routes(), "GET", "/api/2.0/fs/directories/Volumes/c/s/live")["contents"]
    assert [each["name"] for each in listed] == ["out"]
    listed = call(nodes.routes(), "GET", "/api/2.0/workspace/list", {"path": "/Workspace/Shared/live"})["objects"]
    assert [each["object_type"] for each in listed] == ["FILE"]
    part = call(dbfs.routes(), "GET", "/api/2.0/dbfs/read", {"path": "/live/out", "offset": 3, "length": 4})
    assert (part["bytes_read"], base64.b64decode(part["data"])) == (4, b"3456")
    call(dbfs.routes(), "POST", "/api/2.0/dbfs/put", {"path": "/live/go", "contents": ""})
    assert bench.jobs.wait(run_id, 60).result == "SUCCESS"


def test_the_output_of_a_command_is_given_only_where_a_test_wants_it(bench: Bench) -> None:
    for logs in (False, True):
        bench.jobs.mode = Mode(shell_logs=logs)
        run_id = bench.submit(shell("echo said"))
        bench.jobs.wait(run_id, 60)
        assert bench.output(run_id).get("logs") == ("said\n" if logs else None)


@pytest.mark.parametrize("shown", ["TERMINATED", "INTERNAL_ERROR"])
def test_a_command_that_fails_is_a_failed_run(bench: Bench, shown: str) -> None:
    bench.jobs.mode = Mode(failure=shown)
    end, _ = bench.run(shell("exit 3"))
    assert (end.life_cycle, end.result) == (shown, "FAILED")


def test_states_move_with_what_happens(bench: Bench) -> None:
    run_id = bench.submit(shell("while [ ! -e /dbfs/go ]; do sleep 0.05; done"))
    wait_until(lambda: bench.jobs.history(run_id)[-1] == "RUNNING")
    bench.write("dbfs/go", "")
    bench.jobs.wait(run_id, 60)
    assert bench.jobs.history(run_id) == ["PENDING", "RUNNING", "TERMINATING", "TERMINATED"]


def test_cancel_ends_all_that_a_task_has_started(bench: Bench) -> None:
    run_id = bench.submit(shell("setsid sleep 86399.5 & touch /dbfs/started; sleep 86399.5"))
    wait_until((bench.disk / "dbfs" / "started").exists)
    assert processes("86399.5")
    call(bench.jobs.routes(), "POST", "/api/2.0/jobs/runs/cancel", {"run_id": run_id})
    assert bench.jobs.wait(run_id, 60).result == "CANCELED"
    wait_until(lambda: not processes("86399.5"))


def test_a_python_file_runs_from_a_cell(bench: Bench) -> None:
    code = "import os, sys\nprint(sys.argv[1:], __name__, '__file__' in globals(), os.getcwd())\nprint(exit)\n"
    bench.write("Workspace/Users/ada/task.py", code)
    run_id = bench.submit(python("/Workspace/Users/ada/task.py", "it's", 'a "b"'))
    assert bench.jobs.wait(run_id, 60).result == "FAILED"
    output = bench.output(run_id)
    assert output["logs"].startswith("""["it's", 'a "b"'] __main__ False /Workspace/Users/ada\n""")
    assert output["error"].startswith("NameError: name 'exit' is not defined")
    assert 'File "/Workspace/Users/ada/task.py", line 3, in <module>' in output["error_trace"]


def test_a_python_file_succeeds_when_it_comes_to_its_end(bench: Bench) -> None:
    bench.write("dbfs/good.py", "import pickle\nclass Mine: pass\nprint(type(pickle.loads(pickle.dumps(Mine()))))\n")
    end, said = bench.run(python("dbfs:/good.py"), data_security_mode="USER_ISOLATION")
    assert (end.result, said) == ("SUCCESS", "<class '__main__.Mine'>\n")


@pytest.mark.parametrize("code", ["0", "3", ""])
def test_any_exit_fails_a_python_file(bench: Bench, code: str) -> None:
    bench.write("dbfs/exits.py", f"import sys\nsys.exit({code})\n")
    run_id = bench.submit(python("dbfs:/exits.py"))
    assert bench.jobs.wait(run_id, 60).result == "FAILED"
    assert bench.output(run_id)["error"] == f"SystemExit: {code}".rstrip(": ")


@pytest.mark.parametrize(
    ("death", "said"),
    [
        pytest.param("os._exit(0)", "Fatal error: The Python kernel is unresponsive.", id="exit"),
        pytest.param("os.kill(os.getpid(), 9)", "exit code 137 (SIGKILL: Killed). This may have been", id="kill"),
    ],
)
def test_a_python_file_that_loses_its_kernel_fails_and_has_no_logs(bench: Bench, death: str, said: str) -> None:
    bench.write("dbfs/dies.py", f"import os\nprint('lost')\n{death}\n")
    run_id = bench.submit(python("dbfs:/dies.py"))
    assert bench.jobs.wait(run_id, 60).code == "RUN_EXECUTION_ERROR"
    assert said in bench.output(run_id)["error"]
    assert "logs" not in bench.output(run_id)
    bench.jobs.mode = Mode(driver_dies=True)
    assert bench.run(python("dbfs:/dies.py"))[0].code == "DRIVER_ERROR"


def test_a_run_that_failed_may_be_an_internal_error_whose_task_is_not(bench: Bench) -> None:
    bench.jobs.mode = Mode(failure="INTERNAL_ERROR")
    bench.write("Workspace/Shared/bad.py", "1 / 0\n")
    task = {"task_key": "main", "new_cluster": benches.CLUSTER, **python("/Workspace/Shared/bad.py")}
    end, _ = bench.run_body({"tasks": [task]})
    assert (end.life_cycle, end.code) == ("INTERNAL_ERROR", "RUN_EXECUTION_ERROR")
    assert end.message == "Task main failed with message: Workload failed, see run output for details."
    listed = call(bench.jobs.routes(), "GET", "/api/2.2/jobs/runs/list", expand_tasks="true", limit=1)["runs"]
    assert listed[0]["tasks"][0]["state"]["life_cycle_state"] == "TERMINATED"
    assert listed[0]["tasks"][0]["status"]["state"] == "TERMINATED"


def test_a_wheel_that_needs_another_of_ours_does_not_find_one_that_comes_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one installation for each library, in the order in which they were sent."""
    bench.run(shell("true"))
    folder = bench.disk / "Volumes/order"
    first, second = make_wheel(folder, "tinyfirst", "1.0"), make_wheel(folder, "tinysecond", "1.0", "tinyfirst")
    wheels = [{"whl": f"/Volumes/order/{wheel.name}"} for wheel in (first, second)]
    monkeypatch.setenv("UV_NO_INDEX", "1")
    bench.write("dbfs/uses.py", "import tinysecond\n")
    assert bench.run(python("dbfs:/uses.py"), wheels)[0].result == "SUCCESS"
    end, _ = bench.run(python("dbfs:/uses.py"), wheels[::-1])
    assert (end.code, "tinyfirst" in end.message) == ("LIBRARY_INSTALLATION_ERROR", True)


def test_a_missing_python_file_is_named(bench: Bench) -> None:
    end, _ = bench.run(python("dbfs:/nowhere.py"))
    assert "Cannot read the python file dbfs:/nowhere.py" in end.message


@pytest.mark.parametrize(
    ("place", "library"),
    [
        pytest.param("dbfs/a", {"whl": f"dbfs:/a/{WHEEL}"}, id="dbfs"),
        pytest.param("Volumes/c/s/v", {"whl": f"/Volumes/c/s/v/{WHEEL}"}, id="volume"),
        pytest.param("Workspace/Shared", {"whl": f"/Workspace/Shared/{WHEEL}"}, id="workspace"),
        pytest.param("dbfs/b", {"pypi": {"package": f"/dbfs/b/{WHEEL}"}}, id="path"),
    ],
)
def test_a_wheel_of_the_workspace_is_installed(
    bench: Bench, wheel: Path, place: str, library: Mapping[str, object]
) -> None:
    (bench.disk / place).mkdir(parents=True, exist_ok=True)
    shutil.copy(wheel, bench.disk / place)
    bench.write("dbfs/uses.py", "import mylib\nprint(mylib.ANSWER)\n")
    end, said = bench.run(python("dbfs:/uses.py"), [library])
    assert (end.result, said) == ("SUCCESS", "42\n")


@pytest.mark.parametrize(
    ("library", "cluster"),
    [
        pytest.param({"whl": "dbfs:/missing-1.0-py3-none-any.whl"}, {}, id="missing"),
        pytest.param({"whl": "/dbfs/ok/" + WHEEL}, {}, id="wrong-spelling"),
        pytest.param({"whl": "dbfs:/ok/bad.whl"}, {}, id="not-a-wheels-name"),
        pytest.param({"whl": "dbfs:/ok/" + WHEEL}, {"spark_version": "15.4.x-scala2.12"}, id="dbfs-on-15"),
        pytest.param({"whl": "dbfs:/ok/" + WHEEL}, {"data_security_mode": "USER_ISOLATION"}, id="dbfs-on-standard"),
        pytest.param({"pypi": {"package": "/dbfs/ok/none.whl"}}, {}, id="missing-path"),
        pytest.param({"egg": "dbfs:/a.egg"}, {}, id="egg"),
    ],
)
def test_a_library_that_cannot_be_installed_ends_the_run_before_its_task(
    bench: Bench, wheel: Path, library: Mapping[str, object], cluster: Mapping[str, object]
) -> None:
    (bench.disk / "dbfs" / "ok").mkdir(parents=True, exist_ok=True)
    shutil.copy(wheel, bench.disk / "dbfs" / "ok" / WHEEL)
    shutil.copy(wheel, bench.disk / "dbfs" / "ok" / "bad.whl")
    end, said = bench.run(shell("echo started"), [library], **cluster)
    assert (end.life_cycle, end.result, end.code) == ("INTERNAL_ERROR", "FAILED", "LIBRARY_INSTALLATION_ERROR")
    assert end.message.startswith("Library installation failed for library due to user error for ")
    assert not said


@pytest.mark.full
def test_a_serverless_task_has_the_libraries_of_its_environment(bench: Bench, wheel: Path) -> None:
    (bench.disk / "Volumes").mkdir(parents=True, exist_ok=True)
    shutil.copy(wheel, bench.disk / "Volumes")
    bench.write("Workspace/less.py", "import mylib, os\nprint(mylib.ANSWER, os.path.isdir('/dbfs'))\n")
    spec = {"environment_version": "4", "dependencies": [f"/Volumes/{WHEEL}"]}
    body = {
        "tasks": [{"task_key": "main", "environment_key": "e", **python("/Workspace/less.py")}],
        "environments": [{"environment_key": "e", "spec": spec}],
    }
    run_id = call(bench.jobs.routes(), "POST", "/api/2.2/jobs/runs/submit", body)["run_id"]
    assert bench.jobs.wait(run_id, 60).result == "SUCCESS"
    assert bench.jobs.output(run_id) == "42 False\n"


def test_a_task_that_runs_as_another_does_not_see_the_home_of_who_submitted_it(bench: Bench) -> None:
    home = f"Workspace/Users/{USER}"
    bench.write(f"{home}/mine.py", "print('mine')\n")
    bench.write(
        "Workspace/Shared/look.py",
        f"import os\nfrom dbruntime import sdk_credential_provider as its\nprint(os.listdir('/{home}'), its.TOKEN)\n",
    )
    mine, look = python(f"/{home}/mine.py"), python("/Workspace/Shared/look.py")
    other = {"run_as": {"service_principal_name": PRINCIPAL}}
    assert bench.run(mine)[1] == "mine\n"
    assert f"Cannot read the python file /{home}/mine.py" in bench.run({**mine, **other})[0].message
    assert bench.run({**look, **other})[1] == f"[] token of {PRINCIPAL}\n"
    assert "mine.py" in bench.run(look)[1]


def test_only_the_process_of_a_python_file_is_logged_in(bench: Bench) -> None:
    code = """\
import os, subprocess, sys
ask = "from dbruntime import sdk_credential_provider as its; print(its.init_runtime_native_auth()[0])"
exec(ask)
print(flush=True)
subprocess.run([sys.executable, "-c", ask])
print(*[name for name in os.environ if name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN")])
"""
    bench.write("Workspace/Shared/login.py", code)
    assert bench.run(python("/Workspace/Shared/login.py"))[1].split() == [bench.url, "None"]
    bench.jobs.mode = Mode(login_for_all=True)
    bench.write("Workspace/Shared/login.py", "import os\nprint(os.environ['DATABRICKS_HOST'])\n")
    assert bench.run(python("/Workspace/Shared/login.py"))[1].split() == [bench.url]


def test_only_the_process_of_a_python_file_has_what_mlflow_2_logs_in_with(bench: Bench) -> None:
    code = """\
import subprocess, sys
ask = '''
from importlib.util import find_spec
from dbruntime.databricks_repl_context import get_context
context = get_context()
print(context and [context.apiUrl, context.apiToken, context.sslTrustAll], find_spec("IPython") is not None)
'''
exec(ask)
import IPython
entry_point = IPython.get_ipython().ns_table["user_global"]["dbutils"].entry_point
print(sorted(vars(entry_point)), entry_point.getDbutils().notebook(), flush=True)
subprocess.run([sys.executable, "-c", ask])
"""
    bench.write("Workspace/Shared/login.py", code)
    assert bench.run(python("/Workspace/Shared/login.py"))[1].splitlines() == [
        f"{[bench.url, f'token of {USER}', False]} True",
        "['getDbutils', 'getLogger'] namespace()",
        "None False",
    ]


@pytest.mark.full
def test_a_classic_project_runs_by_the_command_that_mlflow_sends(bench: Bench, wheel: Path, tmp_path: Path) -> None:
    """Its environment is built from the YAML on the cluster, where conda would do it."""
    (bench.disk / "dbfs" / "libs").mkdir(parents=True)
    shutil.copy(wheel, bench.disk / "dbfs" / "libs")
    environment = f"name: t\ndependencies: [python=3.10, pip, {{pip: [/dbfs/libs/{WHEEL}]}}]\n"
    code = "import sys, mylib\nprint('trained', sys.argv[2], mylib.ANSWER)\n"
    repositories.write(
        tmp_path, {"MLproject": repositories.MLPROJECT, "training_env.yaml": environment, "train.py": code}
    )
    archive = bench.disk / "dbfs" / "project.tar.gz"
    mlflow.utils.file_utils.make_tarfile(
        str(archive), str(tmp_path), mlflow.projects.databricks.DB_TARFILE_ARCHIVE_NAME
    )
    command = mlflow.projects.databricks._get_databricks_run_cmd(
        "/dbfs/project.tar.gz", None, "main", {"text": "a b"}, None
    )
    variables = {"MLFLOW_TRACKING_URI": f"sqlite:///{bench.disk}/mlflow.db", "MLFLOW_EXPERIMENT_ID": "0"}
    task = {"shell_command_task": {"command": command, "env_vars": variables}}
    end, said = bench.run(task, MLFLOW, spark_version="12.2.x-scala2.12")
    assert "trained a b 42\n" in said
    assert end.result == "SUCCESS"


def test_an_environment_that_was_not_finished_is_made_again(bench: Bench) -> None:
    bench.run(shell("true"))
    for mark in environments.shared().glob("cluster-*/complete"):
        mark.unlink()
        shutil.rmtree(mark.parent / "bin")
    bench.write("dbfs/good.py", "")
    assert bench.run(python("dbfs:/good.py"))[0].result == "SUCCESS"


@pytest.mark.parametrize(
    ("version", "runtime"),
    [
        ("15.4.x-cpu-ml-scala2.12", ("15.4", True)),
        ("16.4.x-photon-scala2.13", ("16.4", False)),
        ("9.1.x-scala2.12", ("9.1", False)),
    ],
)
def test_runtimes_are_read_from_their_names(version: str, runtime: tuple[str, bool]) -> None:
    read = runtimes.read_runtime({"spark_version": version})
    assert (read.number, read.machine_learning) == runtime


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("python=3.10", ""),
        ("numpy", "numpy"),
        ("numpy=1.24", "numpy==1.24.*"),
        ("numpy==1.24", "numpy==1.24"),
        ("numpy=1.24=py310", "numpy==1.24"),
        ("numpy>=1.24,<2", "numpy>=1.24,<2"),
        ("pip<=23", "pip<=23"),
    ],
)
def test_condas_packages_are_written_as_pip_has_them(spec: str, line: str) -> None:
    assert conda.requirement(spec) == line


@pytest.mark.parametrize(
    "text",
    ["prefix: /x\n", "dependencies: [conda-forge::numpy]\n", "dependencies: ['numpy[version=1]']\n"],
)
def test_conda_refuses_what_the_stand_in_does_not_know(tmp_path: Path, text: str) -> None:
    (tmp_path / "env.yaml").write_text(text)
    with pytest.raises(conda.Unsuitable):
        conda.read(tmp_path / "env.yaml")


def test_conda_leaves_no_environment_that_it_could_not_fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_ENVS_PATH", str(tmp_path / "envs"))
    (tmp_path / "env.yaml").write_text(f"dependencies: [pip, {{pip: [/dbfs/none/{WHEEL}]}}]\n")
    assert conda.main(["env", "create", "-n", "mine", "--file", str(tmp_path / "env.yaml")]) == 1
    assert not list((tmp_path / "envs").iterdir())


def test_stand_ins_refuse_calls_that_mlflow_does_not_make(tmp_path: Path) -> None:
    assert conda.main(["install", "numpy"]) == 2
    assert rsync.main(["-a", str(tmp_path), str(tmp_path)]) == 2
    assert pyenv.main(["shell"]) == 2


def test_rsync_leaves_what_is_there(tmp_path: Path) -> None:
    repositories.write(tmp_path, {"new": "new", "to/old": "old", "old": "newer"})
    for name in ("new", "old"):
        assert rsync.main(["-a", "-v", "--ignore-existing", str(tmp_path / name), str(tmp_path / "to")]) == 0
    assert [(tmp_path / "to" / name).read_text() for name in ("new", "old")] == ["new", "old"]
    assert rsync.main(["-a", "-v", "--ignore-existing", str(tmp_path / "none"), str(tmp_path)]) == 23


def test_pyenv_has_the_running_python_under_every_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert pyenv.main(["install", "--skip-existing", "3.8.20"]) == 0
    command = [str(tmp_path / "versions/3.8.20/bin/python"), "-c", "import sys; print(sys.version)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == sys.version


def processes(word: str) -> list[str]:
    """Those that have `word` on their command line."""
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if word in command_line(path)]


def command_line(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []

"""What the local target runs besides the usual: projects of other kinds, other MLflows, inputs given by hand."""

from __future__ import annotations

import contextlib
import errno
import functools
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_tasks import errors, processes, state
from mlops_tasks.backends.base import Submitted
from mlops_tasks.backends.local import backend
from mlops_tasks.release import Run
from mlops_tasks.report import Report
from tests.support import jobs
from tests.support.inv import inv, start
from tests.support.repositories import git, make_repository, write

SPARK_FILE = """\
name: training
databricks_spark_job:
  python_file: job.py
  parameters: ["--text", "a b", "it's"]
  python_libraries:
    - WHEELPATH
"""
SPARK_ENTRY_POINTS = """\
name: training
databricks_spark_job:
  python_libraries: [WHEELPATH]
entry_points:
  main:
    parameters:
      text: {type: string, default: "a b"}
    command: "python job.py --text {text} fixed"
"""
JOB = """\
import json, sys
import mlflow, mylib
with mlflow.start_run():
    mlflow.log_metric("answer", mylib.ANSWER)
print("ARGS", json.dumps(sys.argv[1:]))
"""
ENDED = Run(run_id="r", experiment_id="1", status="FAILED", backend="local", url="", entry_point="main")
PYTHON_ENV = "name: training\npython_env: env.yaml\nentry_points: {main: {command: python train.py --text x}}\n"


def record_of(folder: Path) -> dict[str, Any]:
    (path,) = (folder / ".mlops").glob("*/local/branches/*/release.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.full
@pytest.mark.parametrize(
    ("mlproject", "arguments", "given"),
    [
        pytest.param(SPARK_FILE, [], ["--text", "a b", "it's"], id="python_file"),
        pytest.param(
            SPARK_ENTRY_POINTS,
            ["-P", 'text=it\'s "q" $HOME'],
            ["--text", 'it\'s "q" $HOME', "fixed"],
            id="entry points",
        ),
        pytest.param(
            SPARK_ENTRY_POINTS, ["--entry-point", "job.py", "-P", "text=a b"], ["--text", "a b"], id="a script"
        ),
    ],
)
def test_a_spark_job_is_rehearsed_with_its_libraries_and_arguments(
    tmp_path: Path, mlproject: str, arguments: list[str], given: list[str]
) -> None:
    folder = make_repository(tmp_path / "repository", MLPROJECT=mlproject)
    write(folder, {"training/job.py": JOB})
    (folder / "training" / "training_env.yaml").unlink()

    said = inv("release", *arguments, cwd=folder)

    assert said.code == 0, said.err
    assert f"ARGS {json.dumps(given)}" in said.err
    assert record_of(folder)["run"]["metrics"] == {"answer": 42.0}


@pytest.mark.full
def test_a_python_env_project_runs_and_leaves_nothing_in_the_folder_or_the_home_and_no_password_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_repository(tmp_path / "repository", MLPROJECT=PYTHON_ENV)
    git("remote", "add", "origin", "https://ada:s3cret@example.com/repo.git", cwd=folder)
    write(folder, {"training/env.yaml": 'python: "3.11"\ndependencies:\n  - WHEELPATH\n'})
    home = tmp_path / "home"
    home.mkdir()
    cache = subprocess.run([sys.executable, "-m", "uv", "cache", "dir"], capture_output=True, text=True, check=True)
    monkeypatch.setenv("UV_CACHE_DIR", cache.stdout.strip())
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # nothing is activated, and another environment is
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "another"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(Path.home() / ".config"))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    before = git("status", "--porcelain", cwd=folder)

    said = inv("release", cwd=folder)

    assert said.code == 0, said.err
    assert git("status", "--porcelain", cwd=folder) == before
    assert [path.name for path in home.iterdir()] == []
    assert [path.name for path in temporary.iterdir()] == []
    assert list((folder / ".mlops").glob("*/local/attempts/*")) == []
    assert "s3cret" not in said.out + said.err
    written = [path for path in (folder / ".mlops").rglob("*") if path.is_file() and "environments" not in path.parts]
    assert len(written) > 10
    assert [path for path in written if b"s3cret" in path.read_bytes()] == []


@pytest.mark.full
def test_a_project_that_pins_another_mlflow_gets_it_and_logs_through_a_server(tmp_path: Path) -> None:
    from mlflow.version import VERSION

    folder = make_repository(tmp_path / "repository")
    path = folder / "training" / "training_env.yaml"
    path.write_text(path.read_text().replace("- mlflow\n", f"- mlflow!={VERSION}\n"))
    write(folder, {"training/train.py": JOB + "assert mlflow.__version__ != " + repr(VERSION) + "\n"})

    said = inv("release", cwd=folder)

    assert said.code == 0, said.err
    assert "it will log through a local server" in said.err
    assert "http://127.0.0.1" not in said.err  # nobody answers there once the run has ended
    assert record_of(folder)["run"]["metrics"] == {"answer": 42.0}


@pytest.mark.full
def test_a_project_that_installs_itself_runs_as_often_as_one_likes(tmp_path: Path) -> None:
    folder = make_repository(
        tmp_path / "repository", MLPROJECT="name: training\nconda_env: envs/env.yaml\n", TRAIN="import own, mylib\n"
    )
    (folder / "training" / "training_env.yaml").unlink()
    setup = (
        "from setuptools import setup\nsetup(name='own', version='0.1', package_dir={'': 'src'}, py_modules=['own'])\n"
    )
    packages = "[python<4, pip<=99, pytz=2023.3.post1, pip: [mlflow, -e .., WHEELPATH]]"
    write(
        folder / "training",
        {"setup.py": setup, "src/own.py": "import pytz\n", "envs/env.yaml": f"dependencies: {packages}\n"},
    )
    assert inv("release", "--entry-point", "train.py", cwd=folder).code == 0

    said = inv("run", "--entry-point", "train.py", cwd=folder)

    assert said.code == 0, said.err


def test_a_project_whose_requirements_cannot_be_installed_leaves_no_run(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")
    path = folder / "training" / "training_env.yaml"
    path.write_text(path.read_text().replace("- mlflow\n", "- mylib==9.9\n"))

    said = inv("release", cwd=folder)

    assert said.code == 1
    assert "environment cannot be built" in said.err
    assert "mylib" in said.err
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / '.mlops' / 'mlflow.db'}")
    experiments = [each.experiment_id for each in client.search_experiments()]
    assert experiments
    assert list(client.search_runs(experiments)) == []


def test_a_project_at_a_git_uri_is_fetched_patched_and_run(tmp_path: Path) -> None:
    origin = make_repository(tmp_path / "origin")
    write(origin, {"training/quick.py": "print('fetched')\n"})
    git("add", ".", cwd=origin)
    git("commit", "-q", "-m", "quick", cwd=origin)
    settings = (
        f"mlops:\n  project: file://{origin}#training\n  version: main\n  libraries: [libs/*]\n"
        "  env_manager: local\n  entry_point: quick.py\n"
    )
    folder = make_repository(tmp_path / "repository", SETTINGS=settings)

    said = inv("release", cwd=folder)

    assert said.code == 0, said.err
    assert "fetched" in said.err
    assert record_of(folder)["patched"]["references"][0]["file"] == "training_env.yaml"
    assert re.fullmatch("/Shared/repository/training-[0-9a-f]{12}/main", record_of(folder)["names"]["experiment"])


def test_wheels_given_by_hand_are_deployed_and_named_ones_patched_in(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")
    assert inv("build-wheel", cwd=folder).code == 0
    built = folder / record_of(folder)["wheels"][0]["file"]
    mine = tmp_path / built.name
    mine.write_bytes(built.read_bytes())
    assert inv("name", cwd=folder).code == 0

    deployed = inv("deploy", "--wheel", str(mine), cwd=folder)
    write(folder, {"libs/mylib/mylib/__init__.py": "ANSWER = 0\n"})
    patched = inv("patch", cwd=folder)

    assert (deployed.code, patched.code) == (0, 0), deployed.err + patched.err
    assert record_of(folder)["wheels"][0]["library"] is None

    named = inv("patch", "--wheel-uri", mine.as_uri(), "--diff", cwd=folder)
    assert named.code == 0, named.err
    assert f"+      - mylib @ {mine.as_uri()}" in named.out
    assert record_of(folder)["digests"]["deploy"] == "by hand"


def test_the_projects_own_files_can_be_patched_in_place(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")
    assert inv("name", "build-wheel", "deploy", cwd=folder).code == 0
    dry = inv("patch", "--in-place", "--dry-run", cwd=folder)
    assert dry.code == 0, dry.err
    assert git("status", "--porcelain", cwd=folder) == ""

    said = inv("patch", "--in-place", cwd=folder)

    assert said.code == 0, said.err
    assert "mylib @ file://" in (folder / "training" / "training_env.yaml").read_text()
    assert inv("status", cwd=folder).out.count("up to date") == 4


def test_the_ui_says_what_to_type_before_anything_was_tracked(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")

    said = inv("ui", cwd=folder)

    assert (said.code, "inv release" in said.err) == (3, True)


def test_the_ui_names_the_tracking_server_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    assert inv("ui", cwd=make_repository(tmp_path / "repository")).out == "http://127.0.0.1:9\n"


@pytest.mark.full
def test_the_ui_opens_on_the_local_store(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")
    assert inv("release", cwd=folder).code == 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with start(folder, "ui", "--verbose", "--port", str(port)) as ui, contextlib.ExitStack() as stack:
        stack.callback(ui.kill)
        assert ui.stderr is not None
        next(line for line in ui.stderr if "Uvicorn running on" in line or "Listening at" in line)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as answer:
            assert answer.status == 200
        ui.send_signal(signal.SIGINT)
        _, err = ui.communicate()

    assert ui.returncode == 0, err
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


PROXY = "http://127.0.0.1:9"
"""Nobody answers there."""
WAITS = """\
import runpy, subprocess, sys
child = runpy.run_path(sys.argv[1])
wait = child["_wait_for_server"]
wait.__globals__["SERVER_WITHIN"] = 5
with subprocess.Popen(["sleep", "60"]) as server:
    wait(server, int(sys.argv[2]))
    server.kill()
"""


def test_a_run_keeps_what_it_compiles_in_its_own_environment_alone(tmp_path: Path) -> None:
    environ = {"PYTHONDONTWRITEBYTECODE": "1"}
    runs = backend.LocalRuns(
        places=state.StateFolder(tmp_path), environ=environ, run=processes.run_command, report=Report()
    )

    assert "PYTHONDONTWRITEBYTECODE" not in runs._child_environ(tmp_path / "environment")
    assert runs._child_environ(None)["PYTHONDONTWRITEBYTECODE"] == "1"


def test_no_proxy_stands_between_a_run_and_the_server_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", PROXY)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "example.org")
    runs = backend.LocalRuns(
        places=state.StateFolder(tmp_path), environ=os.environ, run=processes.run_command, report=Report()
    )

    assert runs._child_environ(None)["no_proxy"] == "example.org,localhost,127.0.0.1,::1"
    monkeypatch.delenv("NO_PROXY")
    (tmp_path / "health").write_text("OK")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        command = [sys.executable, "-c", WAITS, str(backend.CHILD), str(server.server_address[1])]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


SQLALCHEMY = """\
Traceback (most recent call last):
mlflow.exceptions.MlflowException: (raised as a result of Query-invoked autoflush)
(sqlite3.OperationalError) no such table: a
[SQL: SELECT *
FROM a]
[parameters: (1,)]
(Background on this error at: https://sqlalche.me/e/20/e3q8)
"""


@pytest.mark.parametrize(
    ("line", "is_ours"),
    [
        ("🏃 View run calm-fox-1 at: http://127.0.0.1:4107/#/experiments/1/runs/2", True),
        ("🧪 View experiment at: http://127.0.0.1:4107/#/experiments/1", True),
        ("2026/11/29 15:50:21 INFO mlflow.tracking: 🧪 View experiment at: http://127.0.0.1:4107/#/x.", True),
        ("🏃 View run calm-fox-1 at: http://127.0.0.1:5000/#/experiments/1/runs/2", False),
        ("🏃 View run calm-fox-1 at: http://127.0.0.1:41070/#/experiments/1/runs/2", False),
        ("asking http://127.0.0.1:4107/health", False),
    ],
)
def test_pages_of_a_runs_own_server_are_not_shown_and_those_of_others_are(line: str, is_ours: bool) -> None:
    mend = backend._without_pages(4107, bytes)

    assert mend(f"one\n{line}\ntwo\n".encode()).decode() == ("one\ntwo\n" if is_ours else f"one\n{line}\ntwo\n")


@pytest.mark.timeout(30)
def test_a_line_of_a_megabyte_is_mended_in_no_time(tmp_path: Path) -> None:
    mend = backend._without_pages(4107, backend._naming_sources(tmp_path / "work", tmp_path / "sources"))

    for line in (b"x" * processes.LONGEST, f"{tmp_path}/work/a b ".encode() * 20_000, b"View run " * 100_000):
        assert mend(line) == line


def test_a_store_that_was_removed_under_a_run_that_ended_well_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    runs = replace(make_runs(tmp_path), report=heard)
    answers: dict[str, object] = {"end_run": None, "find_going_on": [], "find_gone": tmp_path / ".mlops"}
    calls = {name: lambda *_, answer=answer, **__: answer for name, answer in answers.items()}
    vars(runs)["tracking"] = SimpleNamespace(read_run=lambda *_, **__: ENDED, shown="", **calls)
    monkeypatch.setattr(backend.LocalRuns, "_execute", lambda *_, **__: "")

    job = jobs.make_job(tmp_path / "p", jobs.ENTRY_POINTS, text="x")
    runs.follow(job, Submitted(run_id="r", experiment_id="1", backend="local"), log=tmp_path / "log")

    assert heard.lines == [f"{tmp_path / '.mlops'} was removed while the run went on: what it has logged is lost"]


def make_runs(top: Path, **environ: str) -> backend.LocalRuns:
    return backend.LocalRuns(places=state.StateFolder(top), environ=environ, run=processes.run_command, report=Report())


def test_a_blank_address_of_a_tracking_server_is_none(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, MLFLOW_TRACKING_URI=" ")

    assert runs.tracking.uri == f"sqlite:///{tmp_path}/.mlops/mlflow.db"


def test_an_mlflow_that_cannot_work_with_what_is_beside_inv_is_told_before_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", {"mlflow": "3.1.4", "sqlalchemy": "2.1.9"}.__getitem__)

    with pytest.raises(errors.StepFailed, match=r"MLflow 3\.1\.4.*does not work with sqlalchemy 2\.1\.9") as caught:
        _ = make_runs(tmp_path).tracking

    assert caught.value.cure == "pip install 'sqlalchemy<2.1'"


@pytest.mark.parametrize(
    ("is_same", "store", "through_server"),
    [(True, " ", False), (False, " ", True), (False, "http://127.0.0.1:1", False)],
    ids=["our MLflow", "another MLflow", "a server that is there"],
)
def test_another_mlflow_logs_through_a_server_unless_it_logs_to_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_same: bool, store: str, through_server: bool
) -> None:
    messages = []

    def follow(command: list[str], *, message: str, **_: object) -> int:
        messages.append(json.loads(message))
        return 0

    monkeypatch.setattr(processes, "follow", follow)
    runs = make_runs(tmp_path, MLFLOW_TRACKING_URI=store)
    monkeypatch.setattr(backend.LocalRuns, "_environment", lambda *_: contextlib.nullcontext((None, is_same)))

    job = jobs.make_job(tmp_path / "p", jobs.ENTRY_POINTS, text="x")
    assert runs._execute(job, Submitted(run_id="r", experiment_id="1", backend="local"), log=tmp_path / "log") == ""

    assert [each["through_server"] for each in messages] == [through_server]


def test_an_entry_point_that_was_not_begun_is_told_so_and_not_by_an_exit_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def follow(command: list[str], *, message: str, **_: object) -> int:
        write(tmp_path, {json.loads(message)["not_begun"]: "No module named 'botocore'\nmore in the log"})
        return 1

    monkeypatch.setattr(processes, "follow", follow)
    monkeypatch.setattr(backend.LocalRuns, "_environment", lambda *_: contextlib.nullcontext((None, True)))
    answers: dict[str, object] = {"end_run": None, "find_going_on": [], "find_gone": None, "read_run": ENDED}
    calls = {name: lambda *_, answer=answer, **__: answer for name, answer in answers.items()}
    runs = make_runs(tmp_path)
    vars(runs)["tracking"] = SimpleNamespace(uri="", login={}, is_server=False, shown="", **calls)

    job = jobs.make_job(tmp_path / "p", jobs.ENTRY_POINTS, text="x")
    found = runs.follow(job, Submitted(run_id="r", experiment_id="1", backend="local"), log=tmp_path / "log")

    assert found.reason == "the entry point main was not begun: No module named 'botocore'"


@pytest.mark.parametrize(
    ("code", "log", "reason"),
    [
        (0, "done\n", ""),
        (3, "", "the entry point ended with exit code 3"),
        (1, "one\nValueError: no\n\n", "the entry point ended with exit code 1: ValueError: no"),
        (137, "Killed\n", "the entry point was ended by SIGKILL: Killed"),
        (1, SQLALCHEMY, "the entry point ended with exit code 1: (sqlite3.OperationalError) no such table: a"),
    ],
)
def test_why_an_entry_point_failed_is_how_it_ended_and_its_last_line(
    tmp_path: Path, code: int, log: str, reason: str
) -> None:
    path = tmp_path / "run.log"
    path.write_text(log)

    assert backend._describe_exit(code, path, stood_on=[path], unkept=[]) == reason


def test_a_folder_that_was_removed_under_a_run_is_why_it_failed(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text("FileNotFoundError: 'data.csv'\n")
    stood_on = [tmp_path / "staged" / "training" / "MLproject", tmp_path / "environments"]

    reason = backend._describe_exit(1, tmp_path / "run.log", stood_on=stood_on, unkept=[])

    assert reason == f"the entry point ended with exit code 1: {tmp_path}/staged was removed while the run went on"


class Heard(Report):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, text: str) -> None:
        self.lines.append(text)


def test_the_last_line_that_fitted_into_a_log_is_no_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def follow(_: list[str], *, log: Path, unkept: Callable[[OSError], None], **__: object) -> int:
        log.write_text("epoch 3 of 10\nepoch 4")
        unkept(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        return 1

    monkeypatch.setattr(processes, "follow", follow)
    monkeypatch.setattr(backend.LocalRuns, "_environment", lambda *_: contextlib.nullcontext((None, True)))
    heard, log = Heard(), tmp_path / "run.log"
    job = jobs.make_job(tmp_path / "p", jobs.ENTRY_POINTS, text="x")

    reason = replace(make_runs(tmp_path), report=heard)._execute(
        job, Submitted(run_id="r", experiment_id="1", backend="local"), log=log
    )

    assert reason == f"the entry point ended with exit code 1: No space left on device in {tmp_path}"
    assert heard.lines == [f"the output cannot be kept in {log}: No space left on device; the run goes on"]


TRACE = """\
Traceback (most recent call last):
  File "{folder}/steps/train.py", line 16, in <module>
{folder}/steps/train.py:3: UserWarning: no
FileNotFoundError: [Errno 2] No such file or directory: '{folder}/model.pkl'
"""


def test_a_trace_leads_to_the_users_own_file_and_not_into_the_folder_that_is_removed(tmp_path: Path) -> None:
    work, sources, shown = tmp_path / ".run-x" / "churn", tmp_path / "ml" / "churn", list[str]()

    processes.follow(
        [sys.executable, "-c", f"print({TRACE.format(folder=work)!r}, end='')"],
        env=os.environ,
        message="",
        log=tmp_path / "log",
        show=shown.append,
        unkept=lambda fault: pytest.fail(str(fault)),
        timeout=60,
        mend=backend._naming_sources(work, sources),
    )

    mended = TRACE.format(folder=sources).replace(f"'{sources}", f"'{work}")
    assert (tmp_path / "log").read_text() == mended
    assert shown == mended.splitlines()


class Moving(Report):
    """Writes down what is shown, and when something moves on the screen."""

    def __init__(self) -> None:
        self.said: list[str] = []

    @contextlib.contextmanager
    def waiting(self, what: str, *, short: bool = False) -> Iterator[None]:
        self.said.append(f"begin {what}" if short else what)
        yield
        self.said.append("end")

    def output(self, line: str) -> None:
        self.said.append(line)


@pytest.mark.parametrize("lines", [["one", "two"], []], ids=["output", "no output"])
def test_something_moves_until_the_entry_point_says_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    def follow(_: list[str], *, show: Callable[[str], None], **__: object) -> int:
        report.said.append("started")
        for line in lines:
            show(line)
        return 0

    monkeypatch.setattr(processes, "follow", follow)
    monkeypatch.setattr(backend.LocalRuns, "_environment", lambda *_: contextlib.nullcontext((None, True)))
    report = Moving()
    runs = backend.LocalRuns(places=state.StateFolder(tmp_path), environ={}, run=processes.run_command, report=report)

    runs._execute(
        jobs.make_job(tmp_path / "p", jobs.ENTRY_POINTS, text="x"),
        Submitted(run_id="r", experiment_id="1", backend="local"),
        log=tmp_path / "log",
    )

    assert report.said == ["begin starting the entry point", "started", "end", *lines]


class Store:
    """A tracking store in which a run has started a step that has no end."""

    def __init__(self) -> None:
        self.ended: dict[str, str] = {}

    def find_gone(self) -> None: ...

    def find_going_on(self, run_id: str) -> list[str]:
        assert run_id == "r"
        return ["step"]

    def end_run(self, run_id: str, status: str, *, overrule: bool = True) -> None:
        self.ended[run_id] = status

    def read_run(self, run_id: str, *, entry_point: str, backend: str) -> Run:
        return Run(run_id, "1", self.ended[run_id], backend, "", entry_point)


@pytest.mark.parametrize(
    ("reason", "status"),
    [("exit code 1", "FAILED"), (processes.TimedOut(), "KILLED"), (KeyboardInterrupt(), "KILLED"), ("", "FINISHED")],
)
def test_a_step_ends_as_the_run_that_started_it_and_is_told_after_a_good_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str | BaseException, status: str
) -> None:
    def execute(*_: object, log: Path) -> str:
        if isinstance(reason, BaseException):
            raise reason
        return reason

    heard, store = Heard(), Store()
    monkeypatch.setattr(backend.LocalRuns, "_execute", execute)
    monkeypatch.setattr(backend.LocalRuns, "tracking", store)
    runs = replace(make_runs(tmp_path), report=heard)
    job = jobs.make_job(tmp_path / "p", jobs.ENTRY_POINTS, text="x")
    job = replace(job, limits=job.limits._replace(timeout=1))

    with contextlib.suppress(KeyboardInterrupt):
        runs.follow(job, Submitted(run_id="r", experiment_id="1", backend="local"), log=tmp_path / "log")

    if status == "FINISHED":
        assert store.ended == {"r": status}
        assert heard.lines == ["run step, which this run started, has no end: did that step fail?"]
    else:
        assert store.ended == {"r": status, "step": status}

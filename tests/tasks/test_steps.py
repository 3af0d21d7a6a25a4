"""What all tasks have in common, by the real `inv`."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from mlops_tasks import namespace, processes
from tests.support.inv import inv
from tests.support.repositories import LIBRARY, git, make_repository, write

SETTINGS = "mlops: {project: training, libraries: [libs/*], env_manager: local}\n"
REMOTE = {"watch", "cancel"}
"""Tasks that have nothing to do with runs on this machine."""
NEEDS_RUNS = {"compare"}
"""Tasks that end with 3 where nothing has run yet."""
TASKS = sorted(set(namespace.task_names) - REMOTE - NEEDS_RUNS)
SPARK_JOB = """\
name: training
databricks_spark_job: {python_libraries: [mlflow, WHEELPATH]}
entry_points: {main: {command: python train.py --text x}}
"""
CLUSTER = '{"spark_version": "16.4.x-cpu-ml-scala2.12", "node_type_id": "x", "num_workers": 1}'
APP = LIBRARY.replace("mylib", "app") + 'dependencies = ["mylib>=1"]\n'


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which any task can be typed next; it has runs, as far as `ui` can see."""
    parent = tmp_path_factory.mktemp("tasks")
    folder = make_repository(parent / "repository", SETTINGS=SETTINGS, MLPROJECT=SPARK_JOB, CLUSTER=CLUSTER)
    said = inv("name", "build-wheel", "deploy", "patch", cwd=folder)
    assert said.code == 0, said.err
    write(folder, {".mlops/mlflow.db": ""})
    return folder


def snapshot(folder: Path) -> dict[Path, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    return {path: path.read_bytes() for path in paths if path.name != "lock"}


def test_the_namespace_has_all_tasks() -> None:
    steps = {"name", "build-wheel", "deploy", "patch", "run"}
    assert set(TASKS) == {*steps, "release", "plan", "init", "status", "ui", "doctor", "runs"}


@pytest.mark.parametrize("arguments", [["{}", "--dry-run"], ["--dry", "{}"]], ids=" ".join)
@pytest.mark.parametrize("task", TASKS)
def test_any_task_can_be_taken_dry(patched: Path, task: str, arguments: list[str]) -> None:
    before = snapshot(patched)

    said = inv(*(word.format(task) for word in arguments), cwd=patched)

    assert said.code == 0, said.err
    assert said.out
    assert snapshot(patched) == before


@pytest.mark.parametrize("task", TASKS)
def test_any_task_prints_what_it_made_as_json_and_nothing_else(patched: Path, task: str) -> None:
    said = inv(task, "--json", "--dry-run", cwd=patched)

    assert said.code == 0, said.err
    made = said.json
    assert {"init": "made", "ui": "url", "doctor": "findings", "plan": "changes", "runs": "runs"}.get(
        task, "names"
    ) in made


@pytest.mark.parametrize(
    ("arguments", "code", "what", "cure"),
    [
        pytest.param(["run", "--entry-point", "nope"], 2, "nope", "", id="the project's files"),
        pytest.param(["name", "--experiment", "{nope}"], 2, "{nope}", "", id="a setting"),
        pytest.param(["deploy", "--branch", "other"], 3, "", "inv name --branch other", id="out of order"),
        pytest.param(["watch", "some-run"], 2, "begins with some-run", "--target databricks", id="no run"),
        pytest.param(["ui", "--port", "x"], 2, "the port", "give a number", id="a flag"),
    ],
)
def test_a_refusal_is_an_object_too_where_json_is_asked_for(
    patched: Path, arguments: list[str], code: int, what: str, cure: str
) -> None:
    said = inv(*arguments, "--json", cwd=patched)

    assert said.code == code
    error = said.json["error"]
    assert list(error) == ["code", "what", "where", "try"]
    assert error["code"] == code
    assert what in error["what"]
    assert cure in error["try"]
    assert f"error: {error['what']}" in said.err


def test_a_release_that_has_not_run_yet_does_not_pass_the_check_of_status(patched: Path) -> None:
    said = inv("status", "--check", "--json", cwd=patched)

    assert said.code == 3
    assert said.json["steps"] == {
        **dict.fromkeys(("name", "build-wheel", "deploy", "patch"), {"state": "up to date"}),  # noqa: RUF024 - read only
        "run": {"state": "has not run"},
    }
    assert said.json["error"]["what"] == "not released as it is: run has not run"
    assert said.json["error"]["try"] == "`inv run`, or the whole `inv release`"


@pytest.mark.parametrize("task", TASKS)
def test_any_task_can_be_told_to_say_less_or_more(patched: Path, task: str) -> None:
    quiet = inv(task, "--quiet", "--dry-run", cwd=patched)
    verbose = inv(task, "--verbose", "--dry-run", cwd=patched)

    assert (quiet.code, verbose.code) == (0, 0), quiet.err + verbose.err
    assert [line for line in quiet.err.splitlines() if not line.startswith("warning: ")] == []
    assert quiet.out == verbose.out


@pytest.mark.parametrize(("stdout", "lines"), [(">&-", 0), ("> /dev/full", 1)], ids=["closed", "full"])
def test_a_stdout_that_takes_nothing_stops_no_work(patched: Path, stdout: str, lines: int) -> None:
    command = shlex.join([str(Path(sys.executable).with_name("inv")), "name", "--branch", f"stdout-{lines}"])
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        ["sh", "-c", f"exec {command} {stdout}"], cwd=patched, env=env, stderr=subprocess.PIPE, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: stdout takes no more: No space left on device") == lines
    assert done.stderr.count("\n") == lines
    record = patched / ".mlops" / "training" / "local" / "branches" / f"stdout-{lines}" / "release.json"
    assert json.loads(record.read_text())["names"]["experiment"] == f"/Shared/repository/training/stdout-{lines}"


def test_the_ui_says_when_its_port_cannot_be_used(patched: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = str(taken.getsockname()[1])
        said = inv("ui", "--port", number, cwd=patched)

    assert said.code == 1
    assert f"port {number} cannot be used" in said.err
    assert said.out == ""


def test_the_ui_shows_a_tracking_servers_address_without_its_password(
    patched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ada:s3cret@tracking.example/mlflow")

    plain, machine = inv("ui", cwd=patched), inv("ui", "--json", cwd=patched)

    assert plain.out == "https://tracking.example/mlflow\n"
    assert machine.json == {"url": "https://tracking.example/mlflow"}


STORE = "http://tracking.example"


@pytest.mark.parametrize(
    ("store", "run", "page"),
    [
        pytest.param("", {"url": ""}, "{here}/#/experiments/7{runs}", id="the store of our own"),
        pytest.param("", None, "{here}/#/experiments/7{runs}", id="a run that goes on"),
        pytest.param(STORE, {"url": f"{STORE}/#/experiments/7/runs/r"}, f"{STORE}/#/experiments/7", id="a server"),
        pytest.param(STORE, {"url": ""}, STORE, id="a run of another store"),
    ],
)
def test_the_ui_leads_to_the_experiment_of_the_branchs_last_run_here(
    patched: Path, monkeypatch: pytest.MonkeyPatch, store: str, run: dict[str, str] | None, page: str
) -> None:
    (path,) = (patched / ".mlops").glob("*/local/branches/main/release.json")
    before = path.read_bytes()
    facts = {"run_id": "r", "experiment_id": "7", "status": "FINISHED", "backend": "local", "entry_point": "main"}
    made = {"attempt": {"id": "a", "experiment_id": "7"}, **({"run": {**facts, "metrics": {}, **run}} if run else {})}
    path.write_text(json.dumps({**json.loads(before), **made}))
    if store:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("MLOPS_TARGET", "databricks")  # what is opened are the runs on this machine

    said = inv("ui", "--dry-run", cwd=patched)

    path.write_bytes(before)
    runs = "" if metadata.version("mlflow").startswith("2.") else "/runs?workflowType=machine_learning"
    assert said.out.strip().removeprefix("would open ") == page.format(here="http://127.0.0.1:5000", runs=runs)


@pytest.mark.parametrize(("flags", "level"), [([], "warning"), (["--verbose"], None)])
def test_the_ui_scrolls_no_line_for_each_request_over_its_address(
    patched: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], level: str | None
) -> None:
    monkeypatch.delenv("UVICORN_LOG_LEVEL", raising=False)
    given: list[str | None] = []

    def serve(_: object, *, env: dict[str, str], quiet: bool) -> int:
        assert not quiet
        given.append(env.get("UVICORN_LOG_LEVEL"))
        return 0

    monkeypatch.setattr(processes, "serve", serve)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])

    said = inv("ui", "--port", port, *flags, cwd=patched)

    assert (said.code, given) == (0, [level]), said.err


def test_wheels_that_need_each_other_are_named_in_that_order(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")
    write(folder, {"libs/app/pyproject.toml": APP, "libs/app/app/__init__.py": "import mylib\n"})

    said = inv("name", "build-wheel", "deploy", "patch", "--json", cwd=folder)

    assert said.code == 0, said.err
    record = said.json
    staged = folder / record["patched"]["project_dir"]
    (pip,) = (each["pip"] for each in yaml.safe_load((staged / "training_env.yaml").read_text())["dependencies"][-1:])
    assert [each["distribution"] for each in record["deployed"]] == ["mylib", "app"]
    assert [entry.split(" @ ")[0] for entry in pip] == ["mlflow", "mylib", "app"]
    libraries = json.loads((staged / "cluster.json").read_text())["libraries"]
    assert [Path(each["whl"]).name.split("-")[0] for each in libraries] == ["mylib", "app"]


def test_a_library_may_live_in_a_submodule(tmp_path: Path) -> None:
    library = tmp_path / "library"
    write(library, {"pyproject.toml": LIBRARY.replace("mylib", "sublib"), "sublib/__init__.py": ""})
    git("init", "-q", "-b", "main", cwd=library)
    git("add", ".", cwd=library)
    git("commit", "-q", "-m", "first", cwd=library)
    folder = make_repository(tmp_path / "repository")
    git("-c", "protocol.file.allow=always", "submodule", "-q", "add", str(library), "libs/sublib", cwd=folder)

    said = inv("name", "build-wheel", cwd=folder)

    assert said.code == 0, said.err
    assert "sublib-1.0-py3-none-any.whl" in said.out
    assert [path.parent for path in folder.rglob(".mlops")] == [folder]


def test_a_linked_work_tree_has_a_release_of_its_own(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")
    git("worktree", "add", "-q", "-b", "linked", str(tmp_path / "linked"), cwd=folder)

    said = inv("name", "build-wheel", "deploy", "patch", cwd=tmp_path / "linked")

    assert said.code == 0, said.err
    assert "/Shared/linked/training/linked" in said.out
    assert (tmp_path / "linked" / ".mlops").is_dir()
    assert not (folder / ".mlops").exists()
    assert git("status", "--porcelain", cwd=tmp_path / "linked") == ""


def test_a_job_goes_on_from_the_folder_that_another_one_has_left(tmp_path: Path) -> None:
    """As artifacts of CI systems carry it: the files alone, without empty folders and permissions."""
    origin = make_repository(tmp_path / "origin")
    folder, carried = tmp_path / "work" / "repository", tmp_path / "mlops.zip"
    git("clone", "-q", str(origin), str(folder), cwd=tmp_path)
    assert inv("name", "build-wheel", "deploy", cwd=folder).code == 0
    with zipfile.ZipFile(carried, "w") as archive:
        for path in (folder / ".mlops").rglob("*"):
            if path.is_file():
                archive.writestr(path.relative_to(folder).as_posix(), path.read_bytes())
    shutil.rmtree(folder)

    git("clone", "-q", str(origin), str(folder), cwd=tmp_path)
    with zipfile.ZipFile(carried) as archive:
        archive.extractall(folder)
    said = inv("patch", cwd=folder)

    assert said.code == 0, said.err
    assert inv("status", cwd=folder).out.count("up to date") == 4

"""Releases, step by step, compared with recorded ones: what was released before a change is what is released after it.

It goes by what a user and a workspace see, and knows nothing of the package's inside. `GOLDEN_RECORD=1` writes the
recordings in `expected/` anew; `GOLDEN_LOOSE=1` leaves out those of stderr, whose words may change. A recording
`mlflow-3-...` holds what MLflow has a part in, and is compared where MLflow is of that major version.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

# all that is taken from the rest of the tests
from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.server import Workspace
from tests.golden.masking import Mask
from tests.support.adoption import ADDED, DATA, DOWNLOAD, MODEL_NAME, PINS, PROJECT, THEIRS
from tests.support.repositories import make_repository

pytest_plugins = ["tests.fake_workspace.fixture"]  # the fixture mlflow_server

EXPECTED = Path(__file__).parent / "expected"
STEPS = ("name", "build-wheel", "deploy", "patch", "run")
OURS, THE_JOBS = "dapi-of-inv", "dapi-of-the-jobs"
USER = "ada@example.com"
"""Jobs come in with a token of their own, as what they ask depends on MLflow alone."""

QUICK = "mlops:\n  project: training\n  libraries: [libs/*]\n  env_manager: local\n"
ROOTS = {"classic": "dbfs:/wheels", "spark": "/Volumes/main/default/wheels"}
RUNTIMES = {"classic": "12.2.x-cpu-ml-scala2.12", "spark": "16.4.x-cpu-ml-scala2.12"}
REGISTERED = {"train.py": (", registered_model_name=model_name", "")}
"""The test workspace has no registry."""

OF_MLFLOW = f"mlflow-{metadata.version('mlflow').partition('.')[0]}-"
STDERR = f"{OF_MLFLOW}stderr.txt"
TOLD = re.compile(r"  (?! |warn)|error|warning|note")
"""Lines of stderr that are inv's own, and not those of programs that it starts."""

PASSING = re.compile(r"  \d\d:\d\d  (PENDING|RUNNING|TERMINATING|QUEUED)|.*this rehearsal runs on")
"""Those of them that a slow machine or another Python doesn't show."""

MLFLOWS_CALLS = re.compile(
    r"/api/2\.\d/mlflow/.*|/api/2\.\d/fs/.*/WorkspaceInternal/.*|/dbfs/.*|/api/2\.\d/dbfs/get-status"
)
MLFLOWS_TAGS = ("mlflow.runName", "mlflow.user", "mlflow.log-model.history")


class Recording:
    """What is seen of one case, by the file that it is kept in."""

    def __init__(self, case: str, folder: Path, **words: str) -> None:
        self.case = case
        self.folder = folder
        self.mask = Mask(top=str(folder), **words)
        self.environment: dict[str, str] = {}
        self._texts: dict[str, list[str]] = {}
        self._data: dict[str, dict[str, Any]] = {}
        self._record: dict[str, Any] = {}

    def inv(self, *arguments: str) -> int:
        """Call inv in a process of its own, and keep how it ended and what it said."""
        return self.call(str(Path(sys.executable).with_name("inv")), *arguments, title=f"inv {shlex.join(arguments)}")

    def call(self, *command: str, title: str) -> int:
        done = _run(*command, cwd=self.folder, env=self.environment)
        self._learn()
        if "--json" in command:
            self.keep("said.json", title, json.loads(done.stdout))
            said = "(in said.json)\n"
        else:
            said = done.stdout
        self._texts.setdefault("stdout.txt", []).append(f"$ {title}\n{said}[{done.returncode}]\n")
        self._texts.setdefault(STDERR, []).append(f"$ {title}\n{_own_lines(done.stderr)}")
        return done.returncode

    def keep(self, file: str, key: str, value: Any) -> None:
        self._data.setdefault(file, {})[key] = value

    def keep_record(self, step: str) -> None:
        """What `step` changed in the record."""
        before, self._record = self._record, self.record
        changed = {key: value for key, value in self._record.items() if before.get(key) != value}
        self.keep("record.json", step, {**changed, **{key: None for key in before if key not in self._record}})

    def keep_staged(self, source: Path) -> None:
        """The staged project's files, those that are as in `source` by name only."""
        staged = self.folder / self.record["patched"]["project_dir"]
        for path in sorted(staged.rglob("*")):
            name = path.relative_to(staged).as_posix()
            if path.is_file():
                same = (source / name).is_file() and (source / name).read_bytes() == path.read_bytes()
                runs = ", executable" if path.stat().st_mode & 0o100 else ""
                text = " is as it was\n" if same else f"\n{path.read_text().rstrip()}\n"
                self._texts.setdefault("staged.txt", []).append(f"== {name}{runs}{text}")

    @property
    def last_words(self) -> str:
        return self._texts[STDERR][-1]

    @property
    def record(self) -> dict[str, Any]:
        (path,) = (self.folder / ".mlops").glob("*/*/branches/*/release.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def check(self) -> None:
        found = {name: self.mask.text("".join(texts)) for name, texts in self._texts.items()}
        for name, data in self._data.items():
            found[name] = json.dumps(self.mask.data(data), indent=2, ensure_ascii=False) + "\n"
        folder = EXPECTED / self.case
        if os.environ.get("GOLDEN_RECORD") == "1":
            for path in filter(lambda path: _counts(path.name), list(folder.glob("*"))):
                path.unlink()
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in found.items():
                (folder / name).write_text(text, encoding="utf-8")
        expected = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*"))}
        ours = {name for name in found if not name.startswith("mlflow-")}
        names = {name for name in ours.union(expected) if _counts(name)}
        differences = [_compare(name, expected.get(name, ""), found.get(name, "")) for name in sorted(names)]
        assert not any(differences), "\n".join(filter(None, differences))

    def _learn(self) -> None:
        if list((self.folder / ".mlops").glob("*/*/branches/*/release.json")):
            self.mask.learn(self.record)


def _own_lines(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if TOLD.match(line) and not PASSING.match(line))


def _counts(name: str) -> bool:
    """Whether a recording is compared, here and now."""
    if os.environ.get("GOLDEN_LOOSE") == "1" and name.endswith("stderr.txt"):
        return False
    return name.startswith(OF_MLFLOW) or not name.startswith("mlflow-")


def _compare(name: str, expected: str, found: str) -> str:
    lines = difflib.unified_diff(expected.splitlines(), found.splitlines(), f"expected {name}", "found", lineterm="")
    return "\n".join(lines)


def _run(*command: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COLUMNS": "200", **(env or {})}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def _commit(folder: Path) -> None:
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "first"]):
        assert _run("git", *arguments, cwd=folder).returncode == 0


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def _mend(folder: Path, mends: Mapping[str, tuple[str, str]]) -> None:
    for name, (old, new) in mends.items():
        text = (folder / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, name
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")


def bundled(folder: Path, form: str) -> Path:
    """The bundled project, as a user lays it down; the folder of its MLproject."""
    folder.mkdir()
    assert _run(sys.executable, "-m", "mlops_tasks", cwd=folder).returncode == 0
    project = folder / "projects" / "training"
    if form in RUNTIMES:
        spec = json.loads((project / "cluster.json").read_text())
        spec["new_cluster"] |= {"spark_version": RUNTIMES[form], "data_security_mode": "SINGLE_USER"}
        (project / "cluster.json").write_text(json.dumps(spec, indent=2))
        _pin(project)
    _commit(folder)
    return project


def adopted(folder: Path, form: str) -> Path:
    """The adopted repository, mended as the README says; the folder of its MLproject."""
    _write(folder, {**THEIRS, **ADDED, f"{PROJECT}/quality.csv": DATA})
    project = folder / PROJECT
    for mends in (PINS, DOWNLOAD, MODEL_NAME):
        _mend(project, mends)
    if form in RUNTIMES:
        _mend(project, REGISTERED)
        _mend(project, {"cluster.json": ("12.2.x-scala2.12", RUNTIMES[form])})
        _pin(project)
    _commit(folder)
    return project


def _pin(project: Path) -> None:
    """To the running MLflow: a newer one asks for what the server of the test workspace doesn't have."""
    path = project / "training_env.yaml"
    text = path.read_text()
    path.write_text(re.sub(r"- mlflow\n", f"- mlflow=={metadata.version('mlflow')}\n", text))


LAYOUTS = {"bundled": bundled, "adopted": adopted}
RUN_FLAGS = {"bundled": ("--entry-point", "evaluate", "-P", "folds=3"), "adopted": ("-P", "model_name=a b")}


@pytest.mark.full
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_release_on_this_machine(tmp_path: Path, layout: str) -> None:
    seen = Recording(f"{layout}-local", tmp_path / "a repository")
    project = LAYOUTS[layout](seen.folder, "local")

    for step in STEPS:
        assert seen.inv(step) == 0, seen.last_words
        seen.keep_record(step)

    seen.inv("status")
    seen.inv("status", "--json")
    seen.keep_staged(project)
    with closing(sqlite3.connect(seen.folder / ".mlops" / "mlflow.db")) as database:
        run = {table: dict(database.execute(f"SELECT key, value FROM {table}")) for table in ("tags", "params")}
    _keep_run(seen, run["tags"], run["params"])
    seen.check()


@pytest.mark.full
@pytest.mark.parametrize("form", RUNTIMES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_release_to_a_workspace(mlflow_server: MlflowServer, tmp_path: Path, layout: str, form: str) -> None:
    with opened(mlflow_server) as workspace:
        words = {"host": workspace.url, "address": workspace.url.removeprefix("http://")}
        seen = Recording(f"{layout}-{form}", tmp_path / "a repository", **words)
        settings = {"TARGET": "databricks", "BACKEND": "databricks", "WHEEL_ROOT": ROOTS[form], "POLL_INTERVAL": "0.5"}
        seen.environment = {f"MLOPS_{key}": value for key, value in settings.items()}
        seen.environment |= {"DATABRICKS_HOST": workspace.url, "DATABRICKS_TOKEN": OURS}
        project = LAYOUTS[layout](seen.folder, form)
        if form == "spark":
            seen.inv("doctor", "--fix")
            _commit(seen.folder)

        for step in STEPS:
            workspace.requests.clear()
            flags = {"deploy": ("--force",), "run": ("--force", *RUN_FLAGS[layout])}.get(step, ())
            assert seen.inv(step, *flags) == 0, seen.last_words
            seen.keep_record(step)
            _keep_requests(seen, step, workspace)

        seen.inv("status")
        seen.inv("status", "--json")
        seen.keep_staged(project)
        run_id = seen.record["run"]["run_id"]
        run = json.loads(mlflow_server.ask("GET", f"/api/2.0/mlflow/runs/get?run_id={run_id}").body)["run"]["data"]
        pairs = {key: {each["key"]: each["value"] for each in run.get(key, ())} for key in ("tags", "params")}
        _keep_run(seen, pairs["tags"], pairs["params"])
    seen.check()


@contextmanager
def opened(mlflow: MlflowServer) -> Iterator[Workspace]:
    mlflow.ask("GET", "/health")  # starts it: on a busy machine that takes longer than a client waits
    mlflow.wipe()
    users = {THE_JOBS: "jobs@example.com", OURS: USER}
    with Workspace(mlflow=mlflow, reuse=True, users=users) as workspace:
        workspace.make_volume("main", "default", "wheels")
        workspace.jobs.token_of = lambda _: THE_JOBS
        yield workspace
    assert not workspace.crashes, workspace.crashes[0]


def _keep_requests(seen: Recording, step: str, workspace: Workspace) -> None:
    """What inv asked in `step`: looking is told once, as it is done until something has happened."""
    asked = [each for each in list(workspace.requests) if each.user == USER]
    for file, of_mlflow in ((f"{OF_MLFLOW}requests.json", True), ("requests.json", False)):
        some = [each for each in asked if bool(MLFLOWS_CALLS.fullmatch(each.path)) is of_mlflow]
        counted = Counter(f"{each.method} {seen.mask.text(each.path)} -> {each.status}" for each in some)
        looks = ("GET ", "HEAD ")
        seen.keep(file, step, {call: "looked" if call.startswith(looks) else n for call, n in sorted(counted.items())})
    for entry in asked:
        if entry.path.endswith("/jobs/runs/submit"):
            seen.keep(f"{OF_MLFLOW}submits.json", f"{step} {entry.path}", entry.json)


def _keep_run(seen: Recording, tags: Mapping[str, str], parameters: Mapping[str, str]) -> None:
    """MLflow's run, but for tags that MLflow's own doing depends on."""
    seen.keep("run.json", "tags", {key: tags[key] for key in sorted(tags) if key not in MLFLOWS_TAGS})
    seen.keep("run.json", "parameters", {key: parameters[key] for key in sorted(parameters)})


def test_a_project_is_laid_down(tmp_path: Path) -> None:
    seen = Recording("laid-down", tmp_path / "a repository")
    seen.folder.mkdir()

    seen.call(sys.executable, "-m", "mlops_tasks", title="python -m mlops_tasks")
    seen.call(sys.executable, "-m", "mlops_tasks", title="python -m mlops_tasks")

    files = sorted(path.relative_to(seen.folder).as_posix() for path in seen.folder.rglob("*") if path.is_file())
    seen.keep("files.json", "files", [each for each in files if "__pycache__" not in each])
    seen.check()


@pytest.mark.full
def test_steps_out_of_order(tmp_path: Path) -> None:
    seen = Recording("out-of-order", make_repository(tmp_path / "a repository", SETTINGS=QUICK))

    seen.inv("status")
    assert seen.inv("run") == 3
    seen.inv("status")
    seen.inv("name", "--explain", "--dry-run")
    assert seen.inv("name") == 0
    assert seen.inv("patch", "--branch", "main") == 3
    seen.inv("status")
    seen.inv("release", "--dry-run")
    seen.inv("status")

    seen.check()


def test_settings_that_do_not_exist(tmp_path: Path) -> None:
    wrong = QUICK + "  projekt: training\n  timeout: soon\n"
    seen = Recording("unknown-setting", make_repository(tmp_path / "a repository", SETTINGS=wrong))

    assert seen.inv("name") == 2
    seen.inv("status")

    seen.check()


@pytest.mark.full
def test_a_run_that_fails(tmp_path: Path) -> None:
    seen = Recording("failing-run", make_repository(tmp_path / "a repository", SETTINGS=QUICK))
    for step in STEPS[:-1]:
        assert seen.inv(step) == 0, seen.last_words
        seen.keep_record(step)

    assert seen.inv("run", "--entry-point", "fail") == 5
    seen.keep_record("run")
    seen.inv("status")
    assert seen.inv("run", "--entry-point", "fail", "--json") == 5
    assert seen.inv("run", "--entry-point", "nothing") == 2
    seen.inv("status")

    seen.check()


@pytest.mark.full
def test_what_goes_stale(tmp_path: Path) -> None:
    seen = Recording("stale", make_repository(tmp_path / "a repository", SETTINGS=QUICK))
    for step in STEPS[:-1]:
        assert seen.inv(step) == 0, seen.last_words

    _write(seen.folder, {"libs/mylib/mylib/__init__.py": "ANSWER = 43\n"})
    seen.inv("status")
    assert seen.inv("run") == 3
    assert seen.inv("deploy") == 3
    assert seen.inv("build-wheel") == 0
    seen.inv("status")
    _write(seen.folder, {"training/train.py": "print('another')\n"})
    seen.inv("deploy")
    seen.inv("status")

    seen.check()


def test_the_doctor_of_the_adopted_repository(tmp_path: Path) -> None:
    seen = Recording("doctor", tmp_path / "a repository")
    seen.environment = {"MLOPS_BACKEND": "databricks"}
    _write(seen.folder, {**THEIRS, **ADDED})
    _commit(seen.folder)

    assert seen.inv("doctor") == 2
    seen.inv("doctor", "--json")
    seen.inv("status")

    seen.check()

"""Several runs at once from one work tree: each ends right, and a sweep that is cut off runs nothing twice."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_workspace import runs
from tests.fake_workspace.mlflow_server import MlflowServer
from tests.fake_workspace.runs import Mode
from tests.support import sites
from tests.support.inv import inv, read_until, start
from tests.support.repositories import MLPROJECT, make_repository, write
from tests.support.sites import AUTO, Site

pytest_plugins = ["tests.fake_workspace.fixture"]

SETTINGS = "mlops: {project: training, libraries: [libs/*], env_manager: local}\n"
PROJECT = """\
name: training
conda_env: training_env.yaml
entry_points:
  main:
    parameters: {c: string}
    command: "python c.py {c}"
"""
C = """\
import sys
import mlflow

with mlflow.start_run():
    mlflow.log_metric("m", float(sys.argv[1]))
"""
CLUSTER = {**sites.SPARK_CLUSTER, "spark_version": "15.4.x-scala2.12"}
FILES = ("--wheel-root", "/Workspace/Shared/wheels")


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_repository(tmp_path_factory.mktemp("several") / "repository", SETTINGS=SETTINGS, MLPROJECT=PROJECT)
    write(folder, {"training/c.py": C})
    said = inv("name", "build-wheel", "deploy", "patch", cwd=folder)
    assert said.code == 0, said.err
    return folder


def ended(folder: Path) -> list[dict[str, Any]]:
    """The records of the runs that have ended."""
    return [json.loads(path.read_text()) for path in folder.glob(".mlops/training/*/runs/*.json")]


def left(folder: Path) -> list[str]:
    """The files of attempts and sweeps that have not ended."""
    found = folder.glob(".mlops/training/*/branches/main/*/*.json")
    return [path.name for path in found]


def test_a_sweep_runs_each_value_and_compares_the_runs(staged: Path) -> None:
    said = inv("run", "--sweep", "c=2,no", "--json", cwd=staged)

    good, bad = said.json["sweep"].values()
    assert said.code == 5, said.err
    assert list(said.json["sweep"]) == ["c=2", "c=no"]
    assert (good["state"], bad["state"]) == ("FINISHED", "FAILED")
    assert "ValueError" in bad["because"]
    assert f"c=no: FAILED {bad['run_id'][:8]} the entry point ended with exit code 1" in said.err
    assert "1 of the 2 runs of the sweep did not end well: 1 FAILED" in said.json["error"]["what"]
    assert {record["run"]["run_id"] for record in ended(staged)} == {good["run_id"], bad["run_id"]}
    assert left(staged) == []
    listed = " ".join(inv("runs", cwd=staged).out.split())
    assert all(words in listed for words in (f"c=2 {good['run_id'][:8]}", f"c=no {bad['run_id'][:8]}"))


def test_a_dry_sweep_says_what_it_would_run_and_one_that_cannot_be_made_begins_nothing(staged: Path) -> None:
    dry = inv("run", "--sweep", "c=1,'a,b'", "--dry-run", cwd=staged)
    many = inv("release", "--sweep", f"c={','.join(map(str, range(101)))}", cwd=staged)
    detached = inv("release", "--sweep", "c=1", "--detach", cwd=staged)

    assert (dry.code, "would run main 2 times, 2 at once" in dry.out, "c=a,b" in dry.out) == (0, True, True), dry.err
    assert (many.code, many.out, "has 101 runs" in many.err) == (2, "", True)
    assert (detached.code, detached.out, "leave --detach out" in detached.err) == (2, "", True)


@pytest.mark.full
def test_eight_runs_at_once_from_one_work_tree_end_right(staged: Path) -> None:
    before = {record["run"]["run_id"] for record in ended(staged)}

    commands = [start(staged, "run", "-P", f"c={number}", "--json") for number in range(8)]
    answers = [(*command.communicate(), command.returncode) for command in commands]

    assert [code for *_, code in answers] == [0] * 8, "\n".join(err for _, err, code in answers if code)
    records = [json.loads(out) for out, *_ in answers]
    made = [record for record in ended(staged) if record["run"]["run_id"] not in before]
    assert [record["run"]["metrics"] for record in records] == [{"m": number} for number in range(8)]
    assert sorted(record["run"]["run_id"] for record in made) == sorted(each["run"]["run_id"] for each in records)
    assert left(staged) == []


@pytest.fixture
def site(mlflow_server: MlflowServer, tmp_path: Path) -> Iterator[Site]:
    texts = {"SETTINGS": AUTO, "CLUSTER": json.dumps(CLUSTER), "MLPROJECT": MLPROJECT}
    with sites.opened(tmp_path / "repository", mlflow_server, **texts) as opened:
        opened.workspace.jobs.mode = Mode(endless=True)
        yield opened


def begin(site: Site, *command: str) -> subprocess.Popen[str]:
    """The command of a sweep, once two of its runs are going on."""
    process = site.start(*command)
    for _ in range(2):
        read_until(process, "going on")
    return process


@pytest.mark.full
def test_a_sweep_in_a_workspace_that_is_killed_and_begun_again_makes_one_job_of_each_value(site: Site) -> None:
    command = ("release", *FILES, "--sweep", "text=a,b,c")
    first = begin(site, *command)
    first.kill()
    first.communicate()
    assert len(site.submits()) == len(site.attempt_paths) == 2

    second = begin(site, *command)
    twin = site.inv("run", *command[1:])
    site.workspace.jobs.mode = Mode(ending=runs.SUCCESS)
    for run in list(site.workspace.jobs._runs.values()):
        run.stop(runs.SUCCESS)
    out, err = second.communicate()

    assert (twin.code, "another command holds this release: release" in twin.err) == (3, True), twin.err
    assert second.returncode == 0, err
    assert len(site.workspace.jobs.submitted) == 3
    assert sorted(site.parameters(run_id)["text"] for run_id in site.runs("FINISHED")) == ["a", "b", "c"]
    assert all(f"text={value}  FINISHED" in out for value in "abc")
    assert left(site.folder) == []


@pytest.mark.full
def test_ctrl_c_ends_every_run_of_a_sweep_and_the_same_command_goes_on(site: Site) -> None:
    command = ("release", *FILES, "--sweep", "text=a,b")
    first = begin(site, *command)
    first.send_signal(signal.SIGINT)
    _, err = first.communicate()

    assert (first.returncode, "Traceback" in err) == (130, False), err
    assert "interrupted: of the 2 runs of the sweep 2 were stopped\n" in err
    assert "--sweep text=a,b` goes on with the sweep\n" in err
    assert len(site.runs("KILLED")) == 2
    assert (site.runs("RUNNING"), site.attempt_paths) == ([], [])

    site.workspace.jobs.mode = Mode(ending=runs.SUCCESS)
    again = site.inv("run", *command[1:])

    assert again.code == 0, again.err
    assert len(site.runs("FINISHED")) == 2

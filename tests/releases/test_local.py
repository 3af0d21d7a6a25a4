"""The whole release, by the real `inv`: real git, real wheels, a real environment, real MLflow."""

from __future__ import annotations

import getpass
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.inv import Said, inv
from tests.support.repositories import ENVIRONMENT, LIBRARY, TASKS, git, make_repository, nothing_changes, write

STEPS = ("name", "build-wheel", "deploy", "patch", "run")
QUICK = "mlops:\n  project: training\n  libraries: [libs/*]\n  env_manager: local\n  entry_point: plain\n"
PLAIN = """\
name: training
conda_env: training_env.yaml
entry_points:
  plain:
    parameters:
      text: {type: string, default: hello}
      path: {type: string, default: "a b"}
    command: "python plain.py {text} {path}"
  fail:
    command: "python fail.py"
  killed:
    command: "python killed.py"
  hang:
    command: "python hang.py"
"""
PLAIN_FILES = {
    "training/plain.py": "import json, sys\nprint('ARGS', json.dumps(sys.argv[1:]))\n",
    "training/killed.py": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
    "training/hang.py": "import time\nprint('waiting', flush=True)\ntime.sleep(600)\n",
}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose project runs in the running interpreter: staged once, for tests of `run` alone."""
    folder = make_repository(tmp_path_factory.mktemp("quick") / "a repository", SETTINGS=QUICK, MLPROJECT=PLAIN)
    write(folder, PLAIN_FILES)
    git("add", ".", cwd=folder)
    git("commit", "-q", "-m", "plain", cwd=folder)
    for step in STEPS[:-1]:
        said = inv(step, cwd=folder)
        assert said.code == 0, said.err
    return folder


def record_of(folder: Path) -> dict[str, Any]:
    (path,) = (folder / ".mlops").glob("*/local/branches/*/release.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def without_ids_and_times(record: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps({**record, "attempt": None, "run": {**record["run"], "run_id": "", "log": ""}}, sort_keys=True)
    found: dict[str, Any] = json.loads(text)
    return found


def run_of(folder: Path, said: Said) -> Any:
    """The MLflow run that the record names."""
    from mlflow import MlflowClient

    run_id = record_of(folder)["run"]["run_id"]
    assert run_id in said.out + said.err
    return MlflowClient(f"sqlite:///{folder / '.mlops' / 'mlflow.db'}").get_run(run_id)


@pytest.mark.full
def test_five_commands_one_chain_and_release_leave_equal_records(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "a repository")

    for step in STEPS:
        said = inv(step, cwd=folder)
        assert said.code == 0, said.err
    alone = record_of(folder)
    assert inv(*STEPS, cwd=folder).code == 0
    chained = record_of(folder)
    released = inv("release", cwd=folder)

    assert released.code == 0, released.err
    assert alone["run"]["metrics"] == {"answer": 42.0}
    assert without_ids_and_times(alone) == without_ids_and_times(chained)
    assert without_ids_and_times(chained) == without_ids_and_times(record_of(folder))
    assert len({record["run"]["run_id"] for record in (alone, chained, record_of(folder))}) == 3
    assert len({record["run"]["experiment_id"] for record in (alone, chained, record_of(folder))}) == 1
    assert re.search(r"answer +42 = +42 +42", released.out), released.out


@pytest.mark.full
def test_a_changed_library_is_really_the_one_that_runs(tmp_path: Path) -> None:
    python = f"python={sys.version_info[0]}.{sys.version_info[1]}"
    folder = make_repository(tmp_path / "repository", ENVIRONMENT=ENVIRONMENT.replace("python=3.10", python))
    first = inv("release", cwd=folder)
    assert first.code == 0, first.err
    before = record_of(folder)

    write(folder, {"libs/mylib/mylib/__init__.py": "ANSWER = 43\n"})
    said = inv("release", cwd=folder)

    assert said.code == 0, said.err
    for each in (first, said):
        lines = [line for line in (each.err + each.out).splitlines() if "trained with" not in line]
        assert sum(1 + (len(line) - 1) // 80 for line in lines) <= 12, lines
    after = record_of(folder)
    assert (before["run"]["metrics"], after["run"]["metrics"]) == ({"answer": 42.0}, {"answer": 43.0})
    assert before["deployed"][0]["uri"] != after["deployed"][0]["uri"]
    assert "trained with hello" in said.err


def test_a_run_carries_what_is_known_of_the_release(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_TAGS", '{"team": "churn"}')
    said = inv("run", "--run-name", "first try", "--tag", "why=a test", cwd=quick)
    assert said.code == 0, said.err

    run = run_of(quick, said)

    record = record_of(quick)
    assert run.info.run_name == "first try"
    assert run.info.status == "FINISHED"
    tags = run.data.tags
    assert (tags["team"], tags["why"]) == ("churn", "a test")
    assert (tags["mlops.branch"], tags["mlops.dirty"]) == ("main", "false")
    assert tags["mlops.commit"] == git("rev-parse", "HEAD", cwd=quick)
    assert tags["mlops.wheel.mylib"] == f"mylib-1.0-py3-none-any.whl sha256:{record['wheels'][0]['sha256']}"
    assert tags["mlflow.source.type"] == "PROJECT"


def test_parameters_arrive_and_are_logged_as_they_were_given(quick: Path) -> None:
    odd = 'it\'s "q" é $HOME = x  `y` \\ {z} *'
    said = inv("run", "-P", f"text={odd}", cwd=quick)
    assert said.code == 0, said.err

    (line,) = [line for line in said.err.splitlines() if line.startswith("ARGS")]
    assert json.loads(line.removeprefix("ARGS")) == [odd, "a b"]
    assert run_of(quick, said).data.params == {"text": odd, "path": "a b"}


@pytest.mark.full
def test_the_output_of_the_entry_point_is_kept_in_the_log_that_the_record_names(quick: Path) -> None:
    assert inv("run", "--quiet", cwd=quick).code == 0

    assert "ARGS" in (quick / record_of(quick)["run"]["log"]).read_text()


def test_an_entry_point_that_fails_ends_with_5_the_record_and_the_log(quick: Path) -> None:
    with nothing_changes(quick):
        said = inv("run", "--entry-point", "fail", "--json", cwd=quick)

    assert said.code == 5
    error = said.json["error"]
    assert said.json == {**record_of(quick), "error": error}
    assert said.json["run"]["reason"] == "the entry point ended with exit code 3: about to fail"
    assert error["what"] == f"run {said.json['run']['run_id']} ended FAILED: {said.json['run']['reason']}"
    assert (error["code"], f"error: {error['what']}\n" in said.err) == (5, True)
    assert said.err.count("about to fail") == 2
    assert record_of(quick)["run"]["log"] in said.err
    assert run_of(quick, said).info.status == "FAILED"


@pytest.mark.full
def test_the_last_words_of_a_failure_are_told_where_nobody_saw_them(quick: Path) -> None:
    said = inv("run", "--entry-point", "fail", "--quiet", cwd=quick)

    assert said.code == 5
    assert "| about to fail" in said.err


@pytest.mark.full
def test_an_entry_point_that_is_killed_is_said_to_be(quick: Path) -> None:
    with nothing_changes(quick):
        said = inv("run", "--entry-point", "killed", cwd=quick)

    assert said.code == 5
    assert "SIGKILL" in said.err


def test_a_run_that_does_not_meet_a_gate_ends_with_6_and_stays_finished(quick: Path) -> None:
    with nothing_changes(quick):
        said = inv("run", "--require", "loss < 1, 2", cwd=quick)
        assert (said.code, "+, -, *, / or the end is expected at column 9" in said.err) == (2, True)
        said = inv("run", "--require", "loss < 1", "--json", cwd=quick)

    assert said.code == 6, said.err
    error = said.json["error"]
    assert said.json == {**record_of(quick), "error": error}
    assert (error["code"], error["where"]) == (6, "--require")
    assert "not met: loss < 1 (loss was not logged; nothing was logged)" in error["what"]
    assert "inv compare" in error["try"]
    assert said.json["run"]["gates"][0]["met"] is False
    run = run_of(quick, said)
    assert (run.info.status, run.data.tags["mlops.gate"]) == ("FINISHED", "not met")


def test_an_entry_point_that_hangs_is_stopped_at_the_timeout_and_marked_killed(quick: Path) -> None:
    with nothing_changes(quick):
        said = inv("run", "--entry-point", "hang", "--timeout", "8", cwd=quick)

    assert said.code == 5
    assert "timeout of 8 s" in said.err
    assert "gives it more time than 8 s" in said.err
    assert run_of(quick, said).info.status == "KILLED"


def test_a_script_of_the_project_runs_as_an_entry_point(quick: Path) -> None:
    said = inv("run", "--entry-point", "plain.py", "-P", "depth=3", cwd=quick)

    assert said.code == 0, said.err
    assert 'ARGS ["--depth", "3"]' in said.err


@pytest.mark.full
def test_a_run_may_go_under_another_experiment_by_name_or_id(quick: Path) -> None:
    assert inv("run", "--experiment-name", "/Shared/elsewhere", cwd=quick).code == 0
    by_name = record_of(quick)["run"]["experiment_id"]

    assert inv("run", "--experiment-id", by_name, cwd=quick).code == 0
    assert record_of(quick)["run"]["experiment_id"] == by_name

    said = inv("run", "--experiment-id", "4711", cwd=quick)
    assert (said.code, "no experiment with the id 4711" in said.err) == (2, True)
    said = inv("run", "--experiment-id", by_name, "--experiment-name", "/Shared/elsewhere", cwd=quick)
    assert (said.code, "by name and by id" in said.err) == (2, True)


def test_json_prints_the_record_and_nothing_else(quick: Path) -> None:
    said = inv("name", "--json", cwd=quick)

    assert said.json["names"] == record_of(quick)["names"]
    assert list(said.json)[:4] == ["version", "target", "project", "branch"]


def test_a_dry_run_shows_everything_and_leaves_no_record(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")

    for arguments in (["release", "--dry-run"], ["--dry", "release"]):
        said = inv(*arguments, cwd=folder)
        assert said.code == 0, said.err
        assert "would run main under /Shared/repository/training/main" in said.out
        assert "1 to write" in said.out
        assert not list((folder / ".mlops").glob("*/local/branches/*/release.json"))
        assert not (folder / ".mlops" / "workspace").exists()
        assert not (folder / ".mlops" / "mlflow.db").exists()
        assert git("status", "--porcelain", cwd=folder) == ""


def test_dry_steps_in_one_command_build_on_each_other(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository")

    said = inv("--dry", "name", "build-wheel", "deploy", "patch", "run", cwd=folder)

    assert said.code == 0, said.err
    assert "would run main" in said.out


@pytest.mark.parametrize("git_dir", [".git", "{folder}/.git"], ids=["relative", "absolute"])
def test_inv_works_in_a_git_hook_whose_variables_name_its_own_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git_dir: str
) -> None:
    folder = make_repository(tmp_path / "repository")
    other = make_repository(tmp_path / "other", LIBRARY=LIBRARY.replace("mylib", "otherlib"))
    for name, value in {"GIT_DIR": git_dir, "GIT_INDEX_FILE": f"{git_dir}/index", "GIT_PREFIX": "libs/"}.items():
        monkeypatch.setenv(name, value.format(folder=other))

    said = inv("name", "build-wheel", "deploy", "patch", cwd=folder)

    assert said.code == 0, said.err
    assert record_of(folder)["wheels"][0]["distribution"] == "mylib"
    monkeypatch.undo()
    assert git("status", "--porcelain", cwd=folder) == ""


def test_inv_works_from_a_subfolder_and_keeps_one_record(quick: Path) -> None:
    said = inv("name", cwd=quick / "libs" / "mylib")

    assert said.code == 0, said.err
    assert [path.parent for path in quick.rglob(".mlops")] == [quick]


def test_messages_say_the_names_of_the_users_own_collection(tmp_path: Path) -> None:
    mine = "from invoke import Collection\nfrom mlops_tasks import namespace as ours\nns = Collection(mlops=ours)\n"
    folder = make_repository(tmp_path / "repository", TASKS=mine)

    said = inv("mlops.deploy", cwd=folder)

    assert said.code == 3
    assert "inv mlops.name" in said.err


def test_the_tasks_list_and_their_help_read_well(quick: Path) -> None:
    listed = inv("--list", cwd=quick).out
    for task in (*STEPS, "release", "init", "status", "ui"):
        assert re.search(rf"^  {task} +[A-Z].*\.$", listed, re.MULTILINE), listed

    shown = inv("run", "--help", cwd=quick).out
    for flag in ("  -P  ", "--entry-point=STRING", "--experiment-name=STRING", "--dry-run", "--json"):
        assert flag in shown


def test_the_status_shows_what_each_step_made_and_what_is_stale(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository", TASKS=TASKS)
    assert "has not run" in inv("status", cwd=folder).out
    assert inv("name", "build-wheel", "deploy", cwd=folder).code == 0

    write(folder, {"libs/mylib/mylib/__init__.py": "ANSWER = 1\n"})
    said = inv("status", cwd=folder)

    assert said.code == 0, said.err
    assert re.search(r"build-wheel +stale +changed: libs/mylib/mylib/__init__.py", said.out), said.out
    assert re.search(r"name +up to date", said.out)
    assert re.search(r"deploy +behind build-wheel", said.out)
    assert re.search(r"patch +has not run", said.out)


def test_a_task_can_be_called_from_a_task_of_the_users_own(tmp_path: Path) -> None:
    mine = (
        "from invoke import Collection, task\nfrom mlops_tasks import namespace as ours\n"
        "@task\ndef mine(c):\n    ours['name'](c)\n    ours['build-wheel'](c, json=True)\n"
        "ns = Collection(mine, mlops=ours)\n"
    )
    folder = make_repository(tmp_path / "repository", TASKS=mine)

    said = inv("mine", cwd=folder)

    assert said.code == 0, said.err
    assert "/Shared/repository/training/main" in said.out
    assert record_of(folder)["wheels"][0]["distribution"] == "mylib"


def test_a_project_that_is_the_whole_repository_goes_by_its_own_name(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "clone", SETTINGS="mlops: {project: ., libraries: [libs/*]}\n")
    for path in (folder / "training").iterdir():
        path.rename(folder / path.name)

    said = inv("name", cwd=folder)

    assert said.code == 0, said.err
    assert "/Shared/clone/training/main" in said.out
    assert (folder / ".mlops" / "training" / "local" / "branches" / "main" / "release.json").exists()


def test_a_user_without_a_name_is_known_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", fail)
    folder = make_repository(tmp_path / "repository")

    said = inv("name", "--experiment", "/Users/{user}/{branch}", cwd=folder)

    assert f"/Users/uid-{os.getuid()}/main" in said.out, said.err

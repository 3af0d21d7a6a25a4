"""What happens around a run: crashes, signals, and somebody else at the same release."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_tasks import errors, locks, slugs
from mlops_tasks.backends.base import Submitted
from mlops_tasks.pipeline import attempt as attempts
from mlops_tasks.pipeline import job_plan
from mlops_tasks.pipeline.inputs import Inputs, Part
from mlops_tasks.release import Attempt, Release, Run
from tests.pipeline.conftest import Shown
from tests.support.contexts import make_context
from tests.support.inv import inv, read_until, start
from tests.support.jobs import make_job
from tests.support.repositories import commit, git, make_repository, write

SETTINGS = "mlops: {project: training, libraries: [libs/*], env_manager: local}\n"
MLPROJECT = """\
name: training
conda_env: training_env.yaml
entry_points:
  main: {command: "python quick.py"}
  wait: {command: "python wait.py"}
  late: {command: "python late.py"}
  ask: {command: "python ask.py"}
  forget: {command: "python forget.py"}
"""
WAIT = "import os, time\nprint('waiting', os.getpid(), flush=True)\ntime.sleep(600)\n"
ASK = "import sys\nprint('read', repr(sys.stdin.read()))\n"
FORGET = "import pathlib\nnext(pathlib.Path.cwd().parents[2].rglob('branches/main/release.json')).unlink()\n"
LATE = "import mlflow, sys\nwith mlflow.start_run(): mlflow.log_metric('m', 1)\nsys.exit(4)\n"


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_repository(tmp_path_factory.mktemp("attempts") / "repository", SETTINGS=SETTINGS, MLPROJECT=MLPROJECT)
    scripts = {"quick": "", "wait": WAIT, "late": LATE, "ask": ASK, "forget": FORGET}
    write(folder, {f"training/{name}.py": text for name, text in scripts.items()})
    git("add", ".", cwd=folder)
    git("commit", "-q", "-m", "scripts", cwd=folder)
    said = inv("name", "build-wheel", "deploy", "patch", cwd=folder)
    assert said.code == 0, said.err
    return folder


@pytest.fixture
def waiting(staged: Path) -> Iterator[subprocess.Popen[str]]:
    """`inv run` of an entry point that never ends, once that has begun."""
    process = start(staged, "run", "--entry-point", "wait")
    process.entry_point = int(read_until(process, "waiting ").split()[1])  # type: ignore[attr-defined]
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def record_path(folder: Path, branch: str = "main") -> Path:
    return folder / ".mlops" / "training" / "local" / "branches" / slugs.slug(branch) / "release.json"


def record_of(folder: Path, branch: str = "main") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record_path(folder, branch).read_text())
    return found


def open_attempts(folder: Path) -> list[dict[str, Any]]:
    """The attempts that have not ended."""
    paths = record_path(folder).with_name("attempts").glob("*.json")
    return [json.loads(path.read_text())["attempt"] for path in paths]


def status_of(folder: Path, run_id: str) -> str:
    from mlflow import MlflowClient

    return str(MlflowClient(f"sqlite:///{folder / '.mlops' / 'mlflow.db'}").get_run(run_id).info.status)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, 143, id="SIGTERM", marks=pytest.mark.full),
        pytest.param(signal.SIGHUP, 143, id="terminal closed", marks=pytest.mark.full),
    ],
)
def test_a_signal_ends_the_entry_point_and_marks_the_run_killed(
    staged: Path, waiting: subprocess.Popen[str], number: int, code: int
) -> None:
    waiting.send_signal(number)
    _, err = waiting.communicate()

    assert waiting.returncode == code, err
    assert "Traceback" not in err
    assert not is_running(waiting.entry_point)  # type: ignore[attr-defined]
    record = record_of(staged)
    assert record["attempt"]["ended"] is True
    assert (staged / record["run"]["log"]).read_text().startswith("waiting")
    assert record["run"]["status"] == status_of(staged, record["attempt"]["run_id"]) == "KILLED"


def test_a_second_run_of_the_same_job_is_refused_and_says_who_is_at_it(
    staged: Path, waiting: subprocess.Popen[str]
) -> None:
    before = record_of(staged)

    for task in ("run", "release"):
        said = inv(task, "--entry-point", "wait", cwd=staged)

        assert (said.code, said.out) == (3, "")
        assert f": run, process {waiting.pid}" in said.err
    assert record_of(staged) == before


def test_beside_a_run_that_is_followed_another_job_is_run_and_both_are_on_record(
    staged: Path, waiting: subprocess.Popen[str]
) -> None:
    first = record_of(staged)["attempt"]

    said = inv("run", "--json", cwd=staged)

    assert said.code == 0, said.err
    assert record_of(staged)["run"] == said.json["run"]
    assert open_attempts(staged) == [first]
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate()
    assert waiting.returncode == 130, err
    assert open_attempts(staged) == []
    assert record_of(staged)["run"] == said.json["run"]
    ended = json.loads((record_path(staged).parents[2] / "runs" / f"{first['run_id']}.json").read_text())
    assert (ended["run"]["status"], ended["attempt"]["id"]) == ("KILLED", first["id"])


@pytest.mark.full
def test_while_a_run_is_followed_another_branchs_release_begins_beside_it(
    staged: Path, waiting: subprocess.Popen[str]
) -> None:
    before = record_of(staged)

    said = inv("name", "--branch", "other", cwd=staged)

    assert said.code == 0, said.err
    assert record_of(staged, "other")["branch"] == "other"
    assert record_of(staged) == before
    assert waiting.poll() is None


def test_a_crash_takes_the_entry_point_with_it_and_the_next_run_closes_the_attempt(
    staged: Path, waiting: subprocess.Popen[str]
) -> None:
    cut_off = record_of(staged)["attempt"]
    waiting.kill()
    waiting.communicate()

    said = inv("run", cwd=staged)

    assert said.code == 0, said.err
    assert f"its run {cut_off['run_id']} is now KILLED" in said.err
    assert not is_running(waiting.entry_point)  # type: ignore[attr-defined]
    assert record_of(staged)["run"]["status"] == "FINISHED"
    assert record_of(staged)["attempt"]["id"] != cut_off["id"]
    kept = staged / ".mlops" / "training" / "local" / "runs" / f"{cut_off['run_id']}.json"
    assert json.loads(kept.read_text())["run"]["status"] == "KILLED"


@pytest.mark.full
def test_a_run_that_was_made_just_before_a_crash_is_found_by_its_attempt_and_closed(staged: Path) -> None:
    from mlflow import MlflowClient

    assert inv("run", cwd=staged).code == 0
    path = record_path(staged)
    record = {key: value for key, value in record_of(staged).items() if key != "run"}
    experiment_id = record_of(staged)["run"]["experiment_id"]
    client = MlflowClient(f"sqlite:///{staged / '.mlops' / 'mlflow.db'}")
    orphan = client.create_run(experiment_id, tags={"mlops.attempt": "orphaned"}).info.run_id
    attempt = {"id": "orphaned", "run_id": None, "experiment_id": experiment_id, "ended": False}
    path.write_text(json.dumps({**record, "attempt": attempt}))

    said = inv("run", cwd=staged)

    assert said.code == 0, said.err
    assert f"its run {orphan} is now KILLED" in said.err
    assert status_of(staged, orphan) == "KILLED"
    assert record_of(staged)["attempt"]["id"] != "orphaned"


def test_a_run_that_is_tracked_elsewhere_says_where(
    staged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere.db")

    said = inv("run", "--quiet", cwd=staged)

    assert said.code == 0, said.err
    assert f"sqlite:///{tmp_path}/elsewhere.db" in said.out


@pytest.mark.full
def test_a_branch_whose_name_is_no_text_is_run_and_tagged_escaped(staged: Path) -> None:
    from mlflow import MlflowClient

    branch = b"caf\xe9".decode("utf-8", "surrogateescape")
    git("checkout", "-q", "-b", branch, cwd=staged)
    try:
        said = inv("name", "build-wheel", "deploy", "patch", "run", cwd=staged)
    finally:
        git("checkout", "-q", "main", cwd=staged)

    assert said.code == 0, said.err
    run_id = record_of(staged, branch)["run"]["run_id"]
    run = MlflowClient(f"sqlite:///{staged / '.mlops' / 'mlflow.db'}").get_run(run_id)
    assert run.data.tags["mlops.branch"] == "caf\\udce9"


@pytest.mark.full
def test_an_attempt_that_was_never_submitted_goes_on_as_it_is(staged: Path) -> None:
    path = record_path(staged)
    record = {**record_of(staged), "attempt": {"id": "begun", "run_id": None, "ended": False}}
    record.pop("run", None)
    path.write_text(json.dumps(record))

    assert inv("run", cwd=staged).code == 0

    assert record_of(staged)["attempt"]["id"] == "begun"


def test_a_script_that_fails_after_it_ended_its_run_well_has_failed(staged: Path) -> None:
    said = inv("run", "--entry-point", "late", cwd=staged)

    assert said.code == 5
    assert "exit code 4" in said.err
    assert status_of(staged, record_of(staged)["run"]["run_id"]) == "FAILED"


def test_the_end_of_a_run_is_on_record_where_the_branchs_record_is_gone(staged: Path) -> None:
    before = record_path(staged).read_text()
    try:
        said = inv("run", "--entry-point", "forget", "--json", cwd=staged)

        assert said.code == 0, said.err
        assert not record_path(staged).exists()
        kept = record_path(staged).parents[2] / "runs" / f"{said.json['run']['run_id']}.json"
        assert json.loads(kept.read_text()) == said.json
    finally:
        record_path(staged).write_text(before)


@pytest.mark.full
def test_two_shells_in_one_work_tree_end_right_or_say_who_is_at_it(staged: Path) -> None:
    shells = [start(staged, "release") for _ in range(2)]
    answers = [(shell.communicate()[1], shell.returncode) for shell in shells]

    assert 0 in {code for _, code in answers}
    for err, code in answers:
        assert code == 0 or (code == 3 and "another command holds this release" in err), err


@pytest.mark.full
def test_two_first_releases_at_once_in_one_work_tree_end_right_or_say_who_is_at_it(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository", SETTINGS=SETTINGS, MLPROJECT=MLPROJECT)
    write(folder, {"training/quick.py": ""})

    shells = [start(folder, "release") for _ in range(2)]
    answers = [(shell.communicate()[1], shell.returncode) for shell in shells]

    assert 0 in {code for _, code in answers}, "\n".join(err for err, _ in answers)
    for (err, code), other in zip(answers, reversed(shells), strict=True):
        who = rf"([a-z-]+, process {other.pid} on|a process that has just begun)"
        assert code == 0 or (code == 3 and re.search(f"another command holds this release: {who}", err)), err
    assert record_of(folder)["run"]["status"] == "FINISHED"
    assert inv("release", cwd=folder).code == 0


@pytest.mark.full
def test_eight_first_releases_at_once_into_one_tracking_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = make_repository(tmp_path / "origin", SETTINGS=SETTINGS, MLPROJECT=MLPROJECT)
    write(origin, {"training/quick.py": "", "training/wait.py": WAIT, "training/late.py": LATE})
    git("add", ".", cwd=origin)
    git("commit", "-q", "-m", "scripts", cwd=origin)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'shared' / 'mlflow.db'}")
    for number in range(8):
        git("clone", "-q", str(origin), str(tmp_path / f"clone{number}"), cwd=tmp_path)

    clones = [start(tmp_path / f"clone{number}", "release") for number in range(8)]
    answers = [(clone.communicate()[1], clone.returncode) for clone in clones]

    assert [code for _, code in answers] == [0] * 8, "\n".join(err for err, code in answers if code)
    records = [record_of(tmp_path / f"clone{number}") for number in range(8)]
    assert len({record["run"]["experiment_id"] for record in records}) == 1
    assert len({record["run"]["run_id"] for record in records}) == 8


@pytest.mark.full
def test_when_nobody_reads_the_output_any_more_the_work_goes_on(staged: Path) -> None:
    process = start(staged, "release")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None

    _, err = process.communicate()

    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert record_of(staged)["run"]["status"] == "FINISHED"


@pytest.mark.full
def test_an_attempt_whose_run_nobody_knows_is_closed_with_a_warning(staged: Path) -> None:
    path = record_path(staged)
    record = {**record_of(staged), "attempt": {"id": "begun", "run_id": "0" * 32, "ended": False}}
    record.pop("run", None)
    path.write_text(json.dumps(record))

    said = inv("run", cwd=staged)

    assert said.code == 0, said.err
    assert f"nothing is known here of its run {'0' * 32}" in said.err


@pytest.mark.full
def test_the_end_of_a_run_waits_for_another_step_to_let_go_of_the_record(
    staged: Path, waiting: subprocess.Popen[str]
) -> None:
    lock = record_path(staged).with_name("lock")
    with locks.held(lock, "build-wheel"):
        waiting.send_signal(signal.SIGINT)
        read_until(waiting, "another command holds this release: build-wheel")
    _, err = waiting.communicate()

    assert waiting.returncode == 130, err
    assert record_of(staged)["run"]["status"] == "KILLED"


@pytest.mark.full
def test_patching_while_a_run_works_in_the_staged_project_leaves_it_alone(
    staged: Path, waiting: subprocess.Popen[str]
) -> None:
    work = Path(f"/proc/{waiting.entry_point}/cwd").readlink()  # type: ignore[attr-defined]
    (work / "output").write_text("")

    assert inv("patch", cwd=staged).code == 0

    assert (work / "output").exists()


@pytest.mark.full
def test_an_entry_point_that_reads_its_input_finds_none(staged: Path) -> None:
    said = inv("run", "--entry-point", "ask", cwd=staged)

    assert said.code == 0, said.err
    assert "read ''" in said.err


@pytest.mark.full
def test_a_staged_copy_that_is_gone_is_patched_again(staged: Path) -> None:
    shutil.rmtree(staged / ".mlops" / "training" / "local" / "staged")

    said = inv("run", cwd=staged)
    assert said.code == 3
    assert re.search(r"changed since patch ran: \.mlops/.*/training \(gone\)\n", said.err), said.err

    assert inv("patch", "run", cwd=staged).code == 0


def test_a_run_of_a_sweep_is_of_the_release_that_the_sweep_began_with_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, job = make_context(tmp_path), make_job(tmp_path / "0123" / "p", MLPROJECT.replace("conda_", "# "))
    monkeypatch.setattr(job_plan, "prepare", lambda *_: job)
    release = Release(target="local", project="p", branch="main", digests={"patch": "then"})
    part = Part("id", {"c": "1"}, release, job_plan.identity(job))

    assert attempts._prepare(context, {}, Inputs(part=part)) == (release, job)
    with pytest.raises(errors.OutOfOrder, match="has changed since the sweep began"):
        attempts._prepare(context, {}, Inputs(part=part._replace(job="another")))


@pytest.mark.parametrize("attempt", [None, Attempt(id="b2", run_id="r2")], ids=["none", "of another run"])
def test_the_end_of_a_run_is_not_written_over_another_attempt(tmp_path: Path, attempt: Attempt | None) -> None:
    context = make_context(tmp_path)
    release = Release(target="local", project="p", branch="main", attempt=attempt)
    context.record.save(release)
    found = Run(run_id="r1", experiment_id="1", status="FAILED", backend="local", url="", entry_point="main")
    begun = replace(release, attempt=Attempt(id="a1", job="0123"))
    context.record.save_attempt(begun)

    ended = attempts.save_end(context, context.record, begun, found)

    assert (ended.run, ended.attempt and ended.attempt.ended) == (found, True)
    assert context.record.load() == release
    assert context.record.open_attempts() == ([release] if attempt else [])


@pytest.mark.parametrize(
    ("earlier", "is_kept", "sent"),
    [
        pytest.param(None, False, False, id="the first one"),
        pytest.param(Attempt(id="b2", sent=True), True, True, id="one whose job may be on the way"),
        pytest.param(Attempt(id="b2", sent=True, job="other"), False, False, id="one of another job"),
        pytest.param(Attempt(id="b2", sent=False, job="other"), True, False, id="one that was never sent"),
        pytest.param(Attempt(id="b2", run_id="r2"), False, False, id="one with a run"),
        pytest.param(Attempt(id="b2", ended=True), False, False, id="one that has ended"),
    ],
)
def test_an_attempt_is_sent_only_once_it_may_be_and_keeps_the_id_of_one_that_has_no_run(
    tmp_path: Path, earlier: Attempt | None, is_kept: bool, sent: bool
) -> None:
    context = make_context(tmp_path)
    runs = SimpleNamespace(find_experiment=lambda job: "7")
    vars(context)["target"] = SimpleNamespace(host="https://x.net", runs_of=lambda backend: runs)
    release = Release(target="local", project="p", branch="main", attempt=earlier, digests={"patch": "d1"})

    begun, job = attempts._begin(context, release, make_job(tmp_path / "0123" / "p", MLPROJECT.replace("conda_", "# ")))

    assert begun.attempt is not None
    assert (begun.attempt.id == "b2", begun.attempt.sent) == (is_kept, sent)
    assert (begun.attempt.host, begun.attempt.patch, begun.attempt.run_id) == ("https://x.net", "d1", None)
    assert begun.attempt.experiment_id == job.experiment_id == "7"


SUBMITTED = Submitted(run_id="r1", experiment_id="1", backend="databricks", job_run_id=9)


def make_runs_target(**methods: Any) -> SimpleNamespace:
    """A target whose backend has these `methods`."""
    runs = SimpleNamespace(**methods)
    return SimpleNamespace(display_name="there", busy_cure="wait", is_remote=True, runs=runs, runs_of=lambda _: runs)


def test_detaching_says_the_page_of_the_run_that_is_left(tmp_path: Path) -> None:
    context = make_context(tmp_path, report=(shown := Shown()))
    vars(context)["target"] = make_runs_target(page=lambda _: "https://x.net/#job/9")
    release = Release(target="databricks", project="p", branch="main", attempt=Attempt(id="a1", job="0123"))

    detached = attempts._detach(context, release, SUBMITTED)

    assert shown.steps == ["run detached: run r1, job run 9\nhttps://x.net/#job/9"]
    assert detached.attempt is not None
    assert detached.attempt.url == "https://x.net/#job/9"


@pytest.mark.parametrize("logged", [{}, {"own": "1"}], ids=["nothing", "a parameter of its own"])
def test_a_run_that_finished_and_logged_nothing_of_its_own_is_warned_of(
    tracked: Any, tmp_path: Path, logged: dict[str, str]
) -> None:
    job = make_job(tmp_path / "0123" / "p", MLPROJECT.replace("conda_", "# "), given="x")
    found, context = tracked.log(parameters={"given": "x", **logged}), tracked.context()

    attempts._explain(context, job, found, tmp_path / "log")

    said = f"nothing was logged to run {found.run_id}: does a script set a tracking URI or an experiment of its own?"
    assert context.report.warnings == ([] if logged else [said])


@pytest.mark.parametrize("is_dirty", [True, False])
def test_a_run_begins_with_the_commit_that_it_is_of_and_whether_more_than_that_is_in_it(
    tmp_path: Path, is_dirty: bool
) -> None:
    write(tmp_path, {"a": "1", "b": ""})
    commit(tmp_path)
    write(tmp_path, {"a": "2" if is_dirty else "1"})
    context = make_context(tmp_path, report=(shown := Shown()))
    vars(context)["target"] = make_runs_target()

    attempts._say_begun(context, make_job(tmp_path / ".git" / "p", MLPROJECT.replace("conda_", "# ")), SUBMITTED)

    head = git("rev-parse", "HEAD", cwd=tmp_path)[:7]
    assert shown.details == [f"run r1: main on there ({head}{' dirty' if is_dirty else ''})"]

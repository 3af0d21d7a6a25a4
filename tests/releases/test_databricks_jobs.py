"""Releases by this package's own backend: one project, unchanged, to each kind of compute."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies

from mlops_tasks import Pipeline, Report, Settings
from mlops_tasks.pipeline.job_plan import RECORDED
from tests.fake_workspace.mlflow_server import MlflowServer
from tests.support import sites
from tests.support.inv import Said
from tests.support.repositories import MLPROJECT, git, write
from tests.support.sites import Site

pytest_plugins = ["tests.fake_workspace.fixture"]

CLUSTER = {**sites.SPARK_CLUSTER, "spark_version": "15.4.x-scala2.12"}
ENVIRONMENT = """\
name: training
channels: [defaults]
dependencies:
  - pip
  - pip:
      - mlflow-skinny
      - WHEELPATH
"""
TRAIN = """\
import os, sys
import mlflow, mylib
print("TEXT", sys.argv[2])
with mlflow.start_run():
    mlflow.log_metric("answer", mylib.ANSWER)
if sys.argv[2] == "fail":
    raise ValueError("no such luck")
"""
VOLUME, FILES = "/Volumes/main/default/wheels", "/Workspace/Shared/wheels"


@pytest.fixture(scope="module")
def site(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    texts = {"SETTINGS": sites.AUTO, "CLUSTER": json.dumps(CLUSTER), "TRAIN": TRAIN, "ENVIRONMENT": ENVIRONMENT}
    folder = tmp_path_factory.mktemp("jobs") / "a repository"
    with sites.opened(folder, mlflow_server, MLPROJECT=MLPROJECT, **texts) as opened:
        yield opened


@pytest.fixture(autouse=True)
def at_the_workspace(site: Site) -> Iterator[None]:
    with sites.entered(site.workspace):
        if site.record_path.exists():
            site.forget()
        yield
    site.workspace.faults.clear()


def release(site: Site, spark_version: str, *flags: str, **more: object) -> Said:
    write_cluster(site, {**CLUSTER, "spark_version": spark_version, **more})
    return site.inv("release", *flags)


def log_of(site: Site) -> str:
    return Path(site.folder, site.record["run"]["log"]).read_text()


def check_one_run(site: Site) -> None:
    """The release ended well in one MLflow run and one job run, with the wheel that was built."""
    run = site.record["run"]
    assert (run["status"], run["backend"], run["metrics"]) == ("FINISHED", "databricks-jobs", {"answer": 42})
    assert site.tags(run["run_id"])["mlops.wheel.mylib"].endswith(site.record["wheels"][0]["sha256"])
    attempt = site.record["attempt"]["id"]
    assert site.tags(run["run_id"])["mlops.attempt"] == attempt
    assert len(site.workspace.jobs.submitted) == len(site.submits()) == 1
    assert site.submits()[0]["idempotency_token"] == attempt


@pytest.mark.parametrize(
    ("spark_version", "root"),
    [
        pytest.param("14.3.x-scala2.12", VOLUME, id="14.3-volume", marks=pytest.mark.full),
        pytest.param("15.4.x-scala2.12", FILES, id="15.4-files"),
        pytest.param("17.3.x-scala2.13", VOLUME, id="17.3-volume", marks=pytest.mark.full),
        pytest.param("18.x-scala2.13", FILES, id="18-files", marks=pytest.mark.full),
    ],
)
def test_a_project_runs_on_each_runtime_with_the_very_wheel(site: Site, spark_version: str, root: str) -> None:
    said = release(site, spark_version, "--wheel-root", root, "-P", "text=it's  $HOME")

    assert said.code == 0, said.err
    check_one_run(site)
    assert said.err.count("TEXT it's  $HOME\n") == log_of(site).count("TEXT it's  $HOME\n") == 1
    result = json.loads(next((site.workspace.root / root.lstrip("/")).rglob("result.json")).read_bytes())
    assert [each["sha256"] for each in result["wheels"]] == [site.record["wheels"][0]["sha256"]]


@pytest.mark.full
def test_nothing_is_asked_of_dbfs(site: Site) -> None:
    site.workspace.dbfs.disabled = True
    try:
        said = release(site, "15.4.x-scala2.12", "--wheel-root", FILES)
    finally:
        site.workspace.dbfs.disabled = False

    assert said.code == 0, said.err
    assert not site.workspace.requests.of("GET", "/api/2.0/dbfs/.*") + site.workspace.requests.of(
        "POST", "/api/2.0/dbfs/.*"
    )


def write_cluster(site: Site, spec: object) -> None:
    (site.folder / "training" / "cluster.json").write_text(json.dumps(spec))


@pytest.mark.full
def test_on_an_existing_cluster_the_changed_library_runs_and_nothing_stays(site: Site) -> None:
    cluster = site.workspace.compute.add_cluster()
    write_cluster(site, {"existing_cluster_id": cluster.cluster_id})
    library = site.folder / "libs" / "mylib" / "mylib" / "__init__.py"
    source = library.read_text()
    answers = []
    try:
        for answer in (42, 43):
            library.write_text(f"ANSWER = {answer}\n")  # under the same version
            said = site.inv("release", "--wheel-root", FILES)
            assert said.code == 0, said.err
            answers.append(site.record["run"]["metrics"]["answer"])
    finally:
        library.write_text(source)

    assert answers == [42, 43]
    assert (cluster.written(), cluster.libraries) == ([], {})
    assert "mylib" not in cluster.distributions()
    assert not any("libraries" in each["tasks"][0] for each in site.submits())


MEETING = """\
import os, sys, time
import mlflow, mylib
here = "/Volumes/main/default/wheels/meeting"
os.makedirs(here, exist_ok=True)
open(f"{here}/{mylib.ANSWER}", "w").close()
end = time.monotonic() + 300
while len(os.listdir(here)) < 2 and time.monotonic() < end:
    time.sleep(0.1)
with mlflow.start_run():
    mlflow.log_metric("answer", mylib.ANSWER)
    mlflow.log_metric("met", len(os.listdir(here)))
"""


@pytest.mark.full
def test_two_branches_at_once_on_one_cluster_each_run_their_own(site: Site, tmp_path: Path) -> None:
    cluster = site.workspace.compute.add_cluster()
    clones = []
    for answer in (1, 2):
        clone = Site(tmp_path / f"clone {answer}", site.workspace, site.mlflow)
        git("clone", "-q", str(site.folder), str(clone.folder), cwd=tmp_path)
        git("switch", "-q", "-c", f"branch-{answer}", cwd=clone.folder)
        write(clone.folder, {"libs/mylib/mylib/__init__.py": f"ANSWER = {answer}\n", "training/train.py": MEETING})
        write_cluster(clone, {"existing_cluster_id": cluster.cluster_id})
        clones.append(clone)

    started = [clone.start("release", "--wheel-root", FILES, "--json") for clone in clones]
    ended = [(process.communicate()[0], process.returncode) for process in started]

    assert [code for _, code in ended] == [0, 0]
    metrics = [json.loads(out)["run"]["metrics"] for out, _ in ended]
    assert metrics == [{"answer": 1, "met": 2}, {"answer": 2, "met": 2}]
    assert (cluster.written(), cluster.libraries) == ([], {})


SAY = "import json, sys\nprint('SAID', json.dumps(sys.argv[1:]))\n"


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_fifty_sets_of_parameters_arrive_through_real_jobs(site: Site) -> None:
    write(site.folder, {"training/say.py": SAY})
    write_cluster(site, {**CLUSTER, "spark_version": "15.4.x-scala2.12"})
    names = strategies.text("abcXYZ_-. 09", min_size=1, max_size=12).filter(RECORDED.fullmatch)
    texts = strategies.text(strategies.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300)
    report = Report()

    @settings(max_examples=50, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(strategies.dictionaries(names, texts, max_size=5))
    def runs_with(parameters: dict[str, str]) -> None:
        chosen = Settings(
            project="training",
            libraries=("libs/*",),
            target="databricks",
            wheel_root=FILES,
            poll_interval=0.1,
            entry_point="say.py",
            parameters=parameters,
        )
        released = Pipeline(site.folder, chosen, report=report).release()
        assert released.run is not None
        assert released.run.log is not None
        (said,) = [
            line for line in Path(site.folder, released.run.log).read_text().splitlines() if line.startswith("SAID ")
        ]
        words = [word for key, text in parameters.items() for word in (f"--{key}", text)]
        assert json.loads(said.removeprefix("SAID ")) == words
        assert site.parameters(released.run.run_id) == parameters

    runs_with()


LINES = 100_000


@pytest.mark.full
def test_a_hundred_thousand_lines_at_once_neither_stall_the_job_nor_flood_the_store(site: Site) -> None:
    write(site.folder, {"training/flood.py": f"for n in range({LINES}):\n    print('LINE', n)\n"})

    said = release(site, "15.4.x-scala2.12", "--wheel-root", FILES, "--entry-point", "flood.py")

    assert said.code == 0, said.err
    expected = [f"LINE {n}" for n in range(LINES)]
    assert [line for line in log_of(site).splitlines() if line.startswith("LINE ")] == expected
    assert [line for line in said.err.splitlines() if line.startswith("LINE ")] == expected
    folder = site.tags(site.record["run"]["run_id"])["mlops.run_folder"]
    assert len(list((site.workspace.root / folder.lstrip("/") / "output").iterdir())) < 60


@pytest.mark.full
def test_on_serverless_compute_without_dbfs(site: Site) -> None:
    site.workspace.dbfs.disabled = True
    try:
        said = site.inv("release", "--wheel-root", VOLUME, "--compute", "serverless")
    finally:
        site.workspace.dbfs.disabled = False

    assert said.code == 0, said.err
    check_one_run(site)
    (environment,) = site.submits()[0]["environments"]
    assert environment["spec"]["environment_version"] == "5"
    assert environment["spec"]["dependencies"][-1].endswith("mylib-1.0-py3-none-any.whl")


@pytest.mark.parametrize(
    ("status", "after"),
    [
        pytest.param(500, False, id="500-before", marks=pytest.mark.full),
        pytest.param(500, True, id="500-after", marks=pytest.mark.full),
        pytest.param(503, False, id="503-before", marks=pytest.mark.full),
        pytest.param(503, True, id="503-after", marks=pytest.mark.full),
        pytest.param(None, False, id="cut-off-before", marks=pytest.mark.full),
        pytest.param(None, True, id="cut-off-after"),
    ],
)
def test_a_lost_answer_to_the_submit_makes_no_second_job(site: Site, status: int | None, *, after: bool) -> None:
    url = "/api/2.2/jobs/runs/submit"
    site.workspace.faults.add("POST", url, call=1, status=status, reset=status is None, after=after)
    show_nothing_in_lists(site)

    said = release(site, "15.4.x-scala2.12", "--wheel-root", FILES)

    assert said.code == 0, said.err
    run = site.record["run"]
    assert (run["status"], site.record["attempt"]["ended"]) == ("FINISHED", True)
    sent = [each["idempotency_token"] for each in site.submits() if each]  # one that is cut off has no body
    assert set(sent) == {site.record["attempt"]["id"]}
    assert site.workspace.jobs.find_runs(site.record["attempt"]["id"]) == [run["job_run_id"]]


def show_nothing_in_lists(site: Site) -> None:
    """Neither the list of job runs nor MLflow's search shows what is there: both lag behind."""
    site.workspace.faults.add("GET", r"/api/2\.\d/jobs/runs/list", status=200, body={})
    site.workspace.faults.add("POST", "/api/2.0/mlflow/runs/search", status=200, body={})


def runs_of(site: Site, attempt: str) -> list[str]:
    """The MLflow runs of an attempt that are not deleted."""
    everything = [run for status in ("RUNNING", "FINISHED", "FAILED", "KILLED") for run in site.runs(status)]
    return [run for run in everything if site.tags(run).get("mlops.attempt") == attempt]


@pytest.mark.full
@pytest.mark.parametrize("after", [False, True])
def test_a_lost_answer_to_the_creation_of_the_mlflow_run_leaves_one_run(site: Site, *, after: bool) -> None:
    site.workspace.faults.add("POST", "/api/2.0/mlflow/runs/create", call=1, reset=True, after=after)

    said = release(site, "15.4.x-scala2.12", "--wheel-root", FILES)

    assert said.code == 0, said.err
    assert runs_of(site, site.record["attempt"]["id"]) == [site.record["run"]["run_id"]]


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_a_release_that_is_killed_anywhere_is_one_job_run_and_one_mlflow_run_in_the_end(site: Site) -> None:
    assert release(site, "15.4.x-scala2.12", "--wheel-root", FILES).code == 0
    for call in range(1, 61, 3):
        site.forget()
        gate = threading.Event()
        fault = site.workspace.faults.add(".*", ".*", call=call, gate=gate, after=call % 2 == 0)
        process = site.start("release", "--wheel-root", FILES, "-P", f"text=killed at {call}")
        while process.poll() is None and not fault.met.wait(0.1):
            pass
        process.kill()
        process.communicate()
        site.workspace.faults.clear()

        said = site.inv("release", "--wheel-root", FILES, "-P", f"text=killed at {call}")

        assert said.code == 0, (call, said.err)
        attempt = site.record["attempt"]["id"]
        assert site.workspace.jobs.find_runs(attempt) == [site.record["run"]["job_run_id"]], call
        assert runs_of(site, attempt) == [site.record["run"]["run_id"]], call
        assert site.record["run"]["status"] == "FINISHED", call


def test_a_run_that_fails_tells_its_error_and_trace(site: Site) -> None:
    said = release(site, "15.4.x-scala2.12", "--wheel-root", FILES, "-P", "text=fail")

    assert said.code == 5
    run = site.record["run"]
    assert (run["status"], run["reason"]) == ("FAILED", "ValueError: no such luck")
    assert 'train.py", line 7' in run["trace"]
    assert 'train.py", line 7' in log_of(site)
    assert "ValueError: no such luck" in said.err
    assert site.status(run["run_id"]) == "FAILED"


def test_a_dry_release_shows_the_body_of_the_submit(site: Site, tmp_path: Path) -> None:
    said = release(site, "15.4.x-scala2.12", "--wheel-root", FILES, "--dry-run")

    assert said.code == 0, said.err
    assert '"spark_python_task"' in said.out
    assert '"whl": "/Workspace/Shared/wheels/' in said.out
    assert site.submits() == []


def test_a_release_says_what_it_changes_before_anything_is_sent(site: Site) -> None:
    assert site.inv("name", "build-wheel", "deploy", "patch", "--wheel-root", FILES).code == 0
    attempt = {"id": "a", "run_id": "r1", "backend": "databricks-jobs", "entry_point": "main", "ended": True}
    site.record_path.write_text(json.dumps({**site.record, "attempt": {**attempt, "parameters": {"text": "hello"}}}))

    said = site.inv("release", "--wheel-root", FILES, "-P", "text=other", "--dry-run")

    assert said.code == 0, said.err
    shown = [line.strip() for line in said.err.splitlines()]
    assert "changes since run r1" in shown
    assert shown.index("-parameter text: hello") + 1 == shown.index("+parameter text: other")

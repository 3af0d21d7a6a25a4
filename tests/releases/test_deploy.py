from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_tasks import errors
from mlops_tasks.release import Release, Wheel
from mlops_tasks.steps import deploy
from mlops_tasks.stores import base as stores
from tests.fake_workspace.server import Workspace
from tests.support import contexts, inv, places, repositories, workspaces
from tests.support.places import Place

pytest_plugins = ["tests.fake_workspace.fixture"]

START = Release(target="databricks", project="p", branch="main")
MEGABYTE = 1_000_000


@pytest.fixture
def ours(workspace: Workspace) -> workspaces.Ours:
    return workspaces.connect(workspace)


@pytest.fixture(params=places.REMOTE)
def place(request: pytest.FixtureRequest, workspace: Workspace, ours: workspaces.Ours) -> Place:
    return places.REMOTE[request.param](workspace, ours)


def make_wheel(top: Path, name: str = "mylib", content: bytes = b"wheel") -> Wheel:
    file = f"dist/{name}-1.0-py3-none-any.whl"
    (top / "dist").mkdir(exist_ok=True)
    (top / file).write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return Wheel(distribution=name, version="1.0", file=file, sha256=sha256, size=len(content))


def make_wheels(top: Path, count: int, size: int = 1000) -> list[Wheel]:
    return [make_wheel(top, f"lib{number}", bytes([number]) * size) for number in range(count)]


def deploy_to(place: Place, top: Path, wheels: list[Wheel], *, dry_run: bool = False) -> workspaces.Heard:
    heard = workspaces.Heard()
    context = contexts.make_context(top, report=heard, dry_run=dry_run, store=place.store)
    deploy.deploy_wheels(context, replace(START, wheels=tuple(wheels)), place.folder)
    return heard


def test_many_wheels_arrive_whole(place: Place, tmp_path: Path) -> None:
    wheels = make_wheels(tmp_path, 40, MEGABYTE)

    heard = deploy_to(place, tmp_path, wheels)

    found = {name: hashlib.sha256(content).hexdigest() for name, content in place.files().items()}
    assert found == {Path(wheel.file).name: wheel.sha256 for wheel in wheels}
    assert heard.lines[-1] == f"deploy: {place.folder} (40 new)"


def test_as_many_uploads_as_were_asked_for_are_under_way_at_once(
    workspace: Workspace, place: Place, tmp_path: Path
) -> None:
    gate = threading.Event()
    method, path = place.calls[0]
    held = [workspace.faults.add(method, path, call=number, gate=gate) for number in range(1, 10)]
    deploying = threading.Thread(target=deploy_to, args=(place, tmp_path, make_wheels(tmp_path, 12)))
    deploying.start()

    for fault in held[:8]:
        assert fault.met.wait()
    assert not held[8].met.wait(0.1)
    gate.set()
    deploying.join()

    assert len(place.files()) == 12


def test_what_is_there_is_not_written_again(workspace: Workspace, place: Place, tmp_path: Path) -> None:
    first, second = make_wheel(tmp_path, "first"), make_wheel(tmp_path, "second", b"other")
    deploy_to(place, tmp_path, [first])
    workspace.requests.clear()

    heard = deploy_to(place, tmp_path, [first, second])

    assert heard.lines[-1].endswith("(1 new, 1 kept)")
    assert len(workspace.requests.of(place.calls[0][0], f"{place.calls[0][1]}.*")) == 1


def test_other_content_is_not_overwritten(workspace: Workspace, place: Place, tmp_path: Path) -> None:
    deploy_to(place, tmp_path, [make_wheel(tmp_path, content=b"longer than it is")])
    workspace.requests.clear()

    with pytest.raises(errors.WorkspaceError, match="there already with other content"):
        deploy_to(place, tmp_path, [make_wheel(tmp_path)])

    assert list(place.files().values()) == [b"longer than it is"]
    assert {entry.method for entry in workspace.requests} == {"GET"}


def test_a_dry_run_only_looks(workspace: Workspace, place: Place, tmp_path: Path) -> None:
    heard = deploy_to(place, tmp_path, [make_wheel(tmp_path)], dry_run=True)

    assert heard.lines[-1].endswith("(1 to write)")
    assert {entry.method for entry in workspace.requests} == {"GET"}


def test_several_deploys_of_the_same_wheels_at_once_all_end_well(place: Place, tmp_path: Path) -> None:
    wheels = make_wheels(tmp_path, 6)
    ended: list[workspaces.Heard] = []
    crew = [threading.Thread(target=lambda: ended.append(deploy_to(place, tmp_path, wheels))) for _ in range(4)]

    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()

    assert len(ended) == 4
    assert len(place.files()) == 6


def test_a_store_that_kept_less_is_found_out(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = place.store.write

    def write_and_lose(source: Path, folder: str, *more: Callable[..., None]) -> str:
        uri = write(source, folder, *more)
        (place.disk / source.name).write_bytes(b"w")
        return uri

    monkeypatch.setattr(place.store, "write", write_and_lose)

    with pytest.raises(errors.WorkspaceError, match="does not hold what was written"):
        deploy_to(place, tmp_path, [make_wheel(tmp_path)])


def test_the_first_fault_is_told_and_ends_the_other_uploads(
    workspace: Workspace, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven uploads hang while the eighth is refused: none of them is waited for, and no further one begins."""
    monkeypatch.setattr(stores, "GRACE", 0.2)
    gate = threading.Event()
    method, path = place.calls[0]
    held = [workspace.faults.add(method, path, call=number, gate=gate) for number in range(1, 8)]
    body = {"error_code": "PERMISSION_DENIED", "message": "no more"}
    workspace.faults.add(method, path, call=8, status=403, body=body)

    with pytest.raises(errors.WorkspaceError, match="permission denied: no more"):
        deploy_to(place, tmp_path, make_wheels(tmp_path, 10, 10 * MEGABYTE))

    assert all(fault.met.is_set() for fault in held)
    left = [thread for thread in threading.enumerate() if thread.name.endswith("(work)")]
    gate.set()
    for thread in left:
        thread.join()
    assert place.files() == {}


PROBE = """
import os, pathlib, resource, sys
from mlops_tasks import report
from mlops_tasks.stores import choosing
from mlops_tasks.workspace import api, login

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

folder, small, large = sys.argv[1:]
ours = api.Workspace(login=login.resolve(None, os.environ), report=report.Report())
store = choosing.choose_remote(folder, workspace=ours)
store.make_folder(folder)
store.write(pathlib.Path(small), folder, lambda size: None)
before = peak()
store.write(pathlib.Path(large), folder, lambda size: None)
print(peak() - before)
"""


@pytest.mark.full
def test_a_large_wheel_is_never_whole_in_memory(workspace: Workspace, place: Place, tmp_path: Path) -> None:
    small, large = tmp_path / "small.whl", tmp_path / "large.whl"
    small.write_bytes(b"small")
    with large.open("wb") as stream:
        stream.truncate(64 << 20)

    command = [sys.executable, "-c", PROBE, place.folder, str(small), str(large)]
    done = subprocess.run(
        command, env={**os.environ, **workspace.environment}, capture_output=True, text=True, check=True
    )

    assert int(done.stdout) < 32
    assert (place.disk / "large.whl").stat().st_size == 64 << 20


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose wheel is built, and too large for the line to swallow it at once."""
    folder = tmp_path_factory.mktemp("built")
    repositories.write(folder, {"libs/mylib/mylib/.keep": ""})
    (folder / "libs/mylib/mylib/data.bin").write_bytes(os.urandom(8 * MEGABYTE))
    repositories.make_repository(folder)
    assert inv.inv("build-wheel", cwd=folder).code == 0
    return folder


@pytest.fixture
def repository(built: Path, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with that wheel, and the environment that leads to the workspace."""
    environ = {**workspace.environment, "HOME": str(tmp_path), "MLOPS_TARGET": "databricks"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    folder = repositories.make_repository(tmp_path / "repository")
    (wheel,) = (built / ".mlops").rglob("*.whl")
    (folder / "dist").mkdir()
    shutil.copy(wheel, folder / "dist")
    return folder


def deploy_by_hand(folder: Path) -> list[str]:
    (wheel,) = (folder / "dist").iterdir()
    return ["name", "deploy", "--force", "--wheel", str(wheel)]


HELD = [
    pytest.param("dbfs", signal.SIGINT, 130, *places.PUT_AND_MOVE[0], id="putting", marks=pytest.mark.full),
    pytest.param("dbfs", signal.SIGTERM, 143, *places.PUT_AND_MOVE[1], id="moving into place"),
    pytest.param("dbfs", signal.SIGINT, 130, "GET", "/api/2.0/dbfs/list", id="looking", marks=pytest.mark.full),
    pytest.param("volume", signal.SIGTERM, 143, *places.UPLOAD[0], id="uploading"),
    pytest.param("workspace files", signal.SIGINT, 130, *places.IMPORT[0], id="importing", marks=pytest.mark.full),
]


@pytest.mark.parametrize(("kind", "ending", "code", "method", "path"), HELD)
def test_a_deploy_that_is_ended_leaves_nothing_half_written(
    workspace: Workspace,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    ending: signal.Signals,
    code: int,
    method: str,
    path: str,
) -> None:
    place = places.REMOTE[kind](workspace, workspaces.connect(workspace))
    monkeypatch.setenv("MLOPS_WHEEL_ROOT", place.folder)
    held = workspace.faults.add(method, path, gate=threading.Event())
    with inv.start(repository, *deploy_by_hand(repository)) as process:
        assert held.met.wait()
        process.send_signal(ending)
        said = process.communicate()[1]

    assert process.returncode == code
    assert {130: "interrupted", 143: "terminated"}[code] in said
    workspace.faults.clear()
    assert inv.inv(*deploy_by_hand(repository), cwd=repository).code == 0
    found = [path for path in place.disk.rglob("*.whl") if not path.name.startswith(".")]
    (wheel,) = (repository / "dist").iterdir()
    assert [path.read_bytes() for path in found] == [wheel.read_bytes()]


def test_a_deployed_wheel_that_was_cut_since_is_noticed_before_it_is_pointed_at(
    workspace: Workspace, repository: Path
) -> None:
    assert inv.inv(*deploy_by_hand(repository), cwd=repository).code == 0
    (deployed,) = workspace.disk.dbfs.rglob("*.whl")
    deployed.write_bytes(deployed.read_bytes()[:-1])

    said = inv.inv("patch", cwd=repository)

    assert (said.code, f"{deployed.name}\n" in said.err) == (3, True), said.err
    assert "changed since deploy ran: dbfs:/" in said.err


def test_another_wheel_root_is_a_stale_name_whatever_store_it_lies_in(repository: Path) -> None:
    assert inv.inv(*deploy_by_hand(repository), cwd=repository).code == 0

    patch = inv.inv("patch", "--wheel-root", "/Workspace/Shared/wheels", cwd=repository)
    status = inv.inv("status", "--wheel-root", "/Workspace/Shared/wheels", cwd=repository)

    assert (patch.code, "changed since name ran" in patch.err) == (3, True), patch.err
    assert "`inv name --wheel-root /Workspace/Shared/wheels deploy --wheel-root" in patch.err
    assert (status.code, "behind name" in status.out) == (0, True), status.err


@pytest.mark.parametrize(
    ("variables", "code", "said"),
    [
        pytest.param({"DATABRICKS_TOKEN": "dapi-wrong"}, 4, "the login was refused (403)", id="token"),
        pytest.param({"DATABRICKS_HOST": ""}, 2, "no Databricks host is known", id="host"),
        pytest.param({"DATABRICKS_HOST": "http://127.0.0.1:9"}, 4, "cannot be reached: Connection refused", id="line"),
        pytest.param({"MLOPS_PROFILE": "staging"}, 2, "there is no profile staging", id="profile"),
        pytest.param({"MLOPS_WHEEL_ROOT": "/dbfs/wheels"}, 2, "write dbfs:/wheels", id="root"),
    ],
)
def test_what_is_wrong_with_the_login_ends_the_deploy_with_its_code(
    repository: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], code: int, said: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    ended = inv.inv(*deploy_by_hand(repository), cwd=repository)

    assert (ended.code, said in " ".join(ended.err.split())) == (code, True), ended.err


def test_no_token_is_printed_or_recorded(workspace: Workspace, repository: Path) -> None:
    workspace.faults.add("POST", "/api/2.0/dbfs/put", call=1, status=503, body={"message": "busy"})

    ended = inv.inv(*deploy_by_hand(repository), "--verbose", cwd=repository)

    assert "trying again" in ended.err
    kept = [path.read_bytes() for path in repository.rglob("*") if path.is_file()]
    assert not [each for each in (ended.out.encode(), ended.err.encode(), *kept) if workspace.token.encode() in each]

"""Whatever a user gets wrong: the exit code, the message, and that nothing outside `.mlops` has changed."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.inv import inv
from tests.support.repositories import LIBRARY, git, make_repository, nothing_changes, write

Change = Callable[[Path], object]


def put(name: str, text: str) -> Change:
    return lambda folder: write(folder, {name: text})


def remove(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def record_path(folder: Path) -> Path:
    return folder / ".mlops" / "training" / "local" / "branches" / "main" / "release.json"


def spoil(folder: Path, pattern: str) -> None:
    (path, *_) = folder.rglob(pattern)
    path.write_bytes(path.read_bytes() + b"\n")


def after(*steps: str, then: Change = lambda _: None) -> Change:
    def prepare(folder: Path) -> None:
        said = inv(*steps, cwd=folder)
        assert said.code == 0, said.err
        then(folder)

    return prepare


CASES = [
    pytest.param(
        put("invoke.yaml", "{}\n"), "name", 2, ["no project is set", "no `mlops:`", "inv init"], id="no settings"
    ),
    pytest.param(
        lambda folder: (folder / "invoke.yaml").unlink(), "name", 2, ["there is no invoke.yaml"], id="no file"
    ),
    pytest.param(
        put("invoke.yaml", "mlops:\n  project: training\n  libary: x\n  workers: maybe\n"),
        "name",
        2,
        ["mlops.libary (configuration) is not a setting; did you mean libraries?", "must be true or false"],
        id="unknown and ill-typed settings",
    ),
    pytest.param(
        put("invoke.yaml", "mlops: training\n"), "name", 2, ["mlops must be a mapping"], id="settings no mapping"
    ),
    pytest.param(remove("training/MLproject"), "release", 2, ["no MLproject file"], id="no MLproject"),
    pytest.param(
        put("invoke.yaml", "mlops: {project: nowhere}\n"),
        "release",
        2,
        ["no such folder", "nowhere"],
        id="no project folder",
    ),
    pytest.param(
        remove("training/training_env.yaml"), "release", 2, ["training_env.yaml", "no such file"], id="YAML missing"
    ),
    pytest.param(
        put("training/training_env.yaml", "dependencies:\n  - pip:\n    - a: b: c\n"),
        "release",
        2,
        ["in: {folder}/training/training_env.yaml:3:11\n"],
        id="broken YAML",
    ),
    pytest.param(
        after("name", "build-wheel", "deploy", then=put("training/training_env.yaml", "a: [b")),
        "patch",
        2,
        ["in: {folder}/training/training_env.yaml:1:6\n"],
        id="broken YAML, found later",
    ),
    pytest.param(
        put("training/cluster.json", '{\n  "libraries": [}\n'),
        "release",
        2,
        ["not valid JSON", "in: {folder}/training/cluster.json:2:17\n"],
        id="broken JSON",
    ),
    pytest.param(
        put("training/MLproject", "name: training\nentry_points: [main\nconda_env: x\n"),
        "release",
        2,
        ["not valid YAML", "in: {folder}/training/MLproject:3:10\n"],
        id="broken MLproject",
    ),
    pytest.param(
        lambda _: None,
        "release --entry-point mian",
        2,
        ["mian", "there are: main, fail", "did you mean main?"],
        id="unknown entry point",
    ),
    pytest.param(
        put(
            "training/MLproject",
            "name: x\nconda_env: training_env.yaml\n"
            "entry_points:\n  main:\n    parameters: {alpha: float}\n    command: a\n",
        ),
        "release",
        2,
        ["needs a value for: alpha", "-P alpha="],
        id="missing parameter",
    ),
    pytest.param(
        lambda _: None, "release -P txt=x", 2, ["no parameter 'txt'", "did you mean text?"], id="unknown parameter"
    ),
    pytest.param(lambda _: None, "release -P text", 2, ["key=value", "'text'"], id="parameter without a value"),
    pytest.param(
        put("invoke.yaml", "mlops: {project: training, libraries: [nothing/*]}\n"),
        "release",
        2,
        ["no library found", "nothing/*"],
        id="no library",
    ),
    pytest.param(
        lambda folder: write(folder, {"libs/twin/pyproject.toml": LIBRARY, "libs/twin/mylib/__init__.py": ""}),
        "build-wheel",
        2,
        ["two libraries are the distribution mylib", "libs/mylib", "libs/twin"],
        id="two libraries of one name",
    ),
    pytest.param(
        put("libs/mylib/pyproject.toml", LIBRARY + "dependencies = 3\n"),
        "build-wheel",
        1,
        ["the library mylib cannot be built", "dependencies"],
        id="a build that fails",
    ),
    pytest.param(
        after(
            "name",
            "build-wheel",
            "deploy",
            then=put(
                "training/training_env.yaml",
                "dependencies:\n  - pip:\n    - /dbfs/x/other-1.0-py3-none-any.whl\n    - WHEELPATH\n",
            ),
        ),
        "patch",
        2,
        ["nobody built", "other", "training_env.yaml:3"],
        id="a wheel that nobody built",
    ),
    pytest.param(
        lambda _: None,
        "patch",
        3,
        ["deploy has not run yet", "`inv name build-wheel deploy`, or give --wheel-uri URI"],
        id="placeholder, nothing deployed",
    ),
    pytest.param(
        after("name", "build-wheel", then=lambda folder: write(folder, {".mlops/workspace": "in the way"})),
        "deploy",
        4,
        ["a file stands where a folder should be", ".mlops/workspace"],
        id="a file where the folder should be",
    ),
    pytest.param(
        after("name", then=lambda folder: git("checkout", "-q", "-b", "other", cwd=folder)),
        "deploy",
        3,
        ["nothing is recorded of the branch other, only of main", "`inv name` to begin", "--branch main"],
        id="nothing recorded of this branch",
    ),
    pytest.param(
        after("name", then=lambda folder: record_path(folder).write_text(json.dumps({"version": 99}))),
        "deploy",
        3,
        ["written by another version of mlops_tasks", "release.json"],
        id="record of another version",
    ),
    pytest.param(
        after("name", then=lambda folder: record_path(folder).write_text(record_path(folder).read_text()[:50])),
        "deploy",
        3,
        ["cut off", "release.json", "inv name"],
        id="record cut off",
    ),
    pytest.param(lambda _: None, "deploy", 3, ["name has not run yet", "inv name"], id="too early"),
    pytest.param(
        after("name", then=lambda _: None),
        "deploy",
        3,
        ["build-wheel has not run yet", "--wheel FILE"],
        id="too early again",
    ),
    pytest.param(
        after("name", "build-wheel", then=put("libs/mylib/mylib/__init__.py", "ANSWER = 1\n")),
        "deploy",
        3,
        ["changed since build-wheel ran: libs/mylib/mylib/__init__.py\n", "`inv build-wheel`"],
        id="stale libraries",
    ),
    pytest.param(
        after("name", "build-wheel", "deploy", "patch", then=put("training/train.py", "")),
        "run",
        3,
        ["changed since patch ran: training/train.py\n", "inv patch"],
        id="stale project",
    ),
    pytest.param(
        after("name", "build-wheel"),
        "deploy --wheel-root elsewhere",
        3,
        ["changed since name ran: the wheel root\n", "inv name"],
        id="stale names",
    ),
    pytest.param(lambda _: None, "deploy --wheel nowhere.whl", 3, ["inv name"], id="a wheel by hand, too early"),
    pytest.param(after("name"), "deploy --wheel tasks.py", 2, ["not a wheel", "tasks.py"], id="no wheel by hand"),
    pytest.param(
        after("name"), "deploy --wheel x-1-py3-none-any.whl", 2, ["there is no such file"], id="no file by hand"
    ),
    pytest.param(
        after("name", "build-wheel", "deploy", then=lambda folder: shutil.rmtree(folder / ".mlops" / "workspace")),
        "patch",
        3,
        ["changed since deploy ran: ", "/mylib-1.0-py3-none-any.whl (gone)\n", "`inv deploy`"],
        id="deployed wheels are gone",
    ),
    pytest.param(
        after("name", "build-wheel", "deploy", then=lambda folder: spoil(folder / ".mlops" / "workspace", "*.whl")),
        "patch",
        3,
        ["changed since deploy ran: ", "/mylib-1.0-py3-none-any.whl\n", "`inv deploy`"],
        id="deployed wheels are others",
    ),
    pytest.param(
        after("name", "build-wheel", "deploy", "patch", then=lambda folder: spoil(folder / ".mlops", "staged/**/*.py")),
        "run",
        3,
        ["changed since patch ran: .mlops/", "`inv patch`"],
        id="staged copy is another",
    ),
    pytest.param(
        after("name", "build-wheel"),
        "deploy --wheel-root elsewhere",
        3,
        ["since name ran", "`inv name --wheel-root elsewhere`, or the whole `inv release --wheel-root elsewhere`"],
        id="a flag that an earlier step needs",
    ),
    pytest.param(
        after("name"),
        "run",
        3,
        ["patch has not run yet", "`inv build-wheel deploy patch`, or the whole `inv release`"],
        id="too early by several steps",
    ),
    *(
        pytest.param(
            lambda _: None, f"name --wheel-root {uri}", 2, ["is no folder", "wheel_root"], id=f"wheel root at {uri}"
        )
        for uri in ("s3://bucket/wheels", "file:///wheels")
    ),
    pytest.param(lambda _: None, "name --version main", 2, ["is of a project at a git URI"], id="version of a folder"),
    pytest.param(lambda _: None, "ui --port abc", 2, ["the port must be a whole number", "--port"], id="no port"),
    pytest.param(
        after("name", "build-wheel", "deploy", "patch"),
        "run --experiment-name team/foo",
        2,
        ["'team/foo' is not an absolute path", "--experiment-name"],
        id="relative experiment",
    ),
    pytest.param(lambda _: None, "release --backend foo", 2, ["backend foo is not installed"], id="no such backend"),
    pytest.param(
        put("invoke.yaml", "mlops: {project: training, libraries: libs}\n"),
        "release",
        2,
        ["libs has neither", "libs/*"],
        id="folder of libraries",
    ),
    pytest.param(
        put("training/MLproject", "name: x\nconda_envv: training_env.yaml\nentry_points: {main: {command: a}}\n"),
        "release",
        2,
        ["'conda_envv' is no key of an MLproject; did you mean conda_env?"],
        id="misspelt key in MLproject",
    ),
    pytest.param(
        put("invoke.yaml", "mlops: {project: nowhere}\n"), "name", 2, ["no such folder"], id="nowhere to begin"
    ),
    pytest.param(lambda _: None, "patch --wheel-uri x.txt", 2, ["--wheel-uri x.txt"], id="no wheel URI"),
    pytest.param(
        lambda _: None,
        "patch --wheel-uri a-1-py3-none-any.whl",
        2,
        ["no such wheel"],
        id="a wheel URI that is not there",
    ),
    pytest.param(
        lambda folder: (folder / "a-1-py3-none-any.whl").mkdir(),
        "patch --wheel-uri a-1-py3-none-any.whl",
        2,
        ["no such wheel that can be read"],
        id="a wheel URI that cannot be read",
    ),
    pytest.param(
        put("training/cluster.json", '{"new_cluster": ' + "[" * 600 + "]" * 600 + "}"),
        "patch --wheel-uri https://h/mylib-1.0-py3-none-any.whl",
        2,
        ["is not usable JSON", "cluster.json"],
        id="JSON that is nested too deep",
    ),
    pytest.param(
        put("invoke.yaml", f"mlops: {{project: training, timeout: 1{'0' * 400}}}\n"),
        "name",
        2,
        ["mlops.timeout (configuration) must be a number of seconds above 0"],
        id="a timeout without end",
    ),
    pytest.param(lambda _: None, "name --target cloud", 2, ["must be one of local, databricks"], id="no such target"),
    pytest.param(
        put("training/MLproject", "name: x\ndocker_env: {image: y}\nentry_points: {main: {command: a}}\n"),
        "release",
        2,
        ["docker_env is not supported"],
        id="docker_env",
    ),
    pytest.param(lambda _: None, "release --cluster nowhere.json", 2, ["no such cluster spec"], id="no cluster spec"),
    pytest.param(
        lambda _: None, "name --wheel-root dbfs:/wheels", 2, ["writes to none"], id="a workspace's wheel root"
    ),
]


@pytest.mark.parametrize(("change", "command", "code", "said"), CASES)
def test_bad_input_is_told_and_leaves_everything_as_it_was(
    tmp_path: Path, change: Change, command: str, code: int, said: list[str]
) -> None:
    folder = make_repository(tmp_path / "repository")
    change(folder)

    with nothing_changes(folder):
        answer = inv(*command.split(), cwd=folder)

    assert answer.code == code, answer.err
    for part in said:
        assert part.replace("{folder}", str(folder)) in answer.err
    assert answer.err.count("\n  do: ") == 1
    assert "\nTraceback" not in f"\n{answer.err}"


@pytest.mark.parametrize("place", [".mlops", ".mlops/training", ".mlops/training/local/runs"])
@pytest.mark.parametrize("command", ["name", "status"])
def test_a_file_in_the_place_of_one_of_our_folders_is_told(tmp_path: Path, place: str, command: str) -> None:
    folder = make_repository(tmp_path / "repository")
    write(folder, {place: "in the way"})

    answer = inv(command, cwd=folder)

    assert "Traceback" not in answer.err
    assert answer.code == (0 if place.endswith("runs") else 1)
    assert answer.code == 0 or f"in: {folder}/{place}" in answer.err
    assert (folder / place).read_text() == "in the way"


def test_faults_in_variables_are_told_like_those_in_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_repository(tmp_path / "repository")
    monkeypatch.setenv("MLOPS_WORKER", "true")
    monkeypatch.setenv("MLOPS_PARAMETERS", "alpha=1")

    with nothing_changes(folder):
        answer = inv("name", cwd=folder)

    assert answer.code == 2
    assert "MLOPS_WORKER (environment) is not a setting; did you mean MLOPS_WORKERS?" in answer.err
    assert "MLOPS_PARAMETERS (environment) must be a JSON object" in answer.err


def test_a_databricks_tracking_uri_is_refused_on_the_local_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_repository(tmp_path / "repository")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")

    with nothing_changes(folder):
        answers = [inv("release", cwd=folder), inv("release", "--dry-run", cwd=folder)]

    for answer in answers:
        assert (answer.code, answer.out) == (2, "")
        assert "writes to no workspace" in answer.err


@pytest.fixture
def small_disk() -> Iterator[Callable[[], None]]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_said_and_leaves_no_half_a_wheel(tmp_path: Path, small_disk: Callable[[], None]) -> None:
    folder = make_repository(tmp_path / "repository")
    assert inv("name", "build-wheel", cwd=folder).code == 0
    before = record_path(folder).read_bytes()

    with nothing_changes(folder):
        small_disk()
        answer = inv("deploy", cwd=folder)

    assert answer.code == 4, answer.err
    assert "no room" in answer.err
    assert record_path(folder).read_bytes() == before
    assert not [path for path in (folder / ".mlops" / "workspace").rglob("*") if path.is_file()]

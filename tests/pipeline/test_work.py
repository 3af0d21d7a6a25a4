"""How much one command does: what it asks of git, and what it reads, digests and looks at more than once."""

from __future__ import annotations

import collections
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_tasks import Pipeline, ReleaseError, Settings, processes
from mlops_tasks.doctor import checklist
from mlops_tasks.pipeline.inputs import NOTHING, Inputs
from mlops_tasks.wheels import sources
from tests.fake_workspace.server import Workspace
from tests.support.repositories import git, make_repository, write
from tests.support.sites import SPARK, SPARK_CLUSTER
from tests.support.tiny_wheels import make_wheel

pytest_plugins = ["tests.fake_workspace.fixture"]

PLAIN = """\
name: training
conda_env: training_env.yaml
entry_points:
  main:
    command: "python plain.py"
"""
WRITES_INTO_ITS_SOURCES = """\
import pathlib
import setuptools

with (pathlib.Path({library!r}) / "mylib" / "made.py").open("a") as stream:
    stream.write("MADE = 1\\n")
setuptools.setup(name="mylib", version="1.0", packages=["mylib"])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository whose project runs in the running interpreter, without MLflow in its script."""
    made = make_repository(tmp_path / "repository", MLPROJECT=PLAIN)
    write(made, {"training/plain.py": "print('ran')\n"})
    return made


class Asked:
    """A Runner that remembers the git commands."""

    def __init__(self) -> None:
        self.git: list[str] = []

    def __call__(
        self, command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> processes.Completed:
        if command[0] == "git":
            self.git.append(" ".join(command))
        return processes.run_command(command, cwd=cwd, env=env)


def make_pipeline(folder: Path, asked: Asked | None = None, **settings: Any) -> Pipeline:
    made = Settings(**{"project": "training", "libraries": ("libs/*",), "env_manager": "local", **settings})
    return Pipeline(folder, made, run=asked or processes.run_command)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> collections.Counter[str]:
    """How often a release's record was read, a library digested, a text parsed, and preflight asked."""
    found: collections.Counter[str] = collections.Counter()

    def count(owner: object, name: str, key: Any) -> None:
        real = getattr(owner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            found[key(arguments[0])] += 1
            return real(*arguments, **named)

        monkeypatch.setattr(owner, name, counted)

    for name in ("read_bytes", "read_text"):
        count(Path, name, lambda path: path.name)
    count(sources, "look_at", lambda library: f"digest of {library.name}")
    count(yaml, "safe_load", lambda text: f"parsed {text}")
    count(json, "loads", lambda text: f"parsed {text}")
    count(checklist, "check", lambda _: "preflight")
    return found


@pytest.mark.slow
def test_a_release_asks_git_twelve_times_at_most_and_reads_its_record_once(
    folder: Path, calls: collections.Counter[str]
) -> None:
    asked = Asked()

    make_pipeline(folder, asked).release()

    assert len(asked.git) <= 12, asked.git
    assert calls["release.json"] <= 1


@pytest.mark.full
def test_a_release_of_what_is_released_already_looks_once(folder: Path, calls: collections.Counter[str]) -> None:
    make_pipeline(folder).release()
    calls.clear()
    asked = Asked()

    make_pipeline(folder, asked).release()

    assert calls["digest of mylib"] == 1
    assert calls["release.json"] == 1
    assert len(asked.git) <= 5, asked.git


@pytest.mark.full
def test_a_library_that_its_own_build_changes_is_stale_in_the_same_release(folder: Path) -> None:
    library = folder / "libs" / "mylib"
    (library / "pyproject.toml").write_text('[build-system]\nrequires = ["setuptools"]\n')
    (library / "setup.py").write_text(WRITES_INTO_ITS_SOURCES.format(library=str(library)))

    with pytest.raises(ReleaseError, match=r"changed since build-wheel ran: libs/mylib/mylib/made\.py \(new\)"):
        make_pipeline(folder).release()


@pytest.mark.full
def test_a_library_that_another_ones_build_changes_is_stale_in_the_same_release(folder: Path) -> None:
    make_pipeline(folder).take("name")
    make_pipeline(folder).take("build-wheel")
    setup = WRITES_INTO_ITS_SOURCES.format(library=str(folder / "libs" / "mylib"))
    write(folder, {"libs/zlib/setup.py": setup.replace('name="mylib"', 'name="zlib"').replace('["mylib"]', "[]")})

    with pytest.raises(ReleaseError, match=r"changed since build-wheel ran: libs/mylib/mylib/made\.py \(new\)"):
        make_pipeline(folder).release()


@pytest.mark.full
def test_each_step_of_one_pipeline_sees_the_files_and_the_branch_as_they_are_then(folder: Path) -> None:
    ours = make_pipeline(folder)
    first = ours.take("name"), ours.take("build-wheel")

    write(folder, {"libs/mylib/mylib/__init__.py": "ANSWER = 43\n"})
    built = ours.take("build-wheel")
    git("checkout", "-q", "-b", "other", cwd=folder)

    assert built.wheels != first[1].wheels
    assert ours.take("name").branch == "other"


def test_a_release_to_databricks_parses_each_file_once_and_looks_ahead_once(
    tmp_path: Path, workspace: Workspace, calls: collections.Counter[str]
) -> None:
    texts = {"MLproject": f"# {tmp_path}\n{SPARK}", "cluster.json": json.dumps({**SPARK_CLUSTER, "x": str(tmp_path)})}
    folder = make_repository(tmp_path / "repository")
    write(folder, {f"training/{name}": text for name, text in texts.items()})
    settings = Settings(
        project="training", libraries=("libs/*",), target="databricks", wheel_root="/Workspace/Shared/wheels"
    )
    calls.clear()

    Pipeline(folder, settings, environ=workspace.environment, dry_run=True).release()

    assert [calls[f"parsed {text}"] for text in texts.values()] == [1, 1]
    assert calls["preflight"] == 1


def test_a_deploy_of_what_is_there_already_signs_in_and_looks_no_more(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_repository(tmp_path / "repository")
    write(folder, {"training/MLproject": SPARK, "training/cluster.json": json.dumps(SPARK_CLUSTER)})
    settings = Settings(project="training", target="databricks", wheel_root="dbfs:/wheels")
    wheels = Inputs(wheels=(make_wheel(tmp_path, "mylib", "1.0"),))
    for step, inputs in (("name", NOTHING), ("deploy", wheels)):
        Pipeline(folder, settings, environ=workspace.environment).take(step, inputs)
    workspace.requests.clear()

    Pipeline(folder, settings, environ=workspace.environment).take("deploy", wheels)

    assert [Path(entry.path).name for entry in workspace.requests] == ["Me", "list"]

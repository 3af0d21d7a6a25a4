from __future__ import annotations

import functools
import http.server
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from mlops_tasks import errors, files, processes, report
from mlops_tasks.backends.local import environment
from mlops_tasks.processes import Completed
from mlops_tasks.project import mlproject
from tests.support.repositories import write
from tests.support.tiny_wheels import make_index, make_wheel

Build = Callable[..., dict[str, str]]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A folder of wheels as an index: the list of a folder's files is what pip reads."""

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Build an environment of `lines` from an index of tiny wheels: what is installed in it, by name.

    The MLflow that is running is 3.1.
    """
    index = make_index(
        tmp_path / "index",
        *("mlflow 2.9", "mlflow 3.0", "mlflow 3.1", "mlflow-skinny 2.9", "mlflow-skinny 3.1", "colorama 0.4.4"),
        *("colorama 0.4.6", "sqlalchemy 2.0", "sqlalchemy 2.1"),
    )

    def run(*lines: str, project: Path = tmp_path / "p", mlflow: str = "3.1", **environ: str) -> dict[str, str]:
        wanted = environment.Wanted(lines=lines, mlflow=mlflow, project=project, source=tmp_path / "env.yaml")
        settings = {**os.environ, "PIP_FIND_LINKS": str(index), "PIP_NO_INDEX": "1", **environ}
        with environment.built(
            wanted,
            folder=tmp_path / "environments",
            environ=settings,
            run=processes.run_command,
            report=report.Report(),
        ) as path:
            names = [each.name for each in path.glob("lib/python*/site-packages/*.dist-info")]
            found = dict(name.removesuffix(".dist-info").split("-", 1) for name in names)
            return {**found, "path": str(path), "has": environment.find_mlflow(path)}

    return run


def test_environments_that_were_moved_are_built_again_so_that_their_programs_start(tmp_path: Path) -> None:
    def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Completed:
        if "venv" in command:
            write(Path(command[-1]), {"bin/train": f"#!{command[-1]}/bin/python\n"})
        return Completed(command, 0, "", "")

    def first_line(folder: Path) -> str:
        wanted = environment.Wanted(lines=("x",), mlflow="3.1", project=tmp_path, source=tmp_path / "env.yaml")
        with environment.built(wanted, folder=folder, environ={}, run=run, report=report.Report()) as path:
            assert path.parent == folder
            return (path / "bin" / "train").read_text()

    first_line(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")

    assert first_line(tmp_path / "new").startswith(f"#!{tmp_path / 'new'}/")


def test_the_running_mlflow_is_there_where_the_project_asks_for_none(build: Build) -> None:
    found = build("colorama")

    assert (found["mlflow"], found["colorama"], found["has"]) == ("3.1", "0.4.6", "3.1")


def test_pip_and_setuptools_are_there_as_in_every_environment_of_mlflow(build: Build) -> None:
    assert {"pip", "setuptools"} <= build("colorama").keys()


@pytest.mark.parametrize("line", ["mlflow", "mlflow>=2.9", "mlflow-skinny", "mlflow!=3.0; python_version>'3'"])
def test_the_running_mlflow_is_kept_where_the_project_allows_it(build: Build, line: str) -> None:
    assert build(line)["has"] == "3.1"


def test_a_project_gets_the_mlflow_that_it_wants_by_whatever_says_so(build: Build, tmp_path: Path) -> None:
    limits = tmp_path / "limits.txt"
    limits.write_text("mlflow==2.9\n")
    mine = make_wheel(tmp_path / "mine", "mathlib", "1.0", "mlflow<3")
    other = make_wheel(tmp_path / ".mlops", "other", "1.0", "mlflow<3.1")
    sha256 = files.file_sha256(tmp_path / "index" / "mlflow_skinny-2.9-py3-none-any.whl")

    assert build("mlflow<3")["has"] == "2.9"
    assert build(f"-c {limits}", "mlflow")["has"] == "2.9"
    assert build(f"mathlib @ {mine.as_uri()}")["has"] == "2.9"
    assert build(f"other @ {other.as_uri()}", "colorama")["has"] == "3.0"
    assert build(f"mlflow_skinny==2.9 --hash=sha256:{sha256}")["has"] == "2.9"
    assert build(f"mlflow @ {(tmp_path / 'index' / 'mlflow-3.0-py3-none-any.whl').as_uri()}")["has"] == "3.0"


def test_an_older_mlflow_has_the_upper_bounds_that_it_lacks(build: Build) -> None:
    assert build("mlflow==2.9", "sqlalchemy")["sqlalchemy"] == "2.0"
    assert build("mlflow==2.9")["setuptools"] == "80.0"
    assert build("sqlalchemy", mlflow="3.1")["sqlalchemy"] == "2.0"


def test_what_cannot_be_installed_is_told_with_its_line_and_without_an_mlflow_that_nobody_asked_for(
    build: Build, tmp_path: Path
) -> None:
    (tmp_path / "env.yaml").write_text("dependencies:\n  - colorama_x  # colorama\n  - Colorama=99\n")

    with pytest.raises(errors.StepFailed) as caught:
        build("colorama==99")

    assert "colorama==99" in str(caught.value)
    assert "mlflow" not in str(caught.value)
    assert caught.value.where == f"{tmp_path / 'env.yaml'}:3"
    assert "correct the project's requirements" in caught.value.cure


def test_constraints_of_pips_settings_hold(build: Build, tmp_path: Path) -> None:
    limits = tmp_path / "limits.txt"
    limits.write_text("colorama==0.4.4\n")
    assert build("colorama", PIP_CONSTRAINT=str(limits))["colorama"] == "0.4.4"
    limits.write_text("colorama==0.4.6\n")

    assert build("colorama", PIP_CONSTRAINT=str(limits))["colorama"] == "0.4.6"


def test_the_projects_own_indexes_and_folders_of_wheels_are_searched(build: Build, tmp_path: Path) -> None:
    project = tmp_path / "a project"
    make_wheel(project / "wheels", "vendored", "1.0")
    write(project, {"MLproject": "python_env: env.yaml\n", "env.yaml": "dependencies: [-f wheels, vendored]\n"})
    lines = environment.read_lines(mlproject.load(project), report=report.Report())

    assert build(*lines, project=project)["vendored"] == "1.0"


def test_of_two_indexes_each_package_comes_from_the_one_that_has_the_version_as_with_pip(
    build: Build, tmp_path: Path
) -> None:
    for index, name, version in (("own", "acme", "1.0"), ("own", "shade", "0.1"), ("public", "shade", "0.4.6")):
        make_wheel(tmp_path / "served" / index / name, name, version)
    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        lines = (f"--extra-index-url {url}/own", "acme", "shade==0.4.6")
        found = build(*lines, PIP_NO_INDEX="0", PIP_INDEX_URL=f"{url}/public", UV_CACHE_DIR=str(tmp_path / "cache"))
        server.shutdown()

    assert (found["acme"], found["shade"]) == ("1.0", "0.4.6")


@pytest.mark.parametrize(
    "text",
    [
        'exclude-newer = "2001-01-01"',
        'required-version = "==0.0.1"',
        'constraint-dependencies = ["mlflow<3"]',
    ],
)
def test_settings_for_uv_in_the_repository_change_nothing(build: Build, tmp_path: Path, text: str) -> None:
    write(tmp_path, {"pyproject.toml": f"[tool.uv]\n{text}\n", "environments/uv.toml": f"{text}\n"})

    assert build("colorama", "mlflow")["has"] == "3.1"


BACKEND = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "own"
version = "0.1"
"""
BUILDS = """\
import pathlib, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    pathlib.Path("left-behind.txt").write_text("by the build")
    name = "own-0.1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as archive:
        archive.writestr("own.pth", str(pathlib.Path.cwd()))
        archive.writestr("own-0.1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: own\\nVersion: 0.1\\n")
        archive.writestr("own-0.1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("own-0.1.dist-info/RECORD", "")
    return name

build_editable = build_wheel
"""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("envs/env.yaml", "-e .."),
        ("env.yaml", "-r r/r.txt"),
    ],
)
def test_a_project_that_installs_itself_is_not_changed_by_it(
    build: Build, tmp_path: Path, name: str, line: str
) -> None:
    project = tmp_path / "p"
    texts = {"pyproject.toml": BACKEND, "backend.py": BUILDS, "own.py": "VALUE = 1\n", "r/r.txt": "-e .\n"}
    write(project, {**texts, "MLproject": f"conda_env: {name}\n", name: f"dependencies: [pip: ['{line}']]\n"})
    before = sorted(project.rglob("*"))

    found = build(*environment.read_lines(mlproject.load(project), report=report.Report()), project=project)

    assert found["own"] == "0.1"
    assert sorted(project.rglob("*")) == before
    write(project, {"own.py": "VALUE = 2\n"})
    again = build(*environment.read_lines(mlproject.load(project), report=report.Report()), project=project)
    assert again["path"] != found["path"]


@pytest.mark.parametrize("is_conda", [True, False])
def test_what_pypi_cannot_give_a_conda_environment_may_be_had_by_conda(tmp_path: Path, is_conda: bool) -> None:
    def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Completed:
        Path(command[-1] if "venv" in command else tmp_path).mkdir(exist_ok=True)
        return Completed(command, 0 if "venv" in command else 1, "", "no such package")

    wanted = environment.Wanted(
        lines=("x",), mlflow="3.1", project=tmp_path, source=tmp_path / "env.yaml", is_conda=is_conda
    )
    with (
        pytest.raises(errors.StepFailed) as caught,
        environment.built(wanted, folder=tmp_path / "e", environ={}, run=run, report=report.Report()),
    ):
        pass

    assert ("give `--env-manager conda`" in caught.value.cure) is is_conda


def test_a_network_that_is_not_there_is_named_and_no_password_shown(tmp_path: Path) -> None:
    def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Completed:
        return Completed(command, 2, "", "error: Failed to fetch: `https://ada:s3cret@h/`")

    wanted = environment.Wanted(lines=("x",), mlflow="3.1", project=tmp_path, source=tmp_path / "env.yaml")
    with (
        pytest.raises(errors.StepFailed, match="the package index cannot be reached") as caught,
        environment.built(wanted, folder=tmp_path / "e", environ={}, run=run, report=report.Report()),
    ):
        pass

    assert "s3cret" not in str(caught.value)
    assert "check the network" in caught.value.cure


@pytest.mark.parametrize(
    ("script", "libraries", "has_spark"),
    [
        pytest.param("from pyspark.sql import functions\n", "[numpy]", True, id="imported"),
        pytest.param("import pyspark_helpers\n# import pyspark\n", "[numpy]", False, id="not imported"),
        pytest.param("import pyspark\n", "[numpy, pyspark==3.5.1]", False, id="named by the project itself"),
    ],
)
def test_a_spark_job_that_imports_pyspark_has_it_as_on_a_cluster(
    tmp_path: Path, script: str, libraries: str, has_spark: bool
) -> None:
    (tmp_path / "job.py").write_text(script)
    (tmp_path / "MLproject").write_text(
        f"name: p\ndatabricks_spark_job: {{python_file: job.py, python_libraries: {libraries}}}\n"
    )

    lines = environment.read_lines(mlproject.load(tmp_path), report=report.Report())

    assert ("pyspark" in lines) is has_spark
    assert "numpy" in lines


def test_a_long_reason_is_shown_by_its_first_and_last_words_and_kept_whole(tmp_path: Path) -> None:
    said = "\n".join(["error: Failed to build `x`", *(f"gcc line {number}" for number in range(50)), "no such header"])

    def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Completed:
        if "venv" in command:
            Path(command[-1]).mkdir()
        return Completed(command, 0 if "venv" in command else 1, "", said)

    wanted = environment.Wanted(lines=("x",), mlflow="3.1", project=tmp_path, source=tmp_path / "env.yaml")
    with (
        pytest.raises(errors.StepFailed) as caught,
        environment.built(wanted, folder=tmp_path / "e", environ={}, run=run, report=report.Report()),
    ):
        pass

    shown = caught.value.what.splitlines()
    assert len(shown) == environment.FIRST_WORDS + environment.LAST_WORDS + 3
    assert (shown[1], shown[-2]) == ("Failed to build `x`", "no such header")
    assert "gcc line 30" in Path(shown[-1].partition(": ")[2]).read_text()

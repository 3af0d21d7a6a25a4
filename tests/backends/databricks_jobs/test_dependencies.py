"""A project's requirements as they travel to each compute; what does not travel is said, or refused with its place."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_tasks import errors
from mlops_tasks.backends.databricks_jobs import compute, dependencies
from mlops_tasks.project import mlproject, requirements
from mlops_tasks.release import Deployed
from mlops_tasks.tracking.bounds import Client
from tests.support import tiny_wheels

CORE = Deployed("core", "/Volumes/c/s/v/a/core-1-py3-none-any.whl", "0" * 64)
LIB = Deployed("My_Lib", "/Volumes/c/s/v/a/my_lib-1-py3-none-any.whl", "1" * 64)
CLIENT = Client("3.17.2", ">=3.10")
NEW = {"spark_version": "15.4.x-scala2.12", "node_type_id": "n", "num_workers": 1}
OLD = {**NEW, "spark_version": "14.3.x-scala2.12"}
EXISTING = {"existing_cluster_id": "1-a"}
FROM_GIT = "git+https://github.com/mlflow/mlflow.git@m"
SERVERLESS = {"environments": [{"environment_key": "e", "spec": {"environment_version": "5"}}]}


def conda(*pip: str, packages: str = "") -> str:
    return f"dependencies:\n{packages}- pip:\n" + "".join(f"  - {json.dumps(line)}\n" for line in pip)


def read(
    folder: Path, env: str, spec: dict[str, Any], files: dict[str, str] | None = None, *, workers: bool = False
) -> dependencies.Dependencies:
    """The dependencies of a project with that conda YAML, which was staged from `own` to `staged`."""
    own, staged = folder / "own", folder / "staged"
    shutil.rmtree(staged, ignore_errors=True)
    own.mkdir(exist_ok=True)
    texts = {"MLproject": "conda_env: env.yaml\n", "env.yaml": env, "cluster.json": json.dumps(spec, indent=1)}
    for name, text in {**texts, **(files or {})}.items():
        (own / name).write_text(text)
    shutil.copytree(own, staged)
    there = compute.read(staged / "cluster.json", compute=None, environment_version=None, source=own / "cluster.json")
    return dependencies.read(
        mlproject.load(staged),
        there,
        sources=own,
        wheels=[CORE, LIB],
        client=CLIENT,
        workers=workers,
    )


def refusal(folder: Path, env: str, spec: dict[str, Any], files: dict[str, str] | None = None) -> str:
    with pytest.raises(errors.BadInput) as caught:
        read(folder, env, spec, files)
    return str(caught.value).replace(f"{folder}/", "")


def test_packages_lines_and_files_of_lines_travel_in_order_and_our_wheels_are_taken_out(
    tmp_path: Path,
) -> None:
    env = conda(
        f"{CORE.uri}",
        "-r more.txt",
        "requests  # why",
        f"my_lib @ file:{LIB.uri}",
        packages="- python=3.11\n- numpy=1.26\n- pytorch\n",
    )
    more = "--extra-index-url https://i/simple\nscipy>=1 \\\n  # joined\n"
    found = read(tmp_path, env, NEW, {"more.txt": more})

    lines = ("numpy==1.26.*", "torch", "--extra-index-url https://i/simple", "scipy>=1", "requests")
    assert (found.lines, found.wheels) == (lines, (CORE, LIB))
    assert found.said == ("conda packages are taken from PyPI, whatever the channels: numpy==1.26.*, torch",)


def test_the_libraries_of_the_cluster_spec_stay_but_for_our_own(tmp_path: Path) -> None:
    kept = [{"maven": {"coordinates": "a:b:1"}}, {"whl": "/Volumes/x/y/z/other-1-py3-none-any.whl"}]
    spec = {"new_cluster": NEW, "libraries": [{"whl": LIB.uri}, *kept, {"pypi": {"package": CORE.uri}}]}

    assert list(read(tmp_path, conda(), spec).libraries) == kept


def test_what_the_json_lists_comes_before_what_the_project_asks_for(tmp_path: Path) -> None:
    spec = {**EXISTING, "libraries": [{"pypi": {"package": "numpy<3"}}, {"whl": CORE.uri}]}

    assert read(tmp_path, conda("requests", "numpy<3", "mlflow"), spec).lines == ("numpy<3", "requests", "mlflow")


@pytest.mark.parametrize(
    ("spec", "uri", "said"),
    [
        pytest.param(SERVERLESS, "dbfs:/libs/a-1-py3-none-any.whl", "nothing from DBFS: dbfs:/libs/a-1", id="DBFS"),
        pytest.param(EXISTING, "s3://libs/a-1-py3-none-any.whl", "nothing from there: s3://libs/a-1", id="a bucket"),
    ],
)
def test_a_wheel_in_the_json_that_cannot_be_installed_from_its_place_is_refused_there(
    tmp_path: Path, spec: dict[str, Any], uri: str, said: str
) -> None:
    found = refusal(tmp_path, conda(), {**spec, "libraries": [{"whl": uri}]})

    assert said in found
    assert "own/cluster.json:" in found
    assert "put that wheel into a volume" in found


def test_a_wheel_on_dbfs_is_read_by_the_mount_of_an_existing_cluster(tmp_path: Path) -> None:
    spec = {**EXISTING, "libraries": [{"whl": "dbfs:/libs/a-1-py3-none-any.whl"}, {"whl": f"file:{CORE.uri}"}]}

    assert read(tmp_path, conda("mlflow"), spec).lines == ("/dbfs/libs/a-1-py3-none-any.whl", "mlflow")


def test_constraints_narrow_the_lines_that_they_name_and_the_others_are_said(tmp_path: Path) -> None:
    limits = "numpy<2\nnumpy!=1.26.1\nurllib3<2\nsix ; python_version<'3'\n"
    found = read(tmp_path, conda("-c limits.txt", "numpy>=1.26", "requests"), NEW, {"limits.txt": limits})

    assert found.lines == ("numpy!=1.26.1,<2,>=1.26", "requests")
    assert any("urllib3" in line for line in found.said)
    assert any("own/limits.txt:4" in line and "six" in line for line in found.said)


@pytest.mark.parametrize(
    ("spec", "env", "added"),
    [
        pytest.param(NEW, conda(), [], id="the image has one"),
        pytest.param(OLD, conda(), ["mlflow-skinny==3.17.2"], id="the image has none"),
        pytest.param({**OLD, "spark_version": "14.3.x-cpu-ml-scala2.12"}, conda(), [], id="an ML image"),
        pytest.param(OLD, conda("MLflow>=2"), ["MLflow>=2"], id="the project asks for one"),
        pytest.param(OLD, conda(packages="- mlflow=2.9\n"), ["mlflow==2.9.*"], id="by conda"),
        pytest.param(
            OLD,
            conda(FROM_GIT),
            [FROM_GIT],
            id="git",
        ),
        pytest.param({"new_cluster": OLD, "libraries": [{"pypi": {"package": "mlflow"}}]}, conda(), [], id="the JSON"),
        pytest.param({"environments": [{"spec": {"client": "3"}}]}, conda(), ["mlflow-skinny==3.17.2"], id="client 3"),
        pytest.param(SERVERLESS, conda(), [], id="environment 5"),
        pytest.param(EXISTING, conda(), [], id="a cluster that was not asked"),
    ],
)
def test_mlflow_is_added_only_where_nothing_brings_one(
    tmp_path: Path, spec: dict[str, Any], env: str, added: list[str]
) -> None:
    found = read(tmp_path, env, spec)

    assert list(found.lines) == added
    assert any("skinny==3.17.2 is added" in line for line in found.said) == (added == ["mlflow-skinny==3.17.2"])
    assert any("no MLflow is added" in line for line in found.said) == (spec is EXISTING)


def test_an_mlflow_that_the_image_cannot_run_gives_way_to_the_newest_that_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "CLIENT", Client("9.0", ">=3.14"))

    assert read(tmp_path, conda(), OLD).lines == ("mlflow-skinny",)


@pytest.mark.parametrize(("spec", "stays"), [(SERVERLESS, False), (EXISTING, False), (NEW, True)])
def test_a_second_spark_is_left_out_where_it_would_break_the_first(
    tmp_path: Path, spec: dict[str, Any], stays: bool
) -> None:
    found = read(tmp_path, conda("mlflow", "pyspark==3.5.0", "databricks-connect"), spec)

    assert ("pyspark==3.5.0" in found.lines) is stays
    assert sum("is left out" in line for line in found.said) == (0 if stays else 2)


def test_what_only_conda_has_and_another_python_are_said(tmp_path: Path) -> None:
    found = read(tmp_path, conda("mlflow", packages="- python=3.9\n- gcc\n- conda-forge::r-base=4\n"), NEW)

    assert found.lines == ("mlflow",)
    python, gcc, r = (line.replace(f"{tmp_path}/", "") for line in found.said)
    assert python == "env.yaml asks for Python 3.9, and a new cluster (runtime 15.4) has 3.11"
    assert gcc == "gcc (own/env.yaml:3) is left out: it is no Python package: conda alone has it"
    assert r.startswith("conda-forge::r-base=4 (own/env.yaml:4) is left out")


@pytest.mark.parametrize("python", ["=3.11", ">=3.9,<3.12", "=3.11.4"])
def test_a_python_that_the_compute_has_needs_no_word(tmp_path: Path, python: str) -> None:
    assert read(tmp_path, conda(packages=f"- python{python}\n"), NEW).said == ()


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        pytest.param("-e .", ["-e . is a place on this machine", "env.yaml:3", "`libraries`"], id="editable"),
        pytest.param("./vendor/x-1-py3-none-any.whl", ["place on this machine", "own/env.yaml:3"], id="relative"),
        pytest.param("other @ file:///home/ada/other", ["place on this machine", "env.yaml:3"], id="file URL"),
        pytest.param("/home/ada/x-1-py3-none-any.whl", ["place on this machine"], id="whole path"),
        pytest.param("--find-links wheels/", ["place on this machine", "volume"], id="find-links"),
        pytest.param("-r more.txt", ["./lib is a place", "own/more.txt:2"], id="in a file"),
        pytest.param("numpy=1.26", ["pip cannot read this requirement", "own/env.yaml:3"], id="no requirement"),
    ],
)
@pytest.mark.parametrize("spec", [NEW, OLD, EXISTING, SERVERLESS], ids=["15", "14", "existing", "serverless"])
def test_a_place_on_this_machine_is_refused_with_its_line(
    tmp_path: Path, spec: dict[str, Any], line: str, parts: list[str]
) -> None:
    said = refusal(tmp_path, conda(line), spec, {"more.txt": "scipy\n./lib\n"})

    assert all(part in said for part in parts), said


@pytest.mark.parametrize("line", ["--index-url https://i/simple", "--pre", "numpy==1 --hash=sha256:0", "-c https://x"])
def test_a_line_with_options_of_pip_travels_but_to_13_and_14(tmp_path: Path, line: str) -> None:
    assert line in read(tmp_path, conda(line), NEW).lines
    said = refusal(tmp_path, conda(line), OLD)
    assert all(part in said for part in ("none of pip's options", "own/env.yaml:3", "set spark_version to 18.x")), said


def test_one_package_a_line_has_its_marker_answered(tmp_path: Path) -> None:
    env = conda("a ; python_version<'3.9'", "b[x]>=1; sys_platform=='linux'", "mlflow")

    assert read(tmp_path, env, OLD).lines == ("b[x]>=1", "mlflow")
    assert read(tmp_path, env, NEW).lines[0] == "a ; python_version<'3.9'"


def test_an_editable_repository_is_installed_as_it_is(tmp_path: Path) -> None:
    found = read(tmp_path, conda("-e git+https://h/x.git#egg=x"), NEW)

    assert found.lines == ("git+https://h/x.git#egg=x",)
    assert "not as editable" in found.said[0]


def test_a_variable_in_a_line_is_said(tmp_path: Path) -> None:
    found = read(tmp_path, conda("--extra-index-url https://${TOKEN}@h/simple"), NEW)

    assert re.fullmatch(r"\$\{TOKEN\} \(.*own/env.yaml:3\) is read there, where it must be set too", found.said[0])


def test_extras_travel_in_environments_and_are_said_elsewhere(tmp_path: Path) -> None:
    env = conda(f"{LIB.uri}[plots]", "mlflow")

    assert read(tmp_path, env, SERVERLESS).extras == {"my-lib": "plots"}
    assert read(tmp_path, env, SERVERLESS).said == ()
    assert "my-lib[plots]" in read(tmp_path, env, NEW).said[0]


@pytest.mark.parametrize(
    ("spec", "is_fine"),
    [
        pytest.param(OLD, True, id="14.3"),
        pytest.param(NEW, False, id="15.4"),
        pytest.param(SERVERLESS, False, id="serverless"),
        pytest.param(EXISTING, True, id="existing"),
    ],
)
def test_dbfs_is_read_only_where_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any], is_fine: bool
) -> None:
    env = conda("/dbfs/libs/other-1-py3-none-any.whl", "mlflow")
    if is_fine:
        assert read(tmp_path, env, spec).lines[0] == "/dbfs/libs/other-1-py3-none-any.whl"
    else:
        assert "env.yaml:3" in refusal(tmp_path, env, spec)
    monkeypatch.setitem(globals(), "LIB", LIB._replace(uri="dbfs:/wheels/my_lib-1-py3-none-any.whl"))
    if is_fine:
        assert read(tmp_path, conda(), spec).wheels[1].uri.startswith("dbfs:")
    else:
        assert "set wheel_root to /Workspace/Shared/wheels" in refusal(tmp_path, conda(), spec)


def test_a_spark_jobs_libraries_and_a_project_without_environment(tmp_path: Path) -> None:
    job = f"databricks_spark_job:\n  python_file: t.py\n  python_libraries: [numpy, {CORE.uri}]\n"

    assert read(tmp_path, "", NEW, {"MLproject": job}).lines == ("numpy",)
    (tmp_path / "own" / "env.yaml").unlink()
    assert read(tmp_path, "", NEW, {"MLproject": "name: x\n"}).lines == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "my_lib-1-cp39-cp39-linux_x86_64.whl",
            "on a new cluster (runtime 15.4) (Linux, Python 3.11)",
        ),
        ("my_lib-1-cp311-cp311-macosx_11_0_arm64.whl", "without compiled code"),
    ],
)
def test_a_wheel_for_another_python_or_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setitem(globals(), "LIB", LIB._replace(uri=f"/Volumes/c/s/v/{name}"))

    assert said in refusal(tmp_path, conda(), NEW)
    assert read(tmp_path, conda(), EXISTING).wheels


def test_a_wheel_that_needs_another_python_is_refused(tmp_path: Path) -> None:
    path = tiny_wheels.make_wheel(tmp_path, "core", "1", python=">=3.13")
    there = compute.read(None, compute="serverless", environment_version=None)
    (tmp_path / "MLproject").write_text("name: x\n")

    with pytest.raises(errors.BadInput, match=r"core-1-.*\.whl needs Python >=3\.13, and serverless .* has 3\.1"):
        dependencies.read(
            mlproject.load(tmp_path), there, sources=tmp_path, wheels=[CORE], client=CLIENT, files={"core": path}
        )


def test_compiled_code_does_not_reach_the_workers_of_an_existing_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(tmp_path, conda(), EXISTING, workers=True).wheels == (CORE, LIB)
    monkeypatch.setitem(globals(), "LIB", LIB._replace(uri="/Volumes/c/s/v/my_lib-1-cp311-cp311-linux_x86_64.whl"))

    with pytest.raises(errors.BadInput, match=r"(?s)compiled code.*new_cluster"):
        read(tmp_path, conda(), EXISTING, workers=True)


def test_what_cannot_be_read_is_refused_in_the_users_own_file(tmp_path: Path) -> None:
    assert "own/env.yaml:2:3" in refusal(tmp_path, conda(packages="- python=x.y\n"), NEW)
    for option in ("-r", "-c"):
        said = refusal(tmp_path, conda(f"{option} nowhere.txt"), NEW)
        assert "the file cannot be read" in said
        assert "in: own/nowhere.txt" in said


def test_a_python_env_travels_as_well(tmp_path: Path) -> None:
    files = {"MLproject": "python_env: python_env.yaml\n"}
    env = 'python: "3.10"\nbuild_dependencies: [pip==24]\ndependencies: [mlflow, -r requirements.txt]\n'
    found = read(tmp_path, "", NEW, {**files, "python_env.yaml": env, "requirements.txt": "scipy\n"})

    assert found.lines == ("mlflow", "scipy")
    assert found.said == ("python_env.yaml asks for Python 3.10, and a new cluster (runtime 15.4) has 3.11",)


PIECES = [
    *("numpy", "mlflow", "pyspark", "==1", ">=2", "[x]", " ", " ; python_version<'3'", " ; extra=='a'", " # why", "#"),
    *("-e ", "-r ", "-c ", "--pre", "-f ", "./x", "../", "/abs", "git+https://h/x", "https://h/x.zip", " --hash=a:0"),
    *(" @ ", "${A}", CORE.uri, "/dbfs/a-1-py3-none-any.whl", "file:///x", "\\", "'", "env.yaml", "=", "~"),
]


@given(
    lines=st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join), max_size=3),
    spec=st.sampled_from([NEW, OLD, EXISTING, SERVERLESS]),
)
def test_whatever_lines_a_project_has_they_travel_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], spec: dict[str, Any]
) -> None:
    with contextlib.suppress(errors.BadInput):
        found = read(tmp_path_factory.getbasetemp(), conda(*lines), spec)
        assert all(line.strip() == line for line in found.lines)
        assert not [line for line in found.lines if line == CORE.uri or requirements.find_paths_here(line)]

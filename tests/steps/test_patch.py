from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_tasks import errors, report
from mlops_tasks.backends.local import environment
from mlops_tasks.pipeline import step_table
from mlops_tasks.pipeline.inputs import NOTHING
from mlops_tasks.project import mlproject
from mlops_tasks.release import Deployed, Reference, Release, Wheel
from mlops_tasks.steps import patch
from tests.support.contexts import make_context
from tests.support.repositories import make_library

LIB = Deployed(distribution="my-lib", uri="file:///w/my_lib-2.0-py3-none-any.whl", sha256="1")
CORE = Deployed(distribution="core", uri="file:///w/core-1.0-py3-none-any.whl", sha256="2")
RELEASE = Release(target="local", project="p", branch="main")
CONDA = "dependencies:\n- python=3.11\n- pip:\n  - mlflow\n  - WHEELPATH  # ours\n"
MLPROJECT = "name: x\nconda_env: env.yaml\nentry_points:\n  main: {command: python train.py}\n"
SPARK = "name: x\ndatabricks_spark_job:\n  python_file: train.py  # all\n"
CLUSTER: dict[str, Any] = {"spark_version": "13.3.x", "num_workers": 1}


class Said(report.Report):
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.texts: list[str] = []
        self.steps: list[str] = []
        self.details: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def detail(self, text: str) -> None:
        self.details.append(text)

    def text(self, text: str) -> None:
        self.texts.append(text)

    def step(self, name: str, made: str) -> None:
        self.steps.append(f"{name}: {made}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A conda project; a test adds or replaces what it is about."""
    path = tmp_path / "p"
    path.mkdir()
    write(path, MLproject=MLPROJECT, env=CONDA)
    (path / "train.py").write_text("print()\n")
    return path


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / {"env": "env.yaml", "cluster": "cluster.json"}.get(name, name)).write_text(text)


def run_patch(
    folder: Path,
    *,
    deployed: Sequence[Deployed] = (LIB,),
    include: Sequence[str] = (),
    workers: bool = False,
    cluster: Path | None = None,
    in_place: bool = False,
    dry_run: bool = False,
    diff: bool = False,
    to: Said | None = None,
    release: Release = RELEASE,
    **others: Any,
) -> Release:
    settings: dict[str, Any] = {
        **others,
        "include": tuple(include),
        "workers": workers,
        "cluster": str(cluster) if cluster else None,
    }
    context = make_context(folder.parent, report=to, dry_run=dry_run, **settings)
    release = replace(release, deployed=tuple(deployed))
    return patch.patch_project(context, release, in_place=in_place, diff=diff)


def digest_of(folder: Path, **changed: Any) -> str:
    release = replace(RELEASE, deployed=changed.pop("deployed", (LIB,)))
    return patch.patch_digest(make_context(folder.parent, **changed), release)


def staged(folder: Path, release: Release) -> Path:
    assert release.patched is not None
    return folder.parent / release.patched.project_dir


def spec_of(folder: Path, release: Release, name: str = "cluster.json") -> Any:
    return json.loads((staged(folder, release) / name).read_text())


def test_data_of_which_only_the_pointer_is_there_is_told(folder: Path) -> None:
    said = Said()
    write(folder, **{"data.csv": f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n"})

    run_patch(folder, to=said)

    assert said.warnings == ["p/data.csv is a Git LFS pointer: `git lfs pull`"]


def test_a_glob_that_a_library_answers_alone_is_not_missed_in_the_project(folder: Path) -> None:
    said = Said()
    make_library(folder.parent)
    context = make_context(folder.parent, report=said, libraries=("libs/*",), include=("mylib/*.py", "data/*"))

    patch.patch_project(context, replace(RELEASE, deployed=(LIB,)))

    assert said.warnings == ["include: nothing in the project matches 'data/*'"]


def test_the_copy_names_the_wheels_and_the_sources_stay(folder: Path) -> None:
    said = Said()
    release = run_patch(folder, deployed=[CORE, LIB], to=said)
    copy = staged(folder, release)
    assert (copy / "env.yaml").read_text() == CONDA.replace(
        "- WHEELPATH", f"- core @ {CORE.uri}\n  - my-lib @ {LIB.uri}"
    )
    assert (copy / "train.py").read_text() == "print()\n"
    assert (folder / "env.yaml").read_text() == CONDA
    assert release.patched is not None
    assert release.patched.references == (
        Reference(file="env.yaml", old="WHEELPATH", new=f"core @ {CORE.uri}"),
        Reference(file="env.yaml", old="WHEELPATH", new=f"my-lib @ {LIB.uri}"),
    )
    assert release.patched.project_dir.startswith(".mlops/p/local/staged/")
    assert said.steps == ["patch: 2 references in env.yaml"]


def test_the_digest_watches_whatever_decides_how_the_copy_looks(folder: Path) -> None:
    release = run_patch(folder)
    first = digest_of(folder)
    assert release.digests["patch"] == first
    (folder / "outer.json").write_text("{}")
    changed = [
        digest_of(folder, deployed=(LIB._replace(uri="file:///other/my_lib-2.0-py3-none-any.whl"),)),
        digest_of(folder, placeholder="X"),
        digest_of(folder, workers=True),
        digest_of(folder, cluster=str(folder / "outer.json")),
    ]
    (folder / "train.py").write_text("print(1)\n")
    assert len({first, *changed, digest_of(folder)}) == 6


def test_the_same_inputs_give_the_same_copy(folder: Path) -> None:
    assert run_patch(folder) == run_patch(folder)


@pytest.mark.parametrize("flag", ["add_wheels", "in_place"])
def test_a_project_that_would_not_use_what_was_deployed_is_refused_where_nothing_may_be_added(
    folder: Path, flag: str
) -> None:
    write(folder, env="dependencies:\n- pip: [mlflow]\n")
    changed: Any = {flag: flag == "in_place"}
    with pytest.raises(errors.BadInput, match=r"(?s)nothing in the project refers.*env\.yaml, MLproject"):
        run_patch(folder, **changed)
    if flag == "in_place":
        return
    assert not [path for path in (folder.parent / ".mlops/p/local/staged").iterdir() if path.name != ".git"]


@pytest.mark.parametrize("in_place", [True, False])
def test_a_deployed_wheel_that_nothing_names_is_said(folder: Path, in_place: bool) -> None:
    write(folder, env="dependencies:\n- pip: [/dbfs/x/my_lib-1.0-py3-none-any.whl]\n")
    said = Said()
    run_patch(folder, deployed=[CORE, LIB], in_place=in_place, to=said)
    assert said.warnings == ["nothing in the project refers to the wheel of core"]


def test_a_leftover_placeholder_is_refused_with_its_place(folder: Path) -> None:
    write(folder, MLproject=MLPROJECT.replace("train.py", "train.py WHEELPATH"))
    with pytest.raises(errors.BadInput, match=r"MLproject:4:19"):
        run_patch(folder)


def test_without_deployed_wheels_a_placeholder_is_out_of_order_and_a_plain_project_goes_through(folder: Path) -> None:
    with pytest.raises(errors.OutOfOrder, match="inv deploy"):
        run_patch(folder, deployed=[], libraries=["libs/*"])
    write(folder, env="dependencies: []\n")
    assert (staged(folder, run_patch(folder, deployed=[])) / "env.yaml").exists()


def test_a_wheel_of_somebody_else_may_lie_in_the_project(folder: Path, git: Any) -> None:
    git("init", "-q")
    write(folder, env=CONDA + "  - ./vendor/third-1.0-py3-none-any.whl\n")
    (folder / "vendor").mkdir()
    (folder / "vendor" / "third-1.0-py3-none-any.whl").touch()
    assert run_patch(folder).patched is not None
    (folder / ".gitignore").write_text("*.whl\n")
    with pytest.raises(errors.BadInput, match="include"):
        run_patch(folder)
    assert run_patch(folder, include=["vendor/*.whl"]).patched is not None


@pytest.mark.parametrize("form", ["flat", "wrapped", "cluster_spec"])
def test_a_conda_project_gets_a_wrapped_cluster_spec(folder: Path, form: str) -> None:
    libraries = [{"whl": "dbfs:/libs/my_lib-1.0-py3-none-any.whl"}]
    wrapped = {"new_cluster": CLUSTER, "libraries": libraries}
    forms = {"flat": {**CLUSTER, "libraries": libraries}, "wrapped": wrapped, "cluster_spec": {"cluster_spec": wrapped}}
    write(folder, cluster=json.dumps(forms[form]))
    release = run_patch(folder)
    assert spec_of(folder, release) == {"new_cluster": CLUSTER, "libraries": [{"whl": LIB.uri}]}


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param('\ufeff{"num_workers":  1,\r\n\t"spark_version": "16.4.x-scala2.12\\u0020"}', id="a cluster"),
        pytest.param('{ "image": "train:1", "gpus": 2 }', id="what another backend takes"),
    ],
)
def test_in_a_rehearsal_a_spec_without_libraries_stays_byte_for_byte(folder: Path, spec: str) -> None:
    (folder / "cluster.json").write_bytes(spec.encode())

    copy = staged(folder, run_patch(folder))

    assert (copy / "cluster.json").read_bytes() == spec.encode()


def test_workers_adds_the_wheels_that_the_spec_does_not_name(folder: Path) -> None:
    write(folder, cluster=json.dumps({"new_cluster": CLUSTER, "libraries": [{"whl": "x/core-0.1-py3-none-any.whl"}]}))
    assert spec_of(folder, run_patch(folder, deployed=[CORE, LIB]))["libraries"] == [{"whl": CORE.uri}]
    release = run_patch(folder, deployed=[CORE, LIB], workers=True)
    assert spec_of(folder, release)["libraries"] == [{"whl": CORE.uri}, {"whl": LIB.uri}]
    assert release.patched is not None
    assert Reference(file="cluster.json", old="", new=LIB.uri) in release.patched.references


def test_workers_without_a_cluster_spec_is_said(folder: Path) -> None:
    said = Said()
    run_patch(folder, workers=True, to=said)
    assert "no cluster spec" in said.warnings[0]


@pytest.mark.parametrize("own", ['{"old": 1}', None], ids=["in the place of the project's own", "where there is none"])
@pytest.mark.parametrize(("libraries", "patched"), [([{"whl": "WHEELPATH"}], [{"whl": LIB.uri}]), ([], [])])
def test_a_cluster_spec_from_elsewhere_comes_into_the_copy(
    folder: Path, own: str | None, libraries: list[object], patched: list[object]
) -> None:
    write(folder, **({"cluster": own} if own else {}))
    write(folder.parent, **{"other.json": json.dumps({"new_cluster": CLUSTER, "libraries": libraries})})
    release = run_patch(folder, cluster=folder.parent / "other.json")
    assert spec_of(folder, release) == {"new_cluster": CLUSTER, "libraries": patched}


def test_one_of_the_projects_own_files_keeps_its_name(folder: Path) -> None:
    write(folder, cluster='{"old": 1}', **{"prod.json": json.dumps({"new_cluster": CLUSTER, "libraries": []})})
    release = run_patch(folder, cluster=folder / "prod.json")
    assert spec_of(folder, release, "prod.json") == {"new_cluster": CLUSTER, "libraries": []}
    assert spec_of(folder, release) == {"old": 1}


@pytest.mark.parametrize("has_environment", [True, False])
def test_a_wheel_that_only_the_cluster_spec_names_is_missed_by_the_entry_point(
    folder: Path, has_environment: bool
) -> None:
    write(folder, cluster=json.dumps({"new_cluster": CLUSTER, "libraries": [{"whl": "WHEELPATH"}]}))
    both = Said()
    run_patch(folder, to=both)
    mlproject_file = MLPROJECT if has_environment else MLPROJECT.replace("conda_env: env.yaml\n", "")
    write(folder, MLproject=mlproject_file, env="dependencies: [python, pip]\n")
    if not has_environment:
        (folder / "env.yaml").unlink()
    one = Said()
    run_patch(folder, to=one)
    assert both.warnings == []
    assert [warning.partition(":")[0] for warning in one.warnings] == [
        "only cluster.json names my_lib-2.0-py3-none-any.whl"
    ]
    assert ("into env.yaml too" if has_environment else "into an environment YAML too") in one.warnings[0]


@pytest.mark.parametrize("entry", ["WHEELPAHT", "wheelpath", "WHEEL_PATH"])
def test_what_is_nearly_the_placeholder_is_asked_about(folder: Path, entry: str) -> None:
    spec = json.dumps({"new_cluster": CLUSTER, "libraries": [{"whl": entry}]})
    write(folder, cluster=spec)
    said = Said()
    run_patch(folder, to=said)
    assert len(said.warnings) == 1
    assert f"cluster.json:1:{spec.index(entry)}: " in said.warnings[0]
    assert f"{entry} stays as it is; is WHEELPATH meant?" in said.warnings[0]


def test_in_place_on_a_dry_run_shows_the_change_of_the_sources_and_makes_none(folder: Path) -> None:
    before = (folder / "env.yaml").read_text()
    said = Said()
    release = run_patch(folder, in_place=True, dry_run=True, diff=True, to=said)
    assert (folder / "env.yaml").read_text() == before
    assert release.patched is not None
    assert release.patched.project_dir == "p"
    assert f"+      - my-lib @ {LIB.uri}" in said.texts[0] or LIB.uri in said.texts[0]


def test_a_named_cluster_spec_of_the_project_keeps_its_name(folder: Path) -> None:
    write(folder, **{"prod.json": json.dumps({"new_cluster": CLUSTER, "libraries": [{"whl": "WHEELPATH"}]})})
    assert spec_of(folder, run_patch(folder, cluster=folder / "prod.json"), "prod.json")["libraries"] == [
        {"whl": LIB.uri}
    ]


@pytest.mark.parametrize("is_wrapped", [True, False])
def test_a_spark_job_gets_a_flat_cluster_spec_and_its_libraries_move(folder: Path, is_wrapped: bool) -> None:
    libraries = [
        {"whl": "WHEELPATH"},
        {"pypi": {"package": "numpy==2", "repo": "https://h/simple"}},
        {"jar": "dbfs:/x.jar"},
    ]
    spec = {"new_cluster": CLUSTER, "libraries": libraries} if is_wrapped else {**CLUSTER, "libraries": libraries}
    write(folder, MLproject=SPARK, cluster=json.dumps(spec))
    said = Said()
    release = run_patch(folder, deployed=[LIB._replace(uri="dbfs:/w/my_lib-2.0-py3-none-any.whl")], to=said)
    assert spec_of(folder, release) == CLUSTER
    job = yaml.safe_load((staged(folder, release) / "MLproject").read_text())["databricks_spark_job"]
    assert job == {
        "python_file": "train.py",
        "python_libraries": ["/dbfs/w/my_lib-2.0-py3-none-any.whl", "numpy==2"],
    }
    assert ["numpy==2" in said.warnings[0], "jar" in said.warnings[1]] == [True, True]


def test_a_spark_job_that_names_its_wheels_keeps_its_mlproject_file(folder: Path) -> None:
    write(folder, MLproject=SPARK + "  python_libraries: [WHEELPATH] # c\n", cluster=json.dumps(CLUSTER))
    release = run_patch(folder, workers=True)
    assert (staged(folder, release) / "MLproject").read_text() == (
        f"{SPARK}  python_libraries: [my-lib @ {LIB.uri}] # c\n"
    )
    assert spec_of(folder, release) == CLUSTER


def test_workers_adds_the_wheels_to_a_spark_job_that_names_none(folder: Path) -> None:
    write(folder, MLproject=SPARK)
    release = run_patch(folder, workers=True)
    job = yaml.safe_load((staged(folder, release) / "MLproject").read_text())["databricks_spark_job"]
    assert job["python_libraries"] == [f"my-lib @ {LIB.uri}"]


def test_a_spark_job_on_an_existing_cluster_is_said(folder: Path) -> None:
    spec = {"existing_cluster_id": "1", "libraries": [{"whl": "WHEELPATH"}]}
    write(folder, MLproject=SPARK, cluster=json.dumps(spec))
    said = Said()
    run_patch(folder, to=said)
    assert "existing cluster" in said.warnings[0]


def test_in_place_changes_the_references_of_the_sources_again_and_again(folder: Path) -> None:
    write(folder, cluster=json.dumps({**CLUSTER, "libraries": [{"whl": "WHEELPATH"}]}))
    first = run_patch(folder, in_place=True)
    assert (folder / "env.yaml").read_text() == CONDA.replace("WHEELPATH", f"my-lib @ {LIB.uri}")
    assert json.loads((folder / "cluster.json").read_text()) == {**CLUSTER, "libraries": [{"whl": LIB.uri}]}
    assert first.digests["patch"] == digest_of(folder)
    assert first.patched is not None
    assert first.patched.project_dir == "p"
    newer = LIB._replace(uri="file:///newer/my_lib-3.0-py3-none-any.whl")
    run_patch(folder, in_place=True, deployed=[newer])
    assert (folder / "env.yaml").read_text() == CONDA.replace("WHEELPATH", f"my-lib @ {newer.uri}")


def test_in_place_writes_nothing_where_one_file_cannot_be_patched(folder: Path) -> None:
    write(folder, cluster='{"libraries": [1], "x": "WHEELPATH"}')
    with pytest.raises(errors.BadInput, match=r"cluster\.json"):
        run_patch(folder, in_place=True)
    assert (folder / "env.yaml").read_text() == CONDA


def test_in_place_leaves_workers_alone_and_says_so(folder: Path) -> None:
    write(folder, cluster=json.dumps(CLUSTER))
    said = Said()
    run_patch(folder, in_place=True, workers=True, to=said)
    assert json.loads((folder / "cluster.json").read_text()) == CLUSTER
    assert "workers" in said.warnings[0]


def test_in_place_is_refused_for_a_project_at_a_git_uri(folder: Path) -> None:
    with pytest.raises(errors.BadInput, match="--in-place"):
        run_patch(folder, in_place=True, release=replace(RELEASE, project="https://h/a#p"))


@pytest.mark.parametrize("in_place", [True, False])
def test_the_diff_shows_what_became_of_the_sources(folder: Path, in_place: bool) -> None:
    said = Said()
    run_patch(folder, diff=True, in_place=in_place, to=said)
    change = f"-  - WHEELPATH  # ours\n+  - my-lib @ {LIB.uri}  # ours"
    context = "@@ -2,4 +2,4 @@\n - python=3.11\n - pip:\n   - mlflow\n"
    assert said.texts == [f"--- a/env.yaml\n+++ b/env.yaml\n{context}{change}"]


def test_ways_out_of_the_folder_are_said_and_an_environment_out_there_is_refused(folder: Path) -> None:
    write(folder, env=CONDA + "  - -e ../lib\n", MLproject=MLPROJECT.replace("train.py", "../train.py"))
    (folder.parent / "lib").mkdir()
    said = Said()
    run_patch(folder, to=said)
    assert [warning.split(":")[0] for warning in said.warnings] == ["MLproject", "env.yaml"]
    write(folder.parent, env=CONDA)
    write(folder, MLproject=MLPROJECT.replace("env.yaml", "../env.yaml"))
    with pytest.raises(errors.BadInput, match="outside the project's folder"):
        run_patch(folder)
    assert run_patch(folder, in_place=True).patched is not None
    assert LIB.uri in (folder.parent / "env.yaml").read_text()


def test_a_path_to_the_folder_above_the_yaml_s_own_is_no_way_out(folder: Path) -> None:
    write(folder, **{"more.txt": "", "MLproject": MLPROJECT.replace("env.yaml", "envs/env.yaml")})
    (folder / "envs").mkdir()
    (folder / "envs" / "env.yaml").write_text(CONDA + "  - -r ../more.txt\n  - -e ..\n  - -e ../..\n")
    said = Said()
    run_patch(folder, to=said)
    assert [warning.split(":")[1].split("'")[1] for warning in said.warnings] == ["-e ../.."]


def test_mlflow_reads_the_staged_project(folder: Path) -> None:
    from mlflow.projects import _project_spec

    reader: Any = _project_spec  # it has no types
    copy = staged(folder, run_patch(folder))
    assert reader.load_project(str(copy)).env_config_path == str(copy / "env.yaml")


def test_files_behind_links_are_patched_in_the_copy_and_never_through_it(folder: Path) -> None:
    outside = folder.parent / "shared"
    outside.mkdir()
    write(outside, cluster='{"dev": 1}', env=CONDA)
    write(folder.parent, **{"prod.json": json.dumps({"new_cluster": CLUSTER, "libraries": [{"whl": "WHEELPATH"}]})})
    for name in ("cluster.json", "env.yaml"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(outside / name)

    release = run_patch(folder, cluster=folder.parent / "prod.json")

    assert spec_of(folder, release)["libraries"] == [{"whl": LIB.uri}]
    assert LIB.uri in (staged(folder, release) / "env.yaml").read_text()
    assert (outside / "cluster.json").read_text() == '{"dev": 1}'
    assert (outside / "env.yaml").read_text() == CONDA


def test_the_projects_own_cluster_spec_may_be_a_link_that_the_setting_names(folder: Path) -> None:
    write(folder.parent, **{"prod.json": json.dumps({"new_cluster": CLUSTER, "libraries": [{"whl": "WHEELPATH"}]})})
    (folder / "cluster.json").symlink_to("../prod.json")

    assert spec_of(folder, run_patch(folder, cluster=folder / "cluster.json"))["libraries"] == [{"whl": LIB.uri}]


def test_an_environment_behind_a_linked_folder_of_the_project_is_patched(folder: Path) -> None:
    write(folder, MLproject=MLPROJECT.replace("env.yaml", "conf/env.yaml"))
    (folder / "config").mkdir()
    (folder / "env.yaml").rename(folder / "config" / "env.yaml")
    (folder / "conf").symlink_to("config")

    assert LIB.uri in (staged(folder, run_patch(folder)) / "conf" / "env.yaml").read_text()


def test_an_environment_behind_a_link_out_of_the_project_is_refused(folder: Path) -> None:
    write(folder, MLproject=MLPROJECT.replace("env.yaml", "conf/env.yaml"))
    (folder.parent / "config").mkdir()
    (folder / "env.yaml").rename(folder.parent / "config" / "env.yaml")
    (folder / "conf").symlink_to("../config")

    with pytest.raises(errors.BadInput, match="lies outside the project's folder"):
        run_patch(folder)


def test_in_place_a_link_stays_one(folder: Path) -> None:
    (folder / "env.yaml").rename(folder.parent / "shared.yaml")
    (folder / "env.yaml").symlink_to("../shared.yaml")

    run_patch(folder, in_place=True)

    assert (folder / "env.yaml").is_symlink()
    assert LIB.uri in (folder.parent / "shared.yaml").read_text()


@pytest.mark.parametrize("option", ["-r", "-c"])
@pytest.mark.parametrize(
    "line",
    [
        "WHEELPATH",
        "/dbfs/libs/my_lib-1.0-py3-none-any.whl",
        "my-lib @ file:///w/my_lib-1.0-py3-none-any.whl",
        "my_lib @ git+https://host/lib",
    ],
)
def test_a_wheel_named_in_another_file_of_requirements_is_refused_with_its_line(
    folder: Path, option: str, line: str
) -> None:
    write(folder, env=CONDA.replace("- mlflow", f"- {option} more.txt"))
    (folder / "more.txt").write_text("# WHEELPATH stands here\n-r last.txt\n")
    (folder / "last.txt").write_text(f"requests\n{line}\n")

    with pytest.raises(errors.BadInput, match="only the environment's own lines are patched") as caught:
        run_patch(folder)

    assert caught.value.where == f"{folder / 'last.txt'}:2"


@pytest.mark.parametrize("line", ["wheelpath", "Wheels-Path>=1", "WHEELPATHS", "WHEELSPATH  # ours", "libs/wheel-path"])
def test_a_near_miss_in_another_file_of_requirements_never_reaches_a_package_index(folder: Path, line: str) -> None:
    write(folder, env="dependencies:\n- pip: [WHEELPATH, -r more.txt]\n")
    (folder / "sub").mkdir()
    (folder / "more.txt").write_text("mlflow\n-r sub/last.txt\n")
    (folder / "sub" / "last.txt").write_text(f"{line}\n")

    with pytest.raises(errors.BadInput, match=r"a package index would be asked for .*; is WHEELPATH meant") as caught:
        run_patch(folder)

    assert caught.value.where == f"{folder / 'sub' / 'last.txt'}:1"


def test_a_path_to_nothing_is_refused_where_it_stands(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "more.txt").write_text("./../vend\n")
    write(folder, env="dependencies:\n- pip:\n  - WHEELPATH\n  - -r sub/more.txt\n")
    with pytest.raises(errors.BadInput, match=rf"nothing at the path .*: \./\.\./vend \({folder}/vend\)") as caught:
        run_patch(folder)
    assert caught.value.where == f"{folder / 'sub' / 'more.txt'}:1"

    write(folder, env="dependencies:\n- pip:\n  - WHEELPATH\n  - -e ./vend\n")
    with pytest.raises(errors.BadInput, match="nothing at the path") as caught:
        run_patch(folder)
    assert caught.value.where == f"{folder / 'env.yaml'}:4"


def test_other_files_of_requirements_that_name_no_wheel_of_ours_are_left_alone(folder: Path) -> None:
    write(folder, env=CONDA.replace("- mlflow", "- -r more.txt"))
    (folder / "more.txt").write_text(
        "requests\nmy-lib>=1\n# wheelpath\ntheirs @ https://h/theirs-1.0-py3-none-any.whl\n"
    )

    run_patch(folder)


def test_a_project_in_which_nothing_refers_to_the_wheels_gets_them_added(folder: Path) -> None:
    write(folder, env="dependencies:\n- pip:\n  - mlflow  # ours\n")
    said = Said()
    release = run_patch(folder, deployed=[CORE, LIB], diff=True, to=said)

    added = [f"core @ {CORE.uri}", f"my-lib @ {LIB.uri}"]
    assert (staged(folder, release) / "env.yaml").read_text() == (
        f"dependencies:\n- pip:\n  - mlflow  # ours\n  - {added[0]}\n  - {added[1]}\n"
    )
    assert said.details[0] == "nothing in the project refers to the wheels: core, my-lib added to env.yaml"
    assert f"+  - {added[0]}\n+  - {added[1]}" in said.texts[0]
    assert release.patched is not None
    assert [each.new for each in release.patched.references] == added
    assert said.warnings == []
    assert run_patch(folder, add_wheels=True).digests["patch"] != digest_of(folder, add_wheels=False)


def test_a_project_without_an_environment_gets_one_with_the_wheels(folder: Path) -> None:
    (folder / "env.yaml").unlink()
    write(folder, MLproject=MLPROJECT.replace("conda_env: env.yaml\n", ""))
    said = Said()
    copy = staged(folder, run_patch(folder, diff=True, to=said))
    assert yaml.safe_load((copy / "python_env.yaml").read_text()) == {"dependencies": [f"my-lib @ {LIB.uri}"]}
    assert "+++ b/python_env.yaml" in said.texts[0]


def test_the_wheels_of_a_spark_job_are_added_to_its_python_libraries_once(folder: Path) -> None:
    write(folder, MLproject=SPARK)
    release = run_patch(folder, workers=True)
    job = yaml.safe_load((staged(folder, release) / "MLproject").read_text())["databricks_spark_job"]
    assert job["python_libraries"] == [f"my-lib @ {LIB.uri}"]
    assert release.patched is not None
    assert len(release.patched.references) == 1


@pytest.mark.parametrize(
    ("line", "became"),
    [
        ("my-lib", "my-lib @ {}"),
        ("My.Lib[plots]>=1.5 ; python_version > '3.8'", 'my-lib[plots] @ {} ; python_version > "3.8"'),
        ("my_lib==2.0 --hash=sha256:ab", "my-lib @ {}"),
        ("-e ../libs/mine", "my-lib @ {}"),
        ("--editable=../libs/mine[plots]", "my-lib[plots] @ {}"),
        ("../libs/mine/", "my-lib @ {}"),
        ("my-lib @ file://{top}/libs/mine", "my-lib @ {}"),
    ],
)
def test_the_librarys_own_name_or_folder_counts_as_the_reference(folder: Path, line: str, became: str) -> None:
    wheel = Wheel(distribution="my-lib", version="2.0", file="", sha256="", size=0, library="libs/mine")
    named = json.dumps(line.replace("{top}", str(folder.parent)))
    write(folder, env=f"dependencies:\n- pip:\n  - mlflow\n  - {named}\n  - myother-lib\n")
    (folder.parent / "libs" / "mine").mkdir(parents=True)

    copy = staged(folder, run_patch(folder, release=replace(RELEASE, wheels=(wheel,))))

    (section,) = yaml.safe_load((copy / "env.yaml").read_text())["dependencies"]
    assert section["pip"] == ["mlflow", became.format(LIB.uri), "myother-lib"]


def test_beside_a_placeholder_the_librarys_own_name_stays(folder: Path) -> None:
    write(folder, env=CONDA + "  - my-lib>=1\n")
    assert "- my-lib>=1\n" in (staged(folder, run_patch(folder)) / "env.yaml").read_text()


def test_a_version_of_the_library_that_was_not_built_is_refused_with_its_line(folder: Path) -> None:
    write(folder, env="dependencies:\n- pip:\n  - my-lib==1.0\n")
    with pytest.raises(errors.BadInput, match=r"asks for my-lib==1\.0, and the wheel .* my_lib-2\.0-py3") as caught:
        run_patch(folder)
    assert caught.value.where == f"{folder / 'env.yaml'}:3:5"


@pytest.mark.parametrize("entry", ["WHEELSPATH", "wheelpath", "/dbfs/wheel-path"])
def test_a_near_miss_is_asked_about_and_nothing_is_added_beside_it(folder: Path, entry: str) -> None:
    spec = {"new_cluster": CLUSTER, "libraries": [{"whl": entry}]}
    write(folder, env=f"dependencies:\n- {entry}\n- pip: [{entry}]\n", cluster=json.dumps(spec))
    with pytest.raises(errors.BadInput, match=rf"is WHEELPATH meant by {entry}") as caught:
        run_patch(folder)
    assert [place.rpartition("/")[2][:12] for place in caught.value.where.split(", ")] == [
        "env.yaml:3:9",
        "env.yaml:2:3",
        "cluster.json",
    ]


@pytest.mark.parametrize(
    ("pip", "library", "said"),
    [
        pytest.param("WHEELSPATH", "", "refers to a deployed wheel; is WHEELPATH meant by WHEELSPATH", id="YAML alone"),
        pytest.param("mlflow", "WHEEL_PATH", "refers to a deployed wheel; is WHEELPATH meant by", id="cluster alone"),
        pytest.param("WHEELSPATH, WHEELPATH", "", "index would be asked for WHEELSPATH", id="YAML, beside a right one"),
        pytest.param("WHEELPATH", "WHEEL_PATH", "", id="cluster, beside a right one"),
        pytest.param("my-lib", "WHEEL_PATH", "", id="cluster, beside the library's name"),
        pytest.param("my_lib-2.0-py3-none-any.whl", "WHEEL_PATH", "", id="cluster, beside the wheel"),
        pytest.param("mlflow", "", "", id="the wheels are added"),
    ],
)
def test_a_near_miss_is_refused_before_the_first_step_as_patch_would_refuse_it(
    folder: Path, pip: str, library: str, said: str
) -> None:
    spec = {"new_cluster": CLUSTER, "libraries": [{"whl": library}] if library else []}
    write(folder, env=f"dependencies:\n- pip: [{pip}]\n", cluster=json.dumps(spec))
    (folder.parent / "mine").mkdir()
    (folder.parent / "mine" / "pyproject.toml").write_text('[build-system]\n[project]\nname = "My.Lib"\n')
    context = make_context(folder.parent, libraries=("mine",))
    if not said:
        step_table.check_files(context, NOTHING)
        run_patch(folder)
        return
    raised = []
    for refuse in (lambda: step_table.check_files(context, NOTHING), lambda: run_patch(folder)):
        with pytest.raises(errors.BadInput, match=said) as caught:
            refuse()
        raised.append((str(caught.value), caught.value.where, caught.value.cure))
    assert raised[0] == raised[1]


def test_a_parameter_that_is_called_like_the_placeholder_is_no_near_miss(folder: Path) -> None:
    parameters = "{wheel_path: {default: wheelpath}}"
    write(
        folder, MLproject=MLPROJECT.replace("{command: python train.py}", f"{{command: a, parameters: {parameters}}}")
    )
    said = Said()
    run_patch(folder, to=said)
    assert said.warnings == []


OTHERS = [{"whl": "dbfs:/FileStore/jars/vendor_tools-2.1-py3-none-any.whl"}, {"whl": "WHEELPATH"}]


def test_somebody_elses_cluster_library_stops_no_rehearsal(folder: Path) -> None:
    write(folder, cluster=json.dumps({"new_cluster": CLUSTER, "libraries": OTHERS}))
    said = Said()
    assert spec_of(folder, run_patch(folder, to=said))["libraries"] == [OTHERS[0], {"whl": LIB.uri}]
    assert said.details[0] == f"{OTHERS[0]['whl']} is left to the cluster: nothing on this machine installs it"


@pytest.mark.parametrize("where", ["cluster", "MLproject"])
def test_a_spark_job_is_rehearsed_without_somebody_elses_cluster_library(folder: Path, where: str) -> None:
    vendor = "/dbfs/FileStore/jars/vendor_tools-2.1-py3-none-any.whl"
    libraries = f"  python_libraries: [{vendor}, WHEELPATH]\n" if where == "MLproject" else ""
    write(folder, MLproject=SPARK + libraries)
    if where == "cluster":
        write(folder, cluster=json.dumps({**CLUSTER, "libraries": OTHERS}))
    project = mlproject.load(staged(folder, run_patch(folder)))
    assert project.spark_job is not None
    assert set(project.spark_job.python_libraries) == {vendor, f"my-lib @ {LIB.uri}"}
    assert environment.read_lines(project, report=Said()) == [f"my-lib @ {LIB.uri}"]


@pytest.mark.parametrize("uri", ["/home/nobody/third-1.0-py3-none-any.whl", "vendor/third-1.0-py3-none-any.whl"])
def test_a_cluster_library_that_no_cluster_could_have_is_refused_on_either_target(folder: Path, uri: str) -> None:
    write(folder, cluster=json.dumps({**CLUSTER, "libraries": [{"whl": uri}, {"whl": "WHEELPATH"}]}))
    for target in ("local", "databricks"):
        with pytest.raises(errors.BadInput, match="a wheel of third, which nobody built"):
            run_patch(folder, target=target)


def test_what_is_not_called_as_a_wheel_is_told_as_that(folder: Path) -> None:
    write(folder, env=CONDA + "  - /dbfs/libs/my_lib.whl\n")
    with pytest.raises(errors.BadInput, match=r"not called as a wheel is.*/dbfs/libs/my_lib\.whl") as caught:
        run_patch(folder)
    assert caught.value.where == f"{folder / 'env.yaml'}:6:5"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"cluster": '[{"spark_version": "14.3.x-scala2.12"}]'}, "a cluster spec must be a JSON object"),
        ({"env": "dependencies: WHEELPATH\n"}, "dependencies must be a list"),
        ({"cluster": '{"a": 1, // c\n}'}, "JSON has no comments"),
        ({"cluster": '{"a": 1 /* c */}'}, "JSON has no comments"),
        ({"cluster": '{"a": [1,]}'}, "JSON has no comma before a closing bracket"),
        ({"cluster": '{"a": 1,\n}'}, "JSON has no comma before a closing bracket"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_of_the_users_own(folder: Path, files: dict[str, str], said: str) -> None:
    write(folder, **files)
    with pytest.raises(errors.BadInput, match=said) as caught:
        run_patch(folder)
    assert caught.value.where.partition(":")[0] in {str(folder / "cluster.json"), str(folder / "env.yaml")}


def test_a_requirements_file_that_is_not_utf8_is_told_of_the_users_own(folder: Path) -> None:
    write(folder, env=CONDA.replace("- mlflow", "- -r more.txt"))
    (folder / "more.txt").write_text("requests\n", encoding="utf-16")
    with pytest.raises(errors.BadInput, match="the file is not UTF-8 text") as caught:
        run_patch(folder)
    assert caught.value.where == f"{folder / 'more.txt'}:1:1"


def test_an_environment_whose_name_begins_with_two_dots_is_in_the_project(folder: Path) -> None:
    (folder / "env.yaml").rename(folder / "..env.yaml")
    write(folder, MLproject=MLPROJECT.replace("env.yaml", "..env.yaml"))
    assert LIB.uri in (staged(folder, run_patch(folder)) / "..env.yaml").read_text()


def test_files_that_are_left_behind_are_told_in_one_line(folder: Path, git: Any) -> None:
    git("init", "-q")
    for name in ("data/a.csv", "data/deep/b.csv", "src/model.pkl", "src/__pycache__/x.pyc", ".venv/x", ".env"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "src" / "a.py").touch()
    (folder / ".gitignore").write_text("data/\n*.pkl\n.venv\n")
    said = Said()
    run_patch(folder, to=said)
    run_patch(folder, include=["data/**/*", "src/*.pkl", ".env"], to=said)
    (line,) = [each for each in said.details if each.startswith("left behind")]
    assert line.endswith("): data/ (2 files), .env, src/model.pkl; `include` brings them")


def test_an_environment_that_mlflow_does_not_read_is_named(folder: Path) -> None:
    write(folder, MLproject=MLPROJECT.replace("conda_env: env.yaml\n", ""), env="dependencies: [pip]\n")
    said = Said()
    run_patch(folder, to=said)
    assert [warning.partition(";")[2] for warning in said.warnings] == [" write `conda_env: env.yaml` into MLproject"]
    write(folder, env=CONDA)
    with pytest.raises(errors.BadInput, match="stands in a file that MLflow does not read") as caught:
        run_patch(folder)
    assert caught.value.where == f"{folder / 'env.yaml'}:5:5"


def test_without_libraries_a_placeholder_is_told_as_that(folder: Path) -> None:
    with pytest.raises(errors.BadInput, match="the setting `libraries` is empty"):
        run_patch(folder, deployed=[], libraries=())


@pytest.mark.parametrize("line", ["-e {}", "{}[x]", "other @ file://{}", "--find-links {}", "--find-links=file://{}"])
def test_a_path_of_this_machine_is_never_staged_for_a_cluster(folder: Path, line: str) -> None:
    (folder.parent / "lib").mkdir()
    write(folder, env=CONDA + f"  - {json.dumps(line.format(folder.parent / 'lib'))}\n")
    with pytest.raises(errors.BadInput, match="names a path of this machine, and no cluster has it") as caught:
        run_patch(folder, target="databricks")
    assert caught.value.where == f"{folder / 'env.yaml'}:6:5"
    assert run_patch(folder).patched is not None


@pytest.mark.parametrize("line", ["--find-links /databricks/wheels", "/dbfs/x/lib", "-e .", "numpy # see /etc"])
def test_a_path_that_a_cluster_may_have_is_left_to_it(folder: Path, line: str) -> None:
    write(folder, env=CONDA + f"  - {json.dumps(line)}\n")
    assert run_patch(folder, target="databricks").patched is not None


def test_a_wheel_of_this_machine_is_out_of_reach_of_a_cluster(folder: Path) -> None:
    (folder / "third-1.0-py3-none-any.whl").touch()
    write(folder, env=CONDA + f"  - third @ file://{folder}/third-1.0-py3-none-any.whl\n")
    with pytest.raises(errors.BadInput, match="a wheel of third, which nobody built"):
        run_patch(folder, target="databricks")


@pytest.mark.parametrize("entry", ["wheelpath", "WHEELSPATH", "wheel.path>=1"])
def test_a_near_miss_never_reaches_a_package_index(folder: Path, entry: str) -> None:
    write(folder, env=f"name: wheelpath\ndependencies:\n- {entry}\n- pip: [WHEELPATH]\n")
    with pytest.raises(errors.BadInput, match="a package index would be asked for") as caught:
        run_patch(folder)
    assert caught.value.where == f"{folder / 'env.yaml'}:3:3"


def test_a_library_by_its_folder_in_another_file_of_requirements_is_refused_with_its_line(folder: Path) -> None:
    wheel = Wheel(distribution="my-lib", version="2.0", file="", sha256="", size=0, library="libs/mine")
    write(folder, env=CONDA.replace("- mlflow", "- -r more.txt"))
    (folder / "more.txt").write_text("-e ../libs/mine\n")
    (folder.parent / "libs" / "mine").mkdir(parents=True)
    with pytest.raises(errors.BadInput, match="only the environment's own lines are patched") as caught:
        run_patch(folder, release=replace(RELEASE, wheels=(wheel,)))
    assert caught.value.where == f"{folder / 'more.txt'}:1"


@pytest.mark.parametrize(("line", "extras"), [(".", ""), ("-e .[train]", "[train]"), ("./", "")])
def test_a_project_that_is_itself_a_library_is_named_by_its_wheel(folder: Path, line: str, extras: str) -> None:
    wheel = Wheel(distribution="my-lib", version="2.0", file="", sha256="", size=0, library="p")
    write(folder, env=f"dependencies:\n- pip:\n  - {json.dumps(line)}\n")
    copy = staged(folder, run_patch(folder, release=replace(RELEASE, wheels=(wheel,))))
    (section,) = yaml.safe_load((copy / "env.yaml").read_text())["dependencies"]
    assert section["pip"] == [f"my-lib{extras} @ {LIB.uri}"]
